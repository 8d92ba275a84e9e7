"""The report of suite ``dynamics``: measures of units along training, when units die, and when they become monosemantic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.report import Section, bullets, figure, paragraph, table
from tmi.runtime.plotting import PALETTE, figure_style

from .along_training import Curve, curve_of, draw_curve, first_to_last, mean, scale_epochs
from .unit_measures import ACCURACY, DEAD, MONOSEMANTIC, Measure, change, shown, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    import tmi
    from tmi.runs.results import Entry


@dataclass(frozen=True)
class TrainedLayer:
    """A network of the suite, and its layer whose units are measured along training."""

    dataset: str
    network: str
    name: str
    text: str


LAYERS = (
    TrainedLayer("squares", "squares", "conv", "section 6.1, convolution"),
    TrainedLayer("fashion", "conv", "conv", "section 6.2, convolution"),
    TrainedLayer("fashion", "hidden", "hidden", "section 6.2 with a hidden layer, hidden"),
)
MEASURES = (
    ACCURACY,
    *MONOSEMANTIC,
    Measure("a tile's own dimension, above chance", "superposition", "feature_dimensionality.tile.{layer}", 1, True),
    Measure("class read off linearly", "decodability", "decodability.class.{layer}"),
    Measure("share of units that a tile needs", "feature-neurons", "size_share"),
    Measure("overlap of these units above chance", "feature-neurons", "overlap", -1, True),
)


def sections(results: tmi.Results) -> list[Section]:
    """Return the sections of the report; one whose results are missing is left out.

    Parameters
    ----------
    results : Results
        Of suite ``dynamics``, or of a part of it.
    """
    found = [layer for layer in LAYERS if len(epochs_of(results, layer)) > 1]
    if not found:
        return []
    with figure_style():
        about = paragraph(
            "Each network is trained once for each seed; the points of a curve are its weights after so many epochs. A measure "
            "above chance is the measure less its value on shuffled images. Bands and brackets are plain 95 % intervals of the "
            "mean over the seeds. Sentences are stricter: a change, paired by seed, is shown where its p-value by Student's t is "
            "below 0.05 when corrected by Holm's method: for all numbers of epochs when units die, for all measures in the count."
        )
        curves = figure(along_training(results), "Measures of units against the epoch", "Measures against epochs of training.")
        units = figure(
            dead_and_settled(results),
            "Units that die, revive, and have their last tile, against the epoch",
            "Left: the share of units that are 0 on every test image. Right: of the units alive in the end, the share whose best "
            "tile (by correlation) is already the one of the end; dotted, what shuffled units would have.",
        )
    said = [f"{layer.text}: {' '.join(sentences(results, layer))}" for layer in found]
    return [
        Section("", about + bullets(said) + curves),
        Section("When units die, and when they have their tile", units),
        Section("From the first to the last epoch", "".join(changes_table(results, layer) for layer in found)),
    ]


def epochs_of(results: tmi.Results, layer: TrainedLayer) -> list[int]:
    """Return the numbers of epochs after which a layer is measured, rising."""
    chosen = results.select(dataset=layer.dataset, network=layer.network)
    return sorted({entry.swept["epochs"] for entry in chosen if entry.metrics and entry.swept.get("epochs") is not None})


def curve(results: tmi.Results, layer: TrainedLayer, measure: Measure) -> Curve:
    """Return a measure of a layer along its training."""
    return curve_of(results.select(dataset=layer.dataset, network=layer.network), measure, layer.name)


def sentences(results: tmi.Results, layer: TrainedLayer) -> tuple[str, str]:
    """Say in two sentences when units die and whether they become more monosemantic; both follow from changes paired by seed.

    The first compares the share of dead units after each number of epochs with the initial network's: units die by the first
    number after which a rise is shown. The second counts the measures of `tmi_paper.unit_measures.MONOSEMANTIC` whose change
    from the initial to the last network is shown. `tmi_paper.unit_measures.shown` corrects both for their number.
    """
    dead = curve(results, layer, DEAD)
    if len(dead) < 2:
        return "", ""
    initial, *others = dead
    changes = {epochs: change(dead[initial], dead[epochs]) for epochs in others}
    deaths = [epochs for epochs, direction in shown(changes).items() if direction > 0]
    if deaths:
        named = f"{deaths[0]} epoch{'s' if deaths[0] > 1 else ''}"
        first = f"Units die: within {named} the share of dead units rises by {written(changes[deaths[0]])}"
    else:
        whole = written(changes[others[-1]])
        first = f"No death of units is shown after any number of epochs (change after {others[-1]} epochs {whole})"
    start, end = mean(dead[initial]), mean(dead[others[-1]])
    first += f"; {start:.1%} of them are dead in the initial network and {end:.1%} after {others[-1]} epochs."
    ends = {m: moved[2] for m in MONOSEMANTIC if (moved := first_to_last(curve(results, layer, m)))}
    toward = {m: direction * m.sign for m, direction in shown(ends).items()}
    more, less = ([f"{m.text} {written(ends[m])}" for m in toward if toward[m] == sign] for sign in (1, -1))
    second = (
        f"From the initial network to the last {len(more)} of {len(ends)} measures say that units become more monosemantic"
        f"{_joined(more)}, {len(less)} say less{_joined(less)}, and for {len(ends) - len(toward)} no change is shown."
    )
    return first, second


def _joined(parts: list[str]) -> str:
    return f" ({'; '.join(parts)})" if parts else ""


def along_training(results: tmi.Results) -> Figure:
    """Draw every measure against epochs, a panel a measure, a colour a network: mean and 95 % interval over the seeds."""
    import matplotlib.pyplot as plt

    layers = [layer for layer in LAYERS if epochs_of(results, layer)]
    measures = [m for m in (ACCURACY, DEAD, *MEASURES[1:]) if any(len(curve(results, layer, m)) > 1 for layer in layers)]
    rows = -(-len(measures) // 3)
    drawn, axes = plt.subplots(rows, 3, figsize=(8.4, 1.7 * rows + 0.4), squeeze=False, sharex=True)
    for axis in axes.flat[len(measures) :]:
        axis.axis("off")
    for axis, measure in zip(axes.flat, measures, strict=False):
        for layer in layers:
            draw_curve(axis, curve(results, layer, measure), is_share=not measure.above_chance, **_style(layer))
        axis.set_title(measure.text + {1: " ↑", -1: " ↓", 0: ""}[measure.sign], fontsize=8)
        axis.locator_params(axis="y", nbins=4)
    _finish(drawn, list(axes.flat)[: len(measures)], max(epochs_of(results, layer)[-1] for layer in layers))
    return drawn


def _style(layer: TrainedLayer) -> dict[str, Any]:
    return {"color": PALETTE[LAYERS.index(layer)], "label": layer.text, "marker": "o", "markersize": 2.5}


def _finish(drawn: Figure, axes: Sequence[Axes], last: int) -> None:
    """Scale the epochs, label them under the lowest panels, and name the layers."""
    for axis in axes:
        scale_epochs(axis, last)
    for axis in axes[-3:]:
        axis.set_xlabel("epochs")
        axis.tick_params(labelbottom=True)
    handles, labels = axes[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)


def dead_and_settled(results: tmi.Results) -> Figure:
    """Draw the share of dead units against epochs, and how many of those alive in the end have their last tile by then."""
    import matplotlib.pyplot as plt

    drawn, (left, right) = plt.subplots(1, 2, figsize=(8.0, 3.0))
    layers = [layer for layer in LAYERS if epochs_of(results, layer)]
    for layer in layers:
        style = _style(layer)
        draw_curve(left, curve(results, layer, DEAD), is_share=True, **style)
        same, shuffled = settled(results, layer)
        draw_curve(right, same, is_share=True, **style)
        by_chance = [mean(values) for values in shuffled.values()]
        right.plot(list(shuffled), by_chance, color=style["color"], linewidth=0.9, linestyle=(0, (1, 1.5)))
    left.set_ylabel("share of units that are dead")
    left.set_ylim(bottom=0)
    right.set_ylabel("share of units with their last tile")
    right.set_ylim(0, 1.02)
    _finish(drawn, [left, right], max(epochs_of(results, layer)[-1] for layer in layers))
    return drawn


def settled(results: tmi.Results, layer: TrainedLayer) -> tuple[Curve, Curve]:
    """Return the share of units whose best tile is already that of the last epoch, and the same for units shuffled among them.

    Returns
    -------
    (dict, dict)
        Units that vary on the sample after these epochs and in the end count; the best tile is the one with
        the largest |correlation| with the unit. Shuffled: Σ_k p_k q_k, with p and q the shares of units whose best tile is k.
        Empty for two tiles, whose correlations with a unit are of the same size.
    """
    best: dict[int, dict[int, Any]] = {}
    for entry in results.select(dataset=layer.dataset, network=layer.network, probe="unit-recovery"):
        tiles = _best_tiles(results, entry, layer.name)
        if tiles is not None and entry.metrics.get("features.tile", 0) > 2:
            best.setdefault(entry.seed, {})[entry.swept["epochs"]] = tiles
    same: Curve = {}
    shuffled: Curve = {}
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


def changes_table(results: tmi.Results, layer: TrainedLayer) -> str:
    """Return an HTML table of the changes from the initial weights to the last epoch, paired by seed."""
    rows = []
    for measure in (DEAD, *MEASURES):
        values = curve(results, layer, measure)
        if found := first_to_last(values):
            start, end, moved = found
            rows.append([measure.text, min(values), f"{start:.3g}", max(values), f"{end:.3g}", written(moved)])
    return table(["measure", "from epoch", "value", "to epoch", "value", "change (95 % interval)"], rows, caption=layer.text)
