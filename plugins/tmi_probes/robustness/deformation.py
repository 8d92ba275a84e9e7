"""Deformation curves: accuracy against rotation, scale, blur, occlusion, noise and texture, where templates fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.params import Count
from tmi_datasets.tile_paths import moved, rotated

from ..pipeline.logits import commonest_share, predictions
from ..pipeline.result import ONE_CLASS, ResultBuilder, each_once
from ..pipeline.scenes import labelled
from ..pipeline.units import in_parts
from .background_kinds import smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Kind = Literal["rotation", "scale", "blur", "occlusion", "noise", "texture"]

# The docstring of `deformation` says what each strength means; 0, or 1 for scale, leaves the tile unchanged.
STRENGTHS: dict[Kind, tuple[float, ...]] = {
    "rotation": (0, 2, 5, 10, 20, 45, 90),
    "scale": (1, 1.05, 1.1, 1.25, 1.5, 2),
    "blur": (0, 0.25, 0.5, 1, 2, 4),
    "occlusion": (0, 0.05, 0.1, 0.25, 0.5, 0.75),
    "noise": (0, 0.005, 0.01, 0.05, 0.1, 0.3),
    "texture": (0, 0.01, 0.05, 0.1, 0.25, 0.5),
}
UNITS: dict[Kind, str] = {
    "rotation": "degrees",
    "scale": "factor",
    "blur": "σ in pixels",
    "occlusion": "share of the tile",
    "noise": "standard deviation",
    "texture": "share of the texture",
}
_ALL: list[Kind] = list(STRENGTHS)

INFO = {
    "accuracy_under": tmi.MetricInfo(
        "Accuracy, mean over the strengths of a deformation, without the unchanged tile", "higher", 0, 1
    ),
    "tolerated": tmi.MetricInfo(
        "Largest strength of a deformation up to which at least 9 of 10 images that were right stay right", "higher", 0
    ),
    "oracle_under": tmi.MetricInfo("accuracy_under of φ, which knows the templates and their ε and nothing else", None, 0, 1),
    "chance": tmi.MetricInfo("Share of the commonest class: what always naming it would score", None, 0, 1),
}


def deformation(
    network: tmi.Network, data: tmi.Dataset, *, seed: int, kinds: list[Kind] = _ALL, images: Count = 100
) -> tmi.ProbeResult:
    """Accuracy on scenes whose tile is rotated, enlarged, blurred, covered, or overlaid with noise or another texture.

    A template tolerates a distance below ε and no other deformation, the limitation that the paper names. The oracle is φ itself,
    so a trained network above it has learnt more than templates.

    Parameters
    ----------
    kinds : list of str
        "rotation" by degrees about the centre and "scale" by a factor (enlarged; the border is lost), both bilinear, with black
        where nothing is left; "blur" by a Gaussian of σ pixels; "occlusion" of a square of that share of the tile's area, at a
        random place, through which the background shows; "noise", independent Gaussian of that standard deviation, cut off at 0
        and 1; "texture": the support becomes that share of smooth noise. By default all.
    images : int
        How many test images: the first ones.

    Returns
    -------
    ProbeResult
        For each kind the metrics ``accuracy_under``, ``tolerated`` and ``oracle_under``; ``chance``. Arrays by kind:
        ``strength.<kind>``, ``accuracy.<kind>``, ``oracle.<kind>`` (strength), and the first image under each,
        ``shown.<kind>`` (strength, channel, row, col).

    Raises
    ------
    InputError
        If no test scene shows a tile, or a kind is named twice.
    """
    each_once("kinds", kinds)
    if len(data.task.classes) == 1:
        return tmi.ProbeResult.not_applicable(ONE_CLASS)
    scenes = labelled(data.test, images)
    label = scenes.labels.numpy()
    result = ResultBuilder(INFO)
    for kind in kinds:
        strengths = STRENGTHS[kind]
        right, oracle, shown, changed = [], [], [], False
        for strength in strengths:
            # The same draw for every strength of a kind, so that curves are smooth.
            rng = np.random.default_rng([seed, _ALL.index(kind)])
            seen, known, first, differs = _predicted(network, scenes, kind, strength, rng)
            changed |= differs
            right.append(seen == label)
            oracle.append(known == label)
            shown.append(first)
        if not changed:
            result.cannot_fail(kind, f"{kind} changes no image")
            continue
        still_right = np.array([at_strength[right[0]].mean() if right[0].any() else 0 for at_strength in right])
        lost = np.flatnonzero(still_right < 0.9)
        result.add(f"accuracy_under.{kind}", np.mean(right[1:]))
        result.add(f"tolerated.{kind}", strengths[max(0, (lost[0] if len(lost) else len(strengths)) - 1)])
        result.add(f"oracle_under.{kind}", np.mean(oracle[1:]))
        axis = f"strength_{kind}"
        result.arrays |= {
            f"strength.{kind}": (axis, np.array(strengths, float)),
            f"accuracy.{kind}": (axis, np.mean(right, axis=1)),
            f"oracle.{kind}": (axis, np.mean(oracle, axis=1)),
            f"shown.{kind}": ((axis, "channel", "row", "col"), np.stack(shown)),
        }
    if result.metrics:
        result.add("chance", commonest_share(label))
    return result.result()


def _predicted(
    network: tmi.Network, scenes: tmi.Scenes, kind: Kind, strength: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any], bool]:
    """Return the predictions of the network and of φ on deformed scenes, the first image, and whether an image is changed."""
    seen, known, differs = [], [], False
    first: NDArray[Any] | None = None
    most = min(256, getattr(network.module, "images_at_once", 256))  # so that parts end where the network's batches do
    for _, part in in_parts(scenes, most=most):
        deformed = deform(part, kind, strength, rng)
        first = deformed[0].copy() if first is None else first
        differs = differs or not np.array_equal(deformed, part.images.numpy())
        seen.append(predictions(network.logits(deformed).double().numpy()))
        known.append(predictions(np.asarray(scenes.task.phi(deformed))))
    assert first is not None
    return np.concatenate(seen), np.concatenate(known), first, differs


def deform(scenes: tmi.Scenes, kind: Kind, strength: float, rng: np.random.Generator) -> NDArray[Any]:
    """Render scenes with their tiles deformed.

    Parameters
    ----------
    scenes : Scenes
    kind : {"rotation", "scale", "blur", "occlusion", "noise", "texture"}
    strength : float
        See `deformation`.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (N, C, m, n)
        In [0, 1]. Only noise changes the background.
    """
    images: NDArray[Any] = scenes.images.numpy().copy()
    if kind == "noise":
        noise = rng.normal(size=images.shape)
        return (images + strength * noise).clip(0, 1).astype(images.dtype)
    backgrounds = scenes.backgrounds.numpy()
    changed: dict[int, Array] = {}
    for i, tile, row, col in zip(range(len(scenes)), scenes.tile.tolist(), scenes.row.tolist(), scenes.col.tolist(), strict=True):
        template = scenes.task.tiles[tile]
        _, high, wide = template.shape
        place = np.s_[i, :, row : row + high, col : col + wide]
        if kind == "occlusion":
            side_row, side_col = (round(float(np.sqrt(strength)) * side) for side in (high, wide))
            top, left = rng.integers(0, high - side_row + 1), rng.integers(0, wide - side_col + 1)
            hole = np.s_[i, :, row + top : row + top + side_row, col + left : col + left + side_col]
            images[hole] = backgrounds[hole]
            continue
        covered = np.ones(template.shape, bool) if scenes.paste == "rectangle" else template.support
        if kind == "texture":
            pattern = smooth(rng, (1, *template.shape))[0]
            values = np.where(template.support, (1 - strength) * template.values + strength * pattern, template.values)
        else:
            if tile not in changed:
                changed[tile] = _CHANGES[kind](template.values, strength)
            values = changed[tile]
        images[place] = np.where(covered, values, images[place])
    return images


def _scaled(values: Array, factor: float) -> Array:
    return moved(values, np.full(2, 1 / factor))


def _blurred(values: Array, sigma: float) -> Array:
    from scipy.ndimage import gaussian_filter

    blurred: Array = gaussian_filter(values, (0, sigma, sigma), mode="nearest") if sigma else values
    return blurred.clip(0, 1)


_CHANGES: dict[str, Callable[[Array, float], Array]] = {"rotation": rotated, "scale": _scaled, "blur": _blurred}
