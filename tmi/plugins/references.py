"""Settings that name a registered component: ``"integrated-gradients(steps=200)"`` is a method with a setting of its own."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tmi import params as parameters
from tmi.errors import InputError, TmiError
from tmi.probing import attribution

from .fingerprint import syntax_tree

if TYPE_CHECKING:
    from .component import Component
    from .registry import Registry


@dataclass(frozen=True)
class Reference:
    """What a setting names: a component with settings of its own.

    Attributes
    ----------
    text : str
        As it was written; the name where a function itself was given.
    component : Component
    params : dict
        All its settings, defaults included.
    """

    text: str
    component: Component
    params: dict[str, Any]

    @property
    def function(self) -> Callable[..., Any]:
        """The function that it stands for."""
        return self.component.function


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Read ``"name"`` or ``"name(setting=value, …)"``; values are numbers, words in quotes, lists, True, False or None.

    Raises
    ------
    InputError
        If it is neither.
    """
    name, bracket, rest = text.partition("(")
    if not bracket:
        return text.strip(), {}
    try:
        call = syntax_tree(f"f({rest}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError
        return name.strip(), {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise InputError(f'{text!r}: expected a name, or a name with settings as in "name(steps=200)"') from None


def resolve(registry: Registry, kind: str, given: str | Callable[..., Any]) -> Reference:
    """Look up what a setting names.

    Parameters
    ----------
    registry : Registry
    kind : {"method", "measure"}
    given : str or callable
        A function stands for itself, with its defaults.

    Raises
    ------
    UnknownNameError
        If nothing carries the name.
    InputError
        With every problem of its settings.
    """
    if callable(given):
        from .component import Component, Plugin

        name = getattr(given, "__name__", type(given).__name__).replace("_", "-")
        component = Component(kind, name, given, Plugin("<given>", "given as a function", None))
        text, settings = name, dict[str, Any]()
    else:
        name, settings = parse(given)
        component, text = registry.find(kind, name), given
    values, problems = parameters.check(component.function, settings, name, attribution.GIVEN[kind])
    if problems:
        raise InputError(f"{kind} {text!r}: " + "; ".join(problems))
    return Reference(text, component, values)


def problems(registry: Registry, parameter: parameters.Parameter, value: Any) -> list[str]:
    """Return what is wrong with the names in a setting; empty if all is well, or if it names nothing."""
    found = []
    for kind, given in _named(parameter, value):
        try:
            if callable(given):
                raise InputError(f"expected the name of a {kind}, got a function: a suite is written in names")
            registry.reference(kind, given)
        except TmiError as error:
            found.append(str(error))
    return found


def references(registry: Registry, component: Component, params: Mapping[str, Any]) -> list[Reference]:
    """Return what the settings of a component name, in the order of its parameters, in whatever order they are given."""
    schema = parameters.parameters(component.function)
    return [registry.reference(*named) for name, parameter in schema.items() for named in _named(parameter, params.get(name))]


def resolved(registry: Registry, component: Component, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with every name replaced by its `Reference`: what the component's function is called with."""
    schema = parameters.parameters(component.function)
    result = dict(params)
    for name, parameter in schema.items():
        found = [registry.reference(*named) for named in _named(parameter, result.get(name))]
        if found:
            result[name] = found if isinstance(result[name], list) else found[0]
    return result


def _named(parameter: parameters.Parameter, value: Any) -> Iterator[tuple[str, Any]]:
    kind = parameters.named_kind(parameter.type)
    if kind is not None and value is not None:
        for one in value if isinstance(value, list) else [value]:
            yield kind, one
