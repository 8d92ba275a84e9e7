"""Layers: unit recovery, superposition, decodability and dictionaries, beside chance, untrained network and oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.runtime.plotting import CONSTRUCTED, PALETTE, TRAINED

from ..pipeline.layer_scores import CONTROLS
from .common import KINDS, color_of, control_marks, origin_marks
from .directions import METHODS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    import tmi

CODES = {"units": "units as they are"} | METHODS | {"projections": "random projections", "supervised": "fitted to the truth"}
"""What the features are compared with in probe ``dictionary``, and its headings."""
_TRIVIAL = ("k-means", "ica", "pca", "random", "neurons", "projections")


def recovery_scores(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str], measure: str = "mcc") -> Figure:
    """Draw how well the units of each layer match each kind of feature.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``unit-recovery``, by network.
    origins : mapping of str to str
        `network.origin`, by network.
    measure : {"mcc", "uniqueness", "f1"}
    """
    label = {
        "mcc": "mean |correlation|, matched one to one",
        "uniqueness": "distinct best features a unit",
        "f1": "best F1 of a unit",
    }
    return scores(results, origins, measure, KINDS, label[measure])


def dimensionality(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
    """Draw the share of a dimension that a feature has to itself, by kind of feature, network and layer.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``superposition``, by network.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    return scores(results, origins, "feature_dimensionality", KINDS, "share of a dimension a feature, mean $D_i$")


def decoding_scores(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
    """Draw what a linear model reads from each layer, and from the pixels.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``decodability``, by network.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    targets = {"class": "class", "tile": "tile", "place": "place"}
    return scores(results, origins, "decodability", targets, "share of held-out images predicted right")


def scores(
    results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str], measure: str, columns: Mapping[str, str], label: str
) -> Figure:
    """Draw metrics ``<measure>.<column>.<layer>`` with their controls: a panel a column, a row a network and layer.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        By network.
    origins : mapping of str to str
        `network.origin`, by network.
    measure : str
    columns : mapping of str to str
        Columns and their headings; those without a metric are left out.
    label : str
        Label of the horizontal axis.
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
            score = metrics[""]
            color = color_of(origins[network]) if network else "0.45"
            axis.plot([0, score], [place, place], color=color, linewidth=1.2, zorder=1)
            axis.scatter(score, place, s=26, color=color, zorder=3)
            if ".chance.low" in metrics:
                axis.plot([metrics[".chance.low"], metrics[".chance.high"]], [place, place], color="black", linewidth=3, zorder=4)
            if ".chance" in metrics:
                axis.scatter(metrics[".chance"], place, s=60, marker="|", color="black", linewidths=1.2, zorder=4)
            if ".untrained" in metrics:
                axis.scatter(
                    metrics[".untrained"], place, s=22, marker="s", facecolors="white", edgecolors=color, linewidths=1, zorder=5
                )
            if ".oracle" in metrics:
                axis.scatter(
                    metrics[".oracle"], place, s=60, marker="o", facecolors="none", edgecolors="0.45", linewidths=0.9, zorder=2
                )
        axis.set_title(columns[column])
        axis.set_xlim(-0.03, 1.05)
        axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes[0, 0].set_yticks(range(len(names)), [f"{network}: {layer}" if network else layer for network, layer in names])
    axes[0, 0].set_ylim(len(names) - 0.4, -0.6)
    figure.supxlabel(label, fontsize=9)
    handles = origin_marks({network: origins[network] for network, _ in names if network}) + control_marks()
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8)
    return figure


def _rows(results: Mapping[str, tmi.ProbeResult], prefix: str) -> dict[tuple[str, str], dict[str, float]]:
    """Return the score, as "", and its controls by network and layer; of the pixels, which belong to no network, the first."""
    scored = {
        (network, name.removeprefix(prefix)): {
            control: result.metrics[f"{name}{control}"] for control in ("", *CONTROLS) if f"{name}{control}" in result.metrics
        }
        for network, result in results.items()
        for name in result.metrics
        if name.startswith(prefix) and not name.endswith(CONTROLS)
    }
    pixels = [score for (_, layer), score in scored.items() if layer == "pixels"]
    rows = {key: score for key, score in scored.items() if key[1] != "pixels"}
    return {("", "pixels"): pixels[0]} | rows if pixels else rows


