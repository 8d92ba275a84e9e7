"""What computing cells costs, by what the store has recorded: the estimate of a dry run, and the time that is left of a run."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tmi.hashing import canonical
from tmi.stages import Stage

if TYPE_CHECKING:
    from tmi.store.index import Cost
    from tmi.suites.plan import Planned
    from tmi.suites.suite import Choice


class Expected(NamedTuple):
    """What making one thing is expected to take: seconds, and bytes of its file."""

    seconds: float
    size: float


class Piece(NamedTuple):
    """One thing that a cell needs: its data set, its network, its own result. What cells share has one name."""

    name: Hashable
    choice: Choice
    kept: bool


@dataclass(frozen=True)
class Estimate:
    """What computing cells is expected to take.

    Attributes
    ----------
    cells : int
    unknown : int
        Cells of which something has no recorded cost; what is not known is not in ``seconds`` and ``size``.
    seconds : float
        Until the last cell is done.
    size : float
        Bytes that the store grows by.
    workers : int
    """

    cells: int
    unknown: int
    seconds: float
    size: float
    workers: int = 1

    def __str__(self) -> str:
        if not self.cells:
            return "nothing to compute"
        if self.unknown == self.cells and not self.seconds:
            return "no recorded cost to estimate the time by"
        from rich.filesize import decimal

        from tmi.runtime.formatting import spell

        on = f" on {self.workers} workers" if self.workers > 1 else ""
        known = f"about {spell(self.seconds)}{on}, {decimal(round(self.size))}"
        have = "has" if self.unknown == 1 else "have"
        return f"{known}; {self.unknown} of {self.cells} cells {have} no recorded cost" if self.unknown else known


class Costs:
    """Recorded costs.

    Parameters
    ----------
    recorded : iterable of Cost
        As `tmi.store.index.Index.costs` gives them.
    """

    def __init__(self, recorded: Iterable[Cost] = ()) -> None:
        self._exact: dict[tuple[str, str, str], Expected] = {}
        sums: dict[tuple[str, str], tuple[float, float, int]] = {}
        for cost in recorded:
            if not (_sensible(cost.seconds) and _sensible(cost.size)):
                continue
            self._exact[cost.kind, cost.name, cost.params] = Expected(cost.seconds, cost.size)
            seconds, size, count = sums.get((cost.kind, cost.name), (0.0, 0.0, 0))
            more = cost.seconds * cost.count, cost.size * cost.count, cost.count
            sums[cost.kind, cost.name] = seconds + more[0], size + more[1], count + more[2]
        self._any = {of: Expected(seconds / count, size / count) for of, (seconds, size, count) in sums.items()}
        self._known: dict[int, tuple[Choice, Expected | None]] = {}  # by identity; the choice is held, so that it stays the same

    def of(self, choice: Choice) -> Expected | None:
        """Return what a data set, network or probe with its settings is expected to take.

        Parameters
        ----------
        choice : Choice

        Returns
        -------
        Expected or None
            The mean of what was made with the same settings; else of what the same function made with any; else None.
        """
        if id(choice) not in self._known:
            self._known[id(choice)] = choice, self._look_up(choice)
        return self._known[id(choice)][1]

    def _look_up(self, choice: Choice) -> Expected | None:
        kind, name = choice.kind, choice.component.name
        try:
            exact = self._exact.get((kind, name, canonical(choice.params)))
        except (TypeError, ValueError):  # settings that are no JSON; such a result is not kept
            exact = None
        return exact or self._any.get((kind, name))

    def estimate(
        self, todo: Sequence[Planned], have_datasets: Collection[str] = (), have_networks: Collection[str] = (), workers: int = 1
    ) -> Estimate:
        """Estimate what computing cells takes.

        Parameters
        ----------
        todo : sequence of Planned
        have_datasets, have_networks : collection of str
            Keys of those that the store has.
        workers : int
            Processes that compute at once.

        Returns
        -------
        Estimate
            The sum over all cells, with each data set and network that is missing once, divided by the workers, but not
            less than the longest that one cell takes with the data set and the network it waits for.
        """
        have = {*have_datasets, *have_networks}
        seen: set[Hashable] = set()
        seconds = size = longest = 0.0
        unknown = 0
        for planned in todo:
            chain, known = 0.0, True
            for piece in _pieces(planned):
                if piece.name in have:
                    continue
                expected = self.of(piece.choice)
                if expected is None:
                    known = False
                    continue
                chain += expected.seconds
                if piece.name not in seen:
                    seen.add(piece.name)
                    seconds += expected.seconds
                    size += expected.size if piece.kept else 0.0
            unknown += not known
            longest = max(longest, chain)
        workers = max(workers, 1)
        return Estimate(len(todo), unknown, max(seconds / workers, longest), size, workers)

    def time_left(
        self,
        todo: Sequence[Planned],
        workers: int | None = 1,
        have_datasets: Collection[str] = (),
        have_networks: Collection[str] = (),
    ) -> TimeLeft:
        """Return a live estimate for a run of these cells; see `TimeLeft`, and `estimate` for the parameters."""
        return TimeLeft(self, todo, workers, have_datasets, have_networks)


@dataclass
class _Component:
    """What is left of one function's work, and what this run has seen of it."""

    kind: str
    expected_left: float = 0.0
    unknown_left: int = 0
    expected_done: float = 0.0
    expected_count: int = 0
    spent_on_expected: float = 0.0
    spent: float = 0.0
    count: int = 0

    def left(self, mean: float) -> float:
        """Seconds of work that are left; ``mean`` for each piece of which nothing is known."""
        pace = 1.0
        if self.expected_done > 0:
            # What is recorded counts as one piece more: the first that comes in does not turn everything over.
            one = self.expected_done / self.expected_count
            pace = (self.spent_on_expected + one) / (self.expected_done + one)
        if self.count:
            mean = self.spent / self.count
        return pace * self.expected_left + mean * self.unknown_left


