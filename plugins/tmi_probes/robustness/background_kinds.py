"""Backgrounds of other kinds than those that a network was trained on: constant, natural, and noise of other distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.params import Count
from tmi_datasets.photographs import crops, photographs

from ..pipeline.logits import predictions
from ..pipeline.result import ResultBuilder, each_once
from ..pipeline.scenes import originals
from ..pipeline.units import parts_of
from .variants import INFO as SPREADS
from .variants import compare, on_backgrounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.float32]

Kind = Literal["data", "constant", "natural", "gaussian", "binary", "low-frequency"]

_ALL: list[Kind] = ["data", "constant", "natural", "gaussian", "binary", "low-frequency"]
_METRICS = ("logit_std", "label_logit_std", "margin_min", "unchanged", "correct", "kept")
INFO = {name: SPREADS[name] for name in _METRICS}


def background_kinds(
    network: tmi.Network, data: tmi.Dataset, *, seed: int, kinds: list[Kind] = _ALL, tiles: Count = 10, backgrounds: Count = 30
) -> tmi.ProbeResult:
    """How far logits vary on backgrounds that are not the data's: constant, natural, and noise of other distributions.

    Parameters
    ----------
    kinds : list of str
        "data": those of other test scenes; "constant": even greys from black to white; "natural": crops of scikit-learn's two
        photographs, in grey unless images have three channels; "gaussian": independent pixels of mean 1/2 and standard deviation
        1/4, cut off at 0 and 1; "binary": black and white pixels; "low-frequency": smooth noise. By default all.
    tiles : int
        How many test scenes to vary; of distinct classes and tiles as far as there are any.
    backgrounds : int
        How many backgrounds of each kind, the same for every scene.

    Returns
    -------
    ProbeResult
        For each kind the metrics ``logit_std``, ``label_logit_std``, ``margin_min``, ``unchanged``, ``correct`` and ``kept`` of
        ``background-robustness``. Arrays ``correct_by_tile`` (kind, tile), NaN where no variant is kept, and of each kind's worst
        variant the ``worst_image`` (kind, channel, row, col), its ``worst_margin`` and its tile's index ``worst_tile``. A kind
        that changes no image is left out; not applicable where none does.

    Raises
    ------
    InputError
        If no test scene shows a tile, or a kind is named twice.
    """
    each_once("kinds", kinds)
    result = ResultBuilder(INFO)
    chosen, result.notes = originals(data.test, tiles, np.random.default_rng(seed))
    scenes = data.test[chosen]
    correct, worst, measured = [], [], []
    for kind in kinds:
        rng = np.random.default_rng([seed, _ALL.index(kind)])
        drawn = _draw(kind, rng, data, backgrounds)
        variants = [on_backgrounds(scenes[[k]], drawn, np.arange(len(drawn))) for k in range(len(scenes))]
        compared = compare(network, scenes, variants, [], "background")
        if not compared.applicable:
            result.cannot_fail(kind, compared.notes[0])
            continue
        measured.append(kind)
        result.notes += [f"{kind}: {note}" for note in compared.notes]
        result.metrics |= {f"{name}.{kind}": compared.metrics[name] for name in _METRICS if name in compared.metrics}
        arrays = {name: array.values for name, array in compared.arrays.items()}
        correct.append(_correct(arrays))
        # Where no variant is kept, the first scene is shown, and its margin is NaN.
        k = int(np.where(np.isnan(arrays["worst_margin"]), np.inf, arrays["worst_margin"]).argmin())
        worst.append((arrays["worst_images"][k], arrays["worst_margin"][k], int(scenes.tile[k])))
    if not measured:
        return result.result()
    images, margins, tile = zip(*worst, strict=True)
    result.arrays |= {
        "correct_by_tile": (("kind", "tile"), np.array(correct)),
        "worst_image": (("kind", "channel", "row", "col"), np.stack(images)),
        "worst_margin": ("kind", np.array(margins)),
        "worst_tile": ("kind", np.array(tile)),
    }
    result.coords |= {"kind": measured, "tile": [data.task.tile_name(int(index)) for index in scenes.tile]}
    return result.result()


def _draw(kind: Kind, rng: np.random.Generator, data: tmi.Dataset, count: int) -> Any:
    if kind == "data":
        return data.test.backgrounds[rng.permutation(len(data.test))[:count]]
    if kind == "constant":
        return draw(kind, rng, (count, *data.task.image_shape))
    # Drawn one after another, so that the random numbers, in float64, are held for a few at a time.
    drawn = np.empty((count, *data.task.image_shape), np.float32)
    for rows in parts_of(count, data.task):
        drawn[rows] = draw(kind, rng, drawn[rows].shape)
    return drawn


def draw(kind: str, rng: np.random.Generator, shape: tuple[int, ...]) -> Images:
    """Draw backgrounds of a kind.

    Parameters
    ----------
    kind : {"constant", "natural", "gaussian", "binary", "low-frequency"}
    rng : numpy.random.Generator
    shape : (int, int, int, int)
        (N, C, m, n).

    Returns
    -------
    ndarray of float32
        In [0, 1].
    """
    if kind == "constant":
        return np.broadcast_to(np.linspace(0, 1, shape[0], dtype=np.float32)[:, None, None, None], shape).copy()
    if kind == "natural":
        return crops(rng, shape, photographs())
    if kind == "gaussian":
        return rng.normal(0.5, 0.25, shape).clip(0, 1).astype(np.float32)
    if kind == "binary":
        return rng.integers(0, 2, shape).astype(np.float32)
    return smooth(rng, shape)


def smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> Images:
    """Draw smooth noise: independent pixels blurred by an eighth of the smaller side, each image stretched to [0, 1]."""
    from scipy.ndimage import gaussian_filter

    width = min(shape[-2:]) / 8
    noise = gaussian_filter(rng.normal(size=shape), (0, 0, width, width), mode="wrap")
    low, high = noise.min((1, 2, 3), keepdims=True), noise.max((1, 2, 3), keepdims=True)
    stretched: Images = ((noise - low) / np.where(high > low, high - low, 1)).astype(np.float32)
    return stretched


def _correct(arrays: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Return the share of each tile's kept variants that are predicted right; NaN where none is kept."""
    right = predictions(arrays["logits"]) == arrays["label"][:, None]
    kept = arrays["kept_variant"]
    count = kept.sum(1)
    share: NDArray[np.float64] = np.full(len(count), np.nan)
    np.divide((right & kept).sum(1), count, out=share, where=count > 0)
    return share
