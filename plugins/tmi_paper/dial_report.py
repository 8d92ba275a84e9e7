"""The report of suite ``dial``: which measures follow the truth, which dictionaries find it, and what that says of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tmi.report import Section, figure, paragraph, table
from tmi.runtime.plotting import CONSTRUCTED, PALETTE, TRAINED, figure_style

from .claims.claim import estimated
from .comparison import spread
from .comparison_text import ARROWS
from .dial import Curve, curves, readings, sentences
from .dial_directions import directions_section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    import tmi

COLORS = {"follows": PALETTE[2], "in part": PALETTE[4], "opposite": PALETTE[1], "undecided": PALETTE[3], "constant": "0.45"}
ORDER = ("follows", "in part", "opposite", "undecided", "constant")
ABOUT = (
    "Theorem 1's network gives each tile a neuron of its own at each place. The networks beside it compute the same function "
    "with fewer neurons, each of which answers to several tiles, in a code that is known. So it is known how polysemantic each "
    "network is, and which directions its features have."
)
DATASET, TITLE = "fashion", "Thirty Fashion-MNIST tiles"


def sections(results: tmi.Results) -> list[Section]:
    """Return the sections of the report; one whose results are missing is left out.

    Parameters
    ----------
    results : Results
        Of suite ``dial``, or of a part of it.
    """
    parts: list[Section | None] = []
    with figure_style():
        found, less_chance = (curves(results, DATASET, above_chance=above) for above in (False, True))
        if found:
            parts = [_measures(found, less_chance), _trained(less_chance), directions_section(results, DATASET, TITLE)]
    shown = [part for part in parts if part is not None]
    return [Section("", paragraph(ABOUT)), *shown] if shown else []


def along_the_dial(found: list[Curve]) -> Figure:
    """Draw every measure against tiles a neuron: mean and 95 % interval over the seeds, and the trained network as a band."""
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    shown = sorted(found, key=lambda curve: ORDER.index(curve.verdict))
    columns = 6
    rows = -(-len(shown) // columns)
    drawn, axes = plt.subplots(rows, columns, figsize=(11.4, 1.55 * rows + 0.5), squeeze=False, sharex=True)
    for axis in axes.flat[len(shown) :]:
        axis.axis("off")
    for axis, curve in zip(axes.flat, shown, strict=False):
        color = COLORS[curve.verdict]
        low, high = np.array([_band(list(values.values())) for values in curve.values.values()]).T
        axis.fill_between(curve.truth, low, high, color=color, alpha=0.25, linewidth=0)
        axis.plot(curve.truth, curve.means, color=color, marker="o", markersize=3)
        _limits(axis, min(low), max(high))
        if curve.trained:
            _draw_trained(axis, list(curve.trained.values()))
        axis.set_title(
            _wrapped(f"{curve.measure.text} {ARROWS[curve.better]}"),
            fontsize=7,
            color=color if curve.verdict != "in part" else "#9A6700",
        )
        axis.tick_params(labelsize=6)
        axis.locator_params(axis="y", nbins=4)
        axis.ticklabel_format(axis="y", useOffset=False)
    for axis in axes[-1]:
        axis.set_xlabel("tiles a neuron", fontsize=7)
    marks = [
        Line2D([], [], color=COLORS[v], marker="o", markersize=3, label=v) for v in ORDER if any(c.verdict == v for c in shown)
    ]
    if any(curve.trained for curve in shown):
        marks.append(Line2D([], [], color="black", linewidth=0.8, linestyle=(0, (4, 2)), label="trained network"))
    drawn.legend(handles=marks, loc="outside upper center", ncols=len(marks), fontsize=8)
    return drawn


def _limits(axis: Axes, low: float, high: float) -> None:
    """Fit the axis to the dial's values, so that they can be read where the trained network's is far away."""
    varies = high - low > 1e-9 * max(abs(high), 1.0)
    room = 0.12 * (high - low) if varies else 0.05 * max(abs(high), 1.0)
    axis.set_ylim(low - room, high + room)
    axis.margins(x=0.08)


def _draw_trained(axis: Axes, values: list[float]) -> None:
    """Draw the trained network's mean and interval, or write its mean at the edge where it is beyond the axis."""
    mean, (bottom, top) = float(np.mean(values)), axis.get_ylim()
    if bottom <= mean <= top:
        axis.axhspan(*_band(values), color="black", alpha=0.12, linewidth=0)
        axis.axhline(mean, color="black", linewidth=0.8, linestyle=(0, (4, 2)))
        axis.set_ylim(bottom, top)
    else:
        above = mean > top
        room = 0.2 * (top - bottom)  # for the text
        axis.set_ylim(bottom if above else bottom - room, top + room if above else top)
        text = f"{'↑' if above else '↓'} trained {mean:.3g}"
        axis.text(
            0.97, 0.97 if above else 0.03, text, transform=axis.transAxes, fontsize=6, ha="right", va="top" if above else "bottom"
        )


