"""``kill -9`` at random moments on a running suite: nothing that was there is lost, nothing is broken, every rerun goes on.

Most of the killed processes are forked from one that has imported torch already; each notes in shared memory what it is about, so
that kills can be aimed at every phase and counted by it. The others are real ``tmi run`` commands.
"""

from __future__ import annotations

import mmap
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tmi.stages import Stage
from tmi.store import files
from tmi.store import leases as claiming
from tmi.store.failures import Failures
from tmi.store.results import Stored, from_row
from tmi.store.store import Store
from tmi.suites.plan import Planned

from . import toys
from .rows import Part, Row, scratch

PHASES = (
    "starting",
    "planning",
    "asking the store",
    "preparing the store",
    "claiming",
    "generating",
    "training",
    "probing",
    "writing a data set",
    "writing a network",
    "writing a result",
    "writing a failure",
    "writing the index",
    "between two cells",
)
_OFTEN = ("claiming", "probing", "writing a result", "between two cells")
_LIMIT = 120.0  # seconds after which a child counts as hanging


class Board:
    """What a child is about: two bytes of shared memory, and a file of the results that it said are finished."""

    def __init__(self, folder: Path) -> None:
        self._bytes = mmap.mmap(-1, 2)
        self._said = folder / "finished.txt"
        self._said.touch()

    def reset(self) -> None:
        self._bytes[0] = self._bytes[1] = 0

    @property
    def phase(self) -> int:
        return self._bytes[0]

    @property
    def prepared(self) -> bool:
        """Whether the store was prepared, and so swept."""
        return bool(self._bytes[1])

    @prepared.setter
    def prepared(self, value: bool) -> None:
        self._bytes[1] = value

    @contextmanager
    def at(self, phase: str) -> Iterator[None]:
        before = self._bytes[0]
        self._bytes[0] = PHASES.index(phase)
        try:
            yield
        finally:
            self._bytes[0] = before

    def say(self, key: str) -> None:
        with self._said.open("a") as file:
            file.write(key + "\n")

    def said(self) -> set[str]:
        return set(self._said.read_text().split())


class Telling:
    """A watcher that says which results are finished, as soon as it is told."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def start(self, todo: int, cached: int, left: Any) -> None:
        pass

    def done(self, outcome: Any) -> None:
        if outcome.stored is not None:
            self._board.say(outcome.planned.key)

    def say(self, text: str) -> None:
        pass


def watch(board: Board) -> None:
    """Have this process show on the board what it is about."""
    from tmi.engines import executor as work
    from tmi.runs import runner
    from tmi.store import index

    def show(home: Any, name: str, phase: Callable[..., str]) -> None:
        inner = getattr(home, name)

        def outer(*args: Any, **settings: Any) -> Any:
            with board.at(phase(*args)):
                return inner(*args, **settings)

        setattr(home, name, outer)

    written = {"dataset": "writing a data set", "network": "writing a network", "result": "writing a result"}
    stages = {"dataset": "generating", "network": "training", "probe": "probing"}
    show(runner, "load_suite", lambda *_: "planning")
    show(runner, "make_plan", lambda *_: "planning")
    show(Store, "read_all", lambda *_: "asking the store")
    show(Store, "prepare", lambda *_: "preparing the store")
    show(Store, "_write", lambda store, stage, *_: written[Stage(stage).product])
    show(Failures, "write", lambda *_: "writing a failure")
    show(claiming.Leases, "_take", lambda *_: "claiming")
    show(work.Executor, "_run", lambda bench, planned, stage, *_: stages[stage])
    show(index.Index, "add", lambda *_: "writing the index")
    show(runner, "_compute", lambda *_: "between two cells")
    prepare = Store.prepare

    def prepared(store: Store) -> None:
        prepare(store)
        board.prepared = True

    Store.prepare = prepared  # type: ignore[method-assign]


def fork(suite: Path, store: Path, board: Board, log: Path) -> int:
    """Run the suite in a child; return its process id."""
    import tmi

    board.reset()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.environ["TMI_TOY_LOG"] = str(log)
        watch(board)
        results = tmi.run(suite, store, watcher=Telling(board), threads=1)
        code = 0 if all(e.status == "ok" for e in results if e.probe != "bad") else 2
    except BaseException as error:
        print(f"child: {type(error).__name__}: {error}", flush=True)
    finally:
        os._exit(code)


def ended(child: int, seconds: float) -> int | None:
    """Wait for a child so long; its exit status, or None if it still runs."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        if time.monotonic() > until:
            return None
        time.sleep(0.0005)


