"""The claims of section 6, each with what was measured, and a summary in plain words. Every number comes from the results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tmi


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and what was measured.

    Attributes
    ----------
    where : str
        Section of the paper.
    paper : str
        The claim.
    here : str
        What was measured.
    verdict : str
        Whether it holds, and for how many runs.
    """

    where: str
    paper: str
    here: str
    verdict: str


def spread(values: Sequence[float]) -> str:
    """Write mean ± standard deviation (an estimate, n − 1) [least, greatest]; equal values as one number."""
    if not values:
        return "–"
    if min(values) == max(values):
        return f"{values[0]:.4g}" + (f" in all {len(values)}" if len(values) > 1 else "")
    return f"{np.mean(values):.4g} ± {np.std(values, ddof=1):.2g} [{min(values):.4g}, {max(values):.4g}]"


def claims(results: tmi.Results) -> list[Claim]:
    """Return the claims about which there are results."""
    return [*_zero_error(results), *_squares(results), *_heuristics(results), *_fashion(results), *_inside(results)]


def _zero_error(results: tmi.Results) -> Iterator[Claim]:
    for dataset, where in (("squares", "5, 6.1"), ("fashion", "5, 6.2")):
        chosen = results.select(dataset=dataset, network="constructed", probe="accuracy")
        accuracy, off = chosen.values("accuracy"), chosen.values("offlabel_logit_max")
        if accuracy:
            exact = min(accuracy) == 1 and max(off) == 0
            yield Claim(
                where,
                f"The constructed network classifies without error ({dataset})",
                f"accuracy {spread(accuracy)}; greatest logit of a wrong class {spread(off)}",
                "yes, exactly" if exact else "no",
            )


def _squares(results: tmi.Results) -> Iterator[Claim]:
    for filters in swept_values(results, "filters"):
        values = results.select(dataset="squares", network="trained-squares", probe="accuracy", filters=filters).values(
            "accuracy"
        )
        if values:
            good = sum(value >= 0.9 for value in values)
            yield Claim(
                "6.1",
                f"A network with {filters} trained filter{'s' if filters > 1 else ''} solves the squares",
                f"accuracy {spread(values)}; {good} of {len(values)} runs reach 0.9",
                "yes" if good == len(values) else f"in {good} of {len(values)} runs",
            )


def _heuristics(results: tmi.Results) -> Iterator[Claim]:
    statements = (
        ("high_above_1", "A neuron over a patch of mean ≥ 0.7 exceeds 1"),
        ("low_is_0", "A neuron over a patch of mean ≤ 0.4 is 0"),
        ("active_means_first", "A layer mean above 0.5 gives a positive first logit"),
        ("quiet_means_second", "A layer mean below 0.3 gives a negative first logit"),
    )
    if 1 not in swept_values(results, "filters"):
        return
    chosen = results.select(dataset="squares", probe="squares-heuristics", filters=1)
    for metric, text in statements:
        values = chosen.values(metric)
        if values:
            always = sum(value == 1 for value in values)
            yield Claim(
                "6.1",
                f"{text} (one filter)",
                f"in {np.mean(values):.1%} of the cases, median over seeds {np.median(values):.1%}, range "
                f"{min(values):.1%} to {max(values):.1%}",
                f"always in {always} of {len(values)} runs",
            )


def _fashion(results: tmi.Results) -> Iterator[Claim]:
    for k in swept_values(results, "tiles_per_class"):
        chosen = results.select(dataset="fashion", network="trained-fashion", probe="accuracy", tiles_per_class=k)
        values = chosen.values("accuracy")
        if values:
            yield Claim(
                "6.2",
                f"A trained network reaches more than 99 % (k not given; here k = {k})",
                f"accuracy {spread(values)}",
                "yes" if np.mean(values) > 0.99 else "no",
            )


