"""Networks in pairs: one written in an unusual way, and the same function made of plain convolutions, linear layers and ReLUs."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from ..circuits.computed import computed_weights
from ..toys import small_cnn
from .stages import Does

Pair = tuple[nn.Module, nn.Module]


class AsRelus(nn.Module):
    """A piecewise linear function σ of one variable: Σ factor · ReLU(sign · x + shift) + constant, each ReLU a module."""

    def __init__(self, terms: list[tuple[float, float, float]], constant: float = 0) -> None:
        super().__init__()
        self.terms, self.constant = terms, constant
        self.relus = nn.ModuleList(nn.ReLU() for _ in terms)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = (f * relu(sign * x + shift) for relu, (f, sign, shift) in zip(self.relus, self.terms, strict=True))
        return sum(parts, torch.zeros_like(x) + self.constant)


def _activation(made: Callable[[], nn.Module], terms: list[tuple[float, float, float]], constant: float = 0) -> Pair:
    ours, plain = small_cnn(seed=3), small_cnn(seed=3)
    for layer in ("conv", "hidden"):
        with torch.no_grad():  # so large that every piece is used
            for module in (ours, plain):
                module.get_submodule(layer)[0].weight *= 4
        ours.get_submodule(layer)[1] = made()
        plain.get_submodule(layer)[1] = AsRelus(terms, constant)
    return ours, plain


def _normalised() -> Pair:
    ours, plain = small_cnn(seed=3), small_cnn(seed=3)
    ours.conv.insert(0, Does(lambda x: (x - 0.4) / 0.3))
    with torch.no_grad():
        plain.conv[0].bias -= plain.conv[0].weight.sum((1, 2, 3)) * 0.4 / 0.3
        plain.conv[0].weight /= 0.3
    return ours, plain


def _batch_norm() -> Pair:
    ours, plain = small_cnn(seed=3), small_cnn(seed=3)
    norm = nn.BatchNorm2d(4).eval()
    with torch.no_grad():
        for values in (norm.weight, norm.bias, norm.running_mean):
            values += torch.randn(4)
        norm.running_var *= 3
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        plain.conv[0].weight *= scale[:, None, None, None]
        plain.conv[0].bias.copy_((plain.conv[0].bias - norm.running_mean) * scale + norm.bias)
    ours.conv.insert(1, norm)
    return ours, plain


def _residual() -> Pair:
    ours, plain = small_cnn(seed=3), small_cnn(seed=3)
    square = nn.Linear(16, 16)

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.square = square

        def forward(self, x):
            return x + self.square(x)

    ours.hidden.append(Residual())
    plain.hidden.append(nn.Linear(16, 16))
    with torch.no_grad():
        plain.hidden[2].weight.copy_(square.weight + torch.eye(16))
        plain.hidden[2].bias.copy_(square.bias)
    return ours, plain


def _buffer() -> Pair:
    ours, plain = small_cnn(seed=3), small_cnn(seed=3)
    ours.hidden[1].register_buffer("offset", torch.linspace(-1, 1, 16))
    ours.hidden[1].forward = lambda x: torch.clamp_min(x + ours.hidden[1].offset, 0)
    with torch.no_grad():
        plain.hidden[0].bias += torch.linspace(-1, 1, 16)
    return ours, plain


def _functions() -> Pair:
    plain = small_cnn(seed=3)

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.hidden, self.logits = (nn.Sequential(plain.conv[0]), nn.Sequential(plain.hidden[0]), plain.logits)

        def forward(self, x):
            x = F.relu(self.conv(x), inplace=True)
            return self.logits(self.hidden(x.flatten(1)).clamp(min=0))

    return Functional(), plain


PAIRS: dict[str, Callable[[], Pair]] = {
    "weight norm": lambda: tuple(net.module for net in computed_weights()),
    "normalised input": _normalised,
    "batch norm": _batch_norm,
    "residual": _residual,
    "buffer": _buffer,
    "functions": _functions,
    "LeakyReLU": lambda: _activation(lambda: nn.LeakyReLU(0.2), [(1, 1, 0), (-0.2, -1, 0)]),
    "PReLU": lambda: _activation(lambda: nn.PReLU(1, 0.3), [(1, 1, 0), (-0.3, -1, 0)]),
    "ReLU6": lambda: _activation(nn.ReLU6, [(1, 1, 0), (-1, 1, -6)]),
    "Hardtanh": lambda: _activation(nn.Hardtanh, [(1, 1, 1), (-1, 1, -1)], -1),
    "Hardsigmoid": lambda: _activation(nn.Hardsigmoid, [(1 / 6, 1, 3), (-1 / 6, 1, -3)]),
    "Softshrink": lambda: _activation(lambda: nn.Softshrink(0.2), [(1, 1, -0.2), (-1, -1, -0.2)]),
    "absolute value": lambda: _activation(lambda: Does(torch.abs), [(1, 1, 0), (1, -1, 0)]),
}
