"""A worker process behind ``--workers``: ``python -m tmi.engines.local_worker`` with the arguments of ``dask worker``.

It runs in a session of its own, so that a Ctrl-C in the terminal reaches the run alone, and it ends when standard input does:
with the process that started it, however that ended.
"""

from __future__ import annotations

import os
import signal
import threading


def _end_with_the_starter() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock would be held when this process ends of itself
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Start the worker."""
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    from distributed.cli.dask_worker import main as dask_worker

    dask_worker()


if __name__ == "__main__":
    main()