def dictionaries(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str], measure: str = "mcc") -> Figure:
    """Draw how well units and dictionary codes match the exact features; a line goes from the least fit to the greatest.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``dictionary``, by network: a row each.
    origins : mapping of str to str
        `network.origin`, by network.
    measure : {"mcc", "uniqueness", "f1"}
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    label = {
        "mcc": "mean |correlation|,\nmatched one to one",
        "uniqueness": "distinct best features\na code",
        "f1": "best F1 of a code",
    }[measure]
    kinds = [kind for kind in KINDS if any(f"{measure}.{kind}.units" in r.metrics for r in results.values())]
    codes = [name for name in CODES if any(f"{measure}.{kind}.{name}" in r.metrics for r in results.values() for kind in kinds)]
    figure, axes = plt.subplots(
        len(results),
        len(kinds),
        figsize=(1.6 + 1.95 * len(kinds), (0.23 * len(codes) + 0.45) * len(results) + 0.75),
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for row, (name, result) in enumerate(results.items()):
        for col, kind in enumerate(kinds):
            axis = axes[row, col]
            if row == 0:
                axis.set_title(KINDS[kind])
            for place, code in enumerate(codes):
                value = result.metrics.get(f"{measure}.{kind}.{code}")
                if value is None:
                    continue
                color = "0.6" if code in _TRIVIAL else {"units": TRAINED, "supervised": "0.3"}.get(code, CONSTRUCTED)
                axis.barh(place, value, height=0.7, color=color)
                fits = _of_fits(result, f"{measure}.{kind}", code, value)
                if len(fits):
                    axis.plot([fits.min(), fits.max()], [place, place], color=PALETTE[2], linewidth=2, zorder=3)
                ends = [result.metrics.get(f"{measure}.{kind}.{code}.chance.{end}") for end in ("low", "high")]
                if None not in ends:
                    axis.plot(ends, [place, place], color="black", linewidth=3, solid_capstyle="butt", zorder=3)
                for suffix, style in _MARKS.items():
                    level = result.metrics.get(f"{measure}.{kind}.{code}.{suffix}")
                    if level is not None:
                        axis.plot(level, place, clip_on=False, zorder=4, **style)
            if f"{measure}.{kind}.units" not in result.metrics:
                axis.text(0.5, 0.5, "not defined", transform=axis.transAxes, ha="center", va="center", color="0.45")
            axis.set_yticks(range(len(codes)), [CODES[code] for code in codes])
            axis.set_xlim(0, 1)
            axis.set_xticks([0, 0.5, 1])
            if row == len(results) - 1:
                axis.set_xlabel(label)
        axes[row, 0].set_ylabel(name, color=color_of(origins[name]))
    axes[0, 0].invert_yaxis()  # shared by all
    handles = [*control_marks(), Line2D([], [], color=PALETTE[2], linewidth=2, label="fits, least to greatest")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


_MARKS: dict[str, dict[str, Any]] = {
    "chance": {"marker": "|", "color": "black", "markersize": 8, "markeredgewidth": 1.4},
    "untrained": {"marker": "s", "color": "0.45", "markerfacecolor": "white", "markersize": 4},
    "oracle": {"marker": "o", "color": "0.45", "markerfacecolor": "none", "markersize": 6},
}


def _of_fits(result: tmi.ProbeResult, measure: str, code: str, value: float) -> NDArray[Any]:
    """Return a measure of each fit at the strength that the metric is of; empty where codes were not fitted several times."""
    if f"by_fit.{code}" not in result.arrays:
        return np.empty(0)
    names = list(result.coords["measure"])
    of_strengths = result.arrays[f"by_fit.{code}"].values[names.index(measure)]
    fits: NDArray[Any] = of_strengths[np.abs(of_strengths.mean(1) - value).argmin()]
    return fits if len(fits) > 1 else np.empty(0)
