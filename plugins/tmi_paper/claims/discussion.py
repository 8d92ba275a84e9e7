"""Claims of section 7: limits of templates, units that are responsible, sparsity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .claim import Claim, at_one_tile, described, swept_values, with_interval

if TYPE_CHECKING:
    import tmi

_TICKETS = {"squares": "squares, 16 filters", "tickets": "section 6.2, k = 1"}

WITHOUT_DROP = 0.01
"""Largest loss of accuracy that counts as none."""


def discussion_claims(results: tmi.Results) -> Iterator[Claim]:
    """Yield the claims of section 7."""
    yield from _decomposition(results)
    yield from _templates(results)
    yield from _spectrum(results)
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


def _spectrum(results: tmi.Results) -> Iterator[Claim]:
    """How many templates a spectrum of shapes needs, and what a trained network makes of it."""
    built, trained = (at_one_tile(results, network, "spectrum") for network in ("theorem1", "trained"))
    kinds = [metric.partition(".")[2] for metric in _names(built) if metric.startswith("templates.")]
    if kinds:
        ratios = [a / b for k in kinds for a, b in zip(built.values(f"templates.{k}"), built.values(f"length.{k}"), strict=True)]
        growth = [value for kind in kinds for value in built.values(f"growth.{kind}")]
        needed = "; ".join(f"{kind} {np.mean(built.values(f'templates.{kind}')):.3g}" for kind in kinds)
        yield Claim(
            "7 spectrum, templates",
            "7",
            "(asked by the paper) A spectrum of shapes needs as many templates as its L1 length over 2ε: they grow in proportion "
            "to its extent, and without bound",
            "templates over L1 length / 2ε between 0.8 and 1.25, and growth exponent above 0.5, for every kind and seed",
            f"ratio {min(ratios):.3g} to {max(ratios):.3g}, exponent {min(growth):.2g} to {max(growth):.2g}; templates a tile at "
            f"the largest extent: {needed}",
            min(ratios) >= 0.8 and max(ratios) <= 1.25 and min(growth) > 0.5,
        )
    shared = [kind for kind in kinds if built.values(f"tolerated.{kind}") and trained.values(f"tolerated.{kind}")]
    if shared:
        pairs = [
            (a, b)
            for kind in shared
            for a, b in zip(built.values(f"tolerated.{kind}"), trained.values(f"tolerated.{kind}"), strict=False)
        ]
        yield Claim(
            "7 spectrum, trained",
            "7",
            "(asked by the paper) A network trained on single tiles covers more of their spectrum than the templates do",
            "it stays right (9 of 10 images) up to a larger extent than the constructed network, for every kind and seed",
            "; ".join(
                f"{kind}: trained {np.mean(trained.values(f'tolerated.{kind}')):.3g}, "
                f"constructed {np.mean(built.values(f'tolerated.{kind}')):.2g}"
                for kind in shared
            ),
            all(theirs > ours for ours, theirs in pairs),
        )
    covering = [
        entry for entry in results.select(dataset="spectrum", network="theorem1", probe="spectrum-rotation") if entry.metrics
    ]
    if covering:
        extents = [float(entry.record.get("data", {}).get("extent", np.inf)) for entry in covering]
        tolerated = [entry.metrics.get("tolerated.rotation", 0.0) for entry in covering]
        counts = [_templates_of(entry.record) for entry in covering]
        yield Claim(
            "7 spectrum, covered",
            "7",
            "(asked by the paper) With enough templates the constructed network covers a continuous spectrum (rotation)",
            "right on the members up to the extent of the spectrum, in every seed",
            f"right up to ±{min(tolerated):g} degrees, extent ±{max(extents):g}, with {described(counts)} templates in ten "
            "classes",
            all(a >= b for a, b in zip(tolerated, extents, strict=True)),
        )


def _templates_of(record: Mapping[str, Any]) -> float:
    """Return how many templates a data set ``spectrum`` has, from the record of a result."""
    return float(sum(len(members) for members in record.get("data", {}).get("templates", {}).values()))


def _names(results: tmi.Results) -> list[str]:
    return list(dict.fromkeys(metric for entry in results for metric in entry.metrics))


def _responsible(results: tmi.Results) -> Iterator[Claim]:
    """Units that are responsible for a feature."""
    trained, built = (at_one_tile(results, network, "feature-neurons") for network in ("trained", "theorem1"))
    share, chance = trained.values("size_share"), trained.values("random_keeps")
    if share and chance:
        yield Claim(
            "7 responsible",
            "7",
            "A subset of neurons is responsible for recognising a feature (trained, layer conv)",
            "for a feature fewer than 5 % of its active neurons keep 99 % of its images right, and as many random ones fewer "
            "than half, in every seed",
            f"share of the neurons {described(share)}; random sets of that size keep {described(chance)}; of new images the sets "
            f"keep {described(trained.values('held_out'))}",
            max(share) < 0.05 and max(chance) < 0.5,
        )
    overlap, base = trained.values("overlap"), trained.values("overlap.chance")
    if overlap and base:
        yield Claim(
            "7 responsible, shared",
            "7",
            "(not in the paper) Features share these neurons in trained networks",
            "the sets of two features overlap at least twice as much as random sets of their sizes, in every seed",
            f"Jaccard index {described(overlap)}; random sets {described(base)}; constructed network "
            f"{described(built.values('overlap'))}",
            all(a >= 2 * b for a, b in zip(overlap, base, strict=True)),
        )
    found, wrong = built.values("tpr"), built.values("fpr")
    if found and wrong:
        yield Claim(
            "7 responsible, constructed",
            "7",
            "(not in the paper) In the constructed network the search finds the neurons of the feature, and no others",
            "all of the known neurons that its images activate, and none of the others, in every seed",
            f"true positives {described(found)}; false positives {described(wrong)}",
            min(found) == 1 and max(wrong) == 0,
        )


def _decomposition(results: tmi.Results) -> Iterator[Claim]:
    """Logits decomposed into units, and why they are robust to backgrounds."""
    trained, built = (at_one_tile(results, network, "logit-decomposition") for network in ("trained", "theorem1"))
    errors = [
        value
        for chosen in (trained, built)
        for part in ("units", "pixels")
        for value in chosen.values(f"reconstruction_error.{part}")
    ]
    if errors and trained.values("units_90"):
        inside, outside = trained.values("inside"), trained.values("outside")
        yield Claim(
            "7 decomposition",
            "6.2, 7",
            "(asked by the paper) The output logits decompose into units that can be interpreted",
            "the terms of units and of pixels add up to the logits within 1e-4 of the largest, in every seed",
            f"largest error {max(errors):.2g}; units that make 90 % of the label's margin: trained "
            f"{described(trained.values('units_90'))}, constructed {described(built.values('units_90'))}; share of the margin "
            f"from units that see the tile alone {described(inside)}, the background alone {described(outside)}",
            max(errors) <= 1e-4,
        )
    averaging, independent = trained.values("averaging"), trained.values("averaging.chance")
    if averaging and independent:
        yield Claim(
            "7 decomposition, backgrounds",
            "6.2, 7",
            "(asked by the paper) Why trained logits are robust to backgrounds: the units that see the background alone average "
            "out",
            "the standard deviation of their sum is at most a quarter of the sum of their standard deviations, in every seed",
            f"{described(averaging)}, independent terms {described(independent)}",
            max(averaging) <= 0.25,
        )
    tile, whole = trained.values("variance_sees_tile.places"), trained.values("variance.places")
    if tile and whole:
        shares = [a / b for a, b in zip(tile, whole, strict=True)]
        yield Claim(
            "7 decomposition, places",
            "6.2, 7",
            "(asked by the paper) Why trained logits vary over places: the units that see the tile read it with other weights",
            "the terms of the units that see the tile have between 0.8 and 1.25 of the variance over places, in every seed",
            f"share of the variance {described(shares)}",
            min(shares) >= 0.8 and max(shares) <= 1.25,
        )


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
            what = _TICKETS.get(dataset, dataset)
            lost = [whole[seed] - by_reset["rewind"][seed] for seed in seeds]
            gained = [by_reset["rewind"][seed] - by_reset["random"][seed] for seed in seeds]
            yield Claim(
                f"7 ticket, {dataset}, {kept:g}",
                "7",
                f"A network with {kept:.0%} of the weights, rewound to their initial values, trains as well ({what})",
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
