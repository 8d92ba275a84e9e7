"""A small convolutional network, trained by plain gradient descent as in section 6."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import tmi
from tmi.errors import InputError
from tmi.params import Count, Index, Positive

if TYPE_CHECKING:
    import torch
    from torch import nn

# Below so many multiplications a step, setting oneDNN up for a convolution costs more than the convolution.
_SMALL_CONVOLUTION = 1_000_000


def cnn(
    data: tmi.Dataset,
    *,
    seed: int,
    filters: Count = 12,
    kernel: Count = 5,
    hidden: Index = 64,
    epochs: Count = 10,
    lr: Positive = 0.1,
    batch_size: Count = 50,
) -> tmi.Network:
    """Train a network of one convolution and at most one hidden layer on the training images.

    Stochastic gradient descent without momentum on the cross-entropy, from torch's default initial weights. Its layers carry the
    names of Theorem 1's: ``conv``, ``hidden`` and ``logits``, each with its own ReLU where it has one.

    Parameters
    ----------
    data : Dataset
    seed : int
        Decides the initial weights and the order of the images. The same seed gives the same network, bit for bit, however many
        threads torch may use: the training takes one, which for networks of this size is also the quickest.
    filters : Count
        Filters of the convolution.
    kernel : Count
        Side of their kernels in pixels; stride 1, no padding.
    hidden : Index
        Neurons of the hidden layer; 0 leaves it out.
    epochs : Count
        How often every training image is seen.
    lr : Positive
        Learning rate.
    batch_size : Count
        Images a step; the last batch of an epoch may be smaller.

    Returns
    -------
    Network
        Origin "trained", weights float32, with the history ``loss`` (mean cross-entropy) and ``accuracy`` (share right) of each
        epoch, both over the training images as they were met, before the step that learnt from them.

    Raises
    ------
    InputError
        For a bare task, a kernel larger than the image, training scenes without a class, or when the loss or a weight stops being
        a finite number.
    """
    _check(data, kernel)
    import torch

    from tmi.seeds import fixed_seed

    images, labels = data.train.images.float(), data.train.labels
    with fixed_seed(seed):
        module = _module(data.task, filters, kernel, hidden)
    # One tensor at a time: for weights this small, grouping them costs more than it saves.
    optimizer = torch.optim.SGD(module.parameters(), lr=lr, foreach=False)
    order = torch.Generator().manual_seed(seed)
    loss, accuracy = [], []
    places = (images.shape[2] - kernel + 1) * (images.shape[3] - kernel + 1)
    with _quickest_for(batch_size * places * filters * images.shape[1] * kernel**2):
        for epoch in tmi.track(range(epochs), "training"):
            shuffled = torch.randperm(len(images), generator=order)
            met = labels[shuffled]
            logits = _epoch(module, optimizer, images[shuffled], met, batch_size)
            loss.append(float(torch.nn.functional.cross_entropy(logits, met)))
            accuracy.append(float((logits.argmax(1) == met).double().mean()))
            if not all(bool(p.isfinite().all()) for p in [logits, *module.parameters()]):
                raise InputError(f"training diverged in epoch {epoch + 1} of {epochs}: use a smaller lr than {lr:g}")
    module.zero_grad()
    layers = ["conv", "hidden", "logits"] if hidden else ["conv", "logits"]
    return tmi.Network(module, layers, "trained", task=data.task, history={"loss": loss, "accuracy": accuracy})


def _check(data: tmi.Dataset, kernel: int) -> None:
    if not isinstance(data, tmi.Dataset):
        raise InputError(f"cnn: needs a Dataset with training images, got {type(data).__name__}")
    _, m, n = data.task.image_shape
    if kernel > min(m, n):
        raise InputError(f"kernel: {kernel}×{kernel} is larger than the images, {m}×{n}")
    if not len(data.train):
        raise InputError("cnn: the data set has no training images")
    bare = int((data.train.labels < 0).sum())
    if bare:
        raise InputError(f"cnn: {bare} of {len(data.train)} training scenes have no tile, and so no class to learn")


def _module(task: tmi.TemplateTask, filters: int, kernel: int, hidden: int) -> nn.Module:
    from collections import OrderedDict

    from torch import nn

    channels, m, n = task.image_shape
    width = filters * (m - kernel + 1) * (n - kernel + 1)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["conv"] = nn.Sequential(nn.Conv2d(channels, filters, kernel), nn.ReLU())
    parts["flatten"] = nn.Flatten()
    if hidden:
        parts["hidden"] = nn.Sequential(nn.Linear(width, hidden), nn.ReLU())
    parts["logits"] = nn.Linear(hidden or width, len(task.classes))
    return nn.Sequential(parts)


def _epoch(
    module: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor, batch_size: int
) -> torch.Tensor:
    """Take a step of gradient descent for each batch; return the logits (N, L) that the images met."""
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
    """One thread, and oneDNN only where the convolution is large enough for it; both are put back afterwards.

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
