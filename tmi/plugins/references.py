"""Settings that name a registered component: ``"integrated-gradients(steps=200)"`` is a method and one of its settings."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tmi import params as parameters
from tmi.errors import InputError

from .component import Component
from .fingerprint import syntax_tree


@dataclass(frozen=True)
class Reference:
    """The component that a setting names, with the component's settings.

    Attributes
    ----------
    text : str
        The text of the setting; the name of the function if a function was given.
    component : Component
    params : dict
        All settings of the component, defaults included.
    """

    text: str
    component: Component
    params: dict[str, Any]

    @property
    def function(self) -> Callable[..., Any]:
        """The component's function."""
        return self.component.function

    @cached_property
    def _bare(self) -> Callable[..., Any]:
        return functools.partial(inspect.unwrap(self.function), **self.params)

    def __call__(self, *arguments: Any) -> Any:
        """Call the function with its settings, without the guard around it, which takes longer than many a law of backgrounds."""
        return self._bare(*arguments)


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Parse ``"name"`` or ``"name(setting=value, …)"``; values are numbers, quoted strings, lists, True, False or None.

    ``true`` and ``false``, as in TOML, are values too.

    Returns
    -------
    name : str
    settings : dict

    Raises
    ------
    InputError
        If the text has neither form. No part of the text is ignored.
    """
    name, bracket, rest = text.partition("(")
    if not bracket:
        return text.strip(), {}
    source = f"f({rest}".rstrip()
    try:
        call = syntax_tree(source, mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise ValueError
        if call.end_lineno != source.count("\n") + 1 or call.end_col_offset != len(source.rpartition("\n")[2].encode()):
            raise ValueError  # a comment
        settings = {kw.arg: ast.literal_eval(_FromToml().visit(kw.value)) for kw in call.keywords if kw.arg is not None}
        if len(settings) != len(call.keywords):  # a setting given twice, or ``**``
            raise ValueError
        return name.strip(), settings
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise InputError(f'{text!r}: expected a name, or a name with settings as in "name(steps=200)"') from None


class _FromToml(ast.NodeTransformer):
    """Replaces the names ``true`` and ``false`` by what they mean in TOML."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(node.id == "true") if node.id in ("true", "false") else node


def named_in(parameter: parameters.Parameter, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the kind and the name of each component that a setting names; nothing for a plain setting."""
    kind = parameters.named_kind(parameter.type)
    if kind is not None and value is not None:
        for name in value if isinstance(value, list) else [value]:
            yield kind, name
