"""Draw the figure of docs/datasets.md: each law of backgrounds, bare and with a tile: ``python docs/make_backgrounds.py``."""

from __future__ import annotations

from typing import Any

from blocks import save

import tmi
from tmi.runtime.plotting import figure_style

LAWS = ("uniform", "gaussian", "constant", "binary", "correlated", "pink", "natural", "distractors")


def draw() -> Any:
    """Return a figure with a column a law, in the upper row backgrounds and in the lower row images."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(LAWS), figsize=(9.6, 2.9), layout="constrained")
    for law, column in zip(LAWS, axes.T, strict=True):
        data = tmi.generate("fashion", seed=1, background=law, samples=1, test_samples=1, source="sample")
        for axis, scenes in zip(column, (data.test.without_tiles(), data.test), strict=True):
            axis.imshow(scenes.images[0, 0], vmin=0, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
        column[0].set_title(law)
    for axis, name in zip(axes[:, 0], ("background", "image"), strict=True):
        axis.set_ylabel(name)
    return figure


if __name__ == "__main__":
    with figure_style():
        save("backgrounds", draw(), 130)
