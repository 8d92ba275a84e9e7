"""Worker processes on this machine: started, started again when they die, and ended when they take too much memory."""

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

_IN_VAIN = 5  # times that every worker may end without any work being done, beside the attempts that cells have


class LocalWorkers:
    """Worker processes of a scheduler.

    Parameters
    ----------
    address : str
        Of the scheduler.
    count : int
    memory : int
        Bytes that each may take.
    threads : int
        Of each, for torch and the libraries below NumPy.
    attempts : int
        How often a cell may end its worker.

    Attributes
    ----------
    ends : dict of int to str
        How processes ended, by their numbers.
    """

    def __init__(self, address: str, count: int, memory: int, threads: int, attempts: int = 2) -> None:
        self._address, self._memory, self._threads = address, memory, threads
        self._patience = count * (attempts + _IN_VAIN)  # each worker may have a cell that ends it as often as it may
        self._in_vain = 0
        self.ends: dict[int, str] = {}

        self._folder = tempfile.TemporaryDirectory(prefix="tmi-workers-", ignore_cleanup_errors=True)
        self._processes = [self._start(number) for number in range(count)]

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            _kill(process)  # it holds nothing: what is finished is in the store
        self._folder.cleanup()

    def tend(self) -> None:
        """End workers that take too much memory, and start those again that have ended.

        Raises
        ------
        EngineError
            If one after another ends and no work is done; with the last that it said.
        """
        import psutil

        for number, process in enumerate(self._processes):
            with suppress(psutil.Error):
                if process.poll() is None and psutil.Process(process.pid).memory_info().rss > self._memory:
                    _kill(process)
                    self.ends[process.pid] = f"it took more memory than {self._memory / 1e6:.0f} MB"
            code = process.poll()
            if code is None:
                continue
            self.ends.setdefault(process.pid, _ended(code))
            self._in_vain += 1
            if self._in_vain > self._patience:
                raise EngineError(f"the workers end as soon as they start ({self._last_words(number) or _ended(code)})")
            self._processes[number] = self._start(number)

    def worked(self) -> None:
        """Note that some work was done."""
        self._in_vain = 0

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        # -P: no file of the working folder takes the place of a module that the caller found elsewhere.
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
        made = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            made[name] = str(self._threads)
        # Plug-in packages that lie in the caller's folder, or on its path, are found there too.
        made["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109
        return made

    def _log(self, number: int) -> Path:
        return Path(self._folder.name) / f"worker-{number}.log"

    def _last_words(self, number: int) -> str:
        lines = self._log(number).read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _kill(process: subprocess.Popen[Any]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def _ended(code: int) -> str:
    if code >= 0:
        return f"it left with status {code}"
    try:
        return f"signal {signal.Signals(-code).name} ended it"
    except ValueError:
        return f"signal {-code} ended it"
