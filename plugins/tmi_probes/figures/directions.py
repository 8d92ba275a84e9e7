"""Dictionaries against known directions: recovery along a dial, active codes against explained variance, table of cosines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.runtime.plotting import PALETTE

from ..measures.directions import RECOVERED, cosines
from .common import KINDS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    import tmi

METHODS = {
    "top-k": "top-k",
    "batch-top-k": "batch top-k",
    "l1": "L1",
    "gated": "gated",
    "jump-relu": "JumpReLU",
    "dictionary-learning": "dictionary learning",
    "nmf": "NMF",
    "k-means": "k-means",
    "ica": "ICA",
    "pca": "PCA",
    "random": "random directions",
    "neurons": "neurons as they are",
}
"""The methods and their headings."""
GROUPS = {
    "sparse autoencoders": ("top-k", "batch-top-k", "l1", "gated", "jump-relu"),
    "other dictionaries": ("dictionary-learning", "nmf", "k-means"),
    "controls": ("ica", "pca", "random", "neurons"),
}
MEASURES = {
    "mmcs": "largest cosine with an atom,\nmean over directions",
    "recovered": "share of directions recovered\n(cosine above 0.9)",
    "true_atoms": "share of atoms in use\nthat are a direction",
    "mcc": "|correlation| of codes with features,\nmatched one to one",
    "active": "active codes a sample",
    "explained": "explained variance",
    "stability": "largest cosine with an atom\nof another fit, mean",
}
_MARKS = "osD^vP"


def recovery_along(table: pd.DataFrame, measure: str = "recovered", x_label: str = "tiles a neuron") -> Figure:
    """Draw a measure of dictionaries along a dial: a line a method, a panel a group of methods.

    Parameters
    ----------
    table : DataFrame
        Columns ``method`` (a key of `METHODS`; others are left out), ``x``, ``value``, and optionally ``low`` and ``high``, the
        ends of an interval.
    measure : str
        A key of `MEASURES`; the label of the vertical axis. That of another name is the name itself.
    x_label : str
    """
    import matplotlib.pyplot as plt

    groups = {name: [m for m in methods if m in set(table["method"])] for name, methods in GROUPS.items()}
    groups = {name: methods for name, methods in groups.items() if methods}
    figure, axes = plt.subplots(
        1, max(len(groups), 1), figsize=(2.5 * max(len(groups), 1) + 0.6, 3.1), sharey=True, squeeze=False
    )
    for axis, (name, methods) in zip(axes[0], groups.items(), strict=False):
        for i, method in enumerate(methods):
            rows = table[table["method"] == method].sort_values("x")
            style: dict[str, Any] = {"color": PALETTE[i], "marker": _MARKS[i], "markersize": 4, "label": METHODS[method]}
            axis.plot(rows["x"], rows["value"], linewidth=1.3, **style)
            if {"low", "high"} <= set(rows):
                axis.fill_between(rows["x"], rows["low"], rows["high"], color=PALETTE[i], alpha=0.15, linewidth=0)
        axis.set_title(name)
        axis.set_xlabel(x_label)
        axis.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.24), fontsize=8, ncols=1 if len(methods) < 4 else 2, columnspacing=1
        )
        if measure != "active":
            axis.set_ylim(-0.03, 1.05)
    axes[0, 0].set_ylabel(MEASURES.get(measure, measure))
    return figure


def sparsity_frontier(results: Mapping[str, tmi.ProbeResult], measure: str = "explained") -> Figure:
    """Draw a measure against the number of active codes, for every strength of every method: a panel a network.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``direction-recovery`` or ``dictionary``, by heading.
    measure : str
        Any of the probe's axis ``measure``, such as ``mcc.tile`` of ``dictionary``; networks without it are left out.
    """
    import matplotlib.pyplot as plt

    shown = {name: result for name, result in results.items() if any(len(_points(result, m, measure)[0]) for m in METHODS)}
    figure, axes = plt.subplots(1, max(len(shown), 1), figsize=(2.9 * max(len(shown), 1) + 0.4, 3.6), sharey=True, squeeze=False)
    drawn = [method for method in METHODS if any(len(_points(result, method, measure)[0]) for result in shown.values())]
    for axis, (name, result) in zip(axes[0], shown.items(), strict=False):
        for method in drawn:
            i = list(METHODS).index(method)
            active, value = _points(result, method, measure)
            order = active.argsort()
            mark = {"color": PALETTE[i % 7], "marker": _MARKS[i % 6], "markerfacecolor": PALETTE[i % 7] if i < 7 else "none"}
            axis.plot(active[order], value[order], linewidth=1, markersize=5, label=METHODS[method], **mark)
        truth = result.metrics.get("active.truth")
        if truth is not None:
            axis.axvline(truth, color="0.5", linewidth=0.9, linestyle="dashed", zorder=0)
            axis.annotate(
                "features\nshown", (truth, 0.02), xytext=(3, 0), textcoords="offset points",
                xycoords=("data", "axes fraction"), fontsize=7, color="0.35",
            )  # fmt: skip
        axis.set_xscale("log")
        axis.margins(x=0.08)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.set_title(name)
        axis.set_xlabel("active codes a sample")
    name, _, kind = measure.partition(".")
    axes[0, 0].set_ylabel(MEASURES.get(name, name) + (f" ({KINDS[kind]})" if kind else ""))
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4 if len(shown) > 1 else 2, fontsize=8
    )
    return figure


def _points(result: tmi.ProbeResult, method: str, measure: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return active codes and a measure by strength, means over the fits; empty where it was not measured."""
    if f"by_fit.{method}" not in result.arrays:
        return np.empty(0), np.empty(0)
    table, names = result.arrays[f"by_fit.{method}"].values, list(result.coords["measure"])
    if measure not in names:
        return np.empty(0), np.empty(0)
    active, value = (table[names.index(name)].mean(1) for name in ("active", measure))
    finite = np.isfinite(active) & np.isfinite(value)
    return active[finite], value[finite]


