"""The answer of a constructed network on one image, explained: which neurons fired, and what each stands for."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tmi.errors import InputError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tmi.tasks.task import TemplateTask

    from .layers import LayeredModule

_SHOWN = 8  # at most so many neurons are drawn and listed; the others are counted
_BARS = 20  # classes whose logits are drawn
_DASHES = ("solid", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))


@dataclass(frozen=True, eq=False)
class Explanation:
    """The neurons that fired on an image, and what each stands for.

    Attributes
    ----------
    task : TemplateTask
    image : ndarray, shape (C, m, n)
    neurons : DataFrame
        One row for each neuron above 0, the strongest of each layer first: ``layer``, ``neuron`` (its index in the flattened
        layer), ``activation``, and its meaning: for hidden neurons ``tile`` (index), ``name`` of the tile,
        ``class``, ``row`` and ``col``.
    logits : dict of str to float
        By class.
    label : str or None
        The only class whose logit is above 0; None where no logit is, or several are.
    """

    task: TemplateTask
    image: NDArray[Any]
    neurons: pd.DataFrame
    logits: Mapping[str, float]
    label: str | None

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        shown = [name for name, value in self.logits.items() if value > 0]
        if not shown:
            return "no class: every logit is 0"
        if self.label is None:
            return f"several classes: {', '.join(f'{name} {self.logits[name]:.4g}' for name in shown)}"
        rest = "; every other logit is 0" if len(self.logits) > 1 else ""
        return f"{self.label}: logit {self.logits[self.label]:.4g}{rest}"

    def __str__(self) -> str:
        if self.neurons.empty:
            return f"{self.headline}\nno neuron fired"
        lines = self._cells(self.neurons.head(_SHOWN)).to_string(index=False).splitlines()
        return "\n".join([self.headline, *lines, *self._more()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Show the figure and the table in a notebook."""
        from tmi.views.networks import explanation

        picture = io.BytesIO()
        self.figure().savefig(picture, format="png", dpi=90)
        return explanation(self, picture.getvalue(), self._cells(self.neurons.head(_SHOWN)))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the image with the outlines of the fired tiles on ``ax``, or on the axes of a new figure; return the axes.

        `figure` draws the logits too.
        """
        from tmi.views.axes import drawn

        placed = self._placed()
        with drawn(ax, size=(4.2, 4.2 + 0.2 * max(len(placed), 1)), ink=self.task.ink) as ax:
            ax.set_title(self.headline, loc="left", wrap=True)
            self._draw_image(ax, placed)
        return ax

    def figure(self) -> Figure:
        """Draw the image, the outline of each fired tile's support at its place, and the logits.

        Returns
        -------
        matplotlib.figure.Figure
            Needs no screen; ``figure().savefig("explanation.png")``. At most 8 neurons are drawn, the strongest, in colours
            and dashes that colour-blind readers can tell apart, each with its number in the legend. An image that has neither
            one channel nor three is shown as the mean of its channels.
        """
        from matplotlib.figure import Figure

        from tmi.runtime.plotting import axes_style

        with axes_style(ink=self.task.ink):
            bars = len(self.logits) <= _BARS
            drawn = self._placed()
            figure = Figure(figsize=(7.2 if bars else 4.2, 4.2 + 0.2 * max(len(drawn), 1)), layout="constrained")
            axes = figure.subplots(1, 2 if bars else 1, squeeze=False, width_ratios=[3, 2] if bars else None)[0]
            axes[0].set_title(self.headline, loc="left", wrap=True)
            self._draw_image(axes[0], drawn)
            if bars:
                self._draw_logits(axes[1])
        return figure

    def _placed(self) -> pd.DataFrame:
        """The neurons that stand for a tile at a place, the strongest first, as many as can be drawn."""
        if "tile" not in self.neurons:
            return self.neurons.head(0)
        placed = self.neurons[self.neurons["tile"].notna()].sort_values("activation", ascending=False, kind="stable")
        # Two layers may stand for one window.
        return placed.drop_duplicates(["tile", "row", "col"]).head(_SHOWN)

    def _draw_image(self, axes: Any, drawn: pd.DataFrame) -> None:
        from matplotlib import patheffects
        from matplotlib.collections import LineCollection

        from tmi.runtime.plotting import PALETTE

        channels, m, n = self.image.shape
        if channels == 3:
            axes.imshow(np.moveaxis(self.image, 0, -1))
        else:
            axes.imshow(self.image.mean(0), vmin=0, vmax=1)
        handles = []
        corners: dict[tuple[int, int], int] = {}
        for number, neuron in enumerate(drawn.to_dict("records")):
            row, col = int(neuron["row"]), int(neuron["col"])
            support = np.asarray(self.task.tiles[int(neuron["tile"])].support.any(0))
            colour, dash = PALETTE[number % len(PALETTE)], _DASHES[number % len(_DASHES)]
            lines = LineCollection(_outline(support, row, col), colors=colour, linewidths=2.2, linestyles=[dash])
            lines.set_path_effects([patheffects.withStroke(linewidth=4.5, foreground="white")])  # seen on dark pixels and light
            axes.add_collection(lines)
            shift = corners.get((row, col), 0)  # numbers of tiles at one place stand side by side
            corners[row, col] = shift + 1
            place = (col - 0.5 + 0.06 * n * shift, row - 0.5)
            axes.annotate(
                str(number + 1),
                place,
                color="black" if colour == "#F0E442" else "white",
                fontsize=8,
                fontweight="bold",
                ha="left",
                va="top",
                bbox={"boxstyle": "round,pad=0.2", "facecolor": colour, "edgecolor": "white"},
            )
            lines.set_label(f"{number + 1}  {neuron['name']} at ({row}, {col}): {neuron['activation']:.4g}")
            handles.append(lines)
        axes.set_xlim(-0.75, n - 0.25)
        axes.set_ylim(m - 0.25, -0.75)
        axes.set_xticks([0, n - 1] if n > 1 else [0])
        axes.set_yticks([0, m - 1] if m > 1 else [0])
        axes.spines[["left", "bottom"]].set_visible(False)
        if handles:
            legend = axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, -0.06), handlelength=3, borderaxespad=0)
            more = self._more(len(drawn))
            if more:
                legend.set_title(more[0])
                legend.set_alignment("left")
        else:
            axes.set_xlabel("no neuron fired", loc="left")

    def _draw_logits(self, axes: Any) -> None:
        from tmi.runtime.plotting import CONSTRUCTED

        names, values = list(self.logits), np.array(list(self.logits.values()))
        bars = axes.barh(range(len(names)), values, height=0.7, color=CONSTRUCTED)
        axes.bar_label(bars, [f"{value:.4g}" for value in values], padding=2, fontsize=8)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(max(len(names), 5) - 0.4, -0.6)
        axes.set_xlim(0, 1.25 * values.max() if values.max() > 0 else 1)
        axes.set_title("logits", loc="left")

    def _cells(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The table as text: tiles by name, whole numbers without decimals, an empty cell where a column does not apply."""
        return rows.drop(columns=["tile"], errors="ignore").rename(columns={"name": "tile"}).astype(object).map(_cell)

    def _more(self, shown: int = _SHOWN) -> list[str]:
        left = len(self.neurons) - shown
        return [f"and {left} more neurons; all are in .neurons"] if left > 0 and shown == _SHOWN else []


