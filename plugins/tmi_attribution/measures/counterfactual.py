"""How the attribution responds to a change of the scene whose effect on the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.params import Count, Share

from .arrays import flat, known_mean, ratio, sizes
from .replacing import change, logits_of_images

if TYPE_CHECKING:
    from ..truth import Truth
    from .arrays import Array, Mask


@tmi.attribution_measure(low=-1, high=1, topic="counterfactual", scored="signed")
def contrast(maps: Array, truth: Truth, *, attribute: Callable[[Truth], Array]) -> Array:
    """How much more is attributed to the tile than to the bare background at its place, for the same logit.

    (A − B)/(A + B), with A = Σ_G |a| on the image and B the same sum without the tile.

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed.
    truth : Truth
    attribute : callable
        Runs the method again.

    Returns
    -------
    ndarray of float64, shape (N,)
        1 if G has no attribution without the tile; 0 if the tile makes no difference, or G never has any; −1 if G has attribution
        without the tile only. NaN where the mask is empty, or the attributed logit is not the label's.
    """
    other = attribute(_on(truth, truth.scenes.without_tiles()))
    with_tile, without = (_inside(values, truth.masks).sum(1) for values in (maps, other))
    return np.where((sizes(truth.masks) > 0) & truth.of_label, ratio(with_tile - without, with_tile + without, 0), np.nan)


@tmi.attribution_measure(low=0, high=1, topic="counterfactual", scored="signed")
def background_invariance(
    maps: Array, truth: Truth, *, seed: int, attribute: Callable[[Truth], Array], backgrounds: Count = 3
) -> Array:
    """How far the attribution of the tile stays as it is on other backgrounds: 1 − Σ_G |a − a′|/(Σ_G |a| + Σ_G |a′|).

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed.
    truth : Truth
    seed : int
        Of the backgrounds: uniform random pixels, the same for every image and method.
    attribute : callable
        Runs the method again.
    backgrounds : int
        Their number.

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1]; the mean over the backgrounds on which the image is another one and shows its class alone. NaN where there is
        none, as where the tile covers the image, where nothing is attributed to G on either background, and where the attributed
        logit is not the label's.
    """
    import torch

    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(backgrounds):
        drawn = torch.from_numpy(rng.random(truth.scenes.task.image_shape)).to(truth.scenes.dtype)
        scenes = truth.scenes.with_backgrounds(drawn)
        score = _likeness(maps, attribute(_on(truth, scenes)), truth.masks)
        changed = (scenes.images != truth.scenes.images).flatten(1).any(1)
        scores.append(np.where((scenes.unambiguous() & changed).numpy() & truth.of_label, score, np.nan))
    return known_mean(np.stack(scores))


@tmi.attribution_measure(low=0, high=1, topic="counterfactual", scored="signed")
def null_patch_invariance(
    maps: Array, truth: Truth, *, seed: int, attribute: Callable[[Truth], Array], side: Share = 0.125
) -> Array:
    """How far the attribution of the tile stays as it is when a patch elsewhere changes: 1 − Σ_G |a − a′|/(Σ_G |a| + Σ_G |a′|).

    The patch gets random pixels. It lies in the null region where that is known, so that the logit provably does not change; else
    anywhere outside G.

    Parameters
    ----------
    maps : ndarray of float64, shape (N, C, m, n)
        Signed.
    truth : Truth
    seed : int
        Of the pixels, and of the order in which places are tried; both are the same for every image and method.
    attribute : callable
        Runs the method again.
    side : float
        The patch's side as a share of the image's smaller side, rounded; at least one pixel.

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1]. NaN where there is no room for the patch, where nothing is attributed to G on either image, and where the null
        region is known and yet the logit changes: the proof covers pixels between baseline and image only.
    """
    import torch

    rng = np.random.default_rng(seed)
    free = ~truth.masks if truth.null is None else truth.null & ~truth.masks
    patch = torch.from_numpy(_patches(free, max(1, round(side * min(free.shape[1:]))), rng)).to(truth.images.device)[:, None]
    pixels = torch.from_numpy(rng.random(truth.images.shape[1:])).to(truth.images)
    images = torch.where(patch, pixels, truth.images)
    changed = truth.on(images, torch.where(patch, pixels, truth.baselines) if truth.baseline == "background" else None)
    scores = np.where(patch.flatten(1).any(1).cpu().numpy(), _likeness(maps, attribute(changed), truth.masks), np.nan)
    if truth.null is None:
        return scores
    return np.where(change(logits_of_images(truth), truth.logit(images), truth) == 0, scores, np.nan)


def _on(truth: Truth, scenes: tmi.Scenes) -> Truth:
    """Return the truth about other scenes; baselines that show the backgrounds change with them."""
    return truth.on(scenes.images, scenes.without_tiles().images if truth.baseline == "background" else None)


def _inside(values: Array, masks: Mask) -> Array:
    """Return |values| inside the mask and 0 elsewhere, a row for each image; the mask holds for all channels."""
    return flat(np.abs(values) * masks[:, None])


def _likeness(maps: Array, others: Array, masks: Mask) -> Array:
    """Return 1 − Σ_G |a − a′|/(Σ_G |a| + Σ_G |a′|), in [0, 1]; NaN where both are 0 on G."""
    total = (_inside(maps, masks) + _inside(others, masks)).sum(1)
    difference = _inside(maps - others, masks).sum(1)
    return (1 - ratio(difference, total)).clip(0, 1)


def _patches(free: Mask, side: int, rng: np.random.Generator) -> Mask:
    """Return a square of free pixels in each image, bool (N, m, n): at the first place, in a random order, that has room."""
    from numpy.lib.stride_tricks import sliding_window_view

    room = sliding_window_view(free, (side, side), axis=(1, 2)).all((3, 4))  # type: ignore[call-overload]
    high, wide = room.shape[1:]
    order = rng.permutation(high * wide)
    fits: Mask = room.reshape(len(free), -1)[:, order]
    place = order[fits.argmax(1)]
    row, col = place // wide, place % wide
    rows, cols = np.arange(free.shape[1]), np.arange(free.shape[2])
    in_rows = (rows >= row[:, None]) & (rows < row[:, None] + side)
    in_cols = (cols >= col[:, None]) & (cols < col[:, None] + side)
    squares: Mask = in_rows[:, :, None] & in_cols[:, None, :]
    squares[~fits.any(axis=1)] = False
    return squares