def _band(values: list[float]) -> tuple[float, float]:
    """Return the interval to draw; of a single value that value."""
    found = estimated(values)
    return (found.low, found.high) if found else (values[0], values[0])


def readings_figure(found: list[Curve]) -> Figure:
    """Draw where each measure that follows the truth puts the trained network on the dial, a dot a seed."""
    import matplotlib.pyplot as plt

    read = readings(found)
    first, last = found[0].truth[0], found[0].truth[-1]
    drawn, axis = plt.subplots(figsize=(7.4, 0.3 * len(read) + 1.0))
    for place, values in enumerate(read.values()):
        inside = [value for value in values if np.isfinite(value)]
        axis.plot(inside, [place] * len(inside), "o", color=TRAINED, markersize=4, alpha=0.7)
        if not inside:
            about = "no network of the dial has the value, in any seed"
            axis.text((first + last) / 2, place, about, fontsize=7, color="0.35", ha="center", va="center")
    axis.axvspan(first, last, color=CONSTRUCTED, alpha=0.08, linewidth=0)
    axis.set_yticks(range(len(read)), list(read))
    axis.set_xlabel("tiles a neuron at which the dial has the same value")
    axis.set_ylim(len(read) - 0.5, -0.5)
    return drawn


def _measures(found: list[Curve], less_chance: list[Curve]) -> Section:
    seeds = max(len(values) for curve in found for values in curve.values.values())
    caption = (
        f"{TITLE}, {seeds} seeds. Along the dial the networks compute one function, in fewer and fewer shared neurons. "
        "Bands are 95 % intervals of the mean over the seeds. The arrow shows which direction the probe calls better; the colour "
        "whether the measure follows the truth."
    )
    rows = []
    for curve in sorted(found, key=lambda one: ORDER.index(one.verdict)):
        ends = [spread(list(values.values())) for values in (curve.values[curve.truth[0]], curve.values[curve.truth[-1]])]
        corrected = next(one for one in less_chance if one.measure == curve.measure)
        rows.append(
            (
                curve.measure.text,
                ARROWS[curve.better],
                curve.verdict,
                corrected.verdict,
                *ends,
                " ".join(sentences(curve, corrected)),
            )
        )
    first, last = found[0].truth[0], found[0].truth[-1]
    counts = ", ".join(f"{n} {v}" for v in ORDER if (n := sum(curve.verdict == v for curve in found)))
    return Section(
        f"{TITLE}: which measures follow the truth",
        paragraph(f"{len(found)} measures: {counts}.")
        + figure(along_the_dial(found), f"Every measure against tiles a neuron, {TITLE}", caption)
        + table(
            (
                "measure",
                "better",
                "verdict",
                "less chance",
                f"at {first:.3g} tiles a neuron",
                f"at {last:.3g}",
                "what that means",
            ),
            rows,
        ),
    )


def _trained(found: list[Curve]) -> Section | None:
    read = readings(found)
    if not read:
        return None
    rows = []
    for text, values in read.items():
        inside = [value for value in values if np.isfinite(value)]
        rows.append((text, spread(inside) if inside else None, len(values) - len(inside)))
    agreed = agreement(found)
    return Section(
        f"{TITLE}: the trained network on the dial",
        paragraph(agreed)
        + figure(
            readings_figure(found),
            "Where each measure puts the trained network on the dial",
            "By each measure that follows the truth, less its value by chance where it has one. A dot a training seed; seeds "
            "whose value is beyond the ends of the dial have none. The shaded range is the dial.",
        )
        + table(("measure", "tiles a neuron with the same value", "seeds beyond the dial"), rows),
    )


def agreement(found: list[Curve]) -> str:
    """Say what the dial lets one conclude about the trained network: whether the measures that follow the truth agree on it."""
    read = readings(found)
    whole = {text: list(values) for text, values in read.items() if np.isfinite(values).all()}
    beyond = len(read) - len(whole)
    said = (
        f"{len(read)} measures follow the truth. {beyond} give the trained network, in some seed, a value that no network "
        "of the dial has"
    )
    if not whole:
        return f"{said}: no number of tiles a neuron can be concluded."
    intervals = [(one.low, one.high) if (one := estimated(values)) else (-np.inf, np.inf) for values in whole.values()]
    means = [float(np.mean(values)) for values in whole.values()]
    overlap = max(low for low, _ in intervals) <= min(high for _, high in intervals)
    agree = "their intervals over the seeds overlap" if overlap else "their intervals over the seeds do not all overlap"
    rule = "they are not shown to disagree" if overlap and not beyond else "no single number of tiles a neuron can be concluded"
    return f"{said}; the other {len(whole)} put it at {min(means):.2g} to {max(means):.2g} tiles a neuron, and {agree}: {rule}."


def _wrapped(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, 25))
