"""Parameters of plug-in functions, read from their signatures: names, types, defaults, descriptions and checked values.

A plug-in function takes its settings as keyword-only parameters with annotations and defaults. The signature is the only
declaration: it defines the keys of a suite table, the check of every value, the text of ``tmi describe`` and the settings in the
cache key.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from tmi.errors import InputError, PluginError, did_you_mean

Count = Annotated[int, msgspec.Meta(ge=1)]
"""A whole number of at least 1."""
Index = Annotated[int, msgspec.Meta(ge=0)]
"""A whole number of at least 0."""
Positive = Annotated[float, msgspec.Meta(gt=0)]
"""A finite number above 0."""
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
"""A finite number of at least 0."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""A number from 0 to 1."""


@dataclass(frozen=True)
class Named:
    """Marks a setting that names a registered component; see `tmi.plugins.references`."""

    kind: str


if TYPE_CHECKING:  # a string in a suite, a `tmi.plugins.references.Reference` in the function
    from typing import TypeAlias

    Method: TypeAlias = Any
    Measure: TypeAlias = Any
    Builder: TypeAlias = Any
    Background: TypeAlias = Any
else:
    Method = Annotated[str, Named("method")]
    """The name of an attribution method, with its settings in brackets, as in ``"integrated-gradients(steps=200)"``."""
    Measure = Annotated[str, Named("measure")]
    """The name of a measure of attributions, with its settings in brackets."""
    Builder = Annotated[str, Named("network")]
    """The name of a network builder, with its settings in brackets, as in ``"cnn(filters=4)"``."""
    Background = Annotated[str, Named("background")]
    """The name of a law of backgrounds, with its settings in brackets, as in ``"gaussian(std=0.1)"``."""

REQUIRED: Any = inspect.Parameter.empty


class Source:
    """A setting that says where a model comes from: ``"net.py:make"``, ``"package.module:Net"``, or a file as ``"net.onnx"``.

    A relative path starts from the same folder as settings of type `Path`. The code of a file or module, with every module of its
    own that it imports, is part of the key; of another file the content is.

    Attributes
    ----------
    path : Path or None
        The file; None for a module that is imported by its name.
    name : str
        What the file defines, or ``module:name``; empty for a file that is no Python code.
    """

    def __init__(self, path: Path | None, name: str) -> None:
        self.path, self.name = path, name

    def __str__(self) -> str:
        return ":".join(part for part in (str(self.path or ""), self.name) if part)

    def __repr__(self) -> str:
        return f"Source({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def files(self) -> list[Path]:
        """The file, and beside an ONNX file the one in which torch writes its weights."""
        beside = [] if self.path is None or self.name else [self.path.with_name(f"{self.path.name}.data")]
        return [] if self.path is None else [self.path, *(file for file in beside if file.exists())]

    @classmethod
    def parse(cls, value: Any) -> Source:
        """Read a source from text.

        Raises
        ------
        ValueError
            If it is none of the three forms.
        """
        text = str(value) if isinstance(value, str | PurePath) and str(value) and "\0" not in str(value) else ""
        place, colon, name = text.rpartition(":")
        if colon and all(map(str.isidentifier, name.split("."))):
            if place.endswith(".py"):
                return cls(Path(place), name)
            if all(map(str.isidentifier, place.split("."))):
                return cls(None, text)
        if (file := place if place.endswith(".py") else text).endswith(".py"):
            raise ValueError(f'expected the name of a function or class behind the file, as in "{file}:make"')
        if not PurePath(text).suffix:
            raise ValueError('expected "FILE.py:NAME", "MODULE:NAME" or a file')
        return cls(Path(text), "")


GIVEN = ("seed",)
"""Keyword-only parameters that are no settings; the caller passes them."""


@dataclass(frozen=True)
class Parameter:
    """One setting of a plug-in function.

    Attributes
    ----------
    name : str
    type : object
        The annotation, in a form that `msgspec.convert` accepts.
    default : object
        ``REQUIRED`` if there is none.
    text : str
        Its description in the docstring's "Parameters" section.
    """

    name: str
    type: Any
    default: Any
    text: str = ""

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is REQUIRED

    @property
    def type_text(self) -> str:
        """The type as text, with its range: ``"int ≥ 1"``."""
        return _type_text(self.type)


