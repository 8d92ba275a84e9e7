"""What each probe of a suite can do with each of its networks, found on a few images and without the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from tmi.suites.suite import Cell, Suite
from tmi.testing.outcomes import Outcome, attempt
from tmi.testing.toys import few

SECONDS = 60.0
"""How long a data set or a network may take; see `tmi.testing.trial` for a probe."""


def preflight(suite: Suite) -> Iterator[tuple[tuple[str, str], list[Outcome]]]:
    """Try the probes of a suite on a few images of each class, with the suite's settings.

    Of each data set, network and probe the first is taken that the suite has: the first seed, and the first value of each sweep.

    Parameters
    ----------
    suite : Suite

    Yields
    ------
    (dataset, network) : tuple of str
        Their labels in the suite.
    outcomes : list of Outcome
        One a probe, by its label. Where the data set or the network cannot be made, all have the reason.
    """
    cells_of: dict[str, dict[str, dict[str, Cell]]] = {}
    for cell in suite.cells:
        networks = cells_of.setdefault(cell.dataset.label, {})
        networks.setdefault(cell.network.label, {}).setdefault(cell.probe.label, cell)
    registry = suite.registry
    for dataset, networks in cells_of.items():
        first = next(cell for cells in networks.values() for cell in cells.values())
        choice = first.dataset
        generated = attempt(
            f"data set {dataset}", partial(registry.generate, choice.component, seed=first.seed, **choice.params), SECONDS
        )
        for network, cells in networks.items():
            made = generated
            if generated[1] is not None:
                data, choice = few(generated[1]), next(iter(cells.values())).network
                made = attempt(
                    f"network {network}",
                    partial(registry.build, choice.component, data, seed=first.seed, **choice.params),
                    SECONDS,
                )
            if made[1] is None:
                reason = f"{made[0].name}: {made[0].reason}"
                yield (dataset, network), [replace(made[0], name=probe, reason=reason) for probe in cells]
                continue
            yield (
                (dataset, network),
                [
                    attempt(
                        probe,
                        partial(registry.probe, cell.probe.component, made[1], data, seed=first.seed, **cell.probe.params),
                    )[0]
                    for probe, cell in cells.items()
                ],
            )
