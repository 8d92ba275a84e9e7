"""The report of suite ``warm-start``: whether networks that begin as constructions stay monosemantic when they are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tmi.report import Section, bullets, figure, paragraph, table
from tmi.runtime.plotting import PALETTE, figure_style

from .along_training import Curve, curve_of, draw_curve, first_to_last, mean, scale_epochs
from .claims.claim import estimated
from .unit_measures import ACCURACY, Measure, change, sign, written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi
    from tmi.statistics import Estimate

KEEPS, LOSES = 0.9, 0.5
"""Units keep their meaning where the interval of the share of separable ones is above the first, and lose it below the second."""


@dataclass(frozen=True)
class Start:
    """Networks of the suite with one start.

    Attributes
    ----------
    network : str
        Label of the suite.
    text : str
    noise : float or None
        Which of the swept ones.
    layers : tuple of str
        Those whose units are looked at: first the one that has Theorem 1's hidden neurons.
    style : (str, str, str)
        Colour, line and mark.
    """

    network: str
    text: str
    noise: float | None = None
    layers: tuple[str, ...] = ("hidden",)
    style: tuple[str, str, str] = (PALETTE[0], "solid", "o")


STARTS = (
    Start("construction", "construction"),
    Start("masked", "construction, zeros kept", style=(PALETTE[0], "dashed", "s")),
    Start("large-steps", "construction, lr 0.03", style=(PALETTE[0], "dotted", "D")),
    Start("noise", "construction, noise 0.1", 0.1, style=(PALETTE[2], "solid", "^")),
    Start("noise", "construction, noise 0.3", 0.3, style=(PALETTE[2], "dashed", "v")),
    Start("noise", "construction, noise 1", 1.0, style=(PALETTE[2], "dotted", "<")),
    Start("superposed", "superposed", layers=("hidden", "mixed", "decoded"), style=(PALETTE[3], "solid", "P")),
    Start("random", "random, lr 0.03", style=(PALETTE[1], "solid", ">")),
)
SEPARABLE = Measure("separable by a threshold", "kept-meaning", "separable.{layer}", 1)
ALONE = Measure("active for their own alone", "kept-meaning", "alone.{layer}", 1)
MATCHED = Measure("matched with Theorem 1's above chance", "kept-meaning", "matched.{layer}", 1, True)
MEASURES = (
    ACCURACY,
    ALONE,
    SEPARABLE,
    Measure("share of its own images on which a unit is active", "kept-meaning", "fires.{layer}", 1),
    Measure("share of other images on which a unit is active", "kept-meaning", "false_alarms.{layer}", -1),
    Measure("correlation with its own", "kept-meaning", "correlation.{layer}", 1),
    MATCHED,
    Measure("tile and place: F1 above chance", "unit-recovery", "f1.tile-place.{layer}", 1, True),
    Measure("tile and place: MCC above chance", "unit-recovery", "mcc.tile-place.{layer}", 1, True),
    Measure("drift of the weights", "kept-meaning", "drift.{layer}"),
    Measure("share of zero weights filled", "kept-meaning", "filled.{layer}"),
    Measure("their share of the squared weights", "kept-meaning", "filled_norm.{layer}"),
)
TASKS = {"squares": "Squares of section 6.1", "digits": "Digits of 8×8"}


def sections(results: tmi.Results) -> list[Section]:
    """Return the sections of the report; one whose results are missing is left out.

    Parameters
    ----------
    results : Results
        Of suite ``warm-start``, or of a part of it.
    """
    tasks = [dataset for dataset in TASKS if starts_of(results, dataset)]
    if not tasks:
        return []
    about = paragraph(
        "Each network has the layers of literal Theorem 1 with every weight a parameter, and is trained by gradient descent from "
        "the start that is named. A unit's own tile and place is what the neuron of its number stands for in Theorem 1. A unit "
        "is separable if it is stronger on every scene with its own tile at its own place than on any other, so that another "
        "threshold would make it active for that alone. Bands and brackets are 95 % intervals of the mean over the seeds "
        "(Student's t)."
    )
    with figure_style():
        drawn = figure(
            along_training(results),
            "Accuracy and meaning of hidden units against epochs",
            "Means over the seeds, a line a start.",
        )
    said = [
        Section(TASKS[dataset], bullets([f"{start.text}: {' '.join(sentences(results, dataset, start))}" for start in found]))
        for dataset in tasks
        if (found := starts_of(results, dataset))
    ]
    tables = "".join(changes_table(results, dataset, start) for dataset in tasks for start in starts_of(results, dataset))
    return [Section("", about + drawn), *said, Section("From the start to the last epoch", tables)]


def starts_of(results: tmi.Results, dataset: str) -> list[Start]:
    """Return the starts that are measured on a data set after more than one number of epochs."""
    return [start for start in STARTS if len(curve(results, dataset, start, ACCURACY)) > 1]


def curve(results: tmi.Results, dataset: str, start: Start, measure: Measure, layer: str | None = None) -> Curve:
    """Return a measure along the training from a start, for a layer or the start's first."""
    chosen = results.select(dataset=dataset, network=start.network)
    entries = [entry for entry in chosen if entry.swept.get("noise") == start.noise]
    return curve_of(entries, measure, layer or start.layers[0])


