"""A module from Python code: a function or class in a file or an installed package.

The code that runs is the code on the disk, which the key covers: own modules, those outside installed packages, are imported for
each call, whatever this process has imported before under their names, and are removed afterwards. A file that has the name of a
module of Python is the exception: where Python has imported its own, that is used, as it would be in a program of the user's.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from tmi.errors import InputError, PluginError, did_you_mean
from tmi.params import Source
from tmi.plugins.fingerprint import own_code

from .messages import one_line


def make(source: Source, arguments: dict[str, Any]) -> nn.Module:
    """Return the module that a function or class makes, or a copy of a module that the code defines.

    Raises
    ------
    InputError
        If the code fails, has no such name, needs other arguments, or gives something else than a module.
    """
    module_name, _, name = source.name.rpartition(":")
    try:
        code_on_disk = own_code(module_name) if source.path is None else own_code(source.path.stem, source.path)
    except PluginError as error:
        raise InputError(f"module: {source}: its code cannot be imported ({error})") from None
    files = {} if code_on_disk is None else code_on_disk.modules
    packages = {name.partition(".")[0] for name, file in files.items() if not _is_installed(name, file)}
    if source.path is not None:
        _check_forward(source, files.values(), packages)
    with _importable(source.path, packages):
        try:
            code = importlib.import_module(module_name) if source.path is None else _run(source.path)
        except (Exception, SystemExit) as error:  # a script without a guard for __main__ may exit
            raise InputError(f"module: {source}: its code cannot be imported ({one_line(error)})") from error
        target: Any = code
        for part in name.split("."):
            if not hasattr(target, part):
                public = (name for name in vars(target) if not name.startswith("_")) if hasattr(target, "__dict__") else ()
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
        except (Exception, SystemExit) as error:
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


def _check_forward(source: Source, files: Collection[Path], packages: Collection[str]) -> None:
    """Refuse a forward that imports an own module: it runs later, when the folder is not on the path any more."""
    for file in files:
        tree = ast.parse(file.read_bytes())
        forwards = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "forward"]
        for node in (part for function in forwards for part in ast.walk(function)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = ["." * node.level + (node.module or "")]
            for name in names:
                if name.startswith(".") or name.partition(".")[0] in packages:
                    raise InputError(
                        f"module: {source}: forward imports {name} ({file.name}, line {node.lineno}), which can be found only "  # type: ignore[attr-defined]
                        "while the module is made; import it at the top of the file"
                    )


@contextmanager
def _importable(file: Path | None, packages: Collection[str]) -> Iterator[None]:
    """While the block runs, import own packages from their files, those in the folder of a file first.

    Modules of installed packages and of Python stay as they are, also where they lie below the folder, as in a ``.venv``.
    """
    replaced = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in packages}
    before, no_bytecode = set(sys.modules), sys.dont_write_bytecode
    if file is not None:
        sys.path.insert(0, str(file.parent))
    sys.dont_write_bytecode = True  # an edit within a second would not be seen
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if file is not None:
            sys.path.remove(str(file.parent))
        sys.dont_write_bytecode = no_bytecode
        for name in set(sys.modules) - before:
            source = Path(getattr(sys.modules[name], "__file__", None) or "/")
            is_below = file is not None and source.is_relative_to(file.parent) and not _is_installed(name, source)
            if is_below or name.partition(".")[0] in packages:
                del sys.modules[name]
        sys.modules.update(replaced)


def _is_installed(name: str, file: Path) -> bool:
    """Return whether a module is Python's own or of an installed package."""
    return (
        name.partition(".")[0] in sys.stdlib_module_names
        or not {"site-packages", "dist-packages"}.isdisjoint(file.parts)
        or file.is_relative_to(Path(__file__).parents[2])  # tmi's plug-ins, in a checkout
    )


def _run(file: Path) -> ModuleType:
    """Run a file as a module; it is found by its name while it runs, as data classes need."""
    module = ModuleType(file.stem)
    module.__file__ = str(file)
    sys.modules.setdefault(file.stem, module)
    # Not with this file's own `from __future__ import annotations`.
    exec(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), module.__dict__)
    return module
