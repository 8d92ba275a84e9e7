"""Calls of registered functions on the toy, and what each call did: its product, time and memory, and what it left changed."""

from __future__ import annotations

import functools
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tmi import params as parameters
from tmi.errors import NoTilesError, PluginError, TmiError
from tmi.plugins.component import Component
from tmi.plugins.inputs import with_absolute_paths
from tmi.plugins.registry import Registry
from tmi.plugins.undeclared import owners_of, undeclared
from tmi.probing import attribution
from tmi.probing.mutation import State, data_state, first_change, state_of
from tmi.runtime import reads
from tmi.runtime.guard import SwitchWarning
from tmi.runtime.time_limit import TimedOut, time_limit

from .memory import peak_megabytes
from .scoring import Inner, scoring, scoring_probe
from .toys import tiny_data, tiny_network

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.tasks.dataset import Dataset

    Pair: TypeAlias = tuple[Network, Dataset]

KINDS = ("background", "dataset", "network", "probe", "method", "measure")
"""The kinds of component that can be called, in an order in which the later ones can use what the earlier ones make."""

SECONDS = 20.0
"""How long one call may take."""


@dataclass
class Call:
    """What one call of a component did.

    Attributes
    ----------
    product : object
        What it returned, None if it failed; a network as (network, data set), of a method or measure the scoring probe's result.
    error : BaseException or None
    inner : list of Inner
        The calls of a method or measure.
    switches : list of str
        Settings of the process that it left changed, one sentence each.
    changed : str
        The part of the network or data set that it changed; empty if there is none.
    undeclared : str
        The file that it reads and that its key does not cover, in one sentence; empty if there is none.
    seconds, megabytes : float
        Its time, and by how much the process's memory grew at most; None where that is not known.
    """

    product: Any = None
    error: BaseException | None = None
    inner: list[Inner] = field(default_factory=list)
    switches: list[str] = field(default_factory=list)
    changed: str = ""
    undeclared: str = ""
    seconds: float = 0.0
    megabytes: float | None = None


class Trials:
    """Registered functions that are tried on the toy, and on the data sets and networks among them.

    Parameters
    ----------
    components : iterable of Component
        Suites and reports among them are not called.
    registry : Registry
        Looks up the probe that scores methods and measures.
    settings : mapping of str to dict, optional
        Settings other than the defaults, by kind and name: ``{"probe demo": {"steps": 3}}``.
    on : sequence of (Network, Dataset), optional
        What to try them on before the toy.
    """

    def __init__(
        self,
        components: Iterable[Component],
        registry: Registry,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        on: Sequence[Pair] = (),
    ) -> None:
        self.components, self.registry, self._on = list(components), registry, list(on)
        given = settings or {}
        self._trials = [Trial(c, self, given.get(f"{c.kind} {c.name}", {})) for c in self.components]

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials)

    def datasets(self) -> Iterator[Dataset]:
        """Yield data sets to try a network on: the given ones, the toy, and those of the plug-in itself."""
        yield from (data for _, data in self._on)
        yield self.toy[1]
        yield from self._products("dataset")

    def networks(self) -> Iterator[Pair]:
        """Yield networks and their data sets to try a probe on."""
        yield from self._on
        yield self.toy
        yield from self._products("network")

    @cached_property
    def toy(self) -> Pair:
        """The tiny network and its data set."""
        data = tiny_data()
        return tiny_network(data), data

    def _products(self, kind: str) -> Iterator[Any]:
        for trial in self:
            if trial.component.kind == kind and trial.first.product is not None:
                yield trial.first.product