def sentences(results: tmi.Results, dataset: str, start: Start) -> tuple[str, str]:
    """Say in two sentences whether the units keep their meaning and what happens to the accuracy, both from intervals over seeds.

    The units keep their meaning where the interval of the share of separable units after the last epoch is above 0.9, and lose it
    where it is below 0.5; where fewer than half are separable before training they regain it or not. Units of a network that
    begins with random weights have none to keep: there the matching with Theorem 1's neurons is compared with that of shuffled
    images. The accuracy changes where the interval of the paired differences excludes 0. All intervals have the confidence
    1 − 0.05/n for the n starts on all data sets (Bonferroni), so that the sentences hold together.
    """
    number = sum(len(starts_of(results, task)) for task in TASKS)
    measure = MATCHED if start.network == "random" else SEPARABLE
    values, right = curve(results, dataset, start, measure), curve(results, dataset, start, ACCURACY)
    if len(values) < 2 or len(right) < 2:
        return "", ""
    last = max(values)
    found = estimated(values[last])
    low, high = (end.low, end.high) if found and (end := found.widened(number)) else (-np.inf, np.inf)
    ending = mean(values[last])
    if measure is MATCHED:
        moved = _widened(change(values[min(values)], values[last]), number)
        first = (
            f"After {last} epochs the units match Theorem 1's neurons {ending:+.2g} ({low:+.2g} to {high:+.2g}) above shuffled "
            f"images, and training changes that by {written(moved)}: the units {_nearer(moved)}."
        )
    else:
        before = mean(values[min(values)])
        alone = mean(curve(results, dataset, start, ALONE)[last])
        first = (
            f"The units {verdict(before, low, high)}: {before:.0%} are separable before training and {ending:.0%} after {last} "
            f"epochs ({max(low, 0):.0%} to {min(high, 1):.0%}), when {alone:.0%} are active for their own tile and place alone."
        )
    moved = _widened(change(right[min(right)], right[last]), number)
    begins, ends = mean(right[min(right)]), mean(right[last])
    if moved is not None and moved.low == moved.high == 0:
        return first, f"The accuracy stays {ends:.3f} in every seed."
    word = {1: "rises", -1: "falls", 0: "is not shown to change"}[sign(moved)]
    return first, f"The accuracy {word}, from {begins:.3f} to {ends:.3f}: {written(moved)}."


def _widened(found: Estimate | None, factor: float) -> Estimate | None:
    return found and found.widened(factor)


def verdict(before: float, low: float, high: float) -> str:
    """Say what units do with their meaning, from the share of separable ones before training and its interval after it."""
    grade = 3 if low > KEEPS else 0 if high < LOSES else 2 if low >= LOSES else 1
    if before < LOSES:
        return ("do not regain their meaning", "are not shown to regain it", "regain it in part", "regain their meaning")[grade]
    kept = "keep their meaning"
    return ("lose their meaning", "are shown neither to keep nor to lose their meaning", f"{kept} in part", kept)[grade]


def _nearer(moved: Estimate | None) -> str:
    nearer = "come nearer to the construction's"
    words = {1: nearer, -1: "move away from the construction's", 0: f"are not shown to {nearer}"}
    return words[sign(moved)]


def along_training(results: tmi.Results) -> Figure:
    """Draw accuracy and the meaning of hidden units against epochs: a column a data set, a line a start, its interval as a band.

    Parameters
    ----------
    results : Results
        Of suite ``warm-start``, or of a part of it.
    """
    import matplotlib.pyplot as plt

    tasks = [dataset for dataset in TASKS if starts_of(results, dataset)]
    rows = (ACCURACY, SEPARABLE, ALONE)
    drawn, axes = plt.subplots(3, len(tasks), figsize=(3.6 * len(tasks) + 0.6, 7.0), squeeze=False, sharex="col", sharey="row")
    last = 1
    for column, dataset in enumerate(tasks):
        for start in starts_of(results, dataset):
            style = dict(zip(("color", "linestyle", "marker"), start.style, strict=True))
            for axis, measure in zip(axes[:, column], rows, strict=True):
                values = curve(results, dataset, start, measure)
                draw_curve(axis, values, is_share=True, **style, markersize=3, label=start.text)
                last = max([last, *values])
        axes[0, column].set_title(TASKS[dataset])
        axes[-1, column].set_xlabel("epochs")
    for axis, measure in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(measure.text if measure is ACCURACY else f"share of units\n{measure.text}")
    for axis in axes.flat:
        axis.set_ylim(-0.03, 1.03)
        scale_epochs(axis, last)
    handles = {label: handle for axis in axes[0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    order = [start.text for start in STARTS if start.text in handles]
    drawn.legend([handles[text] for text in order], order, loc="outside upper center", ncols=3, fontsize=8, handlelength=3)
    return drawn


def changes(results: tmi.Results, dataset: str, start: Start) -> list[tuple[Measure, str, float, float, Estimate]]:
    """Return for each measure and layer its means before training and after the last epoch, and the change, paired by seed."""
    found = []
    for measure in MEASURES:
        for layer in ("",) if measure is ACCURACY else start.layers:
            moved = first_to_last(curve(results, dataset, start, measure, layer))
            if moved:
                found.append((measure, layer, *moved))
    return found


def changes_table(results: tmi.Results, dataset: str, start: Start) -> str:
    """Return an HTML table of `changes`: a row a measure and layer."""
    rows = [
        [measure.text, layer, f"{before:.3g}", f"{after:.3g}", written(moved)]
        for measure, layer, before, after, moved in changes(results, dataset, start)
    ]
    names = ["measure", "layer", "start", "end", "change (95 % interval)"]
    return table(names, rows, caption=f"{TASKS[dataset]}, {start.text}")
