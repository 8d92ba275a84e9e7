"""Worker processes on this machine: started, replaced when they end, and killed when they take too much memory.

They are children of this process, without Dask's nanny between: one whose worker is killed while it starts stops them all.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from tmi.errors import EngineError

_STARTS = 5  # times that every worker may end while no job is finished, beside the attempts that a cell has
_STARTS_KILLED = 25  # the same where something outside killed the last one: on a busy machine a start takes long


class LocalWorkers:
    """Worker processes of a scheduler.

    Parameters
    ----------
    address : str
        Of the scheduler.
    count : int
        Number of processes.
    memory : int
        Bytes that each may take.
    threads : int
        Threads of each, for torch and the libraries below NumPy.
    attempts : int
        How often a cell may end its worker.

    Attributes
    ----------
    exits : dict of int to str
        How processes ended, by process id.
    """

    def __init__(self, address: str, count: int, memory: int, threads: int, attempts: int = 2) -> None:
        self._address, self._memory, self._threads = address, memory, threads
        self._attempts = attempts
        self._exits_without_progress = 0
        self.exits: dict[int, str] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="tmi-workers-", ignore_cleanup_errors=True)
        self._processes = [self._start(number) for number in range(count)]

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            _kill(process)  # what is finished is in the store
        self._folder.cleanup()

    def supervise(self) -> None:
        """Kill workers that take too much memory, and replace those that have ended.

        Raises
        ------
        EngineError
            If one after another ends and no job is finished; with the last line of its log.
        """
        import psutil

        for number, process in enumerate(self._processes):
            with suppress(psutil.Error):
                if process.poll() is None and psutil.Process(process.pid).memory_info().rss > self._memory:
                    _kill(process)
                    self.exits[process.pid] = f"it took more memory than {self._memory / 1e6:.0f} MB"
            code = process.poll()
            if code is None:
                continue
            _kill(process)  # its children: they may hold its connection to the scheduler, which would take it for alive
            killed = code in (-signal.SIGKILL, -signal.SIGTERM) and process.pid not in self.exits
            self.exits.setdefault(process.pid, _description(code))
            self._exits_without_progress += 1
            # Each worker may have a cell that ends it in every attempt.
            starts = self._attempts + (_STARTS_KILLED if killed else _STARTS)
            if self._exits_without_progress > len(self._processes) * starts:
                raise EngineError(f"the workers end as soon as they start ({self._last_line(number) or _description(code)})")
            self._processes[number] = self._start(number)

    def note_progress(self) -> None:
        """Note that a job was finished."""
        self._exits_without_progress = 0

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        # -P: no file of the working folder hides a module that the caller found elsewhere.
        command = [sys.executable, "-P", "-m", "tmi.engines.local_worker", self._address, "--no-nanny", "--nworkers", "1"]
        command += ["--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--death-timeout", "60"]
        with self._log(number).open("wb") as log:
            return subprocess.Popen(
                [*command, "--local-directory", self._folder.name],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = str(self._threads)
        environment["PYTHONIOENCODING"] = "utf-8:replace"  # of the log: what a plug-in prints must not fail its cell
        # Plug-in packages in the caller's folder, or on its path, are to be found by the worker too.
        environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109
        return environment

    def _log(self, number: int) -> Path:
        return Path(self._folder.name) / f"worker-{number}.log"

    def _last_line(self, number: int) -> str:
        lines = self._log(number).read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _kill(process: subprocess.Popen[Any]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def _description(code: int) -> str:
    if code >= 0:
        return f"it left with status {code}"
    try:
        return f"signal {signal.Signals(-code).name} ended it"
    except ValueError:
        return f"signal {-code} ended it"
