"""Tiny plug-ins, written to a file as a user would: a data set, a network and a probe that take milliseconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOYS = '''
"""Toys."""

from __future__ import annotations

import os

import numpy as np

import tmi
from tmi.params import Count


@tmi.hookimpl
def tmi_dataset_generators():
    return {"toy-data": "STEM:data", "bad-data": "STEM:bad_data"}


@tmi.hookimpl
def tmi_network_builders():
    return {"toy-net": "STEM:linear", "bad-net": "STEM:bad_net"}


@tmi.hookimpl
def tmi_probes():
    return {"toy-probe": "STEM:toy_probe", "bad-probe": "STEM:bad_probe"}


def called(what):
    if "TMI_TOY_LOG" in os.environ:
        with open(os.environ["TMI_TOY_LOG"], "a") as log:
            log.write(what + "\\n")


def data(*, seed: int, samples: Count = 4) -> tmi.Dataset:
    """Draw one white and one black pixel pair."""
    called(f"data {seed}")
    full = np.ones((1, 1, 2), bool)
    task = tmi.TemplateTask(
        [
            tmi.TileClass("white", [tmi.FeatureTile(np.ones((1, 1, 2)), 0.1, full)]),
            tmi.TileClass("black", [tmi.FeatureTile(np.zeros((1, 1, 2)), 0.1, full)]),
        ],
        (1, 2, 2),
    )
    rng = np.random.default_rng(seed)
    return tmi.Dataset(task, *(tmi.Scenes.draw(task, samples=samples, rng=rng) for _ in range(2)), notes={"source": "a toy"})


def linear(data, *, seed: int, width: Count = 1, bias: bool = False) -> tmi.Network:
    """Return an untrained linear network."""
    import torch

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=bias))

    def fit():
        called(f"net {seed}")

    tmi.train_once(module, fit)
    return tmi.Network(module, ["1"], "trained", task=getattr(data, "task", data))


def toy_probe(network, data, *, scale: float = 1.0, metric: str = "l1") -> tmi.ProbeResult:
    """Sum up the logits."""
    called(f"probe {network.seed} {scale}")
    logits = network.logits(data.test.images).numpy()
    return tmi.ProbeResult(
        {"total": scale * float(logits.sum()), "size.all": logits.size},
        {"logits": (("image", "class"), logits)},
        {"class": ["white", "black"]},
        {"total": tmi.MetricInfo("Sum of the logits.", unit="logits")},
        notes="a toy's <remark>",
    )


def bad_data(*, seed: int, how: str = "raise") -> tmi.Dataset:
    """Fail."""
    called(f"bad-data {seed}")
    fail(how)


def bad_net(data, *, seed: int, how: str = "raise") -> tmi.Network:
    """Fail."""
    called(f"bad-net {seed}")
    fail(how)


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def bad_probe(network, data, *, how: str = "raise") -> tmi.ProbeResult:
    """Fail, or return what cannot be kept."""
    called(f"bad-probe {how}")
    if how == "nul":
        return tmi.ProbeResult({"a": 1}, {"words": ("x", ["a\\0b", "c"])})
    if how == "nul-name":
        return tmi.ProbeResult({"a\\0b": 1})
    if how == "surrogate":
        return tmi.ProbeResult({"a": 1}, {"words": ("x", ["\\udc80", "c"])})
    if how == "surrogate-note":
        return tmi.ProbeResult({"a": 1}, notes="\\udc80")
    if how == "nan":
        return tmi.ProbeResult({"a": float("nan")})
    if how == "axis-named-as-array":
        return tmi.ProbeResult({"a": 1}, {"p": (("q",), [1, 2]), "q": (("r",), [1, 2, 3])})
    if how == "nothing":
        return None
    fail(how)


def fail(how):
    import sys

    if how == "exit":
        sys.exit(3)
    if how == "tmi":
        raise tmi.InputError("the toy is broken")
    if how == "bracket":
        raise ValueError("[/bold] is [no] markup")
    if how == "unprintable":
        raise Unprintable
    if how == "surrogate-message":
        raise ValueError("file \\udcff")
    raise ValueError(f"the toy\\nis broken: {how}")
'''

BASE = """
[datasets.d]
use = "toy-data"
[networks.n]
use = "toy-net"
[probes.p]
use = "toy-probe"
"""


def plugin(folder: Path, name: str = "toys", text: str = TOYS) -> Path:
    """Write a plug-in file."""
    file = folder / f"{name}.py"
    file.write_text(text.replace("STEM", name), encoding="utf-8")
    return file


def calls(folder: Path) -> list[str]:
    """What the toys were called for since the last time, where ``TMI_TOY_LOG`` is ``folder / "calls"``."""
    log = folder / "calls"
    lines = log.read_text().splitlines() if log.exists() else []
    log.write_text("")
    return lines


def suite(folder: Path, text: str = BASE, *, head: str = 'plugins = ["toys.py"]', name: str = "suite.toml") -> Path:
    """Write a suite beside the toys."""
    file = folder / name
    file.write_text(f"{head}\n{text}", encoding="utf-8")
    return file


def python(*arguments: str, folder: Path, timeout: float = 120, **env: object) -> subprocess.CompletedProcess[str]:
    """Run Python in a fresh process in a folder, with one torch thread."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=environment(**env),
    )


def command(*arguments: str, folder: Path, **env: object) -> subprocess.CompletedProcess[str]:
    """Run ``tmi`` in a fresh process in a folder."""
    return python("-m", "tmi.cli", *arguments, folder=folder, **env)


def environment(**more: object) -> dict[str, str]:
    """Return a child's environment: no store of the caller's, one thread."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TMI_")}
    return kept | {"OMP_NUM_THREADS": "1"} | {name: str(value) for name, value in more.items()}
