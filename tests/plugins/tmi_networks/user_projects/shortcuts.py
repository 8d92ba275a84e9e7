"""A second file of the stranger's, which the first one imports."""

import torch.nn as nn


class LambdaLayer(nn.Module):
    def __init__(self, lambd):
        super().__init__()
        self.lambd = lambd

    def forward(self, x):
        return self.lambd(x)