class TimeLeft:
    """How long a run still takes: recorded costs, corrected by what the run itself took so far.

    Where nothing is recorded, a cell counts as the mean of those of the same probe that this run has computed, else of all of
    them; data sets and networks likewise.

    Parameters
    ----------
    costs : Costs
    todo : sequence of Planned
    workers : int or None
        Processes that compute at once; None for as many as seem to be at it, by what is done in which time.
    have_datasets, have_networks : collection of str
        Keys of those that the store has.
    """

    def __init__(
        self,
        costs: Costs,
        todo: Sequence[Planned],
        workers: int | None = 1,
        have_datasets: Collection[str] = (),
        have_networks: Collection[str] = (),
    ) -> None:
        self._workers = workers
        self._begun, self._spent = time.monotonic(), 0.0
        self._components: dict[tuple[str, str], _Component] = {}
        self._pieces: dict[Hashable, tuple[_Component, float | None]] = {}
        self._cells = Counter(_name(planned) for planned in todo)
        self._count = len(todo)
        have = {*have_datasets, *have_networks}
        for planned in todo:
            for piece in _pieces(planned):
                if piece.name in self._pieces or piece.name in have:
                    continue
                of = piece.choice.kind, piece.choice.component.name
                component = self._components.setdefault(of, _Component(piece.choice.kind))
                expected = costs.of(piece.choice)
                self._pieces[piece.name] = component, None if expected is None else expected.seconds
                if expected is None:
                    component.unknown_left += 1
                else:
                    component.expected_left += expected.seconds

    def update(self, planned: Planned, seconds: Mapping[str, float]) -> None:
        """Take in a cell that is done or has failed.

        Parameters
        ----------
        planned : Planned
            A cell of the run; one that is not awaited, or no longer, changes nothing.
        seconds : mapping of str to float
            Time spent on it for its ``dataset``, its ``network``, and anything else; 0 for what was at hand already.
        """
        name = _name(planned)
        if not self._cells[name]:
            return
        self._cells[name] -= 1
        self._count -= 1
        own = math.fsum(value for part, value in seconds.items() if part not in ("dataset", "network"))
        for piece in _pieces(planned):
            spent = own if piece.choice.kind == "probe" else seconds.get(piece.choice.kind, 0.0)
            component, expected = self._pieces.pop(piece.name, (None, None))
            if component is not None:
                self._finish(component, expected, spent)

    def _finish(self, component: _Component, expected: float | None, spent: float) -> None:
        if expected is None:
            component.unknown_left -= 1
        else:
            component.expected_left -= expected
        if not _sensible(spent) or spent == 0:  # made elsewhere, or failed before it took any time
            return
        self._spent += spent
        component.spent += spent
        component.count += 1
        if expected is not None:
            component.spent_on_expected += spent
            component.expected_done += expected
            component.expected_count += 1

    def seconds(self) -> float | None:
        """Return the time that is left until the last cell is done, in seconds; None while nothing is known to say it by."""
        if not self._count:
            return 0.0
        means: dict[str, float] = {}
        for kind in Stage:
            of = [component for component in self._components.values() if component.kind == kind]
            count = sum(component.count for component in of)
            if count:
                means[kind] = sum(component.spent for component in of) / count
        work = 0.0
        for component in self._components.values():
            if component.unknown_left and not component.count and component.kind == "probe" and "probe" not in means:
                return None
            work += max(0.0, component.left(means.get(component.kind, 0.0)))
        at_once = self._workers or max(1.0, self._spent / max(time.monotonic() - self._begun, 1e-9))
        return work / min(at_once, self._count)


def _pieces(planned: Planned) -> Iterator[Piece]:
    cell = planned.cell
    yield Piece(planned.dataset_id, cell.dataset, planned.dataset_key is not None)
    yield Piece(planned.network_id, cell.network, planned.network_key is not None)
    yield Piece(_name(planned), cell.probe, planned.key is not None)


def _name(planned: Planned) -> Hashable:
    return planned.key or (planned.network_id, str(planned.cell))


def _sensible(number: float) -> bool:
    return math.isfinite(number) and number >= 0
