"""Projections of changes of an image onto a ball around 0, within the pixels' range [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ..linear.region import Norm


def size(change: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Return ‖δ‖₁ or ‖δ‖_∞ of each change (N, …), shape (N,)."""
    flat = change.flatten(1).abs()
    return flat.sum(1) if norm == "l1" else flat.amax(1)


def project(change: torch.Tensor, images: torch.Tensor, radius: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Return the nearest change (in Euclidean distance) with 0 ≤ x + δ ≤ 1 and ‖δ‖ ≤ radius, exactly.

    Parameters
    ----------
    change, images : Tensor, shape (N, pixels)
        The images in [0, 1].
    radius : Tensor, shape (N,), at least 0
    norm : {"l1", "linf"}

    Returns
    -------
    Tensor, shape (N, pixels)

    Notes
    -----
    For L∞ each pixel is cut off by itself. For L1 the nearest change is sign(v)·min(max(|v| − λ, 0), room), with one λ ≥ 0 for
    all pixels of an image and the room of a pixel in the direction of v. Its norm h(λ) is piecewise linear and falls, with kinks
    at |v| and |v| − room, so that sorting them gives λ (Croce and Hein 2021, "Mind the box"); cutting off the projection onto
    the ball instead would leave a change that is not the nearest.
    """
    import torch

    if norm == "linf":
        low, high = torch.maximum(-images, -radius[:, None]), torch.minimum(1 - images, radius[:, None])
        return torch.minimum(torch.maximum(change, low), high)
    length = change.abs()
    room = torch.where(change > 0, 1 - images, images)
    inside = torch.minimum(length, room)
    # h(λ) = Σ max(|v| − λ, 0) − max(|v| − room − λ, 0): each kink above λ adds its own value less λ, or takes it away.
    kinks, order = torch.cat([length, length - room], 1).sort(1, descending=True)
    sign = torch.where(order < change.shape[1], 1.0, -1.0).to(change.dtype)
    slope, value = sign.cumsum(1), (sign * kinks).cumsum(1)
    norms = value - slope * kinks  # h at each kink, rising along the row
    # The last kink before h passes the radius: λ lies between it and the next one.
    last = ((norms <= radius[:, None]).sum(1, keepdim=True) - 1).clamp(min=0)
    steep = slope.gather(1, last)
    shrink = torch.where(steep > 0, (value.gather(1, last) - radius[:, None]) / steep.clamp(min=1), kinks.gather(1, last))
    shrunk = torch.minimum((length - shrink.clamp(min=0)).clamp(min=0), room)
    fits = inside.sum(1, keepdim=True) <= radius[:, None]
    return change.sign() * torch.where(fits, inside, shrunk)
