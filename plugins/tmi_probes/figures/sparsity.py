"""Sparse weights: which weights of a layer are 0, and how well networks do with few of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.runtime.plotting import PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    import tmi

RESETS = {
    "rewind": "rewound to their initial values",
    "iterative": "rewound, in several rounds",
    "random": "with new random values",
    "none": "trained on from their values",
    "pruned": "not trained again",
}
"""The curves of `tickets` and what becomes of the weights that are kept."""

_STYLES: dict[str, dict[str, Any]] = {
    "rewind": {"color": PALETTE[1], "marker": "o"},
    "iterative": {"color": PALETTE[3], "marker": "D", "linestyle": (0, (8, 2))},
    "random": {"color": PALETTE[0], "marker": "s", "linestyle": (0, (5, 1.5))},
    "none": {"color": PALETTE[2], "marker": "^", "linestyle": (0, (1, 1))},
    "pruned": {"color": "0.45", "marker": "x", "linestyle": (0, (5, 1, 1, 1))},
}


def tickets(
    results: Mapping[str, Mapping[str, Mapping[float, Sequence[tmi.ProbeResult]]]],
    whole: Mapping[str, Sequence[tmi.ProbeResult]],
    pruned: Mapping[str, Sequence[tmi.ProbeResult]] | None = None,
) -> Figure:
    """Draw accuracy against the share of weights kept: a panel for each data set, a line for the mean, a mark for each seed.

    Parameters
    ----------
    results : mapping of str to (mapping of str to (mapping of float to sequence of ProbeResult))
        By heading, by reset ("rewind", "random", "none"; "iterative" for rewinding in several rounds) and by share kept: of probe
        ``accuracy`` on networks of ``lottery-ticket``, one a seed.
    whole : mapping of str to sequence of ProbeResult
        By heading: of probe ``accuracy`` on the networks with all weights, one a seed.
    pruned : mapping of str to sequence of ProbeResult, optional
        By heading: of probe ``prunability`` on these networks.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(3.7 * len(results) + 0.4, 3.6), squeeze=False, sharey=True)
    for axis, (heading, by_reset) in zip(axes[0], results.items(), strict=True):
        curves = {
            reset: {share: [r.metrics["accuracy"] for r in seeds] for share, seeds in by_share.items()}
            for reset, by_share in by_reset.items()
        }
        least = min(min(by_share) for by_share in curves.values())
        for result in (pruned or {}).get(heading, ()):
            for share, value in zip(result.coords["share"], result.arrays["accuracy_kept"].values, strict=True):
                if least <= share < 1:
                    curves.setdefault("pruned", {}).setdefault(float(share), []).append(float(value))
        for place, (reset, by_share) in enumerate(curves.items()):
            shares = sorted(by_share, reverse=True)
            style = _STYLES[reset]
            axis.plot(shares, [np.mean(by_share[share]) for share in shares], label=RESETS[reset], markersize=4, **style)
            for share in shares:
                # Beside one another, for the seeds of all curves to be seen.
                at = share * 1.03 ** (place - (len(curves) - 1) / 2)
                axis.plot([at] * len(by_share[share]), by_share[share], **_of_seeds(style))
        accuracies = [result.metrics["accuracy"] for result in whole[heading]]
        axis.axhline(np.mean(accuracies), color="black", linewidth=0.9, label="all weights, mean over seeds")
        chance = np.mean([result.metrics["chance"] for result in whole[heading]])
        axis.axhline(chance, color="0.35", linewidth=0.8, dashes=(1, 2), label="commonest class")
        axis.set_title(heading)
        axis.set_xscale("log")
        axis.set_xlim(1, least * 0.8)
        ticks = [digit / 10**power for power in range(1, 5) for digit in (10, 5, 2) if digit / 10**power >= least]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_xticks([], minor=True)
        axis.set_xlabel("share of the weights kept")
        axis.set_ylim(0, 1.03)
    axes[0, 0].set_ylabel("test accuracy")
    entries = {label: handle for axis in axes[0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=2)
    return figure


def _of_seeds(style: Mapping[str, Any]) -> dict[str, Any]:
    return {"color": style["color"], "marker": style["marker"], "linestyle": "", "markersize": 2.5, "alpha": 0.5, "zorder": 1}


def zero_patterns(panels: Mapping[str, tuple[tmi.ProbeResult, str]]) -> Figure:
    """Draw where the weights of layers are not 0, as a picture of each weight matrix.

    Parameters
    ----------
    panels : mapping of str to (ProbeResult, str)
        By heading: of probe ``weight-sparsity``, and the layer.

    Notes
    -----
    A cell is a group of neighbouring outputs and inputs. The more of its weights are not 0, the darker it is; black is the
    largest share of the panel. The share of zeros in the title is that of the whole layer.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(panels), figsize=(2.35 * len(panels) + 0.3, 2.9), squeeze=False)
    for axis, (heading, (result, layer)) in zip(axes[0], panels.items(), strict=True):
        density = result.arrays[f"density.{layer}"].values
        # The square root, for a single weight of a large cell to be seen.
        picture = np.sqrt(density / (density.max() or 1))
        axis.imshow(picture, cmap="gray_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axis.set_title(f"{heading}\n{_percent(result.metrics[f'zero_share.{layer}'])} % zeros")
        axis.set_ylabel(f"{result.metrics[f'outputs.{layer}']:,.0f} outputs")
        axis.set_xlabel(f"{result.metrics[f'inputs.{layer}']:,.0f} inputs")
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_visible(True)
            spine.set_color("0.6")
    return figure


def _percent(share: float) -> str:
    """Return a share in per cent, with as many digits as tell it from 100."""
    digits = next((d for d in range(4) if round(100 * share, d) < 100), 3)
    return f"{100 * share:.{max(digits, 0)}f}"
