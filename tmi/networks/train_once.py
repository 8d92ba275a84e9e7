"""Training that is done once: a builder whose module is a class of its own hands the training over, and the store its weights.

A network of standard torch layers comes back from its file by itself (`tmi.store.networks`). One with classes of its own can only
be built by its builder; what took long, the training, is then left out, and the weights of the first time take its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tmi.errors import DamagedFileError, InputError, did_you_mean

if TYPE_CHECKING:
    import torch
    from torch import nn

Arrays = dict[str, NDArray[Any]]


@dataclass
class Trained:
    """What a builder had trained.

    Attributes
    ----------
    weights : dict of str to ndarray
        By name, with the number of the call before it: ``"0.conv.weight"``.
    history : dict of str to ndarray of float64
        Likewise: ``"0.loss"``.
    problem : str
        Why the weights cannot be kept; empty if they can.
    """

    weights: Arrays = field(default_factory=dict)
    history: Arrays = field(default_factory=dict)
    problem: str = ""


@dataclass
class _Session:
    """The building of one network: what it has trained so far, or what it was given in place of training."""

    kept: Trained
    given: bool
    calls: int = 0
    training: bool = False


_session: ContextVar[_Session | None] = ContextVar("tmi_trained", default=None)


def train_once(module: nn.Module, fit: Callable[[], Mapping[str, Any] | None]) -> Arrays:
    """Train a module, unless the store holds the weights that this very training gave before.

    For builders whose module is a class of their own; one made of standard torch layers is stored whole, and needs this not.

    Parameters
    ----------
    module : torch.nn.Module
        As it is before training. Several modules of one builder are trained one after another, always in the same order.
    fit : callable
        Trains the module in place; returns what it recorded, name to numbers, or None. What it decides must lie in the module's
        weights and buffers and in that record, for nothing else comes back. Gradients are cleared after it, modes and what
        requires a gradient are put back, and the random numbers that it draws do not change what is drawn after it.

    Returns
    -------
    dict of str to ndarray of float64
        What ``fit`` returned, now or when the weights were stored: give it to the network as ``history``.

    Raises
    ------
    InputError
        If it is called inside of a ``fit``.
    DamagedFileError
        If the stored weights are not those of this module. The store then has the network trained anew.

    Examples
    --------
    >>> def gated(data: tmi.Dataset, *, seed: int, width: Count = 16) -> tmi.Network:
    ...     module = Gated(data.task, width)
    ...     history = tmi.train_once(module, lambda: descend(module, data.train))
    ...     return tmi.Network(module, ["gate", "logits"], "trained", task=data.task, history=history)
    """
    import torch

    from tmi.runtime.seeds import fixed_seed

    session = _session.get() or _Session(Trained(), given=False)
    if session.training:
        raise InputError("train_once: is called inside of a fit; call it once for each module, one after another")
    number, session.calls = session.calls, session.calls + 1
    # Drawn in either case: the builder's next random numbers are the same whether or not it trains.
    seed = int(torch.randint(2**63 - 1, ()))
    if session.given:
        _load(module, _numbered(session.kept.weights, number))
        return _numbered(session.kept.history, number)
    kinds = _kinds(module)
    session.training = True
    token = _session.set(session)
    try:
        with fixed_seed(seed), _weights_alone(module):
            record = fit() or {}
    finally:
        session.training = False
        _session.reset(token)
    history = {name: np.array(values, float) for name, values in record.items()}
    _keep(session.kept, module, kinds, history, number)
    return history


@contextmanager
def recording() -> Iterator[Trained]:
    """Collect what is trained inside the block.

    Yields
    ------
    Trained
        Empty if the builder does not use `train_once`.
    """
    kept = Trained()
    token = _session.set(_Session(kept, given=False))
    try:
        yield kept
    finally:
        _session.reset(token)


@contextmanager
def weights(state: Mapping[str, NDArray[Any]], history: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Let `train_once` take these weights inside the block, and train nothing.

    Parameters
    ----------
    state : mapping of str to ndarray
        As `Trained` has them.
    history : mapping of str to array_like, optional
        Likewise.

    Raises
    ------
    DamagedFileError
        At the end of the block, if some were not asked for.
    """
    kept = Trained(dict(state), {name: np.array(values, float) for name, values in (history or {}).items()})
    session = _Session(kept, given=True)
    token = _session.set(session)
    try:
        yield
    finally:
        _session.reset(token)
    asked = {str(number) for number in range(session.calls)}
    for name in (*kept.weights, *kept.history):
        if name.partition(".")[0] not in asked:
            raise DamagedFileError(f"stored weight {name!r}: nothing was trained that has it, in {session.calls} calls")