def explain(network: LayeredModule, image: Any, layers: Sequence[str] | str | None = None) -> Explanation:
    """List the neurons that fired on an image and what each stands for; see `tmi.Network.explain`."""
    import pandas as pd

    from tmi.tasks.images import check_images

    if not network.meanings:
        raise InputError(f"explain: {network!r} was {network.origin}, and what its neurons stand for is not known")
    single = getattr(image, "ndim", 4) == 3
    batch = check_images(image[None] if single else image, network.task.image_shape, "image")
    if len(batch) != 1:
        raise InputError(f"image: expected one image, got {len(batch)}")
    tables = _tables(network, layers)
    activations = network.activations(batch, [*tables, network.layers[-1]])
    parts = []
    for layer, table in tables.items():
        values = activations[layer].flatten().numpy()
        fired = np.flatnonzero(values > 0)
        fired = fired[np.argsort(-values[fired], kind="stable")]
        meaning = table.iloc[fired].reset_index(drop=True)
        if "tile" in meaning:
            names = [network.task.tile_name(int(tile)) for tile in meaning["tile"]]
            meaning.insert(list(meaning).index("tile") + 1, "name", names)
        values_of = pd.DataFrame({"layer": [layer] * len(fired), "neuron": fired, "activation": values[fired]})
        parts.append(pd.concat([values_of, meaning], axis=1))
    filled = [part for part in parts if len(part)] or parts[:1]
    logits = dict(zip(network.task.class_names, activations[network.layers[-1]].flatten().tolist(), strict=True))
    above = [name for name, value in logits.items() if value > 0]
    return Explanation(
        network.task,
        batch[0].detach().cpu().numpy(),
        pd.concat(filled, ignore_index=True),
        logits,
        above[0] if len(above) == 1 else None,
    )


def _tables(network: LayeredModule, given: Sequence[str] | str | None) -> dict[str, pd.DataFrame]:
    """What the neurons mean, for the layers asked for, or those whose neurons stand for a tile at a place."""
    known = network.meanings
    if given is None:
        # Tables given as functions may hold millions of neurons: they are made only if no other table serves.
        for lazy in (False, True):
            tables = {name: network.neurons(name) for name in network.layers if name in known and callable(known[name]) == lazy}
            placed = {name: t for name, t in tables.items() if t is not None and {"tile", "row", "col"} <= set(t)}
            if placed:
                return placed
        raise InputError(f"explain: no layer of {network!r} has neurons that stand for a tile at a place; name the layers")
    names = [given] if isinstance(given, str) else list(dict.fromkeys(given))
    if not names:
        raise InputError("explain: no layer named")
    named = {}
    for name in names:
        table = network.neurons(name) if name in known else None
        if table is None:
            raise UnknownNameError(f"layer {name!r}: is none whose neurons are understood{did_you_mean(name, known)}")
        named[name] = table
    return named


def _outline(mask: NDArray[np.bool_], row: int, col: int) -> list[list[tuple[float, float]]]:
    """The edges between pixels of the mask and pixels outside it, as (x, y) pairs; a pixel's centre is at whole numbers."""
    padded = np.pad(mask, 1)
    edges = []
    for r, c in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]):  # between row r − 1 and row r
        edges.append([(col + c - 0.5, row + r - 0.5), (col + c + 0.5, row + r - 0.5)])
    for r, c in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]):
        edges.append([(col + c - 0.5, row + r - 0.5), (col + c - 0.5, row + r + 0.5)])
    return _joined(edges)


def _joined(edges: list[list[tuple[float, float]]]) -> list[list[tuple[float, float]]]:
    """Join edges of one direction that touch, so that dashes are not cut at every pixel."""
    ends: dict[tuple[tuple[float, float], bool], list[tuple[float, float]]] = {}
    lines = []
    for start, stop in sorted(edges):
        across = start[1] == stop[1]
        line = ends.pop((start, across), None)
        if line is None:
            line = [start, stop]
            lines.append(line)
        else:
            line[1] = stop
        ends[stop, across] = line
    return lines


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.4g}"
    return str(value)
