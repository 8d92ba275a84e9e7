"""The engine that computes cells one after another in this process."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

from tmi.runtime.threads import limited
from tmi.suites.plan import Planned

from .executor import Executor
from .job import JobResult, Options
from .job_queue import JobQueue


def serial(cells: Sequence[Planned], options: Options) -> Generator[JobResult, None, None]:
    """Compute cells one after another in this process.

    One data set and one network are held in memory at a time; the order of the jobs makes this enough. A data set or network
    that cannot be made fails every cell that needs it, without another attempt.

    Parameters
    ----------
    cells : sequence of Planned
    options : Options

    Yields
    ------
    JobResult
        One for each cell that was begun. Those come last that another run is computing.
    """
    leases = options.store.leases(options.run, options.attempts)
    executor = Executor(options.store, leases, timeout=options.timeout, keep=options.keep, at_stage=options.running.set_stage)
    queue = JobQueue(cells, options.store.has, options.running, options.keep)
    try:
        with limited(options.threads):
            while queue and not options.stop.asked:
                job = queue.next()
                if job is None:
                    time.sleep(0.05)  # another run holds all that is left
                    continue
                yield from queue.done(job, executor.work(job.planned, job.stage, job.others))
    finally:
        leases.close()
