"""The report of suite ``dynamics``: measures of units along training, when units die, and when they become monosemantic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.report import Section, bullets, figure, paragraph, table
from tmi.runtime.plotting import PALETTE, figure_style

from .claims.claim import interval
from .unit_measures import ACCURACY, DEAD, MONOSEMANTIC, UnitMeasure, by_seed, change

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    import tmi
    from tmi.runs.results import Entry


@dataclass(frozen=True)
class Course:
    """A network of the suite whose training is watched, and the layer that is looked at."""

    dataset: str
    network: str
    layer: str
    text: str


COURSES = (
    Course("squares", "squares", "conv", "section 6.1, convolution"),
    Course("fashion", "conv", "conv", "section 6.2, convolution"),
    Course("fashion", "hidden", "hidden", "section 6.2 with a hidden layer, hidden"),
)
MEASURES = (
    ACCURACY,
    *MONOSEMANTIC,
    UnitMeasure("a tile's own dimension, above chance", "superposition", "feature_dimensionality.tile.{layer}", 1, True),
    UnitMeasure("class read off linearly", "decodability", "decodability.class.{layer}"),
    UnitMeasure("share of units that a tile needs", "feature-neurons", "size_share"),
    UnitMeasure("overlap of these units above chance", "feature-neurons", "overlap", -1, True),
)


def sections(results: tmi.Results) -> list[Section]:
    """Return the sections of the report; one whose results are missing is left out.

    Parameters
    ----------
    results : Results
        Of suite ``dynamics``, or of a part of it.
    """
    found = [course for course in COURSES if len(epochs_of(results, course)) > 1]
    if not found:
        return []
    with figure_style():
        about = paragraph(
            "Each network is trained once for each seed; the points of a curve are its weights after so many epochs. Bands are "
            "95 % intervals of the mean over the seeds. A measure above chance is the measure less its value on shuffled images."
        )
        curves = figure(along_training(results), "Measures of units against the epoch", "Measures against epochs of training.")
        units = figure(
            fates(results),
            "Units that die, revive, and have their last tile, against the epoch",
            "Left: the share of units that are 0 on every test image. Right: of the units alive in the end, the share whose best "
            "tile (by correlation) is already the one of the end; dotted, what shuffled units would have.",
        )
    said = [f"{course.text}: {' '.join(sentences(results, course))}" for course in found]
    return [
        Section("", about + bullets(said) + curves),
        Section("When units die, and when they have their tile", units),
        Section("From the first to the last epoch", "".join(changes_table(results, course) for course in found)),
    ]


def epochs_of(results: tmi.Results, course: Course) -> list[int]:
    """Return the numbers of epochs after which a course is measured, rising."""
    chosen = results.select(dataset=course.dataset, network=course.network)
    return sorted({entry.swept["epochs"] for entry in chosen if entry.metrics and entry.swept.get("epochs") is not None})


def curve(results: tmi.Results, course: Course, measure: UnitMeasure) -> dict[int, dict[int, float]]:
    """Return a measure along a course: by epochs, and by seed. Epochs without a value are left out."""
    chosen = list(results.select(dataset=course.dataset, network=course.network, probe=measure.probe))
    values = {
        epochs: by_seed([entry for entry in chosen if entry.swept["epochs"] == epochs], measure, course.layer)
        for epochs in epochs_of(results, course)
    }
    return {epochs: values for epochs, values in values.items() if values}


def sentences(results: tmi.Results, course: Course) -> tuple[str, str]:
    """Say in two sentences when units die and whether they become more monosemantic; both follow from intervals over seeds.

    The first compares the share of dead units after each number of epochs with the untrained network's, paired by seed: units
    die by the first number of epochs after which the interval excludes 0. The second counts the measures of
    `tmi_paper.unit_measures.MONOSEMANTIC` whose change from the untrained to the last network has an interval that excludes 0.
    """
    dead = curve(results, course, DEAD)
    epochs = list(dead)
    if len(epochs) < 2:
        return "", ""
    changes = {number: change(dead[epochs[0]], dead[number]) for number in epochs[1:]}
    when = [number for number, value in changes.items() if value is not None and value.direction > 0]
    start, end = (float(np.mean(list(dead[number].values()))) for number in (epochs[0], epochs[-1]))
    if when:
        named = f"{when[0]} epoch{'s' if when[0] > 1 else ''}"
        first = f"Units die: within {named} the share of dead units rises by {changes[when[0]]}"
    else:
        first = f"No death of units is shown after any number of epochs (change after {epochs[-1]} epochs {changes[epochs[-1]]})"
    first += f"; {start:.1%} of them are dead in the initial network and {end:.1%} after {epochs[-1]} epochs."
    ends = [(m, change(values[min(values)], values[max(values)])) for m in MONOSEMANTIC if (values := curve(results, course, m))]
    more = [f"{m.text} {c}" for m, c in ends if c is not None and c.direction * m.sign > 0]
    less = [f"{m.text} {c}" for m, c in ends if c is not None and c.direction * m.sign < 0]
    second = (
        f"From the initial network to the last {len(more)} of {len(ends)} measures say that units become more monosemantic"
        f"{f' ({_joined(more)})' if more else ''}, {len(less)} say less{f' ({_joined(less)})' if less else ''}, and for "
        f"{len(ends) - len(more) - len(less)} the interval contains 0."
    )
    return first, second


def _joined(parts: list[str]) -> str:
    return "; ".join(parts)


def along_training(results: tmi.Results) -> Figure:
    """Draw every measure against epochs, a panel a measure, a colour a network: mean and 95 % interval over the seeds."""
    import matplotlib.pyplot as plt

    courses = [course for course in COURSES if epochs_of(results, course)]
    shown = [m for m in (ACCURACY, DEAD, *MEASURES[1:]) if any(len(curve(results, course, m)) > 1 for course in courses)]
    columns = 3
    rows = -(-len(shown) // columns)
    drawn, axes = plt.subplots(rows, columns, figsize=(8.4, 1.7 * rows + 0.4), squeeze=False, sharex=True)
    for axis in axes.flat[len(shown) :]:
        axis.axis("off")
    for axis, measure in zip(axes.flat, shown, strict=False):
        for place, course in enumerate(courses):
            _band(axis, curve(results, course, measure), PALETTE[place], course.text, is_share=not measure.above_chance)
        arrow = {1: " ↑", -1: " ↓"}.get(measure.sign, "")
        axis.set_title(measure.text + arrow, fontsize=8)
        axis.locator_params(axis="y", nbins=4)
    _epoch_axes(axes, len(shown), max(max(epochs_of(results, course)) for course in courses))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    return drawn


def _band(axis: Axes, values: dict[int, dict[int, float]], color: str, label: str, *, is_share: bool) -> None:
    """Draw the mean of values by epochs and seed, and its 95 % interval as a band, cut off at 0 and 1 for shares."""
    if not values:
        return
    epochs = list(values)
    means = [float(np.mean(list(v.values()))) for v in values.values()]
    bounds = [interval(list(v.values())) if len(v) > 1 else (m, m) for v, m in zip(values.values(), means, strict=True)]
    low, high = np.array(bounds).T
    if is_share:
        low, high = low.clip(0, 1), high.clip(0, 1)
    axis.fill_between(epochs, low, high, color=color, alpha=0.2, linewidth=0)
    axis.plot(epochs, means, color=color, marker="o", markersize=2.5, linewidth=1.2, label=label)


def _epoch_axes(axes: Any, shown: int, last: int) -> None:
    """Scale the epochs so that 0 has a place and the first epochs have most of it."""
    ticks = [tick for tick in (0, 1, 3, 10, 30, 100) if tick <= last]
    for number, axis in enumerate(axes.flat[:shown]):
        axis.set_xscale("symlog", linthresh=1, linscale=0.5)
        axis.set_xlim(-0.1, last * 1.1)
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
        if number + axes.shape[1] >= shown:
            axis.set_xlabel("epochs")
            axis.tick_params(labelbottom=True)


def fates(results: tmi.Results) -> Figure:
    """Draw the share of dead units against epochs, and how many of those alive in the end have their last tile by then."""
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(1, 2, figsize=(8.0, 3.0), squeeze=False)
    courses = [course for course in COURSES if epochs_of(results, course)]
    for place, course in enumerate(courses):
        _band(axes[0, 0], curve(results, course, DEAD), PALETTE[place], course.text, is_share=True)
        same, shuffled = settled(results, course)
        _band(axes[0, 1], same, PALETTE[place], course.text, is_share=True)
        means = [float(np.mean(list(values.values()))) for values in shuffled.values()]
        axes[0, 1].plot(list(shuffled), means, color=PALETTE[place], linewidth=0.9, linestyle=(0, (1, 1.5)))
    axes[0, 0].set_ylabel("share of units that are dead")
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 1].set_ylabel("share of units with their last tile")
    axes[0, 1].set_ylim(0, 1.02)
    _epoch_axes(axes, 2, max(max(epochs_of(results, course)) for course in courses))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    return drawn


def settled(results: tmi.Results, course: Course) -> tuple[dict[int, dict[int, float]], dict[int, dict[int, float]]]:
    """Return the share of units whose best tile is already that of the last epoch, and the same for units shuffled among them.

    Returns
    -------
    (dict, dict)
        By epochs and seed. Units that vary on the sample after these epochs and in the end count; the best tile is the one with
        the largest |correlation| with the unit. Shuffled: Σ_k p_k q_k, with p and q the shares of units whose best tile is k.
        Empty for two tiles, whose correlations with a unit are of the same size.
    """
    best: dict[int, dict[int, Any]] = {}
    for entry in results.select(dataset=course.dataset, network=course.network, probe="unit-recovery"):
        tiles = _best_tiles(results, entry, course.layer)
        if tiles is not None and entry.metrics.get("features.tile", 0) > 2:
            best.setdefault(entry.seed, {})[entry.swept["epochs"]] = tiles
    same: dict[int, dict[int, float]] = {}
    shuffled: dict[int, dict[int, float]] = {}
    for seed, by_epochs in best.items():
        end = by_epochs[max(by_epochs)]
        for epochs, tiles in sorted(by_epochs.items()):
            both = (tiles >= 0) & (end >= 0)
            if len(tiles) != len(end) or not both.any():
                continue
            same.setdefault(epochs, {})[seed] = float((tiles[both] == end[both]).mean())
            shares = [
                np.bincount(found[both], minlength=int(max(tiles.max(), end.max())) + 1) / both.sum() for found in (tiles, end)
            ]
            shuffled.setdefault(epochs, {})[seed] = float(shares[0] @ shares[1])
    return dict(sorted(same.items())), dict(sorted(shuffled.items()))


def _best_tiles(results: tmi.Results, entry: Entry, layer: str) -> Any:
    """Return each unit's best tile (unit), −1 where the unit does not vary; None where the probe has none."""
    arrays = results.load(entry).arrays if entry.metrics else {}
    if f"best_feature.tile.{layer}" not in arrays:
        return None
    found = np.asarray(arrays[f"best_feature.tile.{layer}"])
    return np.where(np.isfinite(found), found, -1).astype(int)


def changes_table(results: tmi.Results, course: Course) -> str:
    """Return an HTML table of the changes from the initial weights to the last epoch, paired by seed."""
    rows = []
    for measure in (DEAD, *MEASURES):
        values = curve(results, course, measure)
        if len(values) < 2:
            continue
        first, last = min(values), max(values)
        found = change(values[first], values[last])
        means = [float(np.mean(list(values[number].values()))) for number in (first, last)]
        rows.append([measure.text, first, f"{means[0]:.3g}", last, f"{means[1]:.3g}", str(found)])
    return table(["measure", "from epoch", "value", "to epoch", "value", "change (95 % interval)"], rows, caption=course.text)
