"""A small convolutional network, trained by plain gradient descent as in section 6."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import tmi
from tmi.errors import InputError
from tmi.params import Count, Index, Positive

if TYPE_CHECKING:
    import torch
    from torch import nn

Pool = Literal["none", "max", "average"]

# Below so many multiplications a step, setting oneDNN up for a convolution costs more than the convolution.
_SMALL_CONVOLUTION = 1_000_000


def cnn(
    data: tmi.Dataset,
    *,
    seed: int,
    filters: Count = 12,
    kernel: Count = 5,
    depth: Count = 1,
    pool: Pool = "none",
    hidden: Index = 64,
    epochs: Count = 10,
    lr: Positive = 0.1,
    batch_size: Count = 50,
) -> tmi.Network:
    """Train a network of convolutions and at most one hidden layer on the training images.

    Stochastic gradient descent without momentum on the cross-entropy, from torch's default initial weights. Its layers have the
    names of Theorem 1's: ``conv``, ``hidden`` and ``logits``, each with its own ReLU where it has one. Further convolutions are
    ``conv2``, ``conv3``, …

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
        Neurons of the hidden layer; 0 omits it.
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
    maps = _check(data, kernel, depth, pool)
    from tmi.runtime.seeds import fixed_seed

    multiplications = batch_size * maps[0][0] * maps[0][1] * filters * data.task.image_shape[0] * kernel**2

    def fit() -> dict[str, list[float]]:
        with _quickest_for(multiplications):
            return _descend(module, data.train, seed, epochs, lr, batch_size)

    with fixed_seed(seed):
        module = _module(data.task, maps, filters, kernel, pool, hidden)
        history = tmi.train_once(module, fit)
    layers = [*(_numbered("conv", i) for i in range(depth)), *(["hidden"] if hidden else []), "logits"]
    return tmi.Network(module, layers, "trained", task=data.task, history=history)


def _check(data: tmi.Dataset, kernel: int, depth: int, pool: Pool) -> list[tuple[int, int]]:
    """Return the rows and columns of each convolution's maps."""
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


def _module(task: tmi.TemplateTask, maps: list[tuple[int, int]], filters: int, kernel: int, pool: Pool, hidden: int) -> nn.Module:
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


def _descend(module: nn.Module, scenes: tmi.Scenes, seed: int, epochs: int, lr: float, batch_size: int) -> dict[str, list[float]]:
    """Train a module on scenes; return the loss and the accuracy of each epoch."""
    import torch

    images, labels = scenes.images.float(), scenes.labels
    # One tensor at a time: for weights this small, grouping them costs more than it saves.
    optimizer = torch.optim.SGD(module.parameters(), lr=lr, foreach=False)
    order = torch.Generator().manual_seed(seed)
    loss, accuracy = [], []
    for epoch in tmi.track(range(epochs), "training"):
        shuffled = torch.randperm(len(images), generator=order)
        met = labels[shuffled]
        logits = _epoch(module, optimizer, images[shuffled], met, batch_size)
        loss.append(float(torch.nn.functional.cross_entropy(logits, met)))
        accuracy.append(float((logits.argmax(1) == met).double().mean()))
        if not all(bool(p.isfinite().all()) for p in [logits, *module.parameters()]):
            raise InputError(f"training diverged in epoch {epoch + 1} of {epochs}: use a smaller lr than {lr:g}")
    return {"loss": loss, "accuracy": accuracy}


def _epoch(
    module: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor, batch_size: int
) -> torch.Tensor:
    """Take a step of gradient descent for each batch; return the logits (N, L) of the images before it."""
    import torch
    from torch.nn.functional import cross_entropy

    seen = []
    for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):  # type: ignore[no-untyped-call]
        logits = module(x)
        seen.append(logits.detach())
        optimizer.zero_grad()
        cross_entropy(logits, y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return torch.cat(seen)


@contextmanager
def _quickest_for(multiplications: int) -> Iterator[None]:
    """One thread, and oneDNN only where the convolution is large enough for it; both are restored afterwards.

    Handing a tiny network's work to several threads costs more than the work. One thread also fixes the order of every sum.
    """
    import torch

    threads, onednn = torch.get_num_threads(), torch.backends.mkldnn.enabled
    torch.set_num_threads(1)
    torch.backends.mkldnn.enabled = onednn and multiplications >= _SMALL_CONVOLUTION  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.mkldnn.enabled = onednn  # type: ignore[assignment]