def parameters(function: Callable[..., Any], given: Collection[str] = GIVEN) -> dict[str, Parameter]:
    """Read a plug-in function's settings from its signature.

    Parameters
    ----------
    function : callable
        Its keyword-only parameters are the settings.
    given : collection of str
        Names of keyword-only parameters that are no settings; the caller passes them.

    Returns
    -------
    dict of str to Parameter
        In the order of the signature.

    Raises
    ------
    PluginError
        If a setting has neither annotation nor default, an annotation cannot be resolved, or a default is not of its own type.
    """
    settings = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY and p.name not in given]
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    module = re.sub(r"^tmi\.plugins\.files\..*_2f(.*)_2epy$", r"\1", function.__module__)  # a plug-in file by its name
    where = f"{module}.{getattr(function, '__qualname__', type(function).__name__)}"
    try:
        # Only the settings' annotations are resolved: the others may name types imported for type checkers alone.
        holder = types.SimpleNamespace(__annotations__={p.name: p.annotation for p in settings if p.annotation is not p.empty})
        hints = typing.get_type_hints(
            holder, globalns=getattr(function, "__globals__", None) or vars(sys.modules[function.__module__]), include_extras=True
        )
    except Exception as error:
        raise PluginError(f"{where}: the annotation of a parameter cannot be resolved ({error})") from error
    texts = _documented(inspect.getdoc(function) or "")
    result = {}
    for p in settings:
        if p.name in hints:
            kind = hints[p.name]
        elif p.default is not p.empty and p.default is not None:
            kind = type(p.default)
        else:
            raise PluginError(f"{where}: parameter {p.name!r} needs an annotation, so that its values can be checked")
        parameter = Parameter(p.name, kind, p.default, texts.get(p.name, ""))
        if not parameter.required:
            try:  # converted like a value from a suite: for a float, a default of 5 and a setting of 5 are both 5.0 in the key
                parameter = replace(parameter, default=check_value(parameter, p.default))
            except InputError as error:
                raise PluginError(f"{where}: the default of parameter {p.name!r} is not of its type ({error})") from None
        result[p.name] = parameter
    return result


def takes_seed(function: Callable[..., Any]) -> bool:
    """Whether the function has a parameter ``seed``."""
    return "seed" in inspect.signature(function).parameters


def check_value(parameter: Parameter, value: Any) -> Any:
    """Convert one value to its parameter's type, strictly: neither ``"2"`` nor ``True`` is an int, and NaN is refused.

    Raises
    ------
    InputError
        If the value does not have the type; the message says what was expected and what was given.
    PluginError
        If values cannot be converted to the parameter's type at all.
    """
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()  # a NumPy scalar
    if named_kind(parameter.type) and _has_functions(value):
        return value  # a method or measure may be given as a function
    try:
        result = _convert(value, parameter.type)
    except msgspec.ValidationError as error:
        message = re.sub(r" - at `\$.*", "", str(error)).replace("`", "")
        invalid = re.match(r"Invalid enum value '(.*)'", message)
        word, words = invalid[1] if invalid else value, _choices(parameter.type)
        if words and isinstance(word, str) and (invalid or typing.get_origin(parameter.type) is not list):
            raise InputError(f"expected {parameter.type_text}, got {word!r}{did_you_mean(word, words)}") from None
        shown = "" if repr(value) == message.rpartition(" ")[2] else f" (given: {value!r})"
        raise InputError(f"{message[:1].lower()}{message[1:]}{shown}") from None
    except TypeError as error:
        raise PluginError(f"parameter {parameter.name!r}: its type {parameter.type_text} cannot be checked ({error})") from None
    if not _finite(result):
        raise InputError(f"expected finite numbers, got {value!r}")
    return result


def _convert(value: Any, kind: Any) -> Any:
    """Convert a value; in a union with `Path`, which msgspec does not take, text is a path unless another member accepts it."""
    members = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else ()
    paths = [member for member in members if _is_path(member)]
    if paths:
        for other in [member for member in members if member is not str and not _is_path(member)]:
            with suppress(msgspec.ValidationError):
                return msgspec.convert(value, other, strict=True, dec_hook=_path)
        kind = paths[0]
    return msgspec.convert(value, kind, strict=True, dec_hook=_path if takes_path(kind) else None)


def _is_path(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, PurePath)


def _path(kind: Any, value: Any) -> Any:
    """Convert text to a path or source: `msgspec.convert` calls this for types that it does not know."""
    if kind is Source:
        return value if isinstance(value, Source) else Source.parse(value)
    if isinstance(value, PurePath) or (isinstance(value, str) and value and "\0" not in value):
        return Path(value)
    raise ValueError("expected a path")


def takes_path(kind: Any) -> bool:
    """Return whether values of a type are paths, or contain some."""
    return _is_path(kind) or kind is Source or any(map(takes_path, typing.get_args(kind)))


