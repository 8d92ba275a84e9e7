"""Claims of sections 6.2 and 7 about units: logits decomposed into them, and those that are responsible for a feature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .claim import Claim, at_one_tile, described, ratios, values_by_seed

if TYPE_CHECKING:
    import tmi


def unit_claims(results: tmi.Results) -> Iterator[Claim]:
    """Yield the claims about units; the paper asks for these measurements and does not make them."""
    yield from _decomposition(results)
    yield from _responsible(results)


def _decomposition(results: tmi.Results) -> Iterator[Claim]:
    trained, built = (at_one_tile(results, network, "logit-decomposition") for network in ("trained", "theorem1"))
    errors = [
        value
        for chosen in (trained, built)
        for part in ("units", "pixels")
        for value in chosen.values(f"reconstruction_error.{part}")
    ]
    if errors:
        yield Claim(
            "7 decomposition, sum",
            "6.2, 7",
            "The output logits are the sums of the terms of their units, and of their pixels",
            "the terms add up to the logits within 1e-4 of the largest, in every seed",
            f"largest error {max(errors):.2g}",
            max(errors) <= 1e-4,
            of_paper=False,
        )
    units = trained.values("units_90")
    if units:
        yield Claim(
            "7 decomposition, units",
            "6.2, 7",
            "Few units make the label's margin (trained)",
            "fewer than 1 % of the 15,552 units make 90 % of it, in every seed",
            f"trained {described(units)}, constructed {described(built.values('units_90'))}",
            max(units) < 155,
            of_paper=False,
        )
    averaging, independent = trained.values("averaging"), trained.values("averaging.chance")
    if averaging and independent:
        yield Claim(
            "7 decomposition, backgrounds",
            "6.2, 7",
            "Why trained logits are robust to backgrounds: the terms of units that see the background alone cancel in part",
            "the standard deviation of their sum is at most a quarter of the sum of their standard deviations, in every seed",
            f"{described(averaging)}; independent terms {described(independent)}",
            max(averaging) <= 0.25,
            of_paper=False,
        )
    shares = ratios(values_by_seed(trained, "variance_sees_tile.places"), values_by_seed(trained, "variance.places"))
    if shares:
        yield Claim(
            "7 decomposition, places",
            "6.2, 7",
            "Why trained logits vary over places: their variance comes from the units that see the tile",
            "the terms of these units have between 0.8 and 1.25 of the variance over places, in every seed",
            f"share of the variance {described(shares)}",
            min(shares) >= 0.8 and max(shares) <= 1.25,
            of_paper=False,
        )


def _responsible(results: tmi.Results) -> Iterator[Claim]:
    for unit, probe, most, what in (
        ("neurons", "feature-neurons", 0.05, "fewer than 5 % of the neurons that its images activate"),
        ("filters", "feature-filters", 0.34, "at most a third of the filters"),
    ):
        sets = at_one_tile(results, "trained", probe)
        share, kept, chance = sets.values("size_share"), sets.values("held_out"), sets.values("random_keeps")
        if share and kept:
            yield Claim(
                f"7 responsible, {unit}",
                "7",
                f"A small subset of {unit} recognises a feature, wherever its tile is (trained, layer conv)",
                f"for a feature {what} keep 90 % of new images of it right while all others are at their mean, in every seed",
                f"size {described(sets.values('size'))}, share {described(share)}; of new images the sets keep "
                f"{described(kept)}; random sets of that size keep {described(chance)}",
                max(share) <= most and min(kept) >= 0.9,
                of_paper=False,
            )
    built = at_one_tile(results, "theorem1", "feature-neurons")
    found, wrong = built.values("tpr"), built.values("fpr")
    if found and wrong:
        yield Claim(
            "7 responsible, constructed",
            "7",
            "In the constructed network the search finds the neurons of the feature, and no others",
            "all of the known neurons that its images activate, and none of the others, in every seed",
            f"true positives {described(found)}; false positives {described(wrong)}",
            min(found) == 1 and max(wrong) == 0,
            of_paper=False,
        )
