"""Claims of section 7 about sparsity: pruning, lottery tickets, and the zeros of the constructed networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tmi import statistics

from .claim import Claim, at_one_tile, described, swept_values, values_by_seed

if TYPE_CHECKING:
    import tmi

_TASKS = {"squares": "squares, 16 filters", "tickets": "section 6.2, k = 1"}

WITHOUT_DROP = 0.01
"""Largest loss of accuracy that counts as none."""


def sparsity_claims(results: tmi.Results) -> Iterator[Claim]:
    """Yield the claims about sparsity."""
    yield from _pruning(results)
    yield from _tickets(results)
    yield from _structure(results)


def _pruning(results: tmi.Results) -> Iterator[Claim]:
    needed = at_one_tile(results, "trained", "prunability").values("weights_needed")
    if needed:
        yield Claim(
            "7 pruning",
            "7",
            "Trained networks can be sparsified without a drop in accuracy (magnitude, without training again)",
            "half of the weights keep 99 % of the accuracy, in every seed",
            f"least share of the weights that does {described(needed)}",
            max(needed) <= 0.5,
        )


def _tickets(results: tmi.Results) -> Iterator[Claim]:
    """Pruning with rewinding, on each data set for which tickets were trained."""
    for dataset, network in dict.fromkeys((entry.dataset, entry.network) for entry in results if entry.swept.get("kept")):
        whole = _whole(results, dataset)
        lines, holds = [], False
        for kept in sorted(swept_values(results, "kept"), reverse=True):
            rewound, random = (
                values_by_seed(
                    results.select(dataset=dataset, network=network, probe="accuracy", kept=kept, reset=reset), "accuracy"
                )
                for reset in ("rewind", "random")
            )
            lost, gained = _differences(whole, rewound), _differences(rewound, random)
            if len(lost) < 2:
                continue
            end = statistics.over_seeds(lost).high
            holds |= kept <= 0.5 and end <= WITHOUT_DROP
            lines.append(
                f"{kept:.0%} of the weights: loss {described(lost)}, interval of its mean up to {end:.2g}; gain of initial over "
                f"new random values {described(gained)}"
            )
        what = _TASKS.get(dataset, dataset)
        if lines:
            yield Claim(
                f"7 ticket, {dataset}",
                "7",
                f"A sparse network, rewound to its initial weights, trains without a drop in accuracy ({what})",
                f"with at most half of the weights the 95 % interval of the mean loss ends at {WITHOUT_DROP:g} or below",
                "; ".join(lines),
                holds,
            )


def _differences(first: dict[int, float], second: dict[int, float]) -> list[float]:
    """Return first − second for each seed that both have."""
    return [first[seed] - second[seed] for seed in first if seed in second]


def _whole(results: tmi.Results, dataset: str) -> dict[int, float]:
    """Return the accuracy by seed of the network that tickets of a data set were pruned from."""
    network, swept = ("trained-squares", {"filters": 16, "batch_size": 10}) if dataset == "squares" else ("trained", {})
    chosen = results.select(dataset=dataset, network=network, probe="accuracy")
    same = [entry for entry in chosen if entry.swept.items() >= swept.items() and entry.swept.get("tiles_per_class") in (None, 1)]
    return values_by_seed(same, "accuracy")


def _structure(results: tmi.Results) -> Iterator[Claim]:
    """The zeros of the constructed networks."""
    first, second = (at_one_tile(results, network, "weight-sparsity") for network in ("theorem1-layers", "theorem2-layers"))
    binary, zero = first.values("binary_share.logits"), first.values("zero_share.logits")
    if binary:
        yield Claim(
            "7 binary",
            "7",
            "The fully connected layer of Theorem 1 has weights 0 or 1",
            "every weight of the output layer is 0 or 1, in every seed",
            f"share of weights 0 or 1: {described(binary)}; share 0: {described(zero)}",
            min(binary) == 1,
        )
    for layer, what in (("conv", "convolutional filter"), ("hidden", "hidden neuron")):
        unique, reached = first.values(f"one_logit_share.{layer}"), first.values(f"logits_reached.{layer}")
        if unique:
            yield Claim(
                f"7 unique, {layer}",
                "7",
                f"In Theorem 1 each {what} is connected to a unique logit with non-zero weight",
                "paths of non-zero weights lead to exactly one logit from each, in every seed",
                f"share with one logit: {described(unique)}; logits reached on average: {described(reached)}",
                min(unique) == 1,
                of_paper=layer == "conv",
            )
    named = {metric.partition(".")[2] for entry in second for metric in entry.metrics if metric.startswith("zero_block_share.")}
    levels = sorted(name for name in named if name.startswith("level"))
    right = results.select(dataset="fashion", network="theorem2-layers", probe="accuracy-as-layers").values("accuracy")
    # Level 1 reads the values of single pixels, and more of them.
    above = [values for level in levels if level != "level1" and (values := second.values(f"inputs_per_output.{level}"))]
    if above and right:
        blocks = {level: second.values(f"zero_block_share.{level}") for level in levels}
        yield Claim(
            "7 blocks",
            "7",
            "Theorem 2 gives convolutions with a block sparsity pattern, with the guarantee of zero error",
            "above level 1 an output channel reads at most four input channels on average, and the network is always right",
            "; ".join(f"{level}: {np.mean(blocks[level]):.1%} of the blocks are 0" for level in levels)
            + f"; input channels of an output {', '.join(f'{np.mean(values):.3g}' for values in above)}; accuracy "
            + described(right),
            max(map(max, above)) <= 4 and min(right) == 1,
        )
