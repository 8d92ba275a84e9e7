"""Seconds of every probe, and its peak memory above that of a forward pass of one image, each in a process of its own.

``python -m tests.benchmarks.probes`` prints a table for images of 224×224 in three channels and a network like ResNet-18. They
are few, for the memory of a probe hardly grows with their number: ``--samples`` takes more. ``--quick`` takes images of 64×64,
``--fashion`` 1,000 images of section 6.2 and the 12-filter network; ``--only`` takes names. It measures and asserts nothing.

The peak is the kernel's (VmHWM of /proc/self/status, which is reset before each part; elsewhere ru_maxrss, which is not). Images
that the data set has rendered, and libraries that were imported, count as the data's and the process's; libraries that a probe
imports count as the probe's.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

LIMIT = 2.0
"""Gigabytes that a probe may take above the forward pass."""

CLASSES, TILE = 4, 0.25
FEW: dict[str, dict[str, Any]] = {
    "attack": {"images": 4, "steps": 5},
    "activation-maximisation": {"units": 4, "restarts": 2, "steps": 20},
    "ablation": {"images": 8},
    "activation-patching": {"images": 8},
    "attribution": {"images": 4},
    "attribution-bench": {"method": "saliency", "images": 4, "again": 2},
    "background-kinds": {"tiles": 2, "backgrounds": 8},
    "background-robustness": {"tiles": 2},
    "deformation": {"images": 8},
    "dictionary": {"atoms": 32, "steps": 200, "images": 16},
    "equivariance": {"tiles": 1, "places": 100},
    "feature-neurons": {"images": 12},
    "linear-regions": {"images": 8, "paths": 1, "most": 200},
    "local-linear-form": {"images": 4, "tiles": 1, "backgrounds": 2, "places": 2},
    "logit-decomposition": {"images": 4, "forms": 2, "tiles": 1, "backgrounds": 8, "places": 8},
    "prunability": {"images": 4},
    "randomisation": {"method": "saliency", "images": 4},
    "responsible-neurons": {"images": 4},
    "spectrum": {"kinds": ["rotation", "grey"], "tiles": 2, "members": 4},
    "superposition": {"images": 16},
    "top-activating-scenes": {"images": 48},
    "translation-robustness": {"tiles": 2, "places": 100},
    "unit-recovery": {"images": 16},
    "variance-ratio": {"tiles": 1, "places": 100},
}
"""Settings with which a probe takes minutes at most; the others run with their defaults."""


def world(kind: str, samples: int) -> tuple[Any, Any]:
    """Return a data set and a network: ``large``, ``quick`` or ``fashion``."""
    import tmi

    if kind == "fashion":
        data = tmi.generate("fashion", seed=0, test_samples=1000)
        return tmi.build("cnn", data, seed=0, filters=12), data
    data = photos(224 if kind == "large" else 64, samples)
    layers = ["stem", "layer1", "layer2", "layer3", "layer4", "pool", "logits"]
    return tmi.Network(resnet18(CLASSES), layers, "imported", task=data.task), data


def photos(side: int, samples: int) -> Any:
    """Return a data set of colour images on random pixels: four classes of one tile each, a quarter of the image's side."""
    import numpy as np

    import tmi

    rng = np.random.default_rng(0)
    size = int(TILE * side)
    tiles = [tmi.FeatureTile(rng.random((3, size, size)), 1.0) for _ in range(CLASSES)]
    task = tmi.TemplateTask([tmi.TileClass(f"class{i}", [tile]) for i, tile in enumerate(tiles)], (3, side, side))
    train, test = (tmi.Scenes.draw(task, samples, rng=rng) for _ in range(2))
    return tmi.Dataset(task, train, test, name="photos")


def resnet18(classes: int) -> Any:
    """Return a network of ResNet-18's layers and sizes (He et al. 2016), with random weights."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.main = nn.Sequential(
                nn.Conv2d(before, after, 3, stride, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.Conv2d(after, after, 3, 1, 1, bias=False),
                nn.BatchNorm2d(after),
            )
            self.beside = nn.Sequential()
            if stride > 1:
                self.beside = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            self.relu = nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.main(x) + self.beside(x))

    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module(
        "stem", nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    )
    for number, (before, after) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], 1):
        stride = 1 if number == 1 else 2
        module.add_module(f"layer{number}", nn.Sequential(Block(before, after, stride), Block(after, after, 1)))
    module.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    module.add_module("logits", nn.Linear(512, classes))
    return module


def run_one(name: str, kind: str, samples: int, threads: int) -> None:
    """Print time and memory of one probe, as JSON."""
    import torch

    import tmi
    from tmi.params import parameters
    from tmi.plugins.registry import installed

    torch.set_num_threads(threads)
    network, data = world(kind, samples)
    taken = {p.name for p in parameters(installed().find("probe", name).function).values()}
    settings = {key: value for key, value in FEW.get(name, {}).items() if key in taken}
    if kind == "fashion":
        settings = {key: value for key, value in settings.items() if key == "method"}
        settings |= {"images": 1000} if "images" in taken and name != "attribution" else {}
    for scenes in (data.train, data.test):
        assert len(scenes.images) == len(scenes.masks)  # rendered now, as in a run, where probes share them
    reset_peak()
    network.logits(data.test.images[:1])
    before = peak()
    reset_peak()
    start = time.perf_counter()
    result = tmi.probe(name, network, data, **({"seed": 0} if "seed" in taken else {}), **settings)
    seconds, above = time.perf_counter() - start, peak() - before
    kept = sum(array.values.nbytes for array in result.arrays.values())
    note = "" if result.applicable else f"not applicable: {result.notes[0]}"
    print(json.dumps({"seconds": seconds, "above": above, "kept": kept, "metrics": len(result.metrics), "note": note}))


def reset_peak() -> None:
    """Let the kernel count the peak from now on, where it can."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Peak bytes of this process since `reset_peak`; the kernel counts KiB on Linux and bytes on macOS."""
    if sys.platform == "linux":
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@click.command()
@click.option("--only", multiple=True, help="Names of probes; by default all.")
@click.option("--threads", default=1, show_default=True)
@click.option("--large", "kind", flag_value="large", default=True, help="Images of 224×224; the default.")
@click.option("--quick", "kind", flag_value="quick", help="Images of 64×64.")
@click.option("--fashion", "kind", flag_value="fashion", help="1,000 images of section 6.2.")
@click.option("--samples", default=24, show_default=True, help="Training and test images each, but for --fashion.")
@click.option("--one", hidden=True)
def main(only: tuple[str, ...], threads: int, kind: str, samples: int, one: str | None) -> None:
    """Print a table of each probe's time and memory."""
    if one:
        run_one(one, kind, samples, threads)
        return
    import tmi

    print(f"{'probe':<24}{'seconds':>9}{'GB above a forward pass':>25}{'limit':>7}{'MB in arrays':>14}{'metrics':>9}")
    for name in only or tmi.names("probe"):
        command = [sys.executable, "-m", "tests.benchmarks.probes", f"--one={name}", f"--threads={threads}", f"--{kind}"]
        done = subprocess.run([*command, f"--samples={samples}"], stdout=subprocess.PIPE, text=True, check=True)
        cost = json.loads(done.stdout.splitlines()[-1])
        size = f"{cost['above'] / 1e9:>25.2f}{LIMIT:>7.1f}{cost['kept'] / 1e6:>14.1f}"
        note = "over the limit" if cost["above"] > LIMIT * 1e9 else cost["note"]
        print(f"{name:<24}{cost['seconds']:>9.1f}{size}{cost['metrics']:>9}  {note}", flush=True)


if __name__ == "__main__":
    main()
