"""Claims of section 7 about the limits of templates: deformed tiles, and continuous spectra of shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .claim import Claim, at_one_tile, described, epsilon_of, ratios, values_by_seed, with_interval

if TYPE_CHECKING:
    import tmi


def template_claims(results: tmi.Results) -> Iterator[Claim]:
    """Yield the claims about templates and about other tasks than the paper's."""
    yield from _templates(results)
    yield from _spectrum(results)
    yield from _trained(results)


def _templates(results: tmi.Results) -> Iterator[Claim]:
    """What templates do not cover."""
    built, trained = (at_one_tile(results, network, "deformation") for network in ("theorem1", "trained"))
    covered, epsilon = built.values("tolerated.occlusion"), epsilon_of(built)
    if covered:
        yield Claim(
            "7 occlusion",
            "7",
            f"Template matching as in Definition 3.4 handles images of which a portion is occluded (constructed "
            f"network{epsilon})",
            "at least 9 of 10 images stay right with a tenth of the tile occluded, in every seed",
            f"largest share of the tile that may be occluded {described(covered)}; ε is not given, and (19) is another algorithm",
            min(covered) >= 0.1,
            of_paper=False,
        )
    for kind, what in (("rotation", "rotated"), ("scale", "distorted (enlarged)"), ("texture", "of another texture")):
        ours, theirs = built.values(f"accuracy_under.{kind}"), trained.values(f"accuracy_under.{kind}")
        if ours and theirs:
            yield Claim(
                f"7 deformation, {kind}",
                "7",
                f"Template matching does not cover images whose tile is {what}",
                "the constructed network is right on fewer than half of the images, in every seed",
                f"mean accuracy over strengths: constructed {described(ours)}, trained {described(theirs)}",
                max(ours) < 0.5,
            )


def _spectrum(results: tmi.Results) -> Iterator[Claim]:
    """How many templates a spectrum of shapes needs, and what a trained network makes of it."""
    built, trained = (at_one_tile(results, network, "spectrum") for network in ("theorem1", "trained"))
    kinds = [metric.partition(".")[2] for metric in _names(built) if metric.startswith("templates.")]
    found = [ratios(*(values_by_seed(built, f"{name}.{kind}") for name in ("templates", "length"))) for kind in kinds]
    over_length = [ratio for of_kind in found for ratio in of_kind]
    if over_length:
        growth = [value for kind in kinds for value in built.values(f"growth.{kind}")]
        needed = "; ".join(f"{kind} {np.mean(built.values(f'templates.{kind}')):.3g}" for kind in kinds)
        yield Claim(
            "7 spectrum, templates",
            "7",
            "A spectrum of shapes needs about as many templates as its L1 length over 2ε",
            "templates over L1 length / 2ε between 0.8 and 1.25, for every kind and seed",
            f"ratio {min(over_length):.3g} to {max(over_length):.3g}; templates a tile at the largest extent: {needed}"
            + (f"; they grow as the extent to the power {min(growth):.2g} to {max(growth):.2g}" if growth else ""),
            min(over_length) >= 0.8 and max(over_length) <= 1.25,
            of_paper=False,
        )
    tolerated = {
        kind: (values_by_seed(built, f"tolerated.{kind}"), values_by_seed(trained, f"tolerated.{kind}")) for kind in kinds
    }
    pairs = [(ours[seed], theirs[seed]) for ours, theirs in tolerated.values() for seed in ours if seed in theirs]
    if pairs:
        yield Claim(
            "7 spectrum, trained",
            "7",
            "A network trained on single tiles covers more of their spectrum than the templates do",
            "it stays right (9 of 10 images) up to a larger extent than the constructed network, for every kind and seed",
            "; ".join(
                f"{kind}: trained {np.mean(list(theirs.values())):.3g}, constructed {np.mean(list(ours.values())):.2g}"
                for kind, (ours, theirs) in tolerated.items()
                if ours and theirs
            ),
            all(theirs > ours for ours, theirs in pairs),
            of_paper=False,
        )
    rotated = results.select(dataset="spectrum", network="theorem1", probe="spectrum-rotation")
    covering = [entry for entry in rotated if entry.metrics]
    if covering:
        extents = [float(entry.record.get("data", {}).get("extent", np.inf)) for entry in covering]
        reached = [entry.metrics.get("tolerated.rotation", 0.0) for entry in covering]
        counts = [_templates_of(entry.record) for entry in covering]
        yield Claim(
            "7 spectrum, covered",
            "7",
            "With enough templates the constructed network covers a continuous spectrum (rotation)",
            "right on the members up to the extent of the spectrum, in every seed",
            f"right up to ±{min(reached):g} degrees, extent ±{max(extents):g}; templates in ten classes: {described(counts)}",
            all(a >= b for a, b in zip(reached, extents, strict=True)),
            of_paper=False,
        )


def _trained(results: tmi.Results) -> Iterator[Claim]:
    """What training reaches on the data sets of this project."""
    for dataset, what in (("cutouts", "cats and dogs"), ("spectrum", "a spectrum of rotated tiles")):
        values = results.select(dataset=dataset, network="trained", probe="accuracy").values("accuracy")
        if values:
            yield Claim(
                f"7 trained, {dataset}",
                "7",
                f"The network of section 6.2 achieves near-perfect accuracy on other template tasks ({what})",
                "accuracy above 0.99 in every seed",
                with_interval(values, share=True),
                min(values) > 0.99,
                of_paper=False,
            )


def _templates_of(record: Mapping[str, Any]) -> float:
    """Return how many templates a data set ``spectrum`` has, from the record of a result."""
    return float(sum(len(members) for members in record.get("data", {}).get("templates", {}).values()))


def _names(results: tmi.Results) -> list[str]:
    return list(dict.fromkeys(metric for entry in results for metric in entry.metrics))