class Judge:
    """What must hold after each kill."""

    def __init__(self, store: Path, plan: list[Planned], board: Board, log: Path) -> None:
        self.store, self.plan, self.board, self.log = store, plan, board, log
        self.by_words = {toys.words(p): p.key for p in plan if p.cell.probe.label == "p"}
        self.lost: list[str] = []
        self.broken: list[str] = []
        self.again: list[str] = []
        self.unswept: list[str] = []
        self.index: list[str] = []
        self.read = self.rows = self.left = 0
        self._good: set[tuple[str, str]] = set()
        self._contents: dict[tuple[str, str], Stored | None] = {}
        self.before: dict[str, tuple[int, str]] = {}
        self._rubbish: set[tuple[str, str]] = set()
        self._noted: Counter[str] = Counter()

    def new_store(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)
        self.board._said.write_text("")
        self.before, self._rubbish, self._noted = {}, set(), toys.calls(self.log)

    def look(self, *, swept: bool) -> None:
        """Compare what is there with what was there before this process began."""
        now = toys.files_of(self.store)
        for name, seen in self.before.items():
            if name not in now:
                self.lost.append(f"{name[:20]} is gone")
            elif now[name] != seen:
                self.lost.append(f"{name[:20]} was written again")
        self.lost += [f"{key[:8]} was finished, and is gone" for key in self.board.said() if f"results/{key}.h5" not in now]
        self._read_new(now)
        if (self.store / "damaged").exists():
            self.broken.append("something was set aside")
        # What was there before it began, and was computed all the same.
        noted = toys.calls(self.log)
        for words in noted - self._noted:
            key = self.by_words.get(words)
            if f"results/{key}.h5" in self.before:
                self.again.append(words)
        self._noted = noted
        rubbish = self._left_behind()
        self.left += len(rubbish - self._rubbish)
        if swept:
            self.unswept += [name[:20] for name, _ in rubbish & self._rubbish]
        self._rubbish = rubbish
        self.before = now
        self._ask_index(now)

    def _read_new(self, now: dict[str, tuple[int, str]]) -> None:
        """Read every file that was not read before, whole."""
        store = Store(self.store)
        for name in sorted(now):
            kind, _, rest = name.partition("/")
            key = rest[:64]
            if (name, now[name][1]) in self._good:
                continue
            self.read += 1
            if kind == "results":
                found: Any = store.load(key)
                if found is not None:
                    self._contents[name, now[name][1]] = store.read(key)
            elif kind == "datasets":
                found = store.load_dataset(key)
            else:
                found = store.load_network(key)
            if found is None:
                self.broken.append(name[:20])
            else:
                self._good.add((name, now[name][1]))

    def _ask_index(self, now: dict[str, tuple[int, str]]) -> None:
        """Whatever the index answers must be what the file says."""
        store = Store(self.store)
        names = {name[8:72]: name for name in now if name.startswith("results/")}
        stamps = {key: stamp for key in names if (stamp := files.stamp(store.path(key))) is not None}
        rows = store.index.read("probe", stamps)
        self.rows += len(rows)
        self.index += [key[:8] for key, row in rows.items() if from_row(row) != self._contents[names[key], now[names[key]][1]]]
        if store.index.trouble:
            self.index.append(store.index.trouble)

    def _left_behind(self) -> set[tuple[str, str]]:
        """Temporary files, and claims with what they say: a later run may leave another one of the same name."""
        claims = {(p.name, str(claim)) for p in (self.store / "leases").glob("*") if (claim := claiming.read(p)) is not None}
        return claims | {(path.name, "") for path in self.store.glob("**/.*.tmp")}

    def finished(self, truth: Path) -> None:
        """Look at a store after a run that came to its end."""
        self.look(swept=True)
        self.lost += toys.differences(self.store, truth, self.by_words.values())
        self.unswept += [name[:20] for name, _ in self._left_behind()]


def forked_kills(count: int, suite: Path, judge: Judge, truth: Path, rng: random.Random) -> tuple[Counter[str], int, list[str]]:
    """Kill so many forked children, half of them in a certain phase.

    Returns in what phases they were, how many runs came to their end, and what was wrong.
    """
    hit: Counter[str] = Counter()
    complete, wrong = 0, []
    judge.new_store()
    long = 1.0  # seconds that a run takes, as far as known
    while sum(hit.values()) < count:
        child = fork(suite, judge.store, judge.board, judge.log)
        begun = time.monotonic()
        aim = rng.choice(PHASES[1:]) if rng.random() < 0.5 else None
        status = None
        if aim is not None:
            times = rng.randint(1, 20) if aim in _OFTEN else rng.randint(1, 2)
            status = _wait_for(child, judge.board, PHASES.index(aim), times, rng.uniform(0.2, 1.5) * long)
            time.sleep(rng.random() * 0.002)
        else:
            status = ended(child, rng.random() * long)
        if status is None:
            phase = judge.board.phase
            os.kill(child, signal.SIGKILL)
            status = ended(child, _LIMIT)
            if status is None:
                wrong.append("a killed child does not end")
                break
        if os.WIFSIGNALED(status):
            hit[PHASES[phase]] += 1
            judge.look(swept=judge.board.prepared)
            continue
        long = max(0.2, time.monotonic() - begun)
        if status:
            wrong.append(f"a rerun ended with exit code {os.waitstatus_to_exitcode(status)}")
        complete += 1
        judge.finished(truth)
        judge.new_store()
    status = ended(fork(suite, judge.store, judge.board, judge.log), _LIMIT)
    if status != 0:
        wrong.append("the last rerun did not finish" if status is None else f"the last rerun ended with status {status}")
    judge.finished(truth)
    return hit, complete + 1, wrong


