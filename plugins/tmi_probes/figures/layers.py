"""Scores by network and layer, with what chance and the oracle score: unit recovery, superposition, decodability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tmi.runtime.plotting import CONSTRUCTED, TRAINED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi

KINDS = {"tile": "tile", "tile-place": "tile at a place", "class": "class"}


def recovery_scores(results: Mapping[str, tmi.ProbeResult], measure: str = "mcc") -> Figure:
    """Draw how well the units of each layer match each kind of feature.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``unit-recovery``, by network.
    measure : {"mcc", "uniqueness", "f1"}
    """
    label = {
        "mcc": "mean |correlation|, matched one to one",
        "uniqueness": "distinct best features a unit",
        "f1": "best F1 of a unit",
    }
    return scores(results, measure, KINDS, label[measure])


def dimensionality(results: Mapping[str, tmi.ProbeResult]) -> Figure:
    """Draw the share of a dimension that a feature has to itself, by kind of feature, network and layer.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``superposition``, by network.
    """
    return scores(results, "feature_dimensionality", KINDS, "share of a dimension a feature, mean $D_i$")


def decoding_scores(results: Mapping[str, tmi.ProbeResult]) -> Figure:
    """Draw what a linear model reads off each layer, and off the pixels.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``decodability``, by network.
    """
    targets = {"class": "class", "tile": "tile", "place": "place"}
    return scores(results, "decodability", targets, "share of held-out images told right")


def scores(results: Mapping[str, tmi.ProbeResult], measure: str, columns: Mapping[str, str], label: str) -> Figure:
    """Draw metrics ``<measure>.<column>.<layer>``: a panel a column, a row a network and layer.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        By network; those whose name starts with "constructed" have the colour of constructed networks.
    measure : str
    columns : mapping of str to str
        Column to its heading; those without a metric are left out.
    label : str
        Of the horizontal axis.
    """
    import matplotlib.pyplot as plt

    shown = {column: _rows(results, f"{measure}.{column}.") for column in columns}
    shown = {column: rows for column, rows in shown.items() if rows}
    names = list(dict.fromkeys(row for rows in shown.values() for row in rows))
    figure, axes = plt.subplots(
        1, max(len(shown), 1), figsize=(2.2 * max(len(shown), 1) + 1.4, 0.26 * len(names) + 1.1), squeeze=False, sharey=True
    )
    for axis, (column, rows) in zip(axes[0], shown.items(), strict=False):
        for place, (network, layer) in enumerate(names):
            metrics = rows.get((network, layer))
            if metrics is None:
                axis.text(0.02, place, "no value", va="center", color="0.45", fontsize=7)
                continue
            score, chance, oracle = metrics
            color = _color(network)
            axis.plot([0, score], [place, place], color=color, linewidth=1.2, zorder=1)
            axis.scatter(score, place, s=26, color=color, zorder=3)
            if chance is not None:
                axis.scatter(chance, place, s=60, marker="|", color="black", linewidths=1.2, zorder=4)
            if oracle is not None:
                axis.scatter(oracle, place, s=60, marker="o", facecolors="none", edgecolors="0.45", linewidths=0.9, zorder=2)
        axis.set_title(columns[column])
        axis.set_xlim(-0.03, 1.05)
        axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes[0, 0].set_yticks(range(len(names)), [f"{network}: {layer}" if network else layer for network, layer in names])
    axes[0, 0].set_ylim(len(names) - 0.4, -0.6)
    figure.supxlabel(label, fontsize=9)
    _legend(figure, [network for network, _ in names if network])
    return figure


def _color(network: str) -> str:
    return CONSTRUCTED if network.startswith("constructed") else TRAINED if network else "0.45"


def _rows(results: Mapping[str, tmi.ProbeResult], prefix: str) -> dict[tuple[str, str], tuple[float, float | None, float | None]]:
    """Score, chance and oracle by network and layer; the pixels are no network's, and those of the first are drawn."""
    found = {
        (network, name.removeprefix(prefix)): (value, result.metrics.get(f"{name}.chance"), result.metrics.get(f"{name}.oracle"))
        for network, result in results.items()
        for name, value in result.metrics.items()
        if name.startswith(prefix) and not name.endswith((".chance", ".oracle"))
    }
    pixels = [score for (_, layer), score in found.items() if layer == "pixels"]
    rows = {key: score for key, score in found.items() if key[1] != "pixels"}
    return {("", "pixels"): pixels[0]} | rows if pixels else rows


def _legend(figure: Figure, networks: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    kinds = {name.startswith("constructed") for name in networks}
    handles = [Line2D([], [], marker="o", color=CONSTRUCTED, label="constructed")] if True in kinds else []
    handles += [Line2D([], [], marker="o", color=TRAINED, label="trained")] if False in kinds else []
    handles += [
        Line2D([], [], marker="|", color="black", linestyle="", markersize=8, label="chance"),
        Line2D([], [], marker="o", color="0.45", markerfacecolor="none", linestyle="", markersize=8, label="oracle"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8)
