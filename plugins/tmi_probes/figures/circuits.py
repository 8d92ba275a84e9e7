"""Responsible neurons, pruned weights, and dictionaries: what of a network does the work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tmi.runtime.plotting import CONSTRUCTED, PALETTE, TRAINED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi

KINDS = {"class": "class", "tile": "tile", "tile-place": "tile at a place"}
CODES = {
    "units": "units as they are",
    "nmf": "NMF",
    "dictionary-learning": "dictionary learning",
    "sparse-autoencoder": "sparse autoencoder",
    "random": "random directions",
    "supervised": "fitted to the truth",
}
_STYLES = ("-", "--", ":", "-.")


def responsible(results: Mapping[str, tmi.ProbeResult]) -> Figure:
    """Draw how many neurons suffice for the logit and the prediction, and how many must go to change it.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``responsible-neurons``, by network.
    """
    import matplotlib.pyplot as plt

    panels = {
        "sufficient_logit": "keep the label's logit",
        "sufficient": "keep the prediction",
        "critical": "change it when ablated",
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(7.2, 2.5), sharey=True)
    most = max(max(1, *(int(result.arrays[name].values.max(initial=0)) for name in panels)) for result in results.values())
    styles = _styles(results)
    for axis, (name, title) in zip(axes, panels.items(), strict=True):
        for network, result in results.items():
            count = result.arrays[name].values
            # −1: an image without a prediction, or whose prediction nothing changes.
            share = [(count[count >= 0] <= k).sum() / len(count) for k in range(most + 1)]
            axis.step(range(most + 1), share, where="post", label=network, **styles[network])
        axis.set_title(title)
        axis.set_xlabel("neurons, at most")
        axis.set_xscale("symlog", linthresh=1, linscale=0.5)
        axis.set_xlim(0, most * 1.1)
        axis.set_xticks([k for k in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if k <= most])
        axis.set_xticks([], minor=True)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_ylim(0, 1.03)
    axes[0].set_ylabel("share of test images")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def pruning(results: Mapping[str, tmi.ProbeResult]) -> Figure:
    """Draw accuracy, and the modularity of the logits' weights, against the share of weights kept.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``prunability``, by network. One that is not pruned is a level: its accuracy and modularity as it is.
    """
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2))
    styles = _styles(results)
    for network, result in results.items():
        style = styles[network]
        if "accuracy_kept" not in result.arrays:
            left.axhline(result.metrics["accuracy"], label=f"{network}, not pruned", **style)
            known = [value for name, value in result.metrics.items() if name.startswith("modularity") and name.count(".") == 1]
            if known:
                right.axhline(known[-1], **style)
            continue
        share = result.coords["share"]
        left.plot(share, result.arrays["accuracy_kept"].values, label=f"{network}, largest kept", **style)
        left.plot(
            share,
            result.arrays["accuracy_random"].values,
            label=f"{network}, kept at random",
            color="0.55",
            linestyle=style["linestyle"],
        )
        left.plot(
            result.metrics["weights_needed"],
            np.interp(result.metrics["weights_needed"], share[::-1], result.arrays["accuracy_kept"].values[::-1]),
            marker="o",
            markersize=5,
            color=style["color"],
        )
        if "modularity" in result.arrays:
            right.plot(share, result.arrays["modularity"].values[-1], **style)
    chance = max(result.metrics["accuracy.chance"] for result in results.values())
    left.axhline(chance, color="0.35", linewidth=0.8, dashes=(1, 2), label=f"commonest class {chance:.2f}")
    left.set_ylabel("test accuracy")
    right.set_ylabel("modularity\nof the logits' weights")
    for axis in (left, right):
        axis.set_xscale("symlog", linthresh=0.001, linscale=0.4)
        axis.set_xlim(1, 0)
        axis.set_xticks([1, 0.1, 0.01, 0.001, 0], ["1", "0.1", "0.01", "0.001", "0"])
        axis.set_xticks([], minor=True)
        axis.set_xlabel("share of the weights kept")
        axis.set_ylim(-0.02, 1.03)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def dictionaries(results: Mapping[str, tmi.ProbeResult], measure: str = "mcc") -> Figure:
    """Draw how well units and dictionary codes match the exact features.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``dictionary``, by network or layer: a row each.
    measure : {"mcc", "uniqueness", "f1"}
    """
    import matplotlib.pyplot as plt

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
                color = {"units": TRAINED, "random": "0.6", "supervised": "0.3"}.get(code, CONSTRUCTED)
                axis.barh(place, value, height=0.7, color=color)
                for suffix, mark, tone in ((".chance", "|", "black"), (".oracle", "D", PALETTE[2])):
                    level = result.metrics.get(f"{measure}.{kind}.{code}{suffix}")
                    if level is not None:
                        size = 9 if mark == "|" else 4
                        axis.plot(level, place, mark, color=tone, markersize=size, markeredgewidth=1.4, clip_on=False, zorder=3)
            if f"{measure}.{kind}.units" not in result.metrics:
                axis.text(0.5, 0.5, "not defined", transform=axis.transAxes, ha="center", va="center", color="0.45")
            axis.set_yticks(range(len(codes)), [CODES[code] for code in codes])
            axis.set_xlim(0, 1)
            axis.set_xticks([0, 0.5, 1])
            if row == len(results) - 1:
                axis.set_xlabel(label)
        axes[row, 0].set_ylabel(name)
    axes[0, 0].invert_yaxis()  # shared by all
    axes[0, 0].plot([], [], "|", color="black", markersize=9, markeredgewidth=1.4, label="chance: samples shuffled")
    axes[0, 0].plot([], [], "D", color=PALETTE[2], markersize=4, label="the most so many codes can score")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _styles(results: Mapping[str, tmi.ProbeResult]) -> dict[str, dict[str, str]]:
    """Constructed networks in one colour, all others in the other; told apart by the kind of line."""
    groups: dict[str, int] = {}
    styles = {}
    for name in results:
        color = CONSTRUCTED if name.startswith("constructed") else TRAINED
        styles[name] = {"color": color, "linestyle": _STYLES[groups.get(color, 0) % len(_STYLES)]}
        groups[color] = groups.get(color, 0) + 1
    return styles
