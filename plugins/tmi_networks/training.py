"""Training by plain stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import tmi
from tmi.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

# Below so many multiplications a step, setting oneDNN up for a convolution costs more than the convolution.
_SMALL_CONVOLUTION = 1_000_000

# Below so many, the calls of torch cost more than their work: compiled loops are at least twice as fast.
_SMALL_STEP = 50_000


def descend(
    module: nn.Module,
    scenes: tmi.Scenes,
    *,
    seed: int,
    epochs: int,
    lr: float,
    batch_size: int,
    masks: Mapping[str, torch.Tensor] | None = None,
) -> dict[str, list[float]]:
    """Train a module on scenes by stochastic gradient descent on the cross-entropy, without momentum, on one thread.

    Parameters
    ----------
    module : nn.Module
        Changed in place; float32.
    scenes : Scenes
        Each shows a tile.
    seed : int
        Decides the order of the images.
    epochs : int
    lr : float
    batch_size : int
        Images a step; the last batch of an epoch may be smaller.
    masks : mapping of str to Tensor of bool, optional
        By the name of a parameter, and of its shape: the weights that may differ from 0. The others are set to 0 and stay 0.

    Returns
    -------
    dict
        ``loss`` (mean cross-entropy) and ``accuracy`` (share right) of each epoch over the training images, before the step on
        them.

    Raises
    ------
    InputError
        If the loss or a weight stops being a finite number.
    """
    import torch

    images, labels = scenes.images.float(), scenes.labels
    masked = [(parameter, masks[name]) for name, parameter in module.named_parameters() if masks and name in masks]
    _set_to_zero(masked)
    # One tensor at a time: for weights this small, grouping them costs more than it saves.
    optimizer = torch.optim.SGD(module.parameters(), lr=lr, foreach=False)
    multiplications = batch_size * _multiplications(module, images[:1])
    compiled = None
    if multiplications < _SMALL_STEP:
        from .compiled_training import compiled_epoch

        compiled = compiled_epoch(module, images, lr, batch_size, masks or {})
    generator = torch.Generator().manual_seed(seed)
    loss, accuracy = [], []
    with _quickest_for(multiplications):
        for epoch in tmi.track(range(epochs), "training"):
            order = torch.randperm(len(images), generator=generator)
            met = labels[order]
            if compiled is None:
                logits = _epoch(module, optimizer, images[order], met, batch_size, masked)
            else:
                logits = compiled(order, met)
            loss.append(float(torch.nn.functional.cross_entropy(logits, met)))
            accuracy.append(float((logits.argmax(1) == met).double().mean()))
            if not all(bool(p.isfinite().all()) for p in [logits, *module.parameters()]):
                raise InputError(f"training diverged in epoch {epoch + 1} of {epochs}: use a smaller lr than {lr:g}")
    return {"loss": loss, "accuracy": accuracy}


def _epoch(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
    batch_size: int,
    masked: list[tuple[nn.Parameter, torch.Tensor]],
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
        _set_to_zero(masked)
    return torch.cat(seen)


def _set_to_zero(masked: list[tuple[nn.Parameter, torch.Tensor]]) -> None:
    """Set the weights outside the masks to 0."""
    for parameter, mask in masked:
        parameter.data.masked_fill_(~mask, 0)


def _multiplications(module: nn.Module, image: torch.Tensor) -> int:
    """Return how many multiplications the first convolution takes for an image (1, C, m, n); 0 where there is none."""
    from torch import nn

    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            rows, cols = (side - kernel + 1 for side, kernel in zip(image.shape[2:], part.weight.shape[2:], strict=True))
            return part.weight.numel() * rows * cols
    return 0


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
