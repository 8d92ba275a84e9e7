"""Random networks of torch's own layers, for tests of disguises."""

from __future__ import annotations

from collections import OrderedDict

import torch
from hypothesis import strategies as st
from torch import nn

import tmi
from tests.strategies import tasks

EVERY = ("permutation", "rescaling", "split", "cancelling", "basis")


def network(parts, task, layers=None, origin="trained"):
    """Return a network of the given modules with random weights and running statistics."""
    module = nn.Sequential(OrderedDict(parts)).double()
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, dtype=torch.float64) + (0.1 if "running_var" in name else -0.5))
    return tmi.Network(module, layers or [name for name, _ in parts], origin, task=task)


@st.composite
def networks(draw):
    """Networks of one to three convolutions and up to two linear layers, of one neuron at least, on random tasks."""
    task = draw(tasks())
    channels, rows, cols = task.image_shape
    parts, count = [], st.integers(1, 4)
    for number in range(draw(st.integers(0, 3))):
        groups, out = draw(st.sampled_from([1, channels])), draw(count)
        kernel = draw(st.integers(1, min(2, rows, cols)))
        padding, stride = draw(st.integers(0, kernel // 2)), draw(st.integers(1, 2))
        layer = [
            nn.Conv2d(
                channels,
                out * groups,
                kernel,
                stride=stride,
                padding=padding,
                groups=groups,
                bias=draw(st.booleans()),
                padding_mode=draw(st.sampled_from(["zeros", "replicate"])),
            )
        ]
        rows, cols = ((side + 2 * padding - kernel) // stride + 1 for side in (rows, cols))
        channels = out * groups
        if draw(st.booleans()):
            layer.append(nn.BatchNorm2d(channels, affine=draw(st.booleans())))
        if draw(st.booleans()):
            layer.append(nn.ReLU(inplace=draw(st.booleans())))
        if draw(st.booleans()):
            layer.append(nn.Dropout())
        parts.append((f"conv{number}", nn.Sequential(*layer)))
        if min(rows, cols) > 1 and draw(st.booleans()):
            parts.append((f"pool{number}", draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))(2)))
            rows, cols = rows // 2, cols // 2
    parts.append(("flatten", nn.Flatten()))
    width = channels * rows * cols
    for number in range(draw(st.integers(0 if parts[:-1] else 1, 2))):
        out = draw(count)
        layer = [nn.Linear(width, out), *([nn.BatchNorm1d(out)] if draw(st.booleans()) else []), nn.ReLU()]
        parts.append((f"hidden{number}", nn.Sequential(*layer)))
        width = out
    parts.append(("logits", nn.Linear(width, len(task.classes))))
    names = [name for name, _ in parts]
    shown = [name for name in names[:-1] if draw(st.booleans())]
    return network(parts, task, [*shown, "logits"])
