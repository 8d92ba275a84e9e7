"""Plug-ins that take milliseconds, the suites made of them, and what a store holds of those."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from tmi.probing.result import ProbeResult
from tmi.store.store import FOLDERS, Store
from tmi.suites.plan import Planned, make_plan
from tmi.suites.reader import load_suite

TOYS = '''
"""Toys: every call is noted in the file that TMI_TOY_LOG names."""

from __future__ import annotations

import os
import time

import numpy as np

import tmi
from tmi.params import Count


@tmi.hookimpl
def tmi_dataset_generators():
    return {"toy-data": "toys:data"}


@tmi.hookimpl
def tmi_network_builders():
    return {"toy-net": "toys:net"}


@tmi.hookimpl
def tmi_probes():
    names = ("toy-probe", "fails", "deadly", "greedy", "stuck")
    return {name: "toys:" + name.replace("-", "_") for name in names}


def note(*words):
    if "TMI_TOY_LOG" in os.environ:
        log = os.open(os.environ["TMI_TOY_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(log, (" ".join(map(str, words)) + "\\n").encode())  # at once: another process never comes between
        os.close(log)


def data(*, seed: int, samples: Count = 8, variant: int = 0) -> tmi.Dataset:
    """Draw scenes with one white or one black pair of pixels."""
    note("dataset", seed, variant)
    full = np.ones((1, 1, 2), bool)
    white, black = (tmi.FeatureTile(np.full((1, 1, 2), value), 0.1, full) for value in (1.0, 0.0))
    task = tmi.TemplateTask([tmi.TileClass("white", [white]), tmi.TileClass("black", [black])], (1, 4, 4))
    rng = np.random.default_rng([seed, variant])
    return tmi.Dataset(task, *(tmi.Scenes.draw(task, samples=samples, rng=rng) for _ in range(2)), notes={"variant": variant})


def net(data, *, seed: int, width: Count = 8, steps: int = 10, ms: float = 0.0) -> tmi.Network:
    """Train two layers for some steps."""
    import torch

    torch.manual_seed(seed)
    module = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(16, width), torch.nn.ReLU(), torch.nn.Linear(width, 2)
    )

    def fit():
        note("network", seed, data.notes["variant"], width)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(data.train.images), data.train.labels)
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        time.sleep(ms / 1e3)
        return {"loss": losses}

    history = tmi.train_once(module, fit)
    return tmi.Network(module, ["2"], "trained", task=data.task, history=history)


def toy_probe(network, data, *, scale: float = 1.0, ms: float = 0.0, values: int = 0) -> tmi.ProbeResult:
    """Sum up the logits; take ms longer, and keep so many random values beside."""
    note("probe", network.seed, data.notes["variant"], network.params["width"], scale)
    logits = network.logits(data.test.images).numpy()
    time.sleep(ms / 1e3)
    more = np.random.default_rng([network.seed, int(1000 * scale)]).random(values)
    return tmi.ProbeResult(
        {"total": scale * float(logits.sum()), "mean": float(more.mean()) if values else 0.0},
        {"logits": (("image", "class"), logits), "random": (("value",), more)},
        {"class": ["white", "black"]},
    )


def fails(network, data) -> tmi.ProbeResult:
    """Raise."""
    raise ValueError("it fails, as it should")


def deadly(network, data) -> tmi.ProbeResult:
    """Kill the process."""
    import signal

    note("deadly", os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


def greedy(network, data) -> tmi.ProbeResult:
    """Take 50 MB after 50 MB, 4 GB at most, and hold them."""
    note("greedy", os.getpid())
    held = []
    for _ in range(80):
        held.append(bytearray(os.urandom(1024)) * 50_000)
        time.sleep(0.05)
    return tmi.ProbeResult({"bytes": float(sum(map(len, held)))})


def stuck(network, data) -> tmi.ProbeResult:
    """Sleep in C for ten minutes, without a look back at Python."""
    import ctypes

    note("stuck", os.getpid())
    left = 600
    while left > 0:  # a signal ends one sleep
        left = ctypes.CDLL(None).sleep(left)
    return tmi.ProbeResult({"slept": 600.0})
'''


def plugin(folder: Path) -> Path:
    """Write the toys."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "toys.py"
    file.write_text(TOYS, encoding="utf-8")
    return file


