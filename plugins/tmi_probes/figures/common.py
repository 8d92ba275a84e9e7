"""What the figures share: colours and line styles of networks, images, names on two lines, a legend of controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tmi.runtime.plotting import CONSTRUCTED, TRAINED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

KINDS = {"tile": "tile", "tile-place": "tile at a place", "class": "class"}
"""The kinds of feature and their headings."""

_LINES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))


def color_of(origin: str) -> str:
    """Return the colour of networks of an origin: one for constructed networks, one for all others."""
    return CONSTRUCTED if origin == "constructed" else TRAINED


def line_styles(origins: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return colour and line style by network; networks of the same colour differ by their line style."""
    styles: dict[str, dict[str, Any]] = {}
    for name, origin in origins.items():
        color = color_of(origin)
        earlier = sum(style["color"] == color for style in styles.values())
        styles[name] = {"color": color, "linestyle": _LINES[earlier % len(_LINES)]}
    return styles


def show_image(axis: Axes, image: NDArray[Any]) -> None:
    """Draw an image (C, m, n) with values in [0, 1]: three channels in colour, else the first in grey."""
    axis.imshow(image.transpose(1, 2, 0) if len(image) == 3 else image[0], vmin=0, vmax=1)
    without_ticks(axis)


def without_ticks(axis: Axes) -> None:
    """Remove the ticks of both axes."""
    axis.set_xticks([])
    axis.set_yticks([])


def two_lines(name: str) -> str:
    """Break a long name after its first comma or colon."""
    return name.replace(", ", ",\n", 1).replace(": ", ":\n", 1)


def control_marks() -> list[Line2D]:
    """Return the legend's entries for the marks of chance, untrained network and oracle."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], marker="|", color="black", linestyle="-", linewidth=3, markersize=8, label="chance, 95 %"),
        Line2D([], [], marker="s", color="0.45", markerfacecolor="white", linestyle="", markersize=5, label="before training"),
        Line2D([], [], marker="o", color="0.45", markerfacecolor="none", linestyle="", markersize=8, label="oracle"),
    ]


def origin_marks(origins: Mapping[str, str]) -> list[Line2D]:
    """Return the legend's entries for the two colours, as far as there are networks of that colour."""
    from matplotlib.lines import Line2D

    colors = {color_of(origin) for origin in origins.values()}
    names = {CONSTRUCTED: "constructed", TRAINED: "trained"}
    return [Line2D([], [], marker="o", color=color, label=name) for color, name in names.items() if color in colors]
