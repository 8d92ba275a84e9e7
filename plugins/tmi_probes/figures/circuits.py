"""Circuits: how many neurons suffice for an answer, and how many weights are needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .common import line_styles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi


def responsible(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
    """Draw how many neurons suffice for the logit and for the prediction, and how many must be ablated to change it.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``responsible-neurons``, by network.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt

    panels = {
        "sufficient_logit": "keep the label's logit",
        "sufficient": "keep the prediction",
        "critical": "change it when ablated",
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(7.2, 2.5), sharey=True)
    most = max(max(1, *(int(result.arrays[name].values.max(initial=0)) for name in panels)) for result in results.values())
    styles = line_styles(origins)
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


def pruning(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
    """Draw accuracy, and the modularity of the logits' weights, against the share of weights kept.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``prunability``, by network. A network that is not pruned is a horizontal line: its accuracy and modularity.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2))
    styles = line_styles(origins)
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
