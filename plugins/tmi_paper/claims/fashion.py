"""Claims of section 6.2: networks trained on Fashion-MNIST tiles, and Figure 4."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .claim import FIRES, Claim, at_one_tile, described, in_every, ratios, swept_values, tiles_from, values_by_seed, with_interval

if TYPE_CHECKING:
    import tmi

LEAST_RATIO = 4
"""How much larger the variance over places must be: "quite small" against "much larger" is not given in numbers."""


def fashion_claims(results: tmi.Results) -> Iterator[Claim]:
    """Yield the claims of section 6.2."""
    yield from _accuracy(results)
    yield from _robust(results)
    yield from _figure_4(results)
    yield from _polysemantic(results)


def _accuracy(results: tmi.Results) -> Iterator[Claim]:
    tiles = tiles_from(results)
    for k in swept_values(results, "tiles_per_class"):
        chosen = results.select(network="trained", probe="accuracy", tiles_per_class=k)
        values = chosen.values("accuracy")
        if values:
            yield Claim(
                f"6.2 accuracy, k = {k}",
                "6.2",
                f"Trained networks consistently reach over 99 % (k is not given; here k = {k})",
                "accuracy above 0.99 in every seed",
                f"{with_interval(values, share=True)}; above 0.99 in {in_every(values, [v > 0.99 for v in values])} ({tiles})",
                min(values) > 0.99,
                of_paper=k == 1,  # "one of the 10 feature tiles" of ten classes fits k = 1
            )
    yield from _failing_seed(results)


def _failing_seed(results: tmi.Results) -> Iterator[Claim]:
    """Where a seed fails at k = 1: whether its errors are between the two most similar tiles."""
    entries = [
        entry
        for entry in at_one_tile(results, "trained", "confused-tiles")
        if "errors" in entry.metrics and "least_distance" in entry.metrics
    ]
    if len(entries) < 2:
        return
    worst = max(entries, key=lambda entry: entry.metrics["errors"])
    scores = values_by_seed(at_one_tile(results, "trained", "accuracy"), "accuracy")
    if scores.get(worst.seed, 0.0) > 0.99:
        return
    others = [entry.metrics["least_distance"] for entry in entries if entry is not worst]
    least, share = worst.metrics["least_distance"], worst.metrics.get("nearest_share", 0.0)
    yield Claim(
        "6.2 failing seed",
        "6.2",
        "The seed with most errors fails because two of its tiles are similar",
        "its two nearest tiles are nearer than in every other seed, and more than half of its errors confuse these two classes",
        f"seed {worst.seed}: {worst.metrics['errors']:.0f} errors, {share:.0%} of them between the two nearest tiles, "
        f"{least:.1f} apart; in the other seeds the nearest are {min(others):.1f} to {max(others):.1f} apart",
        least < min(others) and share > 0.5,
        of_paper=False,
    )


def _robust(results: tmi.Results) -> Iterator[Claim]:
    changes = (("background-robustness", "backgrounds"), ("translation-robustness", "places"))
    for probe, what in changes:
        values = at_one_tile(results, "trained", probe).values("correct")
        if values:
            yield Claim(
                f"6.2 robust to {what}",
                "6.2",
                f"The largest logit is the label's, whatever the {what} (trained, k = 1)",
                f"right on at least 99 % of the {what}, in every seed",
                f"share right {described(values)}",
                min(values) >= 0.99,
            )
    for probe, what in changes:
        values = at_one_tile(results, "theorem1", probe).values("logit_std")
        if values:
            yield Claim(
                f"6.2 unchanged, {what}",
                "6.2, Fig. 4",
                f"The constructed network's logits remain unchanged over {what} (k = 1)",
                "standard deviation of each logit exactly 0, in every seed",
                f"largest standard deviation {max(values):g} in {len(values)} seeds",
                max(values) == 0,
            )


def _figure_4(results: tmi.Results) -> Iterator[Claim]:
    chosen = at_one_tile(results, "trained", "variance-ratio")
    of_tiles, least = chosen.values("variance_ratio"), chosen.values("variance_ratio_min")
    if not of_tiles or not least:
        return
    variances = [chosen.values(name) for name in ("variance_background", "variance_translation")]
    stds = [float(np.sqrt(np.mean(values))) for values in variances]
    places, backgrounds = (
        values_by_seed(at_one_tile(results, "trained", probe), "logit_variance")
        for probe in ("translation-robustness", "background-robustness")
    )
    of_three = ratios(places, backgrounds)
    yield Claim(
        "6.2 variance",
        "6.2, Fig. 4",
        "The variance of trained logits is quite small over backgrounds and much larger over places (k = 1)",
        f"variance over places above {LEAST_RATIO} times that over backgrounds, in every tile of every seed",
        f"ratio over all tiles {with_interval(of_tiles)}; least of a tile {min(least):.3g}; standard deviation of a logit "
        f"{stds[0]:.2g} over backgrounds, {stds[1]:.3g} over places"
        + (f"; with the figure's three tiles and 100 places {described(of_three)}" if of_three else ""),
        min(least) > LEAST_RATIO,
    )


def _polysemantic(results: tmi.Results) -> Iterator[Claim]:
    """Whether trained neurons serve several features. To fire for several classes is not enough: untrained neurons do."""
    sets = at_one_tile(results, "trained", "feature-neurons")
    overlap, base = sets.values("overlap"), sets.values("overlap.chance")
    by_chance = values_by_seed(sets, "overlap.chance")
    pairs = [(value, by_chance[seed]) for seed, value in values_by_seed(sets, "overlap").items() if seed in by_chance]
    panel = at_one_tile(results, "trained", "selectivity")
    many, untrained = panel.values("classes_relative.conv"), panel.values("classes_relative.conv.untrained")
    if pairs:
        built = at_one_tile(results, "theorem1", "feature-neurons").values("overlap")
        yield Claim(
            "6.2 polysemantic",
            "6.2, 7",
            "Neurons of trained networks are polysemantic: they serve several unrelated features (layer conv, k = 1)",
            "the sets of neurons that recognise two tiles overlap at least twice as much as random sets, in every seed",
            f"Jaccard index {described(overlap)}; random sets {described(base)}; constructed network {described(built)}. "
            f"Classes that a neuron fires for: {described(many)}; before training {described(untrained)} ({FIRES})",
            all(a >= 2 * b for a, b in pairs),
        )
