"""Ways to train many small networks, of three sizes: ``python -m tests.benchmarks.populations``. It measures and asserts nothing.

The ways are torch, one network after another (the reference); torch, all at once, with one batched matrix product a layer, by
hand; builder ``cnn``, one after another, by compiled loops where the network is small; and `tmi_networks.population`, as a run
trains a group: small networks in threads, others as before. Each network has a data set of its own, as the seeds of a suite
have. All train in turns, several times, and the least time of each counts: another process may have taken the others. CPU time is
that of all threads. Beside each is the largest difference of a weight from the reference. The last two are equal to the last bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.nn.functional import cross_entropy, unfold

import tmi
from tmi.plugins.registry import installed
from tmi.plugins.together import Request
from tmi_networks import population, training
from tmi_networks.checkpoints import checkpoints
from tmi_networks.cnn import check, make_module

Weights = list[list[NDArray[Any]]]

SIZES: list[tuple[str, str, dict[str, Any], dict[str, Any], int, int]] = [
    # name, data set, its settings, the network's settings, networks, epochs
    ("4×4, 4 filters of 2×2", "squares", {}, {"filters": 4, "kernel": 2, "batch_size": 10, "lr": 0.05}, 64, 20),
    (
        "12×12, 4 filters of 5×5",
        "digits",
        {"image_size": 12, "samples": 400},
        {"filters": 4, "kernel": 5, "batch_size": 5, "lr": 0.05},
        64,
        5,
    ),
    (
        "40×40, 12 filters of 5×5",
        "fashion",
        {"samples": 400},
        {"filters": 12, "kernel": 5, "batch_size": 100, "lr": 0.03},
        8,
        2,
    ),
]


def in_torch(requests: Sequence[Request]) -> Weights:
    """Train one after another, every step by torch."""
    before, training._SMALL_STEP = training._SMALL_STEP, 0
    try:
        return one_after_another(requests)
    finally:
        training._SMALL_STEP = before


def one_after_another(requests: Sequence[Request]) -> Weights:
    """Train one after another, as builder ``cnn`` does."""
    trained = []
    for request in requests:
        ((weights, _),) = checkpoints(
            request.data, seed=request.seed, **request.params | {"epochs": [epochs_of(request)]}
        ).values()
        trained.append(list(weights.values()))
    return trained


def epochs_of(request: Request) -> int:
    return int(request.params["epochs"])


def in_threads(requests: Sequence[Request]) -> Weights:
    """Train as a run does."""
    return [list(state.weights.values()) for state in population.train(requests) if state is not None]


def batched(requests: Sequence[Request]) -> Weights:
    """Train all at once, on one thread: patches unfolded once, a batched matrix product a layer, one step for all."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _batched(requests)
    finally:
        torch.set_num_threads(threads)


def _batched(requests: Sequence[Request]) -> Weights:
    params, task, count = requests[0].params, requests[0].data.task, len(requests)
    maps = check(requests[0].data, params["kernel"], 1, "none")
    modules = []
    for request in requests:
        torch.manual_seed(request.seed)
        modules.append(make_module(task, maps, params["filters"], params["kernel"], "none", 0))
    shapes = [parameter.shape for parameter in modules[0].parameters()]
    kernels, offsets, linear, bias = (
        torch.stack(
            [list(module.parameters())[i].detach().flatten(1 if i % 2 == 0 else 0) for module in modules]
        ).requires_grad_()
        for i in range(4)
    )
    patches = torch.stack([unfold(request.data.train.images, params["kernel"]).transpose(1, 2) for request in requests])
    labels = torch.stack([request.data.train.labels for request in requests])
    generators = [torch.Generator().manual_seed(request.seed) for request in requests]
    every = torch.arange(count)[:, None]
    for _ in range(epochs_of(requests[0])):
        order = torch.stack([torch.randperm(labels.shape[1], generator=generator) for generator in generators])
        for chosen in order.split(params["batch_size"], 1):  # type: ignore[no-untyped-call]
            hidden = torch.einsum("snpk,sfk->snfp", patches[every, chosen], kernels) + offsets[:, None, :, None]
            logits = torch.baddbmm(bias[:, None], hidden.relu().flatten(2), linear.transpose(1, 2))
            loss = cross_entropy(logits.flatten(0, 1), labels[every, chosen].flatten(), reduction="sum") / chosen.shape[1]
            gradients = torch.autograd.grad(loss, [kernels, offsets, linear, bias])
            with torch.no_grad():
                for weight, gradient in zip((kernels, offsets, linear, bias), gradients, strict=True):
                    weight -= params["lr"] * gradient
    stacked = (kernels, offsets, linear, bias)
    return [[w[i].detach().reshape(s).numpy() for w, s in zip(stacked, shapes, strict=True)] for i in range(count)]


WAYS: dict[str, Callable[[Sequence[Request]], Weights]] = {
    "torch, one after another": in_torch,
    "batched matrix products": batched,
    "cnn, one after another": one_after_another,
    "cnn, together": in_threads,
}


def difference(one: Weights, other: Weights) -> float:
    return max(float(np.abs(a - b).max()) for mine, its in zip(one, other, strict=True) for a, b in zip(mine, its, strict=True))


@click.command()
@click.option("--quick", is_flag=True, help="A quarter of the networks, and once.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True, help="Of torch.")
def main(quick: bool, repeats: int, threads: int) -> None:
    """Print milliseconds a network, how many times faster than torch, and the differences, as a table in Markdown."""
    torch.set_num_threads(threads)
    table = Table(box=box.MARKDOWN)
    for column in (
        "size",
        "networks",
        "epochs",
        "way",
        "ms a network",
        "times faster",
        "CPU ms",
        "times less",
        "difference",
        "chosen",
    ):
        table.add_column(column, justify="left" if column in ("size", "way", "chosen") else "right", no_wrap=True)
    console = Console(width=max(200, Console().width))
    for name, dataset, made, settings, networks, epochs in track(SIZES, "sizes", console=Console(stderr=True), transient=True):
        count = networks // 4 if quick else networks
        params = installed().check("network", "cnn", {**settings, "epochs": epochs})
        requests = [Request(tmi.generate(dataset, seed=s, test_samples=1, **made), s, params) for s in range(count)]
        for request in requests:
            request.data.train.images  # noqa: B018  # some are drawn when they are first asked for
        for train in WAYS.values():
            train([Request(requests[0].data, 0, params | {"epochs": 1})])  # compiles
        seconds, cpu = (dict.fromkeys(WAYS, float("inf")) for _ in range(2))
        weights = {}
        for _ in range(1 if quick else repeats):
            for way, train in WAYS.items():
                begun, used = time.perf_counter(), time.process_time()
                weights[way] = train(requests)
                seconds[way] = min(seconds[way], time.perf_counter() - begun)
                cpu[way] = min(cpu[way], time.process_time() - used)
        small = population._is_small(requests[0].data, params)
        chosen = "cnn, together" if small else "cnn, one after another"
        first = next(iter(WAYS))
        for way in WAYS:
            apart = f"{difference(weights[way], weights[first]):.0e}"
            row = [text for its in (seconds, cpu) for text in (f"{1000 * its[way] / count:.2f}", f"{its[first] / its[way]:.1f}")]
            table.add_row(name, str(count), str(epochs), way, *row, apart, "yes" if way == chosen else "")
        assert difference(weights["cnn, together"], weights["cnn, one after another"]) == 0
    console.print(f"Torch threads: {threads}.")
    console.print(table)


if __name__ == "__main__":
    main()
