"""The gallery's order and style, which docs/conf.py names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from tmi.runtime.plotting import STYLE

ORDER = (
    "matches",
    "neurons",
    "pictures",
    "backgrounds",
    "robustness",
    "selectivity",
    "superposed",
    "attribution",
    "own_method",
    "own_network",
    "patching",
    "attack",
    "sweep",
)
"""The examples from the simplest on, without "plot_"; a file that is not named here fails the build."""


class Order:
    """Sorts the files of the examples."""

    def __init__(self, folder: str) -> None:
        pass

    def __call__(self, file: str) -> int:
        """Return the position of a file."""
        return ORDER.index(Path(file).stem.removeprefix("plot_"))


def use_style(_settings: Any, _file: str) -> None:
    """Draw each example in the style of tmi's other figures."""
    plt.rcParams.update(STYLE)