def atoms_and_directions(
    result: tmi.ProbeResult, methods: Sequence[str] = ("top-k", "dictionary-learning", "nmf", "neurons")
) -> Figure:
    """Draw the cosine of every known direction with every atom of the first fit, atoms sorted by the direction nearest to them.

    Parameters
    ----------
    result : ProbeResult
        Of probe ``direction-recovery``, on a layer with known directions.
    methods : sequence of str
        Those that were not fitted are left out.
    """
    import matplotlib.pyplot as plt

    shown = [method for method in methods if f"atoms.{method}" in result.arrays]
    known = result.arrays["directions"].values
    figure, axes = plt.subplots(1, max(len(shown), 1), figsize=(2.1 * max(len(shown), 1) + 1, 2.7), sharey=True, squeeze=False)
    for axis, method in zip(axes[0], shown, strict=False):
        table = cosines(known, result.arrays[f"atoms.{method}"].values)
        if method in ("pca", "ica"):
            table = np.abs(table)
        # First the atoms that are some direction's best, in the order of the directions; the others after them.
        best = table.argmax(1)
        first = list(dict.fromkeys(best.tolist()))
        rest = [atom for atom in table.argmax(0).argsort(kind="stable").tolist() if atom not in set(first)]
        picture = axis.imshow(table[:, first + rest], vmin=-1, vmax=1, cmap="RdBu_r", aspect="auto")
        axis.set_title(f"{METHODS[method]}\n{(table.max(1) > RECOVERED).mean():.0%} recovered")
        axis.set_xlabel(f"{table.shape[1]} atoms, sorted")
    axes[0, 0].set_ylabel(f"{len(known)} known directions")
    if shown:
        figure.colorbar(picture, ax=axes[0].tolist(), label="cosine", fraction=0.05, ticks=[-1, 0, 1])
    return figure
