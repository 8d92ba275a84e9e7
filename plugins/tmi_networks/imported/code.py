"""A module from Python code: a function or class in a file or an installed package."""

from __future__ import annotations

import copy
import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from tmi.errors import InputError, did_you_mean
from tmi.params import Source

from .messages import one_line


def make(source: Source, arguments: dict[str, Any]) -> nn.Module:
    """Return the module that a function or class makes, or a copy of a module that the code defines.

    Raises
    ------
    InputError
        If the code fails, has no such name, needs other arguments, or gives something else than a module.
    """
    name = source.name.rpartition(":")[2]
    with _importable(source.path) as folder:
        try:
            code = importlib.import_module(source.name.partition(":")[0]) if folder is None else _run(source.path, folder)
        except Exception as error:
            raise InputError(f"module: {source}: its code cannot be imported ({one_line(error)})") from error
        target: Any = code
        for part in name.split("."):
            if not hasattr(target, part):
                public = (other for other in vars(target) if not other.startswith("_")) if hasattr(target, "__dict__") else ()
                raise InputError(f"module: {source}: there is no {part!r}{did_you_mean(part, public)}")
            target = getattr(target, part)
        if isinstance(target, nn.Module):
            if arguments:
                raise InputError(f"arguments: {source} is a module already, which takes none")
            return copy.deepcopy(target)
        if not callable(target):
            raise InputError(f"module: {source} is a {type(target).__name__}, and neither a function nor a class nor a module")
        _check_arguments(str(source), target, arguments)
        try:
            result = target(**arguments)
        except Exception as error:
            raise InputError(f"module: {source} fails ({one_line(error)})") from error
    if not isinstance(result, nn.Module):
        raise InputError(f"module: {source} gives {type(result).__name__}, expected a torch.nn.Module")
    return result


def _check_arguments(source: str, target: Any, arguments: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # some classes that are written in C
        return
    known = [p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    unknown = [name for name in arguments if name not in {p.name for p in known} and not takes_any]
    if unknown:
        raise InputError(f"arguments: {source} takes no {unknown[0]!r}{did_you_mean(unknown[0], (p.name for p in known))}")
    missing = [p.name for p in known if p.default is p.empty and p.name not in arguments]
    if missing:
        example = ", ".join(f"{name} = …" for name in missing)
        raise InputError(f"module: {source} needs {', '.join(missing)}; give them as arguments = {{{example}}}")


@contextmanager
def _importable(file: Path | None) -> Iterator[str | None]:
    """Let code import modules in its folder while the block runs, and forget those afterwards: another file may have others."""
    if file is None:
        yield None
        return
    folder, before = str(file.parent), set(sys.modules)
    sys.path.insert(0, folder)
    no_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # an edit within a second would not be seen
    try:
        yield folder
    finally:
        sys.path.remove(folder)
        sys.dont_write_bytecode = no_bytecode
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(f"{folder}/"):
                del sys.modules[name]


def _run(file: Path | None, folder: str) -> ModuleType:
    """Run a file as a module; it is found by its name while it runs, as data classes need."""
    assert file is not None
    module = ModuleType(file.stem)
    module.__file__ = str(file)
    sys.modules.setdefault(file.stem, module)
    exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)
    return module
