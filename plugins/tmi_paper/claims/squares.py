"""Claims of section 6.1: the black and white squares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..unit_measures import change, written
from .claim import Claim, described, estimated, in_every, swept_values, with_interval

if TYPE_CHECKING:
    import tmi
    from tmi.runs.results import Entry

DEAD = 0.01
"""Active neurons an image below which a run counts as dead: its filters respond to fewer than one image in a hundred."""

STATEMENTS = {
    "high_above_1": "Over four values with a mean of at least 0.7 the neuron is typically above 1",
    "low_is_0": "Over four values with a mean of at most 0.4 the neuron is typically 0",
    "active_means_first": "A layer mean above 0.5 typically gives a positive first logit",
    "quiet_means_second": "A layer mean below 0.3 typically gives a negative first logit",
    "black_gives_positive": "An image with the black square usually gives a positive first logit",
    "white_gives_negative": "An image with the white square usually gives a negative first logit",
    "white_is_0": "Each neuron is 0 if its patch resembles a white square (with these weights it is, for t < 1.25)",
}
"""The statements of section 6.1 about the printed network, by their metric of probe ``squares-heuristics``."""

OFTEN = {"typically": 0.9, "usually": 0.75}
"""Share of the cases from which on a statement with this word counts as holding. The paper gives no numbers: these are ours."""


def squares_claims(results: tmi.Results) -> Iterator[Claim]:
    """Yield the claims of section 6.1."""
    yield from _printed(results)
    yield from _trained(results)
    yield from _improved(results)
    yield from _not_sparse(results)


def _printed(results: tmi.Results) -> Iterator[Claim]:
    accuracy = results.select(dataset="squares", network="printed", probe="accuracy").values("accuracy")
    if accuracy:
        yield Claim(
            "6.1 printed accuracy",
            "6.1",
            "The network with the printed weights reaches 95 %",
            "mean accuracy over test sets of 1,000 images within 0.01 of 0.95",
            with_interval(accuracy, "test sets", share=True),
            abs(float(np.mean(accuracy)) - 0.95) <= 0.01,
        )
    chosen = results.select(dataset="squares", network="printed", probe="squares-heuristics")
    for metric, text in STATEMENTS.items():
        shares, bases = chosen.values(metric), chosen.values(f"{metric}.chance")
        if shares:
            mean, base = float(np.mean(shares)), float(np.mean(bases))
            least = next((share for word, share in OFTEN.items() if word in text), 1.0)
            yield Claim(
                f"6.1 {metric}",
                "6.1",
                f"{text} (printed weights)",
                f"in at least {least:.0%} of the cases, and more often than in all cases (base rate)",
                f"share of cases {described(shares, 'test sets')}; base rate {base:.3f}",
                mean >= least and mean > base,
            )


def _trained(results: tmi.Results) -> Iterator[Claim]:
    for filters in swept_values(results, "filters"):
        for batch_size in swept_values(results, "batch_size"):
            runs = trained_runs(results, filters, batch_size)
            if not runs:
                continue
            dead = [entry for entry in runs if is_dead(results, entry)]
            live = [entry.metrics["accuracy"] for entry in runs if entry not in dead]
            what = f"{filters} filter{'s' if filters > 1 else ''}, batch size {batch_size}"
            died = f"; {len(dead)} of {len(runs)} runs are dead and left out" if dead else f"; none of {len(runs)} runs is dead"
            if filters == 1:
                yield Claim(
                    f"6.1 trained, {what}",
                    "6.1",
                    f"Training reaches 95 % with one filter ({what}; the batch size is not given)",
                    "mean over the seeds that are not dead at least 0.945",
                    f"accuracy {with_interval(live, share=True)}{died}",
                    bool(live) and float(np.mean(live)) >= 0.945,
                )
                yield Claim(
                    f"6.1 dead, {what}",
                    "6.1",
                    f"Training works in every seed: no run dies ({what})",
                    "no dead run: the filter responds to at least one test image in a hundred, in every seed",
                    f"{len(dead)} of {len(runs)} runs are dead",
                    not dead,
                    of_paper=False,
                )
            else:
                yield Claim(
                    f"6.1 more filters, {what}",
                    "6.1",
                    f"More filters reach over 99 % ({what})",
                    "the 95 % interval of the mean over seeds lies above 0.99",
                    f"accuracy {with_interval(live, share=True)}; above 0.99 in {in_every(live, [a > 0.99 for a in live])}{died}",
                    bool(live) and _above(live, 0.99),
                )


def _improved(results: tmi.Results) -> Iterator[Claim]:
    """Whether more filters are better than one that is not dead, on the same seeds: those in which neither run is dead."""
    filters = swept_values(results, "filters")
    if 1 not in filters or filters[-1] == 1:
        return
    for batch_size in swept_values(results, "batch_size"):
        runs = [trained_runs(results, number, batch_size) for number in (1, filters[-1])]
        one, most = ({run.seed: run.metrics["accuracy"] for run in some if not is_dead(results, run)} for some in runs)
        found = change(one, most)
        if found:
            died = [f"{len(some) - len(live)} of {len(some)}" for some, live in zip(runs, (one, most), strict=True)]
            yield Claim(
                f"6.1 improved by filters, batch size {batch_size}",
                "6.1",
                f"Accuracy is improved by increasing the number of filters (batch size {batch_size})",
                "the 95 % interval of the difference of the means of runs that are not dead, paired by seed, lies above 0",
                f"one filter {described([*one.values()])}, {filters[-1]} filters {described([*most.values()])}; difference "
                f"{written(found)}, {found.units} seeds. Dead runs: {died[0]} and {died[1]}",
                found.direction == "higher",
            )


def _not_sparse(results: tmi.Results) -> Iterator[Claim]:
    trained = results.select(dataset="squares", network="printed", probe="activation-sparsity").values("zero_share.logits")
    built = results.select(dataset="squares", network="theorem1", probe="activation-sparsity").values("zero_share.logits")
    if trained and built:
        yield Claim(
            "6.1 logits not sparse",
            "6.1",
            "The output logits are not sparse, whereas in Theorem 1 the logit of every other class is 0",
            "no logit of the printed network is 0 on a test image, and half of the constructed network's two logits are",
            f"share of logits that are 0: printed {described(trained, 'test sets')}, Theorem 1 {described(built, 'test sets')}",
            # A real logit is never exactly 0: the half about Theorem 1 is what can fail.
            max(trained) == 0 and min(built) == max(built) == 0.5,
        )


def trained_runs(results: tmi.Results, filters: int, batch_size: int) -> list[Entry]:
    """Return the accuracies of the trained networks of one size and batch size, one entry a seed.

    Runs whose activity was not measured are left out: they may be dead.
    """
    chosen = results.select(dataset="squares", network="trained-squares", probe="accuracy", filters=filters)
    known = [entry for entry in chosen if "accuracy" in entry.metrics and entry.swept.get("batch_size") == batch_size]
    return [entry for entry in known if _active(results, entry) is not None]


def is_dead(results: tmi.Results, run: Entry) -> bool:
    """Whether the filters of a run respond to almost no test image; see `DEAD`. No where that was not measured."""
    active = _active(results, run)
    return active is not None and active < DEAD


def _active(results: tmi.Results, run: Entry) -> float | None:
    """Return the active neurons an image of a run's convolution, or None where they were not measured."""
    for entry in results.select(dataset=run.dataset, network=run.network, probe="activation-sparsity", seed=run.seed):
        if entry.swept == run.swept:
            return entry.metrics.get("active_per_image.conv")
    return None


def _above(values: Sequence[float], limit: float) -> bool:
    """Whether the interval of the mean lies above a limit; one value has none, equal values are compared themselves."""
    found = estimated(values)
    return found is not None and found.low > limit
