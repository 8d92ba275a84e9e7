"""Engines: how the cells of a plan that are not in the store are computed.

An engine is a function from planned cells to outcomes, one each, in whatever order they are done. The serial one is here.
"""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DataFileError, InputError, PluginError, TmiError
from .plan import Planned
from .purity import State, first_change, state_of

if TYPE_CHECKING:
    from .dataset import Dataset
    from .network import Network
    from .result import ProbeResult


@dataclass
class Outcome:
    """What became of a cell.

    Attributes
    ----------
    planned : Planned
    result : ProbeResult or None
        None if it failed.
    message : str
        Why it failed, in one line.
    traceback : str
    mistake : bool
        Whether the data set or the network could not be made for what was asked for.
    seconds : dict of str to float
        Time spent on this cell's data set, network and probe; 0 for what was at hand already.
    warnings : list of str
        Warnings raised meanwhile.
    notes : dict
        The notes of the data set.
    """

    planned: Planned
    result: ProbeResult | None = None
    message: str = ""
    traceback: str = ""
    mistake: bool = False
    seconds: dict[str, float] = field(default_factory=lambda: {"dataset": 0.0, "network": 0.0, "probe": 0.0})
    warnings: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


def serial(plan: Sequence[Planned]) -> Iterator[Outcome]:
    """Compute cells one after another in this process.

    One data set and one network are held at a time; a suite's cells come in the order that makes this enough. A data set or
    network that cannot be made fails every cell that needs it, without being tried again.

    Parameters
    ----------
    plan : sequence of Planned

    Yields
    ------
    Outcome
        One for each cell, in order.
    """
    bench = _Bench()
    for planned in plan:
        yield bench.compute(planned)


class _Failed(Exception):
    """A data set or network that could not be made; its message and traceback serve every cell that needs it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(message_of(error))
        self.mistake = isinstance(error, InputError | DataFileError)
        self.traceback = "".join(traceback.format_exception(error))


class _Bench:
    """The data set and the network at hand."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Any, Any]] = {}

    def compute(self, planned: Planned) -> Outcome:
        outcome = Outcome(planned)
        cell = planned.cell
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                data: Dataset = self._hold("dataset", (id(cell.dataset), cell.seed), outcome, lambda: _generate(planned))
                network: Network = self._hold(
                    "network", (id(cell.dataset), id(cell.network), cell.seed), outcome, lambda: _build(planned, data)
                )
                start, before = time.perf_counter(), self._state(data, network)
                try:
                    result = _probe(planned, network, data)
                finally:
                    after = state_of(data, network)
                    changed = first_change(before, after)
                    if changed:
                        self._held.clear()  # the next cell gets them made anew
                    else:
                        self._held["state"] = (data, network), after
                outcome.seconds["probe"] = time.perf_counter() - start
                if changed:
                    raise PluginError(f"the probe changed {changed} in place, which other probes share; let it work on a copy")
                outcome.result = result
            outcome.notes = dict(data.notes)
        except _Failed as failed:
            outcome.message, outcome.traceback, outcome.mistake = str(failed), failed.traceback, failed.mistake
        except (Exception, SystemExit) as error:
            outcome.message, outcome.traceback = message_of(error), traceback.format_exc()
        outcome.warnings = list(dict.fromkeys(_text(w.message) for w in caught))
        return outcome

    def _state(self, data: Dataset, network: Network) -> State:
        """The state before a probe is the one after the probe before it."""
        of, state = self._held.get("state", ((None, None), None))
        return state if of[0] is data and of[1] is network else state_of(data, network)

    def _hold(self, kind: str, wanted: Any, outcome: Outcome, make: Callable[[], Any]) -> Any:
        if self._held.get(kind, (None, None))[0] != wanted:
            self._held.pop("state", None)
            self._held.pop(kind, None)  # let go of the old one before the new one is made
            start = time.perf_counter()
            try:
                made: Any = make()
            except (Exception, SystemExit) as error:
                made = _Failed(error)
            outcome.seconds[kind] = time.perf_counter() - start
            self._held[kind] = wanted, made
        value = self._held[kind][1]
        if isinstance(value, _Failed):
            raise value
        return value


def _generate(planned: Planned) -> Dataset:
    choice = planned.cell.dataset
    return planned.registry.generate(choice.component.name, seed=planned.cell.seed, **choice.params)


def _build(planned: Planned, data: Dataset) -> Network:
    choice = planned.cell.network
    return planned.registry.build(choice.component.name, data, seed=planned.cell.seed, **choice.params)


def _probe(planned: Planned, network: Network, data: Dataset) -> ProbeResult:
    choice = planned.cell.probe
    return planned.registry.probe(choice.component.name, network, data, seed=planned.cell.seed, **choice.params)


def message_of(error: BaseException) -> str:
    """Return what an exception says in one line; its type and the place where it was raised, unless it is one of tmi's."""
    text = _text(error)
    if isinstance(error, TmiError) and text:
        return text
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}".removesuffix(": ") + place


def _text(error: object) -> str:
    try:
        text = str(error)
    except Exception:  # a plug-in's exception may have no words
        text = "without a message"
    return " ".join(text.encode(errors="backslashreplace").decode().split())  # a file's name may not be UTF-8
