"""Stages of networks, affine and piecewise linear, and the linear form of their composition by impulses and differences alone."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

SHAPE = (2, 5, 5)


def _batch_norm(affine: bool) -> nn.Module:
    norm = nn.BatchNorm2d(2, affine=affine)
    norm.running_mean += torch.randn(2)
    norm.running_var *= 2.5
    if affine:
        with torch.no_grad():
            norm.bias += torch.randn(2)
    return norm


class Constants(nn.Module):
    """Normalises by a tensor that is neither parameter nor buffer, and adds a buffer whose name says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.tensor([0.3, 0.5]).reshape(1, 2, 1, 1)
        self.register_buffer("something", torch.randn(1, 2, 5, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / 0.25 + self.something


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x)


class Does(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


AFFINE: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: nn.Conv2d(2, 2, 3, padding=1),
    "circular": lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
    "replicate": lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="replicate", bias=False),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 2, 3, padding=1)),
    "old weight norm": lambda: nn.utils.weight_norm(nn.Conv2d(2, 2, 3, padding=1)),
    "spectral norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(2, 2, 3, padding=1)),
    "batch norm": lambda: _batch_norm(True),
    "batch norm without weights": lambda: _batch_norm(False),
    "constants": Constants,
    "residual": Residual,
    "scaled": lambda: Does(lambda x: 3 * x - 1),
    "average pooling": lambda: nn.AvgPool2d(3, 1, 1),
    "in place": lambda: Does(lambda x: x.clone().add_(0.3).mul_(2)),
}

PIECEWISE: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "relu function": lambda: Does(torch.relu),
    "relu method in place": lambda: Does(lambda x: x.clone().relu_()),
    "clamp": lambda: Does(lambda x: x.clamp(min=0)),
    "clip": lambda: Does(lambda x: torch.clip(x, -0.2, 0.4)),
    "clamp by tensors": lambda: Does(lambda x: x.clamp(min=torch.full_like(x, 0.1))),
    "maximum": lambda: Does(lambda x: torch.maximum(x, -0.5 * x + 0.1)),
    "minimum": lambda: Does(lambda x: torch.minimum(x, x.new_tensor(0.2))),
    "leaky": lambda: nn.LeakyReLU(0.1),
    "leaky function": lambda: Does(lambda x: F.leaky_relu_(x.clone(), 0.3)),
    "prelu": lambda: nn.PReLU(2, 0.4),
    "rrelu": nn.RReLU,
    "relu6": nn.ReLU6,
    "hardtanh": lambda: nn.Hardtanh(-0.3, 0.2),
    "hardsigmoid": lambda: nn.Sequential(Does(lambda x: 6 * x), nn.Hardsigmoid()),
    "abs": lambda: Does(torch.abs),
    "softshrink": lambda: nn.Softshrink(0.1),
    "threshold": lambda: nn.Threshold(0.1, 0.1),
    "max pooling": lambda: nn.MaxPool2d(3, 1, 1),
    "adaptive max pooling": lambda: Does(lambda x: F.interpolate(F.adaptive_max_pool2d(x, 2), size=5)),
    "max over channels": lambda: Does(lambda x: x + x.amax(1, keepdim=True)),
    "max with indices": lambda: Does(lambda x: x - x.max(2, keepdim=True).values),
}
"""Continuous ones; linear-regions counts their pieces."""

FORMS: dict[str, Callable[[], nn.Module]] = {
    **PIECEWISE,
    "where": lambda: Does(lambda x: torch.where(x > 0, x, 0.1 * x)),
    "mask": lambda: Does(lambda x: x * (x > 0.1)),
    "hardshrink": lambda: nn.Hardshrink(0.1),
    "sorted": lambda: Does(lambda x: x.sort(2).values),
    "steps": lambda: Does(lambda x: x + torch.round(3 * x)),
}
"""All that have an exact linear form, also those with jumps."""


def mixing() -> nn.Module:
    """A convolution with weights so large that signs change within an image and along a path."""
    conv = nn.Conv2d(2, 2, 3, padding=1)
    with torch.no_grad():
        conv.weight *= 5
        conv.bias -= conv.weight.sum((1, 2, 3)) / 2
    return conv


def network_of(names: list[str], seed: int, stages: dict[str, Callable[[], nn.Module]] | None = None) -> nn.Sequential:
    """The named stages, each with a convolution before it so that signs are mixed, then three logits; in evaluation mode."""
    torch.manual_seed(seed)
    made = stages or {**AFFINE, **FORMS}
    parts = [part for name in names for part in (mixing(), made[name]())]
    module = nn.Sequential(*parts, nn.Flatten())
    module.add_module("logits", nn.Linear(50, 3))
    return module.eval()


def composed(module: nn.Sequential, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W (L, pixels) and b (L,) around an image (C, m, n): stage by stage, from differences of the stage's outputs."""
    x = torch.from_numpy(image)[None]
    weight, bias = np.eye(x.numel()), np.zeros(x.numel())
    with torch.no_grad():
        for stage in module:
            step = 1e-6
            around = x + step * torch.eye(x.numel(), dtype=x.dtype).reshape(-1, *x.shape[1:])
            y = stage(x.clone())
            slope = np.stack([((stage(at[None].clone()) - y) / step).numpy().ravel() for at in around], axis=1)
            weight, bias = slope @ weight, slope @ bias + y.numpy().ravel() - slope @ x.numpy().ravel()
            x = y
    return weight, bias
