"""Engines: how the cells of a plan that are not in the store are computed.

An engine is a function ``(cells, orders) -> iterator of outcomes``, one outcome a cell, in whatever order they are done. `serial`
is here; `tmi.engines.cluster` has the one for several processes and machines, on Dask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from ..interrupts import Stop
from ..plan import Planned
from ..store import Store
from ..threads import limited
from ..work import Bench, Keep, Outcome
from .agenda import Agenda

__all__ = ["Engine", "Orders", "Outcome", "serial"]


@dataclass
class Orders:
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


Engine = Callable[[Sequence[Planned], Orders], Generator[Outcome, None, None]]
"""Cells and orders to outcomes."""


def serial(cells: Sequence[Planned], orders: Orders) -> Generator[Outcome, None, None]:
    """Compute cells one after another in this process.

    One data set and one network are held at a time; a suite's cells come in the order that makes this enough. A data set or
    network that cannot be made fails every cell that needs it, without being tried again.

    Parameters
    ----------
    cells : sequence of Planned
    orders : Orders

    Yields
    ------
    Outcome
        One for each cell that was begun, in order, but for those that another run is at: they come later.
    """
    claims = orders.store.claims(orders.run, orders.attempts)
    bench = Bench(orders.store, claims, timeout=orders.timeout, keep=orders.keep)
    agenda = Agenda(cells, orders.store.has)
    try:
        with limited(orders.threads):
            while agenda and not orders.stop.asked:
                job = agenda.next()
                if job is None:
                    time.sleep(0.05)  # another run is at all that is left
                    continue
                yield from agenda.done(job, bench.work(job.planned, job.stage))
    finally:
        claims.close()
