"""What several files of this package need: scenes with a label, checks of settings, metrics without NaN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from tmi.errors import InputError

if TYPE_CHECKING:
    import tmi


@contextmanager
def recording() -> Iterator[None]:
    """Record gradients inside the block, even where the caller has switched that off."""
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        yield


def labelled(scenes: tmi.Scenes, images: int) -> tmi.Scenes:
    """Return the first ``images`` scenes that show a tile, or all of them where there are fewer.

    Raises
    ------
    InputError
        If no scene shows a tile: without a tile an image has no label.
    """
    chosen = (scenes.labels >= 0).nonzero().flatten()[:images]
    if not len(chosen):
        raise InputError("data: none of the scenes shows a tile, so that no image has a label")
    return scenes[chosen]


def each_once(setting: str, values: Sequence[str]) -> None:
    """Check a setting that lists several things.

    Raises
    ------
    InputError
        If the list is empty, or holds a value twice.
    """
    if not values or len(set(values)) < len(values):
        raise InputError(f"{setting}: expected at least one, each once; got {list(values)}")


def finite(metrics: Mapping[str, float], notes: list[str]) -> dict[str, float]:
    """Return the metrics that are finite numbers, and append a note that names the others."""
    kept = {name: float(value) for name, value in metrics.items() if np.isfinite(value)}
    left_out = [name for name in metrics if name not in kept]
    if left_out:
        notes.append(f"left out, for they are not finite numbers: {', '.join(left_out)}")
    return kept


def described(info: Mapping[str, tmi.MetricInfo], metrics: Iterable[str]) -> dict[str, tmi.MetricInfo]:
    """Return the descriptions of the metrics that exist; that of ``skill`` covers ``skill.mean`` too."""
    bases = {name.partition(".")[0] for name in metrics}
    return {name: description for name, description in info.items() if name in bases}


def spread_over(groups: Sequence[int], count: int) -> list[int]:
    """Choose ``count`` positions that cover as many groups as possible: the first of each group, then the others in order."""
    first = [i for i, group in enumerate(groups) if group not in groups[:i]]
    return sorted((first + [i for i in range(len(groups)) if i not in set(first)])[:count])
