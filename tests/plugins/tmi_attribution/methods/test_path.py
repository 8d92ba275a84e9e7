import numpy as np
import torch
from torch import nn

from tmi_attribution.methods import path

from .cases import IMAGES, TARGETS, frozen, run, toy


def test_gradient_shap_is_complete_on_average_and_in_portions():
    module, images = toy().double(), IMAGES[:1].double()
    change = (module(images) - module(0 * images))[0, TARGETS[0]]
    found = run("gradient_shap", module, images, TARGETS, draws=1500)
    assert abs(found.sum() - change) < 0.01 * found.abs().sum()
    assert path.portions(150, 64) == [64, 64, 22]


def test_captums_own_example():
    """The README of Captum: ToyModel, seed 123, integrated gradients and DeepLift agree."""

    class ToyModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.flat, self.lin1, self.relu, self.lin2 = nn.Flatten(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)
            with torch.no_grad():
                self.lin1.weight.copy_(torch.arange(-4.0, 5.0).view(3, 3))
                self.lin1.bias.zero_()
                self.lin2.weight.copy_(torch.arange(-3.0, 3.0).view(2, 3))
                self.lin2.bias.fill_(1)

        def forward(self, x):
            return self.lin2(self.relu(self.lin1(self.flat(x))))

    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    images = torch.rand(2, 3).reshape(2, 1, 1, 3)
    expected = torch.tensor([[-0.5922, -1.5497, -1.0067], [0.0, -0.2219, -5.1991]])
    module, targets = frozen(ToyModel()), torch.zeros(2, dtype=torch.int64)
    for name in ("integrated_gradients", "deeplift"):
        found = run(name, module, images, targets, steps=50)
        assert torch.allclose(found.reshape(2, 3), expected, atol=5e-5)
