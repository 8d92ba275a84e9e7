"""A small task, and networks for it whose every number can be worked out."""

import numpy as np
import torch
from torch import nn

import tmi

TASK = tmi.TemplateTask(
    [
        tmi.TileClass("dark", [tmi.FeatureTile(np.full((3, 3), 0.1), 0.3)]),
        tmi.TileClass("grey", [tmi.FeatureTile(np.full((3, 3), 0.5), 0.3), tmi.FeatureTile(np.eye(3) * 0.6 + 0.2, 0.3)]),
        tmi.TileClass("light", [tmi.FeatureTile(np.full((3, 3), 0.9), 0.3)]),
    ],
    (1, 8, 8),
)


def dataset(samples: int = 40, seed: int = 0, task: tmi.TemplateTask = TASK) -> tmi.Dataset:
    rng = np.random.default_rng(seed)
    train, test = (tmi.Scenes.draw(task, samples, rng=rng) for _ in range(2))
    return tmi.Dataset(task, train, test)


class Sums(nn.Module):
    """The sum of the pixels, and its double: one layer of one neuron, then three logits."""

    def __init__(self, task: tmi.TemplateTask = TASK) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(64, 1, bias=False), nn.ReLU())
        self.logits = nn.Linear(1, len(task.classes), bias=False)
        with torch.no_grad():
            self.hidden[1].weight.fill_(1)
            self.logits.weight.copy_(torch.tensor([[1.0], [0.0], [-1.0]]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits(self.hidden(images))


class Fixed(nn.Module):
    """Logits from a table, looked up by the top left pixel: image number / 100."""

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table)
        self.logits = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits(self.table[(images[:, 0, 0, 0] * 100).round().long() % len(self.table)])


class Phi(nn.Module):
    """φ of Proposition 1, which ignores background and place."""

    def __init__(self, task: tmi.TemplateTask = TASK) -> None:
        super().__init__()
        self.task = task
        self.logits = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits(self.task.phi(images))


def small_cnn(task: tmi.TemplateTask = TASK, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    module = nn.Sequential()
    module.add_module("conv", nn.Sequential(nn.Conv2d(task.image_shape[0], 4, 3), nn.ReLU()))
    module.add_module("flatten", nn.Flatten())
    module.add_module("hidden", nn.Sequential(nn.LazyLinear(16), nn.ReLU()))
    module.add_module("logits", nn.Linear(16, len(task.classes)))
    module(torch.zeros(1, *task.image_shape))
    return module


def network(module: nn.Module, *layers: str, task: tmi.TemplateTask = TASK, **known) -> tmi.Network:
    return tmi.Network(module, layers or ("logits",), "imported", task=task, **known)


def cnn_network(seed: int = 0) -> tmi.Network:
    return network(small_cnn(seed=seed), "conv", "hidden", "logits")


def deep(task: tmi.TemplateTask = TASK, seed: int = 0) -> tmi.Network:
    """Three ReLU layers with large weights, so that a path has many breakpoints."""
    torch.manual_seed(seed)
    pixels = int(np.prod(task.image_shape))
    module = nn.Sequential()
    module.add_module("first", nn.Sequential(nn.Flatten(), nn.Linear(pixels, 12), nn.ReLU()))
    module.add_module("second", nn.Sequential(nn.Linear(12, 9), nn.ReLU()))
    module.add_module("third", nn.Sequential(nn.Linear(9, 7), nn.ReLU()))
    module.add_module("logits", nn.Linear(7, len(task.classes)))
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Linear):
                part.weight *= 3
    return network(module, "first", "second", "third", "logits", task=task)


def exact_sums(module: nn.Module) -> None:
    """Round weights to multiples of 1/64, so that sums of their products with small multiples of 1/64 are exact in any order.

    A matrix product may add in another order for another row or batch size, so that equal rows give sums that differ in the last
    bit; exact sums do not.
    """
    with torch.no_grad():
        for p in module.parameters():
            p.copy_((64 * p).round() / 64)
