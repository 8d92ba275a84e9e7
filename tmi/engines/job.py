"""The types that engines share: a job, its result, and the options of a run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tmi.runtime.signals import Stop
from tmi.stages import Stage
from tmi.store.results import Stored
from tmi.store.store import Store
from tmi.suites.plan import Planned

from .running import Running

if TYPE_CHECKING:
    from tmi.probing.result import ProbeResult

Keep = Literal["all", "networks", "results"]
"""What is written to the store: results with their networks and data sets, with their networks, or alone."""


@dataclass
class JobResult:
    """The result of a job.

    Attributes
    ----------
    planned : Planned
    stage : {"dataset", "network", "probe"}
        The stage of the job; "probe" for a cell.
    stored : Stored or None
        The metrics and provenance of the cell's result; None if the job failed, or made a data set or a network.
    result : ProbeResult or None
        The cell's whole result, where it could not be written to the store.
    message : str
        Why the job failed, in one line; empty if it did not.
    failed : {"", "dataset", "network", "probe"}
        The stage that failed.
    traceback : str
    mistake : bool
        Whether a data set or network failed because of its settings or its data, and not by a fault of its code.
    fatal : bool
        Whether the store failed, so that no other job can be finished either.
    busy : bool
        Whether another process holds the job; it is to be given out again later.
    seconds : float
        Wall time of the job.
    remarks : list of str
        Sentences for the user, shown as warnings.
    only_in_memory : bool
        For a network: whether the store cannot give it to another process, which would have to train it again.
    unkept : dict of str to str
        Why the product is not kept: by component or path, a sentence that the user is told once.
    ended : list of int
        The process ids of the workers that the job ended.
    separate : list of str
        Keys of networks that could not be trained together with others, and are to be trained alone.
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
    only_in_memory: bool = False
    remarks: list[str] = field(default_factory=list)
    unkept: dict[str, str] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)
    separate: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Job:
    """A cell, and the stage of it that is to be done: its data set, its network or its probe.

    Attributes
    ----------
    planned : Planned
    stage : {"dataset", "network", "probe"}
    others : tuple of Planned
        For a network: cells whose networks may be trained in the same call (`tmi.together`), one for each. Which of them are is
        decided where the job is done; the store then has them.
    """

    planned: Planned
    stage: Stage
    others: tuple[Planned, ...] = ()


@dataclass
class Options:
    """The options of a run.

    Attributes
    ----------
    store : Store
    run : str
        A name that no other run has.
    threads : int or None
        Of each process, for torch and the libraries below NumPy; None leaves the number to them, or, with several workers,
        divides the cores among the workers.
    timeout : float or None
        Seconds that a data set, a network or a probe may take.
    attempts : int
        How often a job is begun that ends its worker process.
    keep : {"all", "networks", "results"}
        What is written to the store besides the results: networks and data sets, networks, or neither.
    stop : Stop
        Read between two jobs: once it is set, no job is begun.
    running : Running
        What is being computed; an engine notes it.
    """

    store: Store
    run: str
    threads: int | None = None
    timeout: float | None = None
    attempts: int = 2
    keep: Keep = "all"
    stop: Stop = field(default_factory=Stop)
    running: Running = field(default_factory=Running)


Engine = Callable[[Sequence[Planned], Options], Generator[JobResult, None, None]]
"""From cells and options to the result of each cell, in the order in which they finish."""
