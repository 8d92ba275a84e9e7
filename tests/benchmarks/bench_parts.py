"""The time of the whole attribution bench, every method by every measure: those of the first version, and later ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import tmi
from tmi_attribution import _METHODS
from tmi_attribution.bench import MEASURES

METHODS = [name for file, names in _METHODS.items() if file not in ("constructed", "layers", "neurons") for name in names.split()]

ROAD = ["road-morf", "road-lerf"]
FIRST = [name for name in MEASURES if name not in ROAD]
"""The 19 measures of the first version, which took 296 s for 200 images."""

WITHOUT = {"before_training": False, "positive": False}
PARTS: dict[str, dict[str, Any]] = {
    "the 19 measures of the first version": {"measures": FIRST, **WITHOUT},
    "ROAD, both orders": {"measures": ROAD, **WITHOUT},
    "the background as baseline": {
        "measures": [f'{name}(baseline="background")' for name in ("deletion", "insertion", "infidelity", "sensitivity-n")],
        **WITHOUT,
    },
    "a second radius": {"measures": ["sensitivity-max(radius=0.02)"], **WITHOUT},
    "the network before training, and max(a, 0)": {"measures": FIRST[:7]},
}


def seconds(network: tmi.Network, data: tmi.Dataset, images: int) -> Iterator[tuple[str, float]]:
    """Yield each part with the processor's seconds that it took, over all methods; the map is computed again in each part."""
    for name, settings in PARTS.items():
        start = time.process_time()
        for method in METHODS:
            tmi.probe("attribution-bench", network, data, method=method, images=images, again=images, **settings)
        yield name, time.process_time() - start