def state_arrays(module: nn.Module) -> Arrays:
    """Return copies of a module's weights and buffers as plain arrays, by name.

    Raises
    ------
    InputError
        For what an array cannot hold: sparse and quantized tensors, bfloat16, complex numbers, a state that is no tensor.
    """
    import torch

    arrays: Arrays = {}
    for name, value in module.state_dict().items():
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise InputError(f"weight {name!r}: is not a dense tensor")
        try:
            array = value.detach().cpu().numpy()
        except (TypeError, RuntimeError):  # bfloat16 and other types that NumPy lacks, tensors of more than one part
            raise InputError(f"weight {name!r}: NumPy has no {str(value.dtype).removeprefix('torch.')}") from None
        if array.dtype.kind not in "biuf":
            raise InputError(f"weight {name!r}: {array.dtype} is not stored")
        arrays[name] = np.array(array, order="C")
    return arrays


def as_tensor(array: NDArray[Any]) -> torch.Tensor:
    """Return a copy in memory of torch's own: how it is aligned may decide the last bit of a sum."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape)).clone()


@contextmanager
def _weights_alone(module: nn.Module) -> Iterator[None]:
    """Let nothing but the weights and buffers of a module change inside the block."""
    modes = [(part, part.training) for part in module.modules()]
    flags = [(weight, weight.requires_grad) for weight in module.parameters()]
    yield
    for part, mode in modes:
        part.training = mode
    for weight, flag in flags:
        weight.requires_grad_(flag)
    module.zero_grad()


def _kinds(module: nn.Module) -> dict[str, str]:
    """What each weight is, as ``"float32 (3, 4)"``."""
    return {name: _kind(value) for name, value in module.state_dict().items()}


def _kind(value: Any) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}" if hasattr(value, "dtype") else type(value).__name__


def _keep(kept: Trained, module: nn.Module, before: dict[str, str], history: Arrays, number: int) -> None:
    try:
        arrays = state_arrays(module)
        after = _kinds(module)
        for name in before.keys() ^ after.keys():
            raise InputError(f"weight {name!r}: training adds it or takes it away")
        for name, kind in before.items():
            if after[name] != kind:
                raise InputError(f"weight {name!r}: training makes {after[name]} of {kind}")
    except InputError as error:
        kept.problem = kept.problem or str(error)
        return
    kept.weights |= {f"{number}.{name}": array for name, array in arrays.items()}
    kept.history |= {f"{number}.{name}": array.copy() for name, array in history.items()}


def _numbered(arrays: Mapping[str, NDArray[Any]], number: int) -> Arrays:
    prefix = f"{number}."
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _load(module: nn.Module, arrays: Arrays) -> None:
    own = _kinds(module)
    for name in own:
        if name not in arrays:
            raise DamagedFileError(f"stored weights: have no {name!r}{did_you_mean(name, arrays)}")
    for name, array in arrays.items():
        if name not in own:
            raise DamagedFileError(f"stored weight {name!r}: the module has none{did_you_mean(name, own)}")
        if _kind(array) != own[name]:
            raise DamagedFileError(f"stored weight {name!r}: is {_kind(array)}, the module's {own[name]}")
    module.load_state_dict({name: as_tensor(array) for name, array in arrays.items()})
    module.zero_grad()
