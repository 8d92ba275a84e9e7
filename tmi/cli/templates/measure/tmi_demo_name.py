"""The measure of attributions demo-name for tmi."""

from __future__ import annotations

from typing import Any

import tmi


@tmi.hookimpl
def tmi_attribution_measures() -> dict[str, str]:
    """Name the measures of this package, and where their functions are."""
    return {"demo-name": "tmi_demo_name:demo_name"}


@tmi.attribution_measure(better="lower", low=0, unit="pixel", topic="localisation", spatial=True)
def demo_name(maps: Any, truth: Any) -> Any:
    """Distance between the centre of mass of the map and that of the pixels that decide."""
    import numpy as np

    centres = []
    for values in (np.asarray(maps, np.float64), np.asarray(truth.masks, np.float64)):  # each (N, rows, cols)
        rows, cols = np.indices(values.shape[1:])
        mass = values.sum((1, 2))
        with np.errstate(invalid="ignore", divide="ignore"):  # a map of zeros has no centre, and its score is NaN
            centres.append(np.stack([(values * rows).sum((1, 2)) / mass, (values * cols).sum((1, 2)) / mass], 1))
    return np.linalg.norm(centres[0] - centres[1], axis=1)