def _wait_for(child: int, board: Board, phase: int, times: int, seconds: float) -> int | None:
    """Wait until the child enters a phase for so many times, or so long; its status if it ended before."""
    until, inside = time.monotonic() + seconds, False
    while time.monotonic() < until:
        now = board.phase == phase
        times -= now and not inside
        inside = now
        if not times:
            return None
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
    return None


def command_kills(count: int, suite: Path, judge: Judge, truth: Path, rng: random.Random) -> tuple[int, list[str]]:
    """Kill so many ``tmi run``, every fourth with two workers; return how many were killed."""
    import psutil

    judge.new_store()
    killed, wrong = 0, []
    workers: list[psutil.Process] = []
    while killed < count:
        parallel = ["--workers", "2"] if killed % 4 == 3 else []
        process = toys.start("run", suite, "--store", judge.store, "--threads", 1, *parallel, TMI_TOY_LOG=judge.log)
        try:
            # Not before Python and torch are there, mostly, and then at any moment.
            until = time.monotonic() + _LIMIT
            have = len(list(judge.store.glob("results/??/*.h5")))
            aim = have + rng.randint(1, 12)
            while process.poll() is None and time.monotonic() < until and have < aim:
                time.sleep(0.005)
                have = len(list(judge.store.glob("results/??/*.h5")))
            time.sleep(rng.random() * 0.1)
            if process.poll() is None:
                workers += psutil.Process(process.pid).children(recursive=True)
        finally:
            process.kill()
            process.communicate()
        if process.returncode == -signal.SIGKILL:
            killed += 1
            _gone(workers, wrong)
            judge.look(swept=False)
        elif process.returncode != 1:  # 1: the cell that fails
            wrong.append(f"tmi run ended with {process.returncode}")
            break
        else:
            judge.finished(truth)
            judge.new_store()
    done = toys.command("run", suite, "--store", judge.store, "--threads", 1, TMI_TOY_LOG=judge.log)
    if done.returncode != 1 or "Traceback" in done.stderr:
        wrong.append(f"the last tmi run ended with {done.returncode}: {done.stderr[-200:]}")
    judge.finished(truth)
    return killed, wrong


def _gone(workers: list[Any], wrong: list[str]) -> None:
    """Wait until the workers of a killed run have ended: nobody else ends them."""
    import psutil

    _, alive = psutil.wait_procs(workers, timeout=60)
    if alive:
        wrong.append(f"{len(alive)} workers outlive the run that started them")
        for process in alive:
            process.kill()
    workers.clear()


def rows(quick: bool) -> list[Row]:
    """Kill 200 runs, or 12."""
    import torch

    import tmi

    torch.set_num_threads(1)  # before anything is computed: threads do not survive a fork
    part, rng = Part("kills"), random.Random(time.time_ns())
    more = '[probes.bad]\nuse = "fails"'
    with scratch() as folder:
        size = {"seeds": 1, "scales": 10} if quick else {"seeds": 2, "scales": 20}
        suite = toys.suite(folder, **size, variants=2, widths=2, net="ms = 10", probe="values = 600", more=more)
        judge = Judge(folder / "store", toys.plan_of(suite), Board(folder), folder / "log.txt")
        truth = folder / "truth"
        tmi.run(suite, truth, threads=1)  # here, so that the children find all imported
        forked, commands = (10, 2) if quick else (180, 20)
        hit, complete, wrong = forked_kills(forked, suite, judge, truth, rng)
        killed, more_wrong = command_kills(commands, suite, judge, truth, rng)
        kills = sum(hit.values()) + killed
        ran = sum(toys.calls(judge.log).values())
        where = ", ".join(f"{name} {number}" for name, number in hit.most_common())
        wrong += more_wrong + [f"computed again: {words}" for words in judge.again]
        if kills != forked + commands:
            wrong.append(f"only {kills} were killed")
        part.none_of(
            f"kill -9 at random moments, {forked + commands} times: each rerun continues",
            wrong,
            f"{kills} killed ({killed} of them tmi run), {complete + 1} suites of {len(judge.plan)} cells brought to their end "
            f"by {ran:,} pieces of work, none of what was kept a second time; killed while {where}",
        )
        part.none_of(
            "0 results lost", judge.lost, "all that was there or said to be finished is there, the same file, bit for bit"
        )
        part.none_of("0 files broken", judge.broken, f"{judge.read:,} results, data sets and networks read whole after the kills")
        part.none_of("temporary files and claims are swept", judge.unswept, f"{judge.left} left behind, 0 after the next run")
        part.none_of("the index is never wrong", judge.index, f"{judge.rows:,} answers are what the files say")
    return part.rows
