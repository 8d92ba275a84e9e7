"""The trained network of section 6.1 with the weights that the paper prints."""

from __future__ import annotations

import tmi
from tmi.errors import InputError

KERNEL = ((1.02, 1.04), (1.32, 0.76))
KERNEL_BIAS = -1.65
LOGIT_WEIGHTS = (
    (0.09, 0.44, 0.51, 0.74, 1.26, 0.74, -0.06, 0.74, 0.18),
    (-0.23, -0.39, -0.33, -0.64, -1.30, -0.60, -0.46, -0.50, -0.05),
)
LOGIT_BIAS = (-1.97, 2.60)


def printed_squares(task: tmi.TemplateTask | tmi.Dataset) -> tmi.Network:
    """Build the network of section 6.1 from the weights that the paper prints, rounded there to two digits.

    One filter of 2×2 with a ReLU, then a linear layer from its nine neurons, row by row, to the two logits. The first logit is
    the black square's: read the other way round, the network would be wrong on 96 % of the images.

    Source: section 6.1 of "Revisiting the expressiveness of CNNs: a mathematical framework for feature extraction", where
    ``conv1`` is here layer ``conv`` and ``fcl`` is ``logits``. The network was trained there on 400 samples with a learning rate
    of 0.05 for 100 epochs, and reached an accuracy of 95 %.

    Parameters
    ----------
    task : TemplateTask or Dataset
        Data set ``squares``, or another task with grey images of 4×4 pixels and two classes of 2×2 tiles.

    Returns
    -------
    Network
        Layers ``conv`` (1, 3, 3) and ``logits`` (2,), weights float32, origin "imported".

    Raises
    ------
    InputError
        For any other task.
    """
    task = task.task if isinstance(task, tmi.Dataset) else task
    shapes = {tile.shape for tile in task.tiles}
    if task.image_shape != (1, 4, 4) or len(task.classes) != 2 or shapes != {(1, 2, 2)}:
        raise InputError(
            "printed-squares: needs grey images of 4×4 pixels and two classes of 2×2 tiles, as data set squares has, got "
            f"{task!r}"
        )
    from collections import OrderedDict

    import torch
    from torch import nn

    conv, logits = nn.Conv2d(1, 1, 2, device="meta"), nn.Linear(9, 2, device="meta")  # no random numbers are drawn
    conv.weight, conv.bias = nn.Parameter(torch.tensor([[KERNEL]])), nn.Parameter(torch.tensor([KERNEL_BIAS]))
    logits.weight, logits.bias = nn.Parameter(torch.tensor(LOGIT_WEIGHTS)), nn.Parameter(torch.tensor(LOGIT_BIAS))
    module = nn.Sequential(OrderedDict(conv=nn.Sequential(conv, nn.ReLU()), flatten=nn.Flatten(), logits=logits))
    return tmi.Network(module, ["conv", "logits"], "imported", task=task)
