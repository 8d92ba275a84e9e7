"""Settings that are paths: made absolute and looked for, before a function or a key uses them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from tmi import params as parameters
from tmi.errors import InputError, MissingPathError, PluginError
from tmi.runtime.paths import absolute

from .fingerprint import source_of


def with_absolute_paths(
    function: Callable[..., Any],
    params: Mapping[str, Any],
    folder: Path | None = None,
    given: Collection[str] = parameters.GIVEN,
    *,
    must_exist: bool = True,
) -> dict[str, Any]:
    """Return settings with every path as an absolute `Path`; settings of other types are the same objects.

    Parameters
    ----------
    function : callable
        Its signature says which settings are paths.
    params : mapping
        Checked settings; their paths may be text.
    folder : Path, optional
        The folder that a relative path starts from; by default the working folder.
    given : collection of str
        See `tmi.params.parameters`.
    must_exist : bool
        Whether to look for the files.

    Raises
    ------
    MissingPathError
        If there is nothing at a path; the message names the setting and the path.
    InputError
        If a setting does not have its type.
    """
    result = dict(params)
    if not _takes_paths(function, tuple(given)):
        return result
    for name, parameter in parameters.parameters(function, given).items():
        if name in result and parameters.takes_path(parameter.type):
            try:
                value = parameters.check_value(parameter, result[name])
                if isinstance(value, parameters.Source) and value.path is None:
                    _find_module(value)
                result[name] = parameters.map_paths(
                    value, lambda path: _existing(path, folder) if must_exist else absolute(path, folder)
                )
            except InputError as error:
                raise type(error)(f"{name}: {error}") from None
    return result


@functools.lru_cache(maxsize=4096)  # most functions take none, and reading a signature takes a part of a millisecond
def _takes_paths(function: Callable[..., Any], given: tuple[str, ...]) -> bool:
    return any(parameters.takes_path(parameter.type) for parameter in parameters.parameters(function, given).values())


def _find_module(source: parameters.Source) -> None:
    module = source.name.partition(":")[0]
    try:
        source_of(module)
    except PluginError as error:
        raise MissingPathError(f'{error}; name its file, as in "{module.rpartition(".")[2]}.py:…"') from None


def _existing(path: Path, folder: Path | None) -> Path:
    result = absolute(path, folder)
    try:
        result.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise MissingPathError(f"there is no file or folder {result}") from None
        raise MissingPathError(f"{result} cannot be read ({error.strerror or error})") from None
    return result
