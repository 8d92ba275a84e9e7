"""Builders that can train several networks in one call, and so share work among them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from tmi.runtime.guard import guarded

if TYPE_CHECKING:
    from tmi.tasks.dataset import Dataset

F = TypeVar("F", bound=Callable[..., Any])

State = tuple[Mapping[str, Any], Mapping[str, Any]]
Train = Callable[[Sequence["Request"]], Sequence[State | None]]
Group = Callable[["Dataset", int, Mapping[str, Any]], Hashable]


@dataclass(frozen=True)
class Request:
    """A network that is to be trained.

    Attributes
    ----------
    data : Dataset
    seed : int
    params : mapping
        All arguments that the builder gets: its settings, defaults included, with a `Reference` for the name of a component.
    """

    data: Dataset
    seed: int
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Together:
    """What a builder declares with `together`.

    Attributes
    ----------
    train, group : callable or str
    """

    train: Train | str
    group: Group | str

    def functions(self, who: str) -> tuple[Train, Group]:
        """Return both functions, whose calls are guarded (`tmi.runtime.guard`); ``who`` is the builder."""
        train, group = (guarded(_imported(target), f"tmi.together of {who}") for target in (self.train, self.group))
        return train, group


def together(train: Train | str, group: Group | str) -> Callable[[F], F]:
    """Declare that networks of a builder can be trained several in one call, where that takes less time.

    A run then trains those that it needs together, and stores each under its own key, as if it had been trained alone. So each
    must be equal, bit for bit, to the one that the builder trains, in whichever group it is. The builder is called with the
    weights in place of its training: it must call `tmi.train_once`, once.

    Parameters
    ----------
    train : callable or str
        ``(requests) -> states``: trains the networks of several `tmi.plugins.together.Request`, and returns for each, in the same
        order, the pair of what `tmi.train_once` keeps: the module's ``state_dict`` after training (arrays or tensors by name) and
        the history. None for one that is to be trained alone, such as one whose training diverges: the builder then raises its
        error. If ``train`` raises, all are trained alone. During the call the global generators of Python, NumPy and torch have
        the seed of the first. Text is the place of a function in a package: ``"module:function"``.
    group : callable or str
        ``(data, seed, params) -> hashable``: networks are trained in one call if this is equal for them. Among ``params`` the
        name of a component is text. Those that are compared have one builder, and data sets of one generator with the same
        settings. So ``data``, the data set of one of them, differs from that of another in the seed at most, which is the
        network's ``seed`` too.

    Examples
    --------
    >>> def train(requests):
    ...     longest = max(requests, key=lambda request: request.params["epochs"])
    ...     states = checkpoints(longest, {request.params["epochs"] for request in requests})  # of one training
    ...     return [states[request.params["epochs"]] for request in requests]
    >>> def group(data, seed, params):
    ...     return seed, *(value for name, value in params.items() if name != "epochs")
    >>> @tmi.together(train, group)
    ... def linear(data: tmi.Dataset, *, seed: int, epochs: Count = 20, lr: Positive = 0.01) -> tmi.Network: ...
    """

    def mark(function: F) -> F:
        function.tmi_together = Together(train, group)  # type: ignore[attr-defined]
        return function

    return mark


def declared_by(function: Callable[..., Any]) -> Together | None:
    """Return what a builder declares; None if it declares nothing."""
    declared: Together | None = getattr(function, "tmi_together", None)
    return declared


def _imported(target: Callable[..., Any] | str) -> Callable[..., Any]:
    if callable(target):
        return target
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function
