"""Ways to train many small networks of section 6.1: ``python -m tests.benchmarks.training``.

It measures and never asserts a time. The ways are torch, one network after another (the reference); torch, all networks of one
size at once, with shared patches and one batched matrix product a layer; the same by `torch.func.vmap`; and the compiled loops
that builder ``cnn`` takes for small networks. Beside each is the largest difference of a weight from the reference.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.functional import cross_entropy, unfold

import tmi
from tmi_networks import training
from tmi_networks.cnn import check, make_module

LR = 0.05


def modules(data: tmi.Dataset, filters: int, networks: int) -> list[nn.Module]:
    """Return untrained networks, each with initial weights of its own."""
    made = []
    for seed in range(networks):
        torch.manual_seed(seed)
        made.append(make_module(data.task, check(data, 2, 1, "none"), filters, 2, "none", 0))
    return made


def one_after_another(data: tmi.Dataset, nets: list[nn.Module], epochs: int, batch_size: int, *, small: int) -> None:
    """Train each by itself; ``small`` chooses torch (0) or the compiled loops."""
    before, training._SMALL_STEP = training._SMALL_STEP, small
    try:
        for module in nets:
            training.descend(module, data.train, seed=0, epochs=epochs, lr=LR, batch_size=batch_size)
    finally:
        training._SMALL_STEP = before


def orders(count: int, epochs: int) -> list[torch.Tensor]:
    """The orders of the images that `descend` takes."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randperm(count, generator=generator) for _ in range(epochs)]


def batched(data: tmi.Dataset, nets: list[nn.Module], epochs: int, batch_size: int) -> None:
    """Train all at once: patches unfolded once, a batched matrix product a layer, one step for all."""
    patches = unfold(data.train.images, 2).transpose(1, 2)  # (N, place, tap)
    kernels, offsets, linear, bias = (
        torch.stack([list(module.parameters())[i].detach().flatten(1 if i % 2 == 0 else 0) for module in nets]).requires_grad_()
        for i in range(4)
    )
    labels, count = data.train.labels, len(nets)
    for order in orders(len(labels), epochs):
        for chosen in order.split(batch_size):
            hidden = torch.einsum("npk,sfk->snfp", patches[chosen], kernels) + offsets[:, None, :, None]
            logits = torch.baddbmm(bias[:, None], hidden.relu().flatten(2), linear.transpose(1, 2))
            loss = cross_entropy(logits.flatten(0, 1), labels[chosen].repeat(count), reduction="sum") / len(chosen)
            gradients = torch.autograd.grad(loss, [kernels, offsets, linear, bias])
            with torch.no_grad():
                for weight, gradient in zip((kernels, offsets, linear, bias), gradients, strict=True):
                    weight -= LR * gradient
    with torch.no_grad():
        for i, module in enumerate(nets):
            for parameter, stacked in zip(module.parameters(), (kernels, offsets, linear, bias), strict=True):
                parameter.copy_(stacked[i].reshape(parameter.shape))


def mapped(data: tmi.Dataset, nets: list[nn.Module], epochs: int, batch_size: int) -> None:
    """Train all at once by `torch.func.vmap` over the module itself."""
    from torch.func import functional_call, grad, stack_module_state, vmap

    weights, _ = stack_module_state(nets)

    def loss(one: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return cross_entropy(functional_call(nets[0], one, (x,)), y)

    gradient = vmap(grad(loss), in_dims=(0, None, None))
    for order in orders(len(data.train), epochs):
        for chosen in order.split(batch_size):
            steps = gradient(weights, data.train.images[chosen], data.train.labels[chosen])
            weights = {name: (value - LR * steps[name]).detach() for name, value in weights.items()}
    with torch.no_grad():
        for i, module in enumerate(nets):
            for name, parameter in module.named_parameters():
                parameter.copy_(weights[name][i])


WAYS: dict[str, Callable[..., None]] = {
    "torch, one after another": lambda *a: one_after_another(*a, small=0),
    "torch, batched by hand": batched,
    "torch.func.vmap": mapped,
    "compiled loops (used)": lambda *a: one_after_another(*a, small=1 << 60),
}


@click.command()
@click.option("--quick", is_flag=True, help="Fewer networks and epochs.")
def main(quick: bool) -> None:
    """Print seconds a network, the ratio to the reference, and the difference from it."""
    torch.set_num_threads(1)
    data = tmi.generate("squares", seed=0, test_samples=1)
    epochs = 2 if quick else 20
    one_after_another(data, modules(data, 1, 1), 1, 10, small=1 << 60)  # compiles
    table = Table(title=f"networks of section 6.1, {epochs} epochs of 400 images, one thread")
    for name in ("filters", "batch size", "networks", "way", "ms a network", "times faster", "largest difference"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for filters, batch_size, networks in ((1, 10, 20), (4, 10, 20), (16, 10, 20), (4, 1, 5 if quick else 20)):
        reference: list[nn.Module] = []
        before = 0.0
        for way, train in WAYS.items():
            nets = modules(data, filters, networks)
            start = time.perf_counter()
            train(data, nets, epochs, batch_size)
            seconds = (time.perf_counter() - start) / networks
            if not reference:
                reference, before = nets, seconds
            difference = max(
                float((a - b).detach().abs().max())
                for one, other in zip(nets, reference, strict=True)
                for a, b in zip(one.parameters(), other.parameters(), strict=True)
            )
            row = (str(filters), str(batch_size), str(networks), way, f"{1000 * seconds:.2f}", f"{before / seconds:.1f}")
            table.add_row(*row, f"{difference:.0e}")
        table.add_section()
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
