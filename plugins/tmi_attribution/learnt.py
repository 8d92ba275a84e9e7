"""Which training runs learnt their task. The others are left out: where nothing was learnt, a map has nothing to explain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import tmi

from .labels import NETWORKS

if TYPE_CHECKING:
    from tmi.runs.results import Entry

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
        Runs without a result of the registered probe ``accuracy`` are kept.

    Returns
    -------
    results : Results
    seeds : dict of str to list of int
        By the network's display name; networks that all learnt are missing.
    """
    runs = {
        _run(results, entry): entry
        for entry in results
        if entry.registered_probe == "accuracy" and "accuracy" in entry.metrics and not has_learnt(entry.metrics)
    }
    seeds: dict[str, list[int]] = {}
    datasets = {entry.dataset for entry in results if entry.registered_probe == "accuracy"}
    for entry in sorted(runs.values(), key=lambda entry: (entry.dataset, entry.network, entry.seed)):
        settings = [f"{name}={entry.swept[name]}" for name in _of_networks(results) if entry.swept.get(name) is not None]
        name = NETWORKS.get(entry.network, entry.network) + (f" ({', '.join(settings)})" if settings else "")
        name += f" on {entry.dataset}" if len(datasets) > 1 else ""
        seeds.setdefault(name, []).append(entry.seed)
    return results.with_entries(entry for entry in results if _run(results, entry) not in runs), seeds


def _of_networks(results: tmi.Results) -> list[str]:
    """Return the swept settings of networks."""
    return [name for name, kind in results.columns.items() if kind == "network"]


def _run(results: tmi.Results, entry: Entry) -> tuple[object, ...]:
    """Return what is equal for all results on one trained network."""
    settings = (repr(entry.swept.get(name)) for name, kind in results.columns.items() if kind != "probe")
    return entry.dataset, entry.network, entry.seed, *settings