def _inside(results: tmi.Results) -> Iterator[Claim]:
    sparsity = results.select(dataset="fashion", network="constructed", probe="activation-sparsity")
    active = sparsity.values("active_per_image.hidden")
    if active:
        yield Claim(
            "6.2",
            "Neurons of the constructed network are monosemantic: one tile, one place",
            f"active hidden neurons an image: {spread(active)}",
            "yes, exactly" if min(active) == max(active) == 1 else "not in every image",
        )
    if 1 not in swept_values(results, "tiles_per_class"):
        return
    chosen = results.select(dataset="fashion", network="trained-fashion", probe="selectivity", tiles_per_class=1)
    mono, many = chosen.values("monosemantic.hidden"), chosen.values("classes_per_neuron.hidden")
    if many:
        yield Claim(
            "6.2",
            "Neurons of the trained network are polysemantic",
            f"classes a hidden neuron fires for: {spread(many)}; share of neurons that fire for one: {spread(mono)}",
            "yes" if np.mean(many) > 1 and np.mean(mono) < 0.5 else "not clearly",
        )
    for network, text in (
        ("constructed", "The constructed network's logits do not change with background and place"),
        ("trained-fashion", "The trained network's logits change with background and place"),
    ):
        stds = [
            results.select(dataset="fashion", network=network, probe=probe).values("logit_std")
            for probe in ("background-robustness", "translation-robustness")
        ]
        if all(stds):
            still = max(map(max, stds)) == 0
            moved = min(map(min, stds)) > 0
            yield Claim(
                "6.2, Fig. 4",
                text,
                f"standard deviation of a logit: backgrounds {spread(stds[0])}, places {spread(stds[1])}",
                ("yes, exactly" if still else "no") if network == "constructed" else ("yes" if moved else "not in all runs"),
            )


def plain_summary(results: tmi.Results) -> list[str]:
    """Summarise the results in plain words, for readers who do not know the paper."""
    texts = [
        "Two small worlds in which the right answer is known exactly: little images with a black or a white square, and larger "
        "ones with a piece of clothing, on noise. The same questions were put to two kinds of networks: one built by hand from "
        "the theorem, whose every neuron is known to stand for one picture at one place, and one that learnt from examples."
    ]
    built = results.select(network="constructed", probe="accuracy")
    if built.values("accuracy"):
        runs = len(built.values("accuracy"))
        wrong = sum(value < 1 for value in built.values("accuracy"))
        zero = max(built.values("offlabel_logit_max")) == 0
        texts.append(
            f"The network built by hand made {f'mistakes in {wrong} of {runs} runs' if wrong else f'no mistake in {runs} runs'}, "
            f"and gave wrong answers a score of {'exactly 0' if zero else 'more than 0'}."
        )
    texts += [text for text in (_trained_accuracy(results), _active_neurons(results)) if text]
    lost = len(results.failed) + len(results.missing)
    if lost:
        texts.append(f"{lost} of {len(results)} measurements are missing; they are listed below.")
    return texts


def _trained_accuracy(results: tmi.Results) -> str:
    parts = []
    for k in swept_values(results, "tiles_per_class"):
        chosen = results.select(dataset="fashion", network="trained-fashion", probe="accuracy", tiles_per_class=k)
        if chosen.values("accuracy"):
            parts.append(f"{np.mean(chosen.values('accuracy')):.2%} with {k} picture{'s' if k > 1 else ''} a class")
    text = f"On the clothing images the networks that learnt were right on {', '.join(parts)}. " if parts else ""
    if 1 in swept_values(results, "filters"):
        values = results.select(dataset="squares", network="trained-squares", probe="accuracy", filters=1).values("accuracy")
        stuck = sum(value < 0.6 for value in values)
        if values:
            text += f"On the squares, {stuck} of {len(values)} runs with a single filter learnt nothing"
            least = min((value for value in values if value >= 0.6), default=None)
            text += "." if least is None else f"; the others were right on at least {least:.1%} of the images."
    return text


def _active_neurons(results: tmi.Results) -> str:
    if 1 not in swept_values(results, "tiles_per_class"):
        return ""
    sparsity = {
        network: results.select(dataset="fashion", network=network, probe="activation-sparsity", tiles_per_class=1)
        for network in ("constructed", "trained-fashion")
    }
    active = {network: part.values("active_per_image.hidden") for network, part in sparsity.items()}
    size = {network: part.values("neurons.hidden") for network, part in sparsity.items()}
    moved = results.select(dataset="fashion", network="trained-fashion", probe="translation-robustness", tiles_per_class=1)
    still = results.select(dataset="fashion", network="constructed", probe="translation-robustness", tiles_per_class=1)
    if not all(active.values()) or not moved.values("logit_std") or not still.values("logit_std"):
        return ""
    return (
        f"Inside, the two have little in common. For an image the built network uses {np.mean(active['constructed']):.3g} of its "
        f"{size['constructed'][0]:,.0f} hidden neurons, the learnt one {np.mean(active['trained-fashion']):.3g} of "
        f"{size['trained-fashion'][0]:,.0f}. If the piece of clothing is moved, the built network's scores vary by "
        f"{np.mean(still.values('logit_std')):.3g}, the learnt one's by {np.mean(moved.values('logit_std')):.3g} "
        "(standard deviation)."
    )


def swept_values(results: tmi.Results, column: str) -> list[int]:
    """Return the values that a swept setting takes, sorted; none where it is not swept."""
    if column not in results.columns:
        return []
    return sorted({entry.swept[column] for entry in results if entry.swept.get(column) is not None})
