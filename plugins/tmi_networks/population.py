"""Many networks of `cnn` in one call, each equal bit for bit to the one that is trained alone: what `tmi.together` asks for.

Two ways share work. Networks that differ in ``epochs`` alone are checkpoints of one training. Small networks, which compiled
loops train (`tmi_networks.compiled_training`), are trained in as many threads as torch may use. All others are trained one after
another. ``python -m tests.benchmarks.populations`` compares this with batches of networks.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tmi
from tmi.errors import InputError
from tmi.plugins.together import Request

from . import training as one_by_one
from .checkpoints import Checkpoint, Keep, checkpoints
from .cnn import check, make_module

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class _Training:
    """Requests that differ in their epochs alone."""

    data: tmi.Dataset
    seed: int
    params: Mapping[str, Any]
    epochs: list[int]


def group(data: tmi.Dataset, seed: int, params: Mapping[str, Any]) -> Hashable:
    """Return what is equal for networks that `train` trains with less work together."""
    return "small" if _is_small(data, params) else (seed, _but_epochs(params))


def train(requests: Sequence[Request]) -> list[Checkpoint | None]:
    """Train the networks of `cnn` for several requests; see `tmi.together`.

    Parameters
    ----------
    requests : sequence of Request
        Any; those of which `group` is equal share work.

    Returns
    -------
    list of Checkpoint or None
        None where the settings are refused or training diverges.
    """
    trainings: dict[Hashable, _Training] = {}
    keys = [(id(request.data), request.seed, _but_epochs(request.params)) for request in requests]
    for key, request in zip(keys, requests, strict=True):
        training = trainings.setdefault(key, _Training(request.data, request.seed, request.params, []))
        training.epochs.append(request.params["epochs"])
    small = {key: training for key, training in trainings.items() if _is_small(training.data, training.params)}
    states = dict(zip(small, _in_threads(list(small.values())), strict=True))
    states |= {key: _alone(training) for key, training in trainings.items() if key not in small}
    return [states[key].get(request.params["epochs"]) for key, request in zip(keys, requests, strict=True)]


def _but_epochs(params: Mapping[str, Any]) -> Hashable:
    return tuple((name, value) for name, value in params.items() if name != "epochs")


def _is_small(data: tmi.Dataset, params: Mapping[str, Any]) -> bool:
    """Whether compiled loops train a network, as `tmi_networks.training.descend` decides."""
    channels, rows, cols = data.task.image_shape
    options = one_by_one.Options.of(params)
    if params["depth"] > 1 or params["pool"] != "none" or params["hidden"] or params["dropout"] or params["batch_norm"]:
        return False
    places = (rows - params["kernel"] + 1) * (cols - params["kernel"] + 1)
    multiplications = params["batch_size"] * params["filters"] * channels * params["kernel"] ** 2 * places
    return options.has_plain_steps and not options.early_stopping and 0 < multiplications < one_by_one._SMALL_STEP


def _alone(training: _Training) -> dict[int, Checkpoint]:
    settings = {name: value for name, value in training.params.items() if name != "epochs"}
    try:
        return checkpoints(training.data, seed=training.seed, epochs=training.epochs, **settings)
    except InputError:  # the builder raises the same error, for each that it concerns
        return {}


def _in_threads(trainings: list[_Training]) -> list[dict[int, Checkpoint]]:
    """Train small networks, as many at a time as torch may use threads; each takes one."""
    import torch

    modules = [_untrained(training) for training in trainings]  # here: they take the process's random generators
    is_over = threading.Event()
    threads = torch.get_num_threads()
    with one_by_one._quickest_for(0), ThreadPoolExecutor(max(1, min(threads, len(trainings)))) as pool:
        try:
            states = pool.map(lambda training, module: _trained(training, module, is_over), trainings, modules)
            return list(tmi.track(states, "training together", len(trainings)))
        finally:
            is_over.set()  # for an interrupt: each ends with its epoch


def _untrained(training: _Training) -> nn.Module | None:
    from tmi.runtime.seeds import fixed_seed

    kernel = training.params["kernel"]
    try:
        maps = check(training.data, kernel, 1, "none")
    except InputError:
        return None
    with fixed_seed(training.seed):
        return make_module(training.data.task, maps, training.params["filters"], kernel, "none", 0)


def _trained(training: _Training, module: nn.Module | None, is_over: threading.Event) -> dict[int, Checkpoint]:
    """Return the states of one network after each of its epochs; those before it diverges, if it does."""
    if module is None:
        return {}
    keep = Keep(module, training.epochs)

    def keep_or_end(done: int, history: one_by_one.History) -> None:
        keep(done, history)
        if is_over.is_set():
            raise InputError("the training of the others was ended")

    steps = {name: training.params[name] for name in ("lr", "batch_size")}
    with suppress(InputError):
        one_by_one.descend(
            module, training.data.train, seed=training.seed, epochs=max(training.epochs), **steps, after_epoch=keep_or_end
        )
    return keep.kept