def map_paths(value: Any, function: Callable[[Path], Any]) -> Any:
    """Return a value with a function applied to every path in it.

    Parameters
    ----------
    value : object
        A setting, or any part of it.
    function : callable
        ``(path) -> object``.
    """
    if isinstance(value, Path):
        return function(value)
    if isinstance(value, Source):
        paths = [function(path) for path in value.files]
        return Source(paths[0], value.name) if paths and isinstance(paths[0], Path) else value
    if isinstance(value, Mapping):
        return {name: map_paths(item, function) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(map_paths(item, function) for item in value)
    return value


def as_text(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with every path as text, as JSON needs it; other values are the same objects."""
    return {
        name: str(value) if isinstance(value, Source) else map_paths(value, str) if has_path(value) else value
        for name, value in values.items()
    }


def has_path(value: Any) -> bool:
    """Return whether a value is a path or contains one."""
    found: list[Path] = []
    map_paths(value, found.append)
    return bool(found)


def _has_functions(value: Any) -> bool:
    """Whether a value is a function, or a list of names and functions with at least one function."""
    if isinstance(value, list):
        return any(map(callable, value)) and all(callable(item) or isinstance(item, str) for item in value)
    return callable(value)


def _choices(kind: Any) -> list[str]:
    """Return the values of every ``Literal`` in a type, at any depth."""
    if typing.get_origin(kind) is typing.Literal:
        return [str(choice) for choice in typing.get_args(kind)]
    return [choice for part in typing.get_args(kind) for choice in _choices(part)]


def _finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def named_kind(kind: Any) -> str | None:
    """Return the kind of component that a setting of this type names, alone or in a list; None for a plain setting."""
    if typing.get_origin(kind) is Annotated:
        return next((meta.kind for meta in kind.__metadata__ if isinstance(meta, Named)), None)
    return next(filter(None, map(named_kind, typing.get_args(kind))), None)


def check(
    function: Callable[..., Any], settings: Mapping[str, Any], name: str = "", given: Collection[str] = GIVEN
) -> tuple[dict[str, Any], list[str]]:
    """Check settings against a function's schema, and fill in the defaults.

    Parameters
    ----------
    function : callable
    settings : mapping
        Names and values of the settings.
    name : str
        The name of the function in messages.
    given : collection of str
        See `parameters`.

    Returns
    -------
    values : dict
        Every valid setting, with defaults filled in, in the order of the signature.
    problems : list of str
        One line per problem; empty if there is none.
    """
    schema = parameters(function, given)
    owner = repr(name) if name else getattr(function, "__name__", "the function")
    problems = [f"{key}: {owner} has no such parameter{did_you_mean(key, schema)}" for key in settings if key not in schema]
    values = {}
    for key, parameter in schema.items():
        if key in settings:
            try:
                values[key] = check_value(parameter, settings[key])
            except InputError as error:
                problems.append(f"{key}: {error}")
        elif parameter.required:
            problems.append(f"{key}: {owner} needs this parameter ({parameter.type_text})")
        else:
            values[key] = parameter.default
    return values, problems


def _documented(docstring: str) -> dict[str, str]:
    """Read the descriptions in a NumPy-style "Parameters" section."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}|\Z)", docstring, re.M | re.S)
    if not section:
        return {}
    texts = {}
    for names, body in re.findall(r"^(\S[^\n:]*?)(?: *:[^\n]*)?\n((?:[ \t]+[^\n]*\n?|\n)*)", section[1] + "\n", re.M):
        for name in names.split(","):
            texts[name.strip()] = " ".join(body.split())
    return texts


def _type_text(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        if named_kind(kind):
            return f"name of a {named_kind(kind)}"
        signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "max_length": "length ≤"}
        limits = [
            f"{sign} {getattr(meta, key)}"
            for meta in arguments[1:]
            if isinstance(meta, msgspec.Meta)
            for key, sign in signs.items()
            if getattr(meta, key) is not None
        ]
        return " ".join([_type_text(arguments[0]), ", ".join(limits)]).strip()
    if origin is typing.Literal:
        return " | ".join(repr(a).replace("'", '"') for a in arguments)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_type_text(a) for a in arguments)
    if kind is type(None):
        return "none"
    if _is_path(kind) or kind is Source:
        return "path" if kind is not Source else "file, or file or module with a name"
    if origin is not None:
        return f"{origin.__name__}[{', '.join(_type_text(a) for a in arguments if a is not ...)}]"
    return getattr(kind, "__name__", str(kind))
