"""Which training runs learnt their task. The others are left out: where nothing was learnt, a map has nothing to explain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import tmi

from .labels import NETWORKS

if TYPE_CHECKING:
    Metrics = Mapping[str, float]

LEARNT = 0.5
"""A run learnt its task where its accuracy is above chance by more than this share of what is possible above chance."""


def has_learnt(metrics: Metrics) -> bool:
    """Return whether a run learnt its task, see `LEARNT`.

    Parameters
    ----------
    metrics : mapping of str to float
        Of probe ``accuracy``: ``accuracy``, and ``chance``, without which it is 0.
    """
    chance = metrics.get("chance", 0.0)
    return metrics["accuracy"] - chance > LEARNT * (1 - chance)


def learnt_runs(results: tmi.Results) -> tuple[tmi.Results, dict[str, list[int]]]:
    """Return the results without runs that did not learn their task, and the seeds of these runs.

    Parameters
    ----------
    results : Results
        Runs without a result of a probe ``accuracy`` are kept.

    Returns
    -------
    results : Results
    seeds : dict of str to list of int
        By the network's display name; networks that all learnt are missing.
    """
    failed = {
        (entry.dataset, entry.network, entry.seed)
        for entry in results
        if entry.probe == "accuracy" and "accuracy" in entry.metrics and not has_learnt(entry.metrics)
    }
    seeds: dict[str, list[int]] = {}
    for _, network, seed in sorted(failed):
        seeds.setdefault(NETWORKS.get(network, network), []).append(seed)
    kept = tmi.Results(
        [entry for entry in results if (entry.dataset, entry.network, entry.seed) not in failed],
        results.store,
        name=results.name,
        description=results.description,
        columns=results.columns,
        report=results.report,
        registry=results.registry,
    )
    return kept, seeds
