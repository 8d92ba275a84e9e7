"""Calls attribution methods and measures through the registered probe that scores them, and notes what they gave."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tmi import params as parameters
from tmi.errors import TmiError
from tmi.plugins.component import Component
from tmi.plugins.registry import Registry
from tmi.probing import attribution
from tmi.probing.mutation import first_change, module_state

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.probing.result import ProbeResult
    from tmi.tasks.dataset import Dataset


@dataclass
class Inner:
    """A call of a method or measure by the probe that scores it."""

    arguments: tuple[Any, ...]
    result: Any
    changed: str = ""


@functools.lru_cache(maxsize=8)
def scoring_probe(registry: Registry) -> tuple[Component, dict[str, Any]] | None:
    """Return a probe whose settings name one method and some measures, with settings for it; None if there is none."""
    for name in registry.names("probe"):
        with suppress(TmiError):
            probe = registry.find("probe", name)
            kinds = {p.name: parameters.named_kind(p.type) for p in parameters.parameters(probe.function).values()}
            names = {kind: [name for name, named in kinds.items() if named == kind] for kind in ("method", "measure")}
            if all(len(found) == 1 for found in names.values()):
                methods = (registry.find("method", name) for name in registry.names("method"))
                simple = next(m.name for m in methods if not attribution.method_info(m.function).needs)
                return probe, {names["method"][0]: simple, names["measure"][0]: registry.names("measure")[:1]}
    return None


def scoring(
    component: Component,
    registry: Registry,
    network: Network,
    data: Dataset,
    settings: Mapping[str, Any],
    calls: list[Inner],
) -> Callable[[], ProbeResult]:
    """Return a call of the scoring probe with a method or measure.

    Parameters
    ----------
    component : Component
        The method or measure.
    registry : Registry
        Has a probe that scores: see `scoring_probe`.
    network : Network
    data : Dataset
    settings : mapping
        Of the method or measure.
    calls : list of Inner
        The calls of the method or measure are appended; there is none if the probe refuses it.
    """
    found = scoring_probe(registry)
    assert found is not None
    probe, scored = found
    function = functools.partial(component.function, **settings) if settings else component.function
    spy = _spy(component.kind, function, calls)
    name = next(name for name, value in scored.items() if isinstance(value, list) == (component.kind == "measure"))
    scored = scored | {name: [spy] if component.kind == "measure" else spy}
    return lambda: registry.probe(probe, network, data, **scored)


def _spy(kind: str, function: Callable[..., Any], calls: list[Inner]) -> Callable[..., Any]:
    """Return a function that notes its calls, and whether a method changes its module, or a measure its maps or truth."""

    @functools.wraps(function)
    def spied(*arguments: Any, **settings: Any) -> Any:
        shared = arguments[:1] if kind == "method" else arguments  # a method's images are its own copies
        before = _content(shared)
        inner = Inner(arguments, None)
        inner.result = function(*arguments, **settings)
        inner.changed = first_change(before, _content(shared))
        calls.append(inner)
        return inner.result

    return spied


def _content(values: Iterable[Any]) -> dict[str, Any]:
    """Return what tells the content of a module, of tensors and arrays, and of those that are attributes of an object."""
    import numpy as np
    import torch

    state: dict[str, Any] = {}
    for name, value in zip(("maps", "truth"), values, strict=False):
        if isinstance(value, torch.nn.Module):
            state |= module_state(value)
            continue
        attributes = getattr(value, "__dict__", {})
        for what, part in {name: value, **{f"{name}.{what}": part for what, part in attributes.items()}}.items():
            array = part.detach().cpu().numpy() if isinstance(part, torch.Tensor) else part
            if isinstance(array, np.ndarray):
                state[what] = array.shape, hash(array.tobytes())
    return state
