"""A small convolutional network, trained by plain gradient descent as in section 6."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import tmi
from tmi.errors import InputError
from tmi.params import Count, Index, Positive

from .training import descend

if TYPE_CHECKING:
    from torch import nn

Pool = Literal["none", "max", "average"]


def cnn(
    data: tmi.Dataset,
    *,
    seed: int,
    filters: Count = 12,
    kernel: Count = 5,
    depth: Count = 1,
    pool: Pool = "none",
    hidden: Index = 0,
    epochs: Count = 15,
    lr: Positive = 0.03,
    batch_size: Count = 100,
) -> tmi.Network:
    """Train a network of convolutions and at most one hidden layer on the training images.

    The defaults are the network and the settings of section 6.2: one convolution with 12 filters of 5×5, and a linear layer from
    it to the logits. Stochastic gradient descent without momentum on the cross-entropy, from torch's default initial weights. Its
    layers have the names of Theorem 1's: ``conv``, ``hidden`` if it has one, and ``logits``, each with its own ReLU where it has
    one. Further convolutions are ``conv2``, ``conv3``, …

    Parameters
    ----------
    data : Dataset
    seed : int
        Decides the initial weights and the order of the images. The same seed gives the same network, bit for bit, however many
        threads torch may use: the training takes one, which for networks of this size is also the quickest.
    filters : Count
        Filters of each convolution.
    kernel : Count
        Side of their kernels in pixels; stride 1, no padding.
    depth : Count
        Convolutions, one after the other.
    pool : {"none", "max", "average"}
        The 2×2 pooling after the ReLU of each convolution. It is not part of layer ``conv`` but a module of its own: ``pool``
        after ``conv``, ``pool2`` after ``conv2``, and so on.
    hidden : Index
        Neurons of a hidden layer between the convolutions and the logits; 0, as in the paper, omits it.
    epochs : Count
        Passes over the training images.
    lr : Positive
        Learning rate.
    batch_size : Count
        Images a step; the last batch of an epoch may be smaller.

    Returns
    -------
    Network
        Origin "trained", weights float32, with the history ``loss`` (mean cross-entropy) and ``accuracy`` (share right) of each
        epoch, both over the training images, before the gradient step on them.

    Raises
    ------
    InputError
        For a bare task, a kernel larger than the image or than the maps that it is applied to, maps too small to pool,
        training scenes without a class, or when the loss or a weight stops being a finite number.
    """
    maps = check(data, kernel, depth, pool)
    from tmi.runtime.seeds import fixed_seed

    def fit() -> dict[str, list[float]]:
        return descend(module, data.train, seed=seed, epochs=epochs, lr=lr, batch_size=batch_size)

    with fixed_seed(seed):
        module = make_module(data.task, maps, filters, kernel, pool, hidden)
        history = tmi.train_once(module, fit)
    return tmi.Network(module, layer_names(depth, hidden), "trained", task=data.task, history=history)


def layer_names(depth: int, hidden: int) -> list[str]:
    """Return the names of the layers of a network with so many convolutions and hidden neurons."""
    return [*(_numbered("conv", i) for i in range(depth)), *(["hidden"] if hidden else []), "logits"]


def check(data: tmi.Dataset, kernel: int, depth: int, pool: Pool) -> list[tuple[int, int]]:
    """Check that a network of these settings can be trained on a data set; see `cnn` for the settings.

    Returns
    -------
    list of (int, int)
        The rows and columns of each convolution's maps.

    Raises
    ------
    InputError
        For a bare task, a kernel or pooling that does not fit, and training scenes without a class.
    """
    if not isinstance(data, tmi.Dataset):
        raise InputError(f"cnn: needs a Dataset with training images, got {type(data).__name__}")
    _, m, n = data.task.image_shape
    what = "images"
    maps = []
    for i in range(depth):
        if kernel > min(m, n):
            raise InputError(f"kernel: {kernel}×{kernel} is larger than the {what}, {m}×{n}")
        m, n = m - kernel + 1, n - kernel + 1
        maps.append((m, n))
        if pool != "none":
            if min(m, n) < 2:
                raise InputError(f"pool: the maps of {_numbered('conv', i)}, {m}×{n}, are too small for 2×2")
            m, n = m // 2, n // 2
        what = f"maps that {_numbered('conv', i + 1)} is laid on"
    if not len(data.train):
        raise InputError("cnn: the data set has no training images")
    bare = int((data.train.labels < 0).sum())
    if bare:
        raise InputError(f"cnn: {bare} of {len(data.train)} training scenes have no tile, and so no class to learn")
    return maps


def make_module(
    task: tmi.TemplateTask, maps: list[tuple[int, int]], filters: int, kernel: int, pool: Pool, hidden: int
) -> nn.Module:
    """Return the untrained module, with torch's default initial weights; see `cnn` for the settings, and `check` for ``maps``."""
    from collections import OrderedDict

    from torch import nn

    pools = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for i in range(len(maps)):
        channels = filters if i else task.image_shape[0]
        # One ReLU and one pooling each, never shared: attribution methods follow modules, not calls.
        parts[_numbered("conv", i)] = nn.Sequential(nn.Conv2d(channels, filters, kernel), nn.ReLU())
        if pool != "none":
            parts[_numbered("pool", i)] = pools[pool](2)
    m, n = maps[-1] if pool == "none" else (side // 2 for side in maps[-1])
    width = filters * m * n
    parts["flatten"] = nn.Flatten()
    if hidden:
        parts["hidden"] = nn.Sequential(nn.Linear(width, hidden), nn.ReLU())
    parts["logits"] = nn.Linear(hidden or width, len(task.classes))
    return nn.Sequential(parts)


def _numbered(name: str, index: int) -> str:
    """Return ``conv``, ``conv2``, ``conv3``, … for 0, 1, 2, and so on."""
    return f"{name}{index + 1}" if index else name
