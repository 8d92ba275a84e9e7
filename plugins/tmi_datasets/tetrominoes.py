"""Tetrominoes in noise: the images of XAI-TRIS, a benchmark of attribution methods, as template-matching tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Background, Count

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scenario = Literal["linear", "multiplicative", "rotated", "xor"]
Strength = Annotated[float, msgspec.Meta(gt=0, lt=1)]

STRENGTHS: dict[Scenario, float] = {"linear": 0.5, "multiplicative": 0.7, "rotated": 0.9, "xor": 0.6}
"""The strengths where none is given."""

_SIDE = 8
_T = np.array([[1, 0], [1, 1], [1, 0]], bool)
_L = np.array([[1, 0], [1, 0], [1, 1]], bool)
_PLACES = {"T": (1, 1), "L": (4, 5)}
_ZERO = 0.5
"""The grey that stands for the 0 of XAI-TRIS, whose pixels have both signs."""


def tetrominoes(
    *,
    seed: int,
    scenario: Scenario = "linear",
    strength: Strength | None = None,
    background: Background = "gaussian",
    samples: Count = 4000,
    test_samples: Count = 1000,
) -> tmi.Dataset:
    """Images of 8×8 with a T- or an L-shaped tetromino in noise: XAI-TRIS (Clark et al. 2024) with exact labels.

    In XAI-TRIS the images of class T and class L show a pattern of four pixels in noise η. Here grey 0.5 stands for its 0. A tile
    is such a pattern with its four pixels as support, blended with the background (`Scenes` with ``paste="blend"``), so that its
    pixels are those of XAI-TRIS:

    - "linear": α + (1 − α) η, with the T and the L each at one place of its own.
    - "multiplicative": (1 − α) η, at the same places. The mean of a pixel is the same in both classes.
    - "rotated": as "linear", at a random place, turned by 0, 90, 180 or 270 degrees: four tiles a class.
    - "xor": T and L in each image, at their places, each brighter or darker than the noise: ±α + (1 − α) η. The classes are
      "same", equal signs, and "opposite": two tiles of eight pixels a class.

    What differs: (1) Noise is cut off, so that each pixel of a pattern lies in an interval of width 1 − α. The tile's value is
    the middle of it, and ε the sum of half its widths: an image shows a class where the pixels of a pattern are that near to its
    values. Images that show both classes, or another one by chance, are drawn again; so the label is a function of the image,
    which in XAI-TRIS it is not. (2) The noise keeps its full contrast outside of the pattern, where XAI-TRIS scales all of it by
    1 − α except in "multiplicative". (3) Strengths are not comparable: XAI-TRIS first scales patterns and noise of all images to
    one norm. (4) Natural backgrounds are crops of two photographs, not of ImageNet. (5) The smoothed patterns in 64×64 are not
    here.

    Parameters
    ----------
    seed : int
        Chooses places and backgrounds. The tiles do not depend on it.
    scenario : {"linear", "multiplicative", "rotated", "xor"}
    strength : float or None
        α, above 0 and below 1. None is 0.5 for "linear", 0.7 for "multiplicative", 0.9 for "rotated" and 0.6 for "xor". The
        weaker a pattern, the more backgrounds show one by chance. Below 0.5 the classes of "xor" cannot be told apart.
    background : str
        The law of the backgrounds, with its settings in brackets: "gaussian" is the white noise of XAI-TRIS, "correlated" its
        smoothed noise, "natural" photographs (``tmi list background``).
    samples : int
        How many training images.
    test_samples : int
        How many test images, drawn independently: they do not depend on ``samples``.

    Returns
    -------
    Dataset
        Images of shape (1, 8, 8), float32; classes "T" and "L", or "same" and "opposite".

    Raises
    ------
    InputError
        If the strength is too small to tell the classes apart, or for this background.
    """
    strength = STRENGTHS[scenario] if strength is None else strength
    for_train, for_test = (np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(2))
    try:
        task = tmi.TemplateTask(_classes(scenario, strength), image_shape=(1, _SIDE, _SIDE))
        train, test = (
            tmi.Scenes.draw(task, count, rng=rng, background=background, paste="blend")
            for count, rng in ((samples, for_train), (test_samples, for_test))
        )
    except InputError as error:
        reason, *advice = str(error).split("; use ")
        raise InputError(f"{reason}; use a strength above {strength:g}, or less noise" if advice else str(error)) from None
    return tmi.Dataset(task, train, test, notes={"strength": strength})


def _classes(scenario: Scenario, strength: float) -> list[tmi.TileClass]:
    if scenario == "rotated":
        turned = {name: [np.rot90(shape, turns) for turns in range(4)] for name, shape in (("T", _T), ("L", _L))}
        return [tmi.TileClass(name, [_tile(shape * 1, strength) for shape in shapes]) for name, shapes in turned.items()]
    placed = {name: _placed(shape, *_PLACES[name]) for name, shape in (("T", _T), ("L", _L))}
    if scenario == "xor":
        signs = {"same": ((1, 1), (-1, -1)), "opposite": ((1, -1), (-1, 1))}
        return [
            tmi.TileClass(name, [_tile(placed["T"] * of_t + placed["L"] * of_l, strength) for of_t, of_l in pairs])
            for name, pairs in signs.items()
        ]
    shift = 0.0 if scenario == "multiplicative" else strength
    return [tmi.TileClass(name, [_tile(signs, strength, shift)]) for name, signs in placed.items()]


def _placed(shape: NDArray[np.bool_], row: int, col: int) -> NDArray[np.int64]:
    image = np.zeros((_SIDE, _SIDE), np.int64)
    image[row : row + shape.shape[0], col : col + shape.shape[1]] = shape
    return image


def _tile(signs: NDArray[Any], strength: float, shift: float | None = None) -> tmi.FeatureTile:
    """Return the tile whose pixels are signs · α + (1 − α) η with η in [−0.5, 0.5], where the sign is not 0."""
    shift = strength if shift is None else shift
    support = signs != 0
    # Outside of the support, where nothing is pasted and nothing counts, 0 is far from every value.
    return tmi.FeatureTile(np.where(support, _ZERO + signs * shift / 2, 0), float(support.sum()) * (1 - strength) / 2, support)
