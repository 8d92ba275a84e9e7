"""What computing cells costs, from the seconds that the store has recorded: for a dry run, and for the rest of a run."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tmi.hashing import canonical
from tmi.runtime.formatting import format_count, format_duration, format_size
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
    """One thing that a cell needs: its data set, its network or its own result. Cells that share it have the same ``name``."""

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
        Cells with a part that has no recorded cost; that part is not in ``seconds`` and ``size``.
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
        if self.unknown == self.cells:
            return "how long it takes is not known, for the store has no cost of such cells"
        have = f"{self.unknown} of {format_count(self.cells, 'cell')} {'has' if self.unknown == 1 else 'have'} no recorded cost"
        if 2 * self.unknown > self.cells:  # what is known is too little to stand for the rest
            return f"how long it takes is not known, for {have}"
        time = f"about {format_duration(self.seconds)}" if self.seconds >= 0.05 else "less than 0.1 s"
        known = f"{time}{f' on {self.workers} workers' if self.workers > 1 else ''}, {format_size(self.size)}"
        return f"{known}, or more: {have}" if self.unknown else known


class Costs:
    """Mean recorded costs of each function: with the same settings where there are any, else with any settings.

    Parameters
    ----------
    recorded : iterable of Cost
        As `tmi.store.index.Index.costs` returns them.
    """

    def __init__(self, recorded: Iterable[Cost] = ()) -> None:
        self._same_settings: dict[tuple[str, str, str], Expected] = {}
        sums: dict[tuple[str, str], tuple[float, float, int]] = {}
        for cost in recorded:
            if _is_cost(cost.seconds) and _is_cost(cost.size):
                self._same_settings[cost.kind, cost.name, cost.params] = Expected(cost.seconds, cost.size)
                seconds, size, count = sums.get((cost.kind, cost.name), (0.0, 0.0, 0))
                added = seconds + cost.seconds * cost.count, size + cost.size * cost.count, count + cost.count
                sums[cost.kind, cost.name] = added
        self._any_settings = {name: Expected(seconds / count, size / count) for name, (seconds, size, count) in sums.items()}
        self._known: dict[
            int, tuple[Choice, Expected | None]
        ] = {}  # by identity; the choice is kept, so that its id stays its own

    def of(self, choice: Choice) -> Expected | None:
        """Return what making a choice is expected to take, or None where nothing is recorded of its function."""
        if id(choice) not in self._known:
            self._known[id(choice)] = choice, self._look_up(choice)
        return self._known[id(choice)][1]

    def _look_up(self, choice: Choice) -> Expected | None:
        function = choice.kind, choice.component.name
        try:
            same = self._same_settings.get((*function, canonical(choice.params)))
        except (TypeError, ValueError):  # settings that are no JSON; such a result is not kept
            same = None
        return same or self._any_settings.get(function)

    def estimate(self, todo: Sequence[Planned], have: Collection[str] = (), workers: int = 1) -> Estimate:
        """Estimate what computing cells takes.

        Parameters
        ----------
        todo : sequence of Planned
        have : collection of str
            Keys of the data sets and networks that the store has.
        workers : int
            Processes that compute at once.

        Returns
        -------
        Estimate
            The sum over all cells, with each missing data set and network once, divided by the workers, but not less than
            the longest time that one cell takes together with the data set and the network it waits for.
        """
        counted: set[Hashable] = set()
        seconds = size = longest = 0.0
        unknown = 0
        for planned in todo:
            chain, is_known = 0.0, True
            for piece in _pieces(planned):
                if piece.name in have:
                    continue
                expected = self.of(piece.choice)
                if expected is None:
                    is_known = False
                    continue
                chain += expected.seconds
                if piece.name not in counted:
                    counted.add(piece.name)
                    seconds += expected.seconds
                    size += expected.size if piece.kept else 0.0
            unknown += not is_known
            longest = max(longest, chain)
        workers = max(workers, 1)
        return Estimate(len(todo), unknown, max(seconds / workers, longest), size, workers)


@dataclass
class _Function:
    """The work that is left for one function, and what it took so far in this run."""

    stage: str
    recorded_left: float = 0.0
    unrecorded_left: int = 0
    spent: float = 0.0
    count: int = 0


class TimeLeft:
    """How long a run still takes: recorded seconds, times the pace of this run.

    Where nothing is recorded of a function, its mean in this run counts, else the mean of its stage.

    Parameters
    ----------
    costs : Costs
    todo : sequence of Planned
    workers : int or None
        Processes that compute at once; None to tell them from the work that is done in the time that passes.
    have : collection of str
        Keys of the data sets and networks that the store has.
    """

    def __init__(self, costs: Costs, todo: Sequence[Planned], workers: int | None = 1, have: Collection[str] = ()) -> None:
        self._workers = workers
        self._start = time.monotonic()
        self._functions: dict[tuple[str, str], _Function] = {}
        self._pieces: dict[Hashable, tuple[_Function, float | None]] = {}
        self._cells = Counter(_name(planned) for planned in todo)
        self._cells_left = len(todo)
        self._recorded = self._spent_on_recorded = 0.0
        self._recorded_cells = 0
        for planned in todo:
            for piece in _pieces(planned):
                if piece.name in self._pieces or piece.name in have:
                    continue
                stage, name = piece.choice.kind, piece.choice.component.name
                function = self._functions.setdefault((stage, name), _Function(stage))
                expected = costs.of(piece.choice)
                self._pieces[piece.name] = function, None if expected is None else expected.seconds
                if expected is None:
                    function.unrecorded_left += 1
                else:
                    function.recorded_left += expected.seconds

    def update(self, planned: Planned, seconds: Mapping[str, float]) -> None:
        """Take in a cell that is done or has failed.

        Parameters
        ----------
        planned : Planned
            A cell of the run; any other, or one that was taken in before, changes nothing.
        seconds : mapping of str to float
            Time that was spent on each stage; 0 where nothing was computed.
        """
        name = _name(planned)
        if not self._cells[name]:
            return
        self._cells[name] -= 1
        self._cells_left -= 1
        recorded = self._recorded
        for piece in _pieces(planned):
            function, expected = self._pieces.pop(piece.name, (None, None))
            if function is not None:
                self._finish(function, expected, seconds.get(piece.choice.kind, 0.0))
        self._recorded_cells += self._recorded > recorded

    def _finish(self, function: _Function, expected: float | None, spent: float) -> None:
        if expected is None:
            function.unrecorded_left -= 1
        else:
            function.recorded_left -= expected
        if not _is_cost(spent) or spent == 0:  # made by another process, or failed before it took any time
            return
        function.spent += spent
        function.count += 1
        if expected is not None:
            self._recorded += expected
            self._spent_on_recorded += spent

    def _pace(self) -> float:
        """Seconds of this run for a recorded second; the record counts as one cell more, so that the first changes little."""
        if self._recorded <= 0:
            return 1.0
        mean = self._recorded / self._recorded_cells
        return (self._spent_on_recorded + mean) / (self._recorded + mean)

    def seconds(self) -> float | None:
        """Return the seconds until the last cell is done, or None while nothing is known to estimate them by."""
        if not self._cells_left:
            return 0.0
        means: dict[str, float] = {}
        for stage in Stage:
            finished = [function for function in self._functions.values() if function.stage == stage and function.count]
            if finished:
                means[stage] = sum(f.spent for f in finished) / sum(f.count for f in finished)
        work, pace = 0.0, self._pace()
        for function in self._functions.values():
            if function.unrecorded_left and function.stage == Stage.PROBE and Stage.PROBE not in means:
                return None
            mean = function.spent / function.count if function.count else means.get(function.stage, 0.0)
            work += max(0.0, pace * function.recorded_left + mean * function.unrecorded_left)
        spent = sum(function.spent for function in self._functions.values())
        at_once = self._workers or max(1.0, spent / max(time.monotonic() - self._start, 1e-9))
        return work / min(at_once, self._cells_left)


def _pieces(planned: Planned) -> Iterator[Piece]:
    cell = planned.cell
    yield Piece(planned.dataset_id, cell.dataset, planned.dataset_key is not None)
    yield Piece(planned.network_id, cell.network, planned.network_key is not None)
    yield Piece(_name(planned), cell.probe, planned.key is not None)


def _name(planned: Planned) -> Hashable:
    return planned.key or (planned.network_id, str(planned.cell))


def _is_cost(number: float) -> bool:
    return math.isfinite(number) and number >= 0
