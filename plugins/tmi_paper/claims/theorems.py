"""Claims of sections 4 and 5: both theorems, Proposition 1, and what the neurons of their networks mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .claim import FIRES, Claim, described, epsilon_of

if TYPE_CHECKING:
    import tmi

DATASETS = {
    "squares": "squares of section 6.1",
    "fashion": "Fashion-MNIST tiles of section 6.2, one a class",
    "fashion-many": "Fashion-MNIST tiles, 3 and 10 a class",
    "cutouts": "cats and dogs as in Figure 1",
    "figure-1": "cats and dogs at 96×96 pixels",
    "small-cutouts": "cats and dogs of at most 5×5 pixels",
    "spectrum": "a spectrum of rotated tiles",
}
THEOREMS = {"theorem1": "Theorem 1", "theorem2": "Theorem 2"}
ROUNDING = 1e-9
"""Largest difference in float64 that counts as rounding; logits are between 0 and about 10."""


def theorem_claims(results: tmi.Results) -> Iterator[Claim]:
    """Yield the claims about constructed networks."""
    yield from _zero_error(results)
    yield from _formulas(results)
    yield from _neurons(results)


def _zero_error(results: tmi.Results) -> Iterator[Claim]:
    for network, theorem in THEOREMS.items():
        for dataset, what in DATASETS.items():
            chosen = {
                how: results.select(dataset=dataset, network=label, probe=probe)
                for how, label, probe in (
                    ("computed by matching", network, "accuracy"),
                    ("as layers", f"{network}-layers", "accuracy"),
                    ("as layers, 20 images", f"{network}-layers", "accuracy-as-layers"),
                )
            }
            accuracy = {
                how: part.values("accuracy")
                for how, part in chosen.items()
                if part.values("accuracy") and part.values("offlabel_logit_max")
            }
            off = {how: chosen[how].values("offlabel_logit_max") for how in accuracy}
            if accuracy:
                yield Claim(
                    f"{theorem}, {dataset}",
                    theorem,
                    f"The network has zero error, and every other logit is zero ({what})",
                    "accuracy 1 and every other logit exactly 0, on each test set",
                    "; ".join(
                        f"{how}: accuracy {described(accuracy[how], 'test sets')}, largest other logit {max(off[how]):g}"
                        for how in accuracy
                    ),
                    all(min(values) == 1 for values in accuracy.values()) and all(max(values) == 0 for values in off.values()),
                )


def _formulas(results: tmi.Results) -> Iterator[Claim]:
    errors = results.select(probe="reference-error")
    phi, labels = errors.values("phi_error"), errors.values("labels_error")
    if phi and labels:
        layered = sum(entry.network.endswith("-layers") for entry in errors if entry.metrics)
        yield Claim(
            "Proposition 1",
            "Prop. 1, Lemma 5.1",
            "The logits are φ, which is above 0 exactly where the image contains a tile of the class",
            f"largest |logit − φ| in float64 at most {ROUNDING:g}, and no wrong label, in every network and data set",
            f"{max(phi):.2g} over {len(phi)} networks, {layered} of them as layers; share of wrong labels {max(labels):g}",
            max(phi) <= ROUNDING and max(labels) == 0,
        )
    for name, lemma, what in (
        ("theorem1", "Lemma 5.2", "a convolution and two linear layers compute φ_T"),
        ("theorem2", "Lemma 5.3", "the levels compute the distances D_t of ever larger patches"),
    ):
        values = results.select(network=f"{name}-layers", probe="reference-error").values(f"reference_error.{name}")
        if values:
            yield Claim(
                lemma,
                lemma,
                f"The layers compute the proof's formulas: {what}",
                f"largest difference from dense matrices written line by line from the proof at most {ROUNDING:g}",
                f"{max(values):.2g} over {len(values)} networks, on the squares and tiles of at most 5×5 pixels (three levels)",
                max(values) <= ROUNDING,
            )


def _neurons(results: tmi.Results) -> Iterator[Claim]:
    for dataset, what, why in (
        ("fashion", "Fashion-MNIST tiles", ""),
        ("squares", "squares", ": a window next to the square, with two of its pixels, can match too"),
    ):
        chosen = results.select(dataset=dataset, network="theorem1", probe="activation-sparsity")
        active, size = chosen.values("active_per_image.hidden"), chosen.values("neurons.hidden")
        if active and size:
            yield Claim(
                f"5.2 sparse, {dataset}",
                "5.2",
                f"Only the hidden neuron of the rectangle with the feature is active ({what}{epsilon_of(chosen)})",
                "exactly one active hidden neuron on every test image",
                f"{described(active, 'test sets')}, of {min(size):,.0f}{why}",
                min(active) == max(active) == 1,
            )
    firing = results.select(dataset="fashion", network="theorem1", probe="selectivity").values("monosemantic.hidden")
    if firing:
        yield Claim(
            "6.2 monosemantic",
            "6.2, 7",
            "Neurons of the constructed network are monosemantic: a single feature activates each",
            f"each live hidden neuron fires for one class, in every seed ({FIRES})",
            f"share of neurons that fire for one class {described(firing)}",
            min(firing) == 1,
        )
