"""Training that is done once: a builder hands its training over, and the store keeps the weights that came out.

The module is always made by its builder. Where the store has the weights, they take the place of the training.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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

_INITIAL = "_tmi_initial_weights"
"""The attribute in which a module that was trained keeps the weights that it had before."""


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
    calls : int
        How many trainings there were.
    """

    weights: Arrays = field(default_factory=dict)
    history: Arrays = field(default_factory=dict)
    problem: str = ""
    calls: int = 0


@dataclass
class _Session:
    """The building of one network, with what it has trained so far, or with weights that are given to it."""

    kept: Trained
    given: bool
    calls: int = 0
    training: bool = False


_session: ContextVar[_Session | None] = ContextVar("tmi_trained", default=None)


def train_once(module: nn.Module, fit: Callable[[], Mapping[str, Any] | None]) -> Arrays:
    """Train a module, or load the weights that this very training gave before, where the store has them.

    ``history = tmi.train_once(module, fit)`` in place of ``history = fit()`` changes no number of what is trained.

    Parameters
    ----------
    module : torch.nn.Module
        As it is before training. Several modules of one builder are trained one after another, always in the same order.
    fit : callable
        Trains the module in place; returns what it recorded, name to numbers, or None. Only the values of the module's weights
        and buffers and this record are kept. After it gradients are cleared, modes and ``requires_grad`` are as before, and the
        global random generators of Python, NumPy and torch are seeded again, so that what the builder draws next does not
        depend on whether it trained.

    Returns
    -------
    dict of str to ndarray of float64
        What ``fit`` returned, now or when the weights were stored: give it to the network as ``history``.

    Raises
    ------
    InputError
        If it is called inside a ``fit``.
    DamagedFileError
        If the stored weights are not those of this module. The network is then trained again.

    Examples
    --------
    >>> def gated(data: tmi.Dataset, *, seed: int, width: Count = 16) -> tmi.Network:
    ...     module = Gated(data.task, width)
    ...     history = tmi.train_once(module, lambda: descend(module, data.train))
    ...     return tmi.Network(module, ["gate", "logits"], "trained", task=data.task, history=history)
    """
    session = _session.get() or _Session(Trained(), given=False)
    if session.training:
        raise InputError("train_once: is called inside a fit; call it once for each module, one after another")
    number, session.calls = session.calls, session.calls + 1
    seed = _next_seed()
    _remember_initial(module)
    if session.given:
        _load(module, _numbered(session.kept.weights, number))
        history = _numbered(session.kept.history, number)
    else:
        kinds = _kinds(module)
        session.training = True
        token = _session.set(session)
        try:
            with _weights_alone(module):
                record = fit() or {}
        finally:
            session.training = False
            _session.reset(token)
        history = {name: np.array(values, float) for name, values in record.items()}
        _keep(session.kept, module, kinds, history, number)
    _seed(seed)
    return history


@contextmanager
def recording() -> Iterator[Trained]:
    """Collect what `train_once` trains inside the block.

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
    """Make `train_once` load these weights inside the block, and train nothing.

    Parameters
    ----------
    state : mapping of str to ndarray
        As `Trained` has them.
    history : mapping of str to array_like, optional
        Likewise.

    Raises
    ------
    DamagedFileError
        At the end of the block, if `train_once` was called fewer times than there are weights for.
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
        For what a file cannot hold: sparse, quantized and nested tensors, dtypes that NumPy lacks (bfloat16, float8), complex
        numbers, a state that is not a tensor.
    """
    import torch

    arrays: Arrays = {}
    for name, value in module.state_dict().items():
        if not isinstance(value, torch.Tensor) or not _is_dense(value):
            raise InputError(f"weight {name!r}: is not a dense tensor")
        if value.is_complex():
            raise InputError(f"weight {name!r}: {_dtype(value)} is not stored")
        try:
            array = value.detach().cpu().resolve_neg().numpy()
        except (TypeError, RuntimeError):
            raise InputError(f"weight {name!r}: NumPy has no {_dtype(value)}") from None
        arrays[name] = np.array(array, order="C")
    return arrays


def as_tensor(array: NDArray[Any]) -> torch.Tensor:
    """Return a copy in memory that torch allocates: its alignment may decide the last bit of a sum."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape)).clone()


def initial_module(module: nn.Module) -> nn.Module | None:
    """Return a copy of a module with the weights that it had before `train_once` trained it, or parts of it, first.

    Returns
    -------
    Module or None
        In evaluation mode; of itself it has none. None for a module that `train_once` did not train, or that has other layers or
        weights of other names since, as one that is pruned or parametrised after training.
    """
    from .plain import copied

    trained = [name for name, part in module.named_modules() if _INITIAL in vars(part)]
    if not trained:
        return None
    result = copied(module).eval()
    for name in trained:
        part = result.get_submodule(name)
        initial = {key: as_tensor(array) for key, array in vars(part)[_INITIAL].items()}
        try:
            part.load_state_dict(initial)
        except RuntimeError:  # torch's error for other names or shapes
            return None
        del vars(part)[_INITIAL]  # it is not trained, so that it has no untrained network of its own
    return result


def _remember_initial(module: nn.Module) -> None:
    """Keep the weights of a module that is trained for the first time, where they can be kept."""
    if _INITIAL not in vars(module):
        with suppress(InputError):
            vars(module)[_INITIAL] = state_arrays(module)


def _next_seed() -> int:
    """Return a seed that depends on the state of torch's generator, and leave that state as it is."""
    import torch

    generator = torch.Generator()
    generator.set_state(torch.get_rng_state())
    return int(torch.randint(2**63 - 1, (), generator=generator))


def _seed(seed: int) -> None:
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


@contextmanager
def _weights_alone(module: nn.Module) -> Iterator[None]:
    """Undo what the block changes of a module, but for the values of its weights and buffers."""
    modes = [(part, part.training) for part in module.modules()]
    flags = [(weight, weight.requires_grad) for weight in module.parameters()]
    yield
    for part, mode in modes:
        part.training = mode
    for weight, flag in flags:
        weight.requires_grad_(flag)
    module.zero_grad()


def _kinds(module: nn.Module) -> dict[str, str]:
    """Return the dtype and shape of each weight, as ``"float32 (3, 4)"``."""
    return {name: _kind(value) for name, value in module.state_dict().items()}


def _kind(value: Any) -> str:
    if not hasattr(value, "dtype"):
        return type(value).__name__
    return f"{_dtype(value)} {'nested' if getattr(value, 'is_nested', False) else tuple(value.shape)}"


def _dtype(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.")


def _is_dense(value: torch.Tensor) -> bool:
    import torch

    return value.layout == torch.strided and not (value.is_quantized or value.is_meta or value.is_nested)


def _keep(kept: Trained, module: nn.Module, before: dict[str, str], history: Arrays, number: int) -> None:
    kept.calls += 1
    try:
        arrays = state_arrays(module)
        after = _kinds(module)
        for name in before.keys() ^ after.keys():
            raise InputError(f"weight {name!r}: training adds or removes it")
        for name, kind in before.items():
            if after[name] != kind:
                raise InputError(f"weight {name!r}: training changes {kind} to {after[name]}")
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
