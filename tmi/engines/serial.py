"""The engine that computes cells one after another in this process."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

from tmi.runtime.threads import limited
from tmi.suites.plan import Planned

from .executor import Executor
from .job import JobResult, Options
from .job_queue import JobQueue


def serial(cells: Sequence[Planned], orders: Options) -> Generator[JobResult, None, None]:
    """Compute cells one after another in this process.

    One data set and one network are held at a time; a suite's cells come in the order that makes this enough. A data set or
    network that cannot be made fails every cell that needs it, without being tried again.

    Parameters
    ----------
    cells : sequence of Planned
    orders : Options

    Yields
    ------
    JobResult
        One for each cell that was begun, in order, but for those that another run is at: they come later.
    """
    claims = orders.store.leases(orders.run, orders.attempts)
    bench = Executor(orders.store, claims, timeout=orders.timeout, keep=orders.keep)
    agenda = JobQueue(cells, orders.store.has)
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
