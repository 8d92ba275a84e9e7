"""Claims of section 7: limits of templates, units that are responsible, sparsity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .claim import Claim, at_one_tile, described, swept_values, with_interval

if TYPE_CHECKING:
    import tmi

WITHOUT_DROP = 0.01
"""Largest loss of accuracy that counts as none."""


def discussion_claims(results: tmi.Results) -> Iterator[Claim]:
    """Yield the claims of section 7."""
    yield from _decomposition(results)
    yield from _templates(results)
    yield from _responsible(results)
    yield from _pruning(results)
    yield from _tickets(results)
    yield from _structure(results)


def _templates(results: tmi.Results) -> Iterator[Claim]:
    """What templates do not cover."""
    built, trained = (at_one_tile(results, network, "deformation") for network in ("theorem1", "trained"))
    covered = built.values("tolerated.occlusion")
    if covered:
        yield Claim(
            "7 occlusion",
            "7",
            "Template matching can handle images of which a portion is occluded (here: the constructed network, ε = 5)",
            "at least 9 of 10 images stay right with a tenth of the tile occluded, in every seed",
            f"largest share of the tile that may be occluded {described(covered)}",
            min(covered) >= 0.1,
        )
    for kind, what in (("rotation", "rotated"), ("scale", "distorted (enlarged)"), ("texture", "of another texture")):
        ours, theirs = built.values(f"accuracy_under.{kind}"), trained.values(f"accuracy_under.{kind}")
        if ours and theirs and len(ours) == len(theirs):
            yield Claim(
                f"7 deformation, {kind}",
                "7",
                f"Template matching does not cover images whose tile is {what}",
                "the constructed network is right less often than the trained one, in every seed",
                f"mean accuracy over strengths: constructed {described(ours)}, trained {described(theirs)}",
                all(a < b for a, b in zip(ours, theirs, strict=True)),
            )


def _responsible(results: tmi.Results) -> Iterator[Claim]:
    yield from ()


def _decomposition(results: tmi.Results) -> Iterator[Claim]:
    yield from ()


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
        for kept in swept_values(results, "kept"):
            by_reset = {
                reset: {
                    entry.seed: entry.metrics["accuracy"]
                    for entry in results.select(dataset=dataset, network=network, probe="accuracy", kept=kept, reset=reset)
                    if "accuracy" in entry.metrics
                }
                for reset in ("rewind", "random")
            }
            seeds = [seed for seed in by_reset["rewind"] if seed in by_reset["random"] and seed in whole]
            if len(seeds) < 2:
                continue
            lost = [whole[seed] - by_reset["rewind"][seed] for seed in seeds]
            gained = [by_reset["rewind"][seed] - by_reset["random"][seed] for seed in seeds]
            yield Claim(
                f"7 ticket, {dataset}, {kept:g}",
                "7",
                f"A network with {kept:.0%} of the weights, rewound to their initial values, trains as well ({dataset})",
                f"mean loss of accuracy against the whole network at most {WITHOUT_DROP:g}",
                f"loss {with_interval(lost)}; gain over new random values of the same connections {with_interval(gained)}",
                float(np.mean(lost)) <= WITHOUT_DROP,
            )


def _whole(results: tmi.Results, dataset: str) -> dict[int, float]:
    """Return the accuracy by seed of the network that tickets of a data set were pruned from."""
    network, swept = ("trained-squares", {"filters": 16, "batch_size": 10}) if dataset == "squares" else ("trained", {})
    chosen = [
        entry for entry in results.select(dataset=dataset, network=network, probe="accuracy") if "accuracy" in entry.metrics
    ]
    same = [entry for entry in chosen if entry.swept.items() >= swept.items() and entry.swept.get("tiles_per_class") in (None, 1)]
    return {entry.seed: entry.metrics["accuracy"] for entry in same}


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
            f"share that is 0 or 1 {described(binary)}; share that is 0 {described(zero)}",
            min(binary) == 1,
        )
    for layer, what in (("conv", "convolutional filter"), ("hidden", "hidden neuron")):
        unique, reached = first.values(f"one_logit_share.{layer}"), first.values(f"logits_reached.{layer}")
        if unique:
            said = "as the paper says" if layer == "conv" else "as is true"
            yield Claim(
                f"7 unique, {layer}",
                "7",
                f"In Theorem 1 each {what} is connected to a unique logit with non-zero weight ({said})",
                "paths of non-zero weights lead to exactly one logit from each, in every seed",
                f"share with one logit {described(unique)}; logits reached on average {described(reached)}",
                min(unique) == 1,
            )
    named = {metric.partition(".")[2] for entry in second for metric in entry.metrics if metric.startswith("zero_block_share.")}
    levels = sorted(name for name in named if name.startswith("level"))
    if levels:
        blocks = {level: second.values(f"zero_block_share.{level}") for level in levels}
        weights = {level: second.values(f"weights_per_output.{level}") for level in levels}
        yield Claim(
            "7 blocks",
            "7",
            "Theorem 2 gives convolutions with a block sparsity pattern, with the guarantee of zero error",
            "at least nine of ten blocks (pairs of channels) of each level are 0, and the accuracy is 1, in every seed",
            "; ".join(
                f"{level}: {np.mean(blocks[level]):.1%} of the blocks are 0, {np.mean(weights[level]):.3g} weights a patch"
                for level in levels
            ),
            min(min(values) for values in blocks.values()) >= 0.9 and min(_accuracies(results)) == 1,
        )


def _accuracies(results: tmi.Results) -> list[float]:
    return results.select(dataset="fashion", network="theorem2", probe="accuracy").values("accuracy") or [0.0]
