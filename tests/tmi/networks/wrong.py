"""Networks that claim to be constructed and compute nearly φ: each is wrong in one way."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import tmi
from tmi.networks.phi import Formula


def task_of(shapes, image_shape, epsilon, seed=0):
    """A class for each shape; values on tenths, some pixels outside the support."""
    rng = np.random.default_rng(seed)
    classes = []
    for i, (high, wide) in enumerate(shapes):
        values = rng.integers(1, 10, (image_shape[0], high, wide)) / 10
        support = rng.random(values.shape) < 0.8
        support.flat[0] = True
        classes.append(tmi.TileClass(f"class {i}", [tmi.FeatureTile(values, epsilon, support)]))
    return tmi.TemplateTask(classes, image_shape)


SMALL = {
    "grey": task_of([(3, 3)] * 3, (1, 7, 6), 0.5),
    "colour, different sizes": task_of([(3, 2), (4, 5), (2, 6)], (3, 6, 7), 1.0),
    "one-pixel tiles": tmi.TemplateTask(
        [tmi.TileClass(str(i), [tmi.FeatureTile([[v]], 0.1)]) for i, v in enumerate((0.2, 0.5, 0.9))], (1, 3, 4)
    ),
    "tiles as large as the image": task_of([(5, 4)] * 3, (1, 5, 4), 1.0),
    "tiny epsilon": task_of([(3, 3)] * 3, (1, 5, 5), 1e-3),
    "huge epsilon": tmi.TemplateTask(
        [tmi.TileClass("all", [tmi.FeatureTile(np.full((2, 2), v), 1e6) for v in (0.2, 0.5, 0.9)])], (1, 4, 4)
    ),
    "one class": task_of([(2, 2)], (1, 4, 4), 0.5),
}
LARGE = task_of([(4, 4)] * 3, (1, 28, 28), 0.5)
"""More windows than are shown one by one."""


class Changed(nn.Module):
    """φ with its hidden neurons or its logits changed."""

    def __init__(self, task, hidden=None, logits=None):
        super().__init__()
        self.inner = tmi.build("theorem1", task).module
        self.change = hidden, logits
        self.answer = nn.Identity()

    def forward(self, images):
        hidden = self.inner.hidden(images)
        if self.change[0]:
            hidden = self.change[0](hidden)
        logits = self.inner.logits(hidden)
        return self.answer(self.change[1](logits) if self.change[1] else logits)


def without(neurons):
    """Put some hidden neurons out."""

    def change(hidden):
        kept = torch.ones(hidden.shape[1], dtype=hidden.dtype)
        kept[torch.as_tensor(neurons)] = 0
        return hidden * kept

    return change


def with_tile(task, index, change):
    """The task with one tile replaced."""
    tiles = iter(range(len(task.tiles)))
    classes = [tmi.TileClass(one.name, [change(t) if next(tiles) == index else t for t in one.tiles]) for one in task.classes]
    return tmi.TemplateTask(classes, task.image_shape)


def wrong_modules(task):
    """Yield (what is wrong, module); every way that applies to the task."""
    table = tmi.build("theorem1", task).neurons("hidden")
    windows = np.array(task.windows)[table["tile"]]
    classes, tiles = len(task.classes), len(task.tiles)
    size = min(min(tile.epsilon, int(tile.support.sum())) for tile in task.tiles)
    for label in range(classes):
        keep = (torch.arange(classes) != label).double()
        yield f"class {label} is never answered", Changed(task, logits=lambda y, keep=keep: y * keep)
        yield f"class {label} is offset", Changed(task, logits=lambda y, keep=keep: y + 0.01 * size * (1 - keep))
        yield f"class {label} is too large", Changed(task, logits=lambda y, keep=keep: y * (1 + 0.01 * (1 - keep)))
    for tile in range(tiles):
        yield f"tile {tile} is never seen", Changed(task, hidden=without(np.flatnonzero(table["tile"] == tile)))
        for factor in (0.99, 1.01):
            other = with_tile(task, tile, lambda t, f=factor: t.with_epsilon(t.epsilon * f))
            yield f"tile {tile} has another epsilon", Changed(other)
        moved = with_tile(task, tile, lambda t: tmi.FeatureTile(t.values * 0.99, t.epsilon, t.support))
        yield f"tile {tile} has other values", Changed(moved)
        if not task.tiles[tile].support.all():
            full = with_tile(task, tile, lambda t: tmi.FeatureTile(t.values, t.epsilon, np.ones(t.shape, bool)))
            yield f"tile {tile} has another support", Changed(full)
    border = ((table["row"] == windows[:, 0] - 1) | (table["col"] == windows[:, 1] - 1)).to_numpy()
    yield "the last row and column are not read", Changed(task, hidden=without(np.flatnonzero(border)))
    border = ((table["row"] == 0) | (table["col"] == 0)).to_numpy()
    yield "the first row and column are not read", Changed(task, hidden=without(np.flatnonzero(border)))
    if not border.all():
        yield "only the first row and column are read", Changed(task, hidden=without(np.flatnonzero(~border)))
    corner = (table["row"].isin([0, *windows[:, 0] - 1]) & table["col"].isin([0, *windows[:, 1] - 1])).to_numpy()
    inner = (
        (table["row"] > 0) & (table["row"] < windows[:, 0] - 1) & (table["col"] > 0) & (table["col"] < windows[:, 1] - 1)
    ).to_numpy()
    if inner.any():
        yield "only the border is read", Changed(task, hidden=without(np.flatnonzero(inner)))
        yield "only the corners are read", Changed(task, hidden=without(np.flatnonzero(~corner)))
        yield "only the inner windows are read", Changed(task, hidden=without(np.flatnonzero(~inner)))
    yield "every logit is twice φ", Changed(task, logits=lambda y: 2 * y)
    if task.tiles[0].epsilon < 100:  # else no window is half contained
        yield "a half contained tile is not seen", Changed(task, hidden=lambda h: h * (h > 0.6 * h.max()))
    yield "only the first image of a batch is answered", Changed(task, logits=lambda y: y * (torch.arange(len(y)) == 0)[:, None])
    yield "every second image is not answered", Changed(task, logits=lambda y: y * (1 - torch.arange(len(y)) % 2)[:, None])
    yield "not a number", Changed(task, logits=lambda y: y * torch.nan)
    if classes > 1:
        yield "the classes are in another order", Changed(task, logits=lambda y: y.flip(1))
    yield "another number of logits", Changed(task, logits=lambda y: torch.cat([y, y], 1))


REFUSED = ("only the first image", "every second image", "another number of logits", "a half contained", "not a number")
"""What is wrong with modules that the check of a network may refuse before anything compares them with φ."""


def constructed(module, task):
    return tmi.Network(module, [name for name, _ in module.named_children()][-1:], "constructed", task=task)


class Middle(nn.Module):
    """φ in operations that can be traced, but for one class."""

    def __init__(self, task, dtype, label):
        super().__init__()
        self.inner = Formula(task, dtype)
        self.register_buffer("keep", (torch.arange(len(task.classes)) != label).to(dtype))
        self.answer = nn.Identity()

    def forward(self, images):
        return self.answer(self.inner(images) * self.keep)
