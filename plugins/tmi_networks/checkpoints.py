"""Networks of `cnn` after several numbers of epochs, from one training."""

from __future__ import annotations

from collections.abc import Collection
from inspect import signature
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import tmi

from .cnn import check, cnn, make_module
from .training import Options, descend

if TYPE_CHECKING:
    from torch import nn

    from .training import History


class Checkpoint(NamedTuple):
    """What training ends with.

    Attributes
    ----------
    weights : dict of str to ndarray
        The module's weights and buffers by name: its ``state_dict``.
    history : dict of str to ndarray of float64
        As `tmi.Network.history`.
    """

    weights: dict[str, NDArray[Any]]
    history: dict[str, NDArray[np.float64]]


class Keep:
    """Keeps what a module has after some numbers of epochs: ``after_epoch`` of `tmi_networks.training.descend`.

    Parameters
    ----------
    module : torch.nn.Module
    epochs : collection of int

    Attributes
    ----------
    kept : dict of int to Checkpoint
    """

    def __init__(self, module: nn.Module, epochs: Collection[int]) -> None:
        self.module, self.epochs = module, epochs
        self.kept: dict[int, Checkpoint] = {}

    def __call__(self, done: int, history: History) -> None:
        """Keep the present weights and the history, if these epochs are asked for."""
        if done in self.epochs:
            weights = {name: value.numpy().copy() for name, value in self.module.state_dict().items()}
            self.kept[done] = Checkpoint(weights, {name: np.array(values, float) for name, values in history.items()})


def checkpoints(data: tmi.Dataset, *, seed: int, epochs: Collection[int], **settings: Any) -> dict[int, Checkpoint]:
    """Train the network of `cnn` once, and return what it has after each of several numbers of epochs.

    The order of the images and what dropout draws in an epoch depend on the seed and on the epochs before, and the learning rate
    is constant: a longer training begins with the shorter ones.

    Parameters
    ----------
    data : Dataset
    seed : int
    epochs : collection of int
        At least 0.
    **settings
        The other settings of `cnn`; its defaults fill those that are missing.

    Returns
    -------
    dict of int to Checkpoint
        For each number of epochs, equal bit for bit to what `cnn` trains with these ``epochs`` alone, early stopping included.

    Raises
    ------
    InputError
        As `cnn`, for the largest of ``epochs``. Where training diverges after some of them, these are to be trained alone.
    """
    from tmi.runtime.seeds import fixed_seed

    call = signature(cnn).bind(data, seed=seed, epochs=max(epochs), **settings)
    call.apply_defaults()
    given = call.arguments
    form = (given[name] for name in ("filters", "kernel", "pool", "hidden", "dropout", "batch_norm"))
    maps = check(data, given["kernel"], given["depth"], given["pool"], given["dropout"])
    with fixed_seed(seed):
        module = make_module(data.task, maps, *form)
        keep = Keep(module, epochs)
        steps = {name: given[name] for name in ("epochs", "lr", "batch_size")}
        history = descend(module, data.train, seed=seed, **steps, options=Options.of(given), after_epoch=keep)
        for number in epochs:
            if number not in keep.kept:  # early stopping came before it
                keep(number, history)
    return {number: keep.kept[number] for number in epochs}
