"""A worker process behind ``--workers``: ``python -m tmi.engines.local_worker`` with the arguments of ``dask worker``.

It runs in a session of its own, so that a Ctrl-C in the terminal reaches the run alone. Its standard input is a pipe from the
process that started it: when that process ends, in any way, the pipe closes and the worker kills itself.
"""

from __future__ import annotations

import os
import signal
import threading


def _kill_when_the_parent_ends() -> None:
    while os.read(0, 1):  # not sys.stdin: the interpreter waits for its lock when it shuts down
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Start the worker."""
    threading.Thread(target=_kill_when_the_parent_ends, daemon=True).start()
    import torch  # noqa: F401  # before the scheduler knows of this worker: a process that ends during this import loses no job
    from distributed.cli.dask_worker import main as dask_worker

    dask_worker()


if __name__ == "__main__":
    main()
