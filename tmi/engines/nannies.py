"""The processes behind ``--workers``: Dask's nannies, each with a worker that it starts again when it dies.

Run as ``python -m tmi.engines.nannies`` with the arguments of ``dask worker``, in a session of its own, so that a Ctrl-C in the
terminal reaches the run alone. They end when standard input does: with the process that started them, however it ended.
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def _end_with_the_starter() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Start the nannies."""
    from distributed.cli.dask_worker import main as dask_worker

    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    dask_worker()


if __name__ == "__main__":
    main()