class Trial:
    """One registered function, which is called at most twice with the same arguments.

    Attributes
    ----------
    component : Component
    settings : mapping
        Other than the defaults.
    """

    def __init__(self, component: Component, trials: Trials, settings: Mapping[str, Any]) -> None:
        self.component, self._trials, self.settings = component, trials, settings
        self._arguments: Any = None

    def __str__(self) -> str:
        return f"{self.component.kind} {self.component.name}"

    @property
    def registry(self) -> Registry:
        """Where its plug-in is found."""
        return self._trials.registry

    @cached_property
    def first(self) -> Call:
        """The first call that says something about it; if every call fails, the first of all."""
        calls = []
        for arguments in self._candidates():
            call = self._call(arguments)
            calls.append(call)
            if _says_something(self.component.kind, call):
                self._arguments = arguments
                break
        else:
            return next((call for call in calls if call.product is not None), calls[0] if calls else Call())
        call.undeclared = next((c.undeclared for c in calls if c.undeclared), "")
        return call

    @cached_property
    def again(self) -> Call:
        """Another call with the arguments of the first; what it imports is already there, so that its memory is its own."""
        return self._call(self._arguments) if self.answered else Call()

    @property
    def answered(self) -> bool:
        """Whether a call said something about it."""
        _ = self.first
        return self._arguments is not None

    @property
    def why_not(self) -> str:
        """Why nothing could be found out by calling it; empty if a call said something."""
        call = self.first
        if self.answered:
            return ""
        if isinstance(call.error, TimedOut):
            return f"it takes longer than {SECONDS:g} s"
        if call.error is not None:
            text = " ".join(str(call.error).split())
            return text if isinstance(call.error, TmiError) else f"{type(call.error).__name__}: {text}".removesuffix(": ")
        if call.product is not None:
            return "; ".join(call.product.notes) or "it was not called"
        return "no registered probe scores methods and measures"

    @property
    def fault(self) -> Literal["", "refused", "wrong", "failed"]:
        """Why no call said something about it; empty if one did.

        "refused": it does not take the toy or its own defaults, or does not apply; "wrong": it returned something of a wrong type
        or form, as a metric that is NaN; "failed": it raised another error.
        """
        error = self.first.error
        if self.answered:
            return ""
        if error is not None and _is_about_the_product(self.component.kind, error):
            return "wrong"
        return "refused" if error is None or isinstance(error, TmiError) else "failed"

    def _candidates(self) -> Iterator[Any]:
        """Yield arguments to call it with, one after another until a call says something."""
        kind = self.component.kind
        if kind in ("background", "dataset"):
            yield ()
        elif kind == "network":
            yield from ((data,) for data in self._trials.datasets())
        elif kind == "probe" or scoring_probe(self.registry) is not None:
            yield from self._trials.networks()

    def _call(self, arguments: Any) -> Call:
        call = Call()
        registry, component = self._trials.registry, self.component
        run = self._runner(arguments, call)
        named, owners = owners_of(
            [component, *(c for c in self._trials.components if c.kind in ("method", "measure", "background"))]
        )
        declared = [path for used in named.values() for path in _paths(used, registry)]
        before = _state(component.kind, arguments)
        start = time.perf_counter()
        with reads.watching(owners, declared) as watch, warnings.catch_warnings(record=True) as caught, peak_megabytes() as peak:
            warnings.simplefilter("always")
            try:
                with time_limit(SECONDS):
                    call.product = run()
            except (Exception, SystemExit) as error:
                call.error = error
        call.seconds = time.perf_counter() - start
        call.megabytes = peak[0] if peak else None
        call.switches = [str(w.message) for w in caught if issubclass(w.category, SwitchWarning)]
        call.undeclared = undeclared(watch, named).get(str(component), "")
        call.changed = first_change(before, _state(component.kind, arguments))
        return call

    def _runner(self, arguments: Any, call: Call) -> Callable[[], Any]:
        """Return the call without arguments."""
        registry, component, settings = self._trials.registry, self.component, dict(self.settings)
        if component.kind == "background":
            return lambda: _drawn(component, registry, settings)
        if component.kind == "dataset":
            return lambda: registry.generate(component, **settings)
        if component.kind == "network":
            return lambda: (registry.build(component, *arguments, **settings), *arguments)
        if component.kind == "probe":
            return lambda: registry.probe(component, *arguments, **settings)
        network, data = arguments
        return scoring(component, registry, network, data, settings, call.inner)


def _is_about_the_product(kind: str, error: BaseException) -> bool:
    """Return whether an error is about what a function makes, which tmi checks, and not about what it was given."""
    if isinstance(error, PluginError):  # of another type than its hook says
        return True
    if not isinstance(error, TmiError) or isinstance(error, NoTilesError):
        return False
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    if kind == "probe":  # as a metric that is NaN
        return "tmi.probing.result" in modules
    package = {"dataset": "tmi.tasks.", "background": "tmi.tasks.", "network": "tmi.networks."}.get(kind)
    return package is not None and modules[-1].startswith(package)


def _says_something(kind: str, call: Call) -> bool:
    """Return whether a call is worth checking: a probe that applies, a method that was not refused."""
    if kind in ("method", "measure"):
        return bool(call.inner)
    return call.product is not None and (kind != "probe" or call.product.applicable)


def _state(kind: str, arguments: Any) -> State:
    """Return the state of the data set and of the network that a call may not change."""
    if kind == "network":
        return data_state(arguments[0])
    return state_of(arguments[1], arguments[0]) if kind == "probe" else {}


def _drawn(component: Component, registry: Registry, settings: Mapping[str, Any]) -> Any:
    """Draw two images on backgrounds of a law."""
    import numpy as np

    from tmi.tasks.backgrounds import draw_recipes

    function = functools.partial(component.function, **settings) if settings else component.function
    law = registry.reference("background", function)
    return draw_recipes(np.random.default_rng(0), tiny_data().task, 2, law).render()


def _paths(component: Component, registry: Registry) -> list[str]:
    """Return the paths in the default settings of a component."""
    given = attribution.GIVEN.get(component.kind, parameters.GIVEN)
    paths: list[str] = []
    with suppress(TmiError):
        defaults, _ = parameters.check(component.function, {}, given=given)
        values = with_absolute_paths(component.function, defaults, registry.folder, given, must_exist=False)
        parameters.map_paths(values, lambda path: paths.append(str(path)))
    return paths
