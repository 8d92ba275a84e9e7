"""Exactness, time and memory of `superposed` beside Theorem 1: ``python -m tests.benchmarks.superposed``.

It measures and never asserts a time. Tiles are those of section 6.2, images are the worst cases that we know: tiles pasted
exactly, changed to just below and just above ε, and points between two near tiles. Each row is a process of its own, so that its
peak is the memory of the whole process. Float64.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

import tmi

SIZES = {10: (76, 52, 37, 26), 3: (23, 17, 12), 1: (8, 7)}
"""Tiles a class, and neurons a place."""


def worst(data: tmi.Dataset, count: int, seed: int = 0) -> torch.Tensor:
    """Make images (count, C, m, n), float64: the data set's own, pasted tiles, tiles at the margin, points between near tiles."""
    from tmi_networks.superposed.conditions import distances

    task, rng = data.task, np.random.default_rng(seed)
    near = distances(task)
    np.fill_diagonal(near, np.inf)
    one, other = np.unravel_index(np.argsort(near, axis=None)[: count // 2], near.shape)  # each near pair twice, both ways
    images = rng.random((count, *task.image_shape))
    own = data.test.images.double().numpy()
    for number, image in enumerate(images):
        tile = task.tiles[rng.integers(len(task.tiles))]
        kind, pair = number % 5, rng.integers(len(one))
        patch = tile.values.copy()
        if kind == 0 and len(own):
            image[:] = own[number % len(own)]
            continue
        if kind in (2, 3):  # the pixels move away from the tile until the distance is just below or above ε
            room = np.where(patch < 0.5, 1 - patch, -patch) * tile.support
            patch += room * tile.epsilon * (1 + (1e-9 if kind == 3 else -1e-9)) / np.abs(room).sum()
        if kind == 4:
            tile, partner = task.tiles[one[pair]], task.tiles[other[pair]]
            both, distance = tile.support & partner.support, near[one[pair], other[pair]]
            # Anywhere between the two, or just inside the first one.
            share = rng.random() if number % 2 else min(1.0, tile.epsilon * (1 - 1e-9) / distance)
            patch = np.where(tile.support, tile.values, partner.values)
            patch[both] += share * (partner.values - tile.values)[both]
        row, col = rng.integers(0, task.windows[0])
        where = tile.support | (kind == 4)
        window = image[:, row : row + tile.shape[1], col : col + tile.shape[2]]
        window[where] = patch.clip(0, 1)[where]
    return torch.from_numpy(images)


def gradients(network: tmi.Network, images: torch.Tensor) -> torch.Tensor:
    """Return the gradient of a fixed sum of the logits with respect to the images."""
    x = images.clone().requires_grad_()
    weight = torch.linspace(1, 2, len(network.task.classes), dtype=torch.float64)
    return torch.autograd.grad((network.module(x) * weight).sum(), x)[0]


def measure(tiles: int, neurons: int, epsilon: float, seed: int, images: int, code: str) -> dict[str, float | str]:
    """Build the network, or Theorem 1's for 0 neurons, and compare its logits with φ and its gradients with Theorem 1's."""
    data = tmi.generate(
        "fashion", seed=seed, tiles_per_class=tiles, samples=1, test_samples=max(1, images // 5), epsilon=epsilon, source="sample"
    )
    x = worst(data, images, seed)
    start = time.perf_counter()
    try:
        network = tmi.build("superposed", data, neurons=neurons, code=code, seed=seed) if neurons else tmi.build("theorem1", data)
    except tmi.InputError as error:
        return {"refused": str(error)}
    built = time.perf_counter() - start
    network.logits(x[:8])
    start = time.perf_counter()
    logits = network.logits(x)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    phi, labels = data.task.phi(x), data.task.labels(x)
    shown = labels >= 0
    others = logits.clone()
    others[shown] = others[shown].scatter(1, labels[shown, None], 0)
    some = x[: min(200, images)]
    return {
        "mu": network.module.code.overlap if neurons else 0.0,
        "build": built,
        "ms": seconds / images * 1e3,
        "peak": peak,
        "error": float((logits - phi).abs().max()),
        "others": int((others[shown] != 0).sum()),
        "wrong": int((logits[shown].argmax(1) != labels[shown]).sum()),
        "gradient": float((gradients(network, some) - gradients(tmi.build("theorem1", data), some)).abs().max()),
    }


@click.command()
@click.option("--images", default=1000, show_default=True)
@click.option("--quick", is_flag=True, help="One seed, ε = 1, three rows.")
@click.option("--one", hidden=True, nargs=6, type=str)
def main(images: int, quick: bool, one: tuple[str, ...] | None) -> None:
    """Print error, time and peak memory for each number of neurons; all rows take a quarter of an hour."""
    if one:
        tiles, neurons, epsilon, seed, count, code = one
        print(json.dumps(measure(int(tiles), int(neurons), float(epsilon), int(seed), int(count), code)))
        return
    seeds, epsilons = (range(1), (1.0,)) if quick else (range(3), (1.0, 5.0))
    sizes = {10: (26,), 1: (7,)} if quick else SIZES
    rows = [
        (tiles, neurons, epsilon, seed, images, code)
        for tiles, several in sizes.items()
        for epsilon in epsilons
        for seed in seeds
        for code in ("binary", "dense")
        for neurons in ((0, *several) if code == "binary" else several)
    ]
    table = Table(title="superposed and Theorem 1, fused: 28×28 tiles of Fashion-MNIST in images of 40×40, float64")
    for column in ("tiles", "neurons", "code", "ε", "seed", "μ", "build, s", "ms an image", "peak, GB", "largest |logit − φ|"):
        table.add_column(column, justify="right")
    for column in ("other logits not 0", "wrong labels", "|gradient − Theorem 1's|"):
        table.add_column(column, justify="right")
    for row in track(rows, "measuring", console=Console(stderr=True), transient=True):
        command = [sys.executable, "-m", "tests.benchmarks.superposed", "--one", *map(str, row)]
        seen = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        tiles, neurons, epsilon, seed, _, code = row
        named = [f"{10 * tiles}", f"{neurons or 'Theorem 1'}", code if neurons else "", f"{epsilon:g}", f"{seed}"]
        if "refused" in seen:
            table.add_row(*named, seen["refused"].split("; ")[1].split(", else")[0])
            continue
        numbers = [
            f"{seen['mu']:.2f}",
            f"{seen['build']:.2f}",
            f"{seen['ms']:.2f}",
            f"{seen['peak']:.2f}",
            f"{seen['error']:.1e}",
        ]
        table.add_row(*named, *numbers, f"{seen['others']}", f"{seen['wrong']}", f"{seen['gradient']:.1e}")
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
