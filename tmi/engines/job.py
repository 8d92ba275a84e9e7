"""What is given to an engine and what comes back: jobs, their results, and the options of a run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tmi.runtime.signals import Stop
from tmi.stages import Stage
from tmi.store.results import Stored
from tmi.store.store import Store
from tmi.suites.plan import Planned

if TYPE_CHECKING:
    from tmi.probing.result import ProbeResult

Keep = Literal["all", "networks", "results"]
"""What is kept in the store: results with their networks and data sets, with their networks, or alone."""


@dataclass
class JobResult:
    """What became of a piece of work.

    Attributes
    ----------
    planned : Planned
    stage : {"dataset", "network", "probe"}
        How far it was to go; "probe" for a cell.
    stored : Stored or None
        The result's metrics and provenance; None if the work failed, or was not to go so far.
    result : ProbeResult or None
        The whole result, where it could not be kept in the store.
    message : str
        Why it failed, in one line; empty if it did not.
    failed : {"", "dataset", "network", "probe"}
        What failed.
    traceback : str
    mistake : bool
        Whether the data set or the network could not be made for what was asked for.
    fatal : bool
        Whether the store failed, so that going on is of no use.
    busy : bool
        Whether another run is at it, so that it is better left for later.
    seconds : float
        What this piece of work took.
    remarks : list of str
        What a person should be told.
    ended : list of int
        The numbers of the worker processes that this work ended.
    """

    planned: Planned
    stage: Stage = Stage.PROBE
    stored: Stored | None = None
    result: ProbeResult | None = None
    message: str = ""
    failed: str = ""
    traceback: str = ""
    mistake: bool = False
    fatal: bool = False
    busy: bool = False
    seconds: float = 0.0
    remarks: list[str] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Job:
    """A piece of work that is given out.

    Attributes
    ----------
    planned : Planned
    stage : {"dataset", "network", "probe"}
    """

    planned: Planned
    stage: Stage


@dataclass
class Options:
    """How a run wants its work done.

    Attributes
    ----------
    store : Store
    run : str
        A name that no other run has.
    threads : int or None
        That torch and the libraries below NumPy may take, in each process; None leaves it to them, or, with several workers,
        shares out the cores.
    timeout : float or None
        Seconds that a data set, a network or a probe may take.
    attempts : int
        How often work is begun that ends its worker process.
    keep : {"all", "networks", "results"}
        What is written to the store besides the results: networks and data sets, networks, or neither.
    stop : Stop
        Looked at between two cells: nothing new is begun once somebody asked to stop.
    """

    store: Store
    run: str
    threads: int | None = None
    timeout: float | None = None
    attempts: int = 2
    keep: Keep = "all"
    stop: Stop = field(default_factory=Stop)


Engine = Callable[[Sequence[Planned], Options], Generator[JobResult, None, None]]
"""Cells and orders to outcomes."""
