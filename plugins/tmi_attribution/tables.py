"""Tables of the report and of the documentation: a head, and rows of numbers with their corrected intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi import statistics

from . import figures
from .comparisons import EDGES, PARTS, FreeMeasure, Trust, against, against_untrained, between_networks, signed_rankings
from .findings import cell, two_digits, verdict
from .labels import NETWORKS
from .leaderboard import MethodScores, networks_of, ranked

if TYPE_CHECKING:
    import tmi
    from tmi.statistics import Estimate

Table = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def skills(rows: Sequence[MethodScores]) -> Table:
    """Return the skill of each method on each network, with a mark where it is shown to differ from Sobel's."""
    networks = networks_of(rows)
    differences = {
        (row.network, row.method): difference
        for methods in networks.values()
        for row, difference in against(list(methods.values()), EDGES)
    }
    body = [
        (name, *(cell(methods.get(name), differences.get((network, name))) for network, methods in networks.items()))
        for name in ranked(rows)
    ]
    return ("method", *networks), body


def training(rows: Sequence[MethodScores]) -> Table:
    """Return the skill of each method on each trained network beside that before training."""
    body = [
        (row.network, row.method, cell(row), two_digits(float(np.nanmean(row.untrained))), *_difference(difference))
        for methods in networks_of(rows).values()
        for row, difference in against_untrained(list(methods.values()))
    ]
    return ("network", "method", "skill", "before training", "difference", "shown"), body


def architectures(rows: Sequence[MethodScores], method: str) -> Table:
    """Return the differences of a method's skill between trained networks."""
    body = [(first, second, *_difference(difference)) for first, second, difference in between_networks(rows, method)]
    return ("network", "other network", f"difference in the skill of {method}", "shown"), body


def signs(rows: Sequence[MethodScores]) -> Table:
    """Return the first methods by the skill of |a| and by that of max(a, 0), and τ between the rankings, a row a network."""
    body = []
    for network, agreement in signed_rankings(rows).items():
        methods = [row for row in networks_of(rows)[network].values() if not row.control and np.isfinite(row.positive).any()]
        named = []
        for part in PARTS:
            first = sorted(((float(np.nanmean(row.skills_of(part))), row.method) for row in methods), reverse=True)[:3]
            named.append(", ".join(f"{method} ({two_digits(skill)})" for skill, method in first))
        body.append((network, *named, figures.tau_text(agreement)))
    return ("network", "highest skill of |a|", "highest skill of max(a, 0)", "τ between the two rankings"), body


def trust(trusts: Sequence[Trust]) -> Table:
    """Return τ of each measure on each network, and the verdict, greatest mean τ first."""
    networks = list(dict.fromkeys(each.network for each in trusts))
    body = [
        (
            f"{measure.name.replace('_', '-')} {figures.ARROWS[measure.better]}",
            figures.PART_TEXTS[measure.part],
            *(figures.trust_text(of.get(network)) for network in networks),
            verdict(list(of.values())),
        )
        for measure, of in by_measure(trusts).items()
    ]
    return ("measure", "compared with the skill of", *networks, "so it ranks"), body


def defined(trusts: Sequence[Trust]) -> Table:
    """Return on how many images each measure is defined, in the same order."""
    networks = list(dict.fromkeys(each.network for each in trusts))
    body = [
        (measure.name.replace("_", "-"), *("{} of {}".format(*of[name].defined) if name in of else None for name in networks))
        for measure, of in by_measure(trusts).items()
    ]
    return ("measure", *networks), body


def randomisation(results: tmi.Results) -> Table:
    """Return how far each method's maps depend on the weights, beside how far they depend on the image: means over the seeds.

    Parameters
    ----------
    results : Results
        Those of probes labelled ``randomisation`` count, of methods with at least two seeds.

    Returns
    -------
    (tuple of str, list of tuple)
        The dependence on the weights is compared with that of the maps of other images (``dependence.chance``), paired by seed
        and corrected for the number of methods and networks.
    """
    metrics: dict[tuple[str, str], dict[int, Mapping[str, float]]] = {}
    for entry in results:
        if (
            entry.probe == "randomisation"
            and entry.status == "ok"
            and {"dependence", "dependence.chance"} <= entry.metrics.keys()
        ):
            metrics.setdefault((entry.network, entry.swept["method"]), {})[entry.seed] = entry.metrics
    metrics = {key: by_seed for key, by_seed in metrics.items() if len(by_seed) > 1}

    def of(name: str, key: tuple[str, str]) -> dict[int, float]:
        return {seed: found[name] for seed, found in metrics[key].items() if name in found}

    differences = [statistics.difference(of("dependence", key), of("dependence.chance", key)) for key in metrics]
    body = [
        (
            NETWORKS.get(key[0], key[0]),
            key[1],
            with_ends(statistics.over_seeds(of("dependence", key), low=0, high=2)),
            two_digits(float(np.mean(list(of("dependence.chance", key).values())))),
            difference.direction,
            with_ends(statistics.over_seeds(signed, low=0, high=2)) if len(signed := of("signed_dependence", key)) > 1 else None,
        )
        for key, difference in zip(metrics, statistics.corrected(differences), strict=True)
    ]
    return ("network", "method", "dependence of |a|", "of maps of other images", "beside them", "dependence of a, signed"), body


def by_measure(trusts: Sequence[Trust]) -> dict[FreeMeasure, dict[str, Trust]]:
    """Return the trust in each measure by network, greatest mean τ first."""
    found: dict[FreeMeasure, dict[str, Trust]] = {}
    for each in trusts:
        found.setdefault(each.measure, {})[each.network] = each

    def mean_tau(measure: FreeMeasure) -> float:
        taus = [each.agreement.value for each in found[measure].values() if each.agreement]
        return float(np.mean(taus)) if taus else -np.inf

    return {measure: found[measure] for measure in sorted(found, key=mean_tau, reverse=True)}


def with_ends(estimate: Estimate) -> str:
    """Return a value with the ends of its interval."""
    return f"{two_digits(estimate.value)} [{two_digits(estimate.low)}, {two_digits(estimate.high)}]"


def _difference(difference: Estimate) -> tuple[str, str]:
    """Return a difference with its interval, and whether it is shown, as two cells."""
    return f"{with_ends(difference)}, {difference.units} {difference.unit}", difference.direction