def suite(
    folder: Path,
    *,
    seeds: int = 1,
    variants: int = 1,
    widths: int = 1,
    scales: int = 1,
    data: str = "",
    net: str = "",
    probe: str = "",
    more: str = "",
    name: str = "suite",
) -> Path:
    """Write the toys and a suite of ``seeds · variants · widths · scales`` cells; texts are further settings of its tables."""
    plugin(folder)
    file = folder / f"{name}.toml"
    file.write_text(
        f"""
plugins = ["toys.py"]
seeds = {list(range(seeds))}
[datasets.d]
use = "toy-data"
sweep.variant = {list(range(variants))}
{data}
[networks.n]
use = "toy-net"
sweep.width = {list(range(4, 4 + widths))}
{net}
[probes.p]
use = "toy-probe"
sweep.scale = {[1 + i / 8 for i in range(scales)]}
{probe}
{more}
""",
        encoding="utf-8",
    )
    return file


def plan_of(suite: Path) -> list[Planned]:
    """Return a suite's cells with their keys."""
    return make_plan(load_suite(suite))


def words(planned: Planned) -> str:
    """Return what a toy probe notes when it computes this cell."""
    cell = planned.cell
    return f"probe {cell.seed} {cell.dataset.params['variant']} {cell.network.params['width']} {cell.probe.params['scale']}"


def calls(log: Path) -> Counter[str]:
    """Count what the toys noted."""
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def files_of(store: Path) -> dict[str, tuple[int, str]]:
    """Return the inode and SHA-256 of every result, data set and network: a file that was written again has another inode."""
    found = {}
    for folder in FOLDERS.values():
        for path in (store / folder).glob("??/*.h5"):
            found[f"{folder}/{path.name}"] = path.stat().st_ino, sha256(path.read_bytes()).hexdigest()
    return found


def same(one: ProbeResult, other: ProbeResult) -> bool:
    """Whether two results are equal bit for bit."""
    return _content(one) == _content(other)


def _content(result: ProbeResult) -> Any:
    arrays = {n: (a.dims, a.values.dtype.str, a.values.shape, _bits(a.values)) for n, a in result.arrays.items()}
    metrics = {name: float(value).hex() for name, value in result.metrics.items()}
    return metrics, arrays, {n: np.asarray(v).tolist() for n, v in result.coords.items()}, result.notes


def _bits(values: np.ndarray) -> Any:
    return values.tobytes() if values.dtype.kind != "O" else values.tolist()


def results_of(store: Path, keys: Iterable[str | None]) -> dict[str, ProbeResult]:
    """Load the results of these keys that are there."""
    opened = Store(store)
    return {key: found for key in keys if key is not None and (found := opened.load(key)) is not None}


def differences(store: Path, truth: Path, keys: Iterable[str | None]) -> list[str]:
    """Name the results of a store that are missing, or not those of another store bit for bit."""
    wanted = results_of(truth, keys)
    found = results_of(store, wanted)
    return [
        f"{key[:8]} is missing" if key not in found else f"{key[:8]} differs"
        for key, result in wanted.items()
        if key not in found or not same(result, found[key])
    ]


def environment(**more: object) -> dict[str, str]:
    """Return a child's environment: no store of the caller's, one thread."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TMI_")}
    return kept | {"OMP_NUM_THREADS": "1"} | {name: str(value) for name, value in more.items()}


def start(*arguments: object, **env: object) -> subprocess.Popen[str]:
    """Start the command ``tmi``."""
    command = [sys.executable, "-m", "tmi.cli", *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**env)
    )


def command(*arguments: object, timeout: float = 300, **env: object) -> subprocess.CompletedProcess[str]:
    """Run the command ``tmi`` to its end; one that hangs raises."""
    process = start(*arguments, **env)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
