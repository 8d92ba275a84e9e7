"""The fingerprint of the code that makes a number, taken without running it.

What counts is the plug-in's source file and every file of its own that it imports, as syntax trees without comments, docstrings
and the texts of errors and warnings: a changed helper changes the fingerprint, a reworded message does not. Of the core, the
packages that make numbers count; see `core_fingerprint`. Libraries count by their versions.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tmi.errors import PluginError
from tmi.hashing import digest

LIBRARIES = ("torch", "numpy", "numba", "scipy", "scikit-learn", "captum")
"""The libraries whose version may change a number; part of every key."""

CORE = ("tasks", "networks", "probing", "params.py", "runtime/seeds.py")
"""The parts of the core that make numbers: their code is in every key. That of the store, engines, reports and command is not."""

F = TypeVar("F", bound=Callable[..., Any])


def external(identify: Callable[..., Any]) -> Callable[[F], F]:
    """Declare what a data set, network, probe, method or measure depends on besides its code and settings, such as files.

    Parameters
    ----------
    identify : callable
        Called with the settings (``**params``) before anything runs; returns JSON that identifies what will be read, such as the
        names and checksums of data files. It becomes part of the key, so it must be quick and import nothing heavy.

    Examples
    --------
    >>> @external(lambda *, folder: {"folder": folder})
    ... def from_folder(*, seed: int, folder: str): ...
    """

    def mark(function: F) -> F:
        function.tmi_external = identify  # type: ignore[attr-defined]
        return function

    return mark


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that may change a number, read from metadata without importing them."""
    result = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in LIBRARIES:
        try:
            result[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            result[name] = "absent"
    return result


@functools.cache
def core_fingerprint() -> str:
    """Fingerprint the parts of the core that make numbers; see `CORE`."""
    root = Path(__file__).parents[1]
    files = sorted(file for part in CORE for file in ([root / part] if part.endswith(".py") else (root / part).rglob("*.py")))
    return digest([[file.relative_to(root).as_posix(), tree_digest(file)] for file in files])


def fingerprint(module: str, file: Path | None = None) -> str:
    """Fingerprint the code of a module and of everything of its own that it imports.

    Parameters
    ----------
    module : str
        Dotted name, as in ``"module:function"``.
    file : Path, optional
        Its source, where it was loaded from a file.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    PluginError
        If there is no source to fingerprint.

    Notes
    -----
    "Its own" is every module whose source lies outside the standard library and the installed packages, and those of the
    module's own top-level package wherever that lies. Other installed packages count by their version. Imports that are
    computed at run time are not seen.
    """
    return digest(_fingerprint(module, file or source_of(module)).content)


def is_current(module: str, file: Path) -> bool:
    """Whether the files behind a fingerprint that was taken earlier still hold the same code.

    Parameters
    ----------
    module, file
        As for `fingerprint`; True if none was taken yet.
    """
    taken = _fingerprint(module, file)
    return all(_stamp(path) == stamp or _tree_of(path) == tree_digest(path) for path, stamp in taken.stamps.items())


class _Fingerprint(NamedTuple):
    content: dict[str, Any]
    stamps: dict[Path, tuple[int, int] | None]


def _stamp(file: Path) -> tuple[int, int] | None:
    """Return time and size of a file, which change when it does."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@functools.cache
def _fingerprint(module: str, file: Path) -> _Fingerprint:
    top = module.partition(".")[0]
    seen: dict[str, str] = {}
    packages: dict[str, str] = {}
    stamps: dict[Path, tuple[int, int] | None] = {}
    waiting = [(module, file)]
    while waiting:
        name, path = waiting.pop()
        if name in seen:
            continue
        stamps[path] = _stamp(path)
        seen[name] = tree_digest(path)
        for imported in imports_of(path, name):
            located = _locate(imported, top, path.parent)
            if isinstance(located, Path):
                waiting.append((imported, located))
            elif located:
                packages[imported.partition(".")[0]] = located
    return _Fingerprint({"modules": seen, "packages": packages}, stamps)


def source_of(module: str) -> Path:
    """Find the source file of a module without importing it.

    Raises
    ------
    PluginError
        If there is none.
    """
    top, _, rest = module.partition(".")
    if rest:  # `find_spec` would import the packages around a submodule
        with suppress(ImportError, ValueError):
            spec = find_spec(top)
            for place in (spec.submodule_search_locations or []) if spec else []:
                inside = Path(place).joinpath(*rest.split("."))
                for candidate in (inside.with_name(f"{inside.name}.py"), inside / "__init__.py"):
                    if candidate.exists():
                        return candidate
    try:
        spec = find_spec(module)
    except Exception as error:  # `find_spec` imports the packages around a submodule, which may raise anything
        raise PluginError(f"module {module!r} cannot be found ({error})") from error
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise PluginError(f"module {module!r} has no Python source to fingerprint")
    return Path(spec.origin)


@functools.cache
def tree_digest(file: Path) -> str:
    """Return `_tree_of` a file as it was when first asked for, which is when it was imported."""
    return _tree_of(file)


def _tree_of(file: Path) -> str:
    """Hash a source file's syntax tree; comments, layout, docstrings and the texts of errors and warnings do not count."""
    tree = _parse(file)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and any(map(_is_text, body)):  # also the text below a constant, which documents it
            node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]  # type: ignore[attr-defined]
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _called(node) == "warn"):
            _WithoutMessages().visit(node)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


class _WithoutMessages(ast.NodeTransformer):
    """Empties the sentences in an expression: f-strings, and strings of several words. A single word may be a value."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.Constant("")

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        is_sentence = isinstance(node.value, str) and any(map(str.isspace, node.value))
        return ast.Constant("") if is_sentence else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return ast.Constant("") if _is_empty(node.left) and _is_empty(node.right) else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        return ast.Constant("") if _is_empty(node.body) and _is_empty(node.orelse) else node


def _is_empty(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value == ""


def syntax_tree(source: str | bytes, name: str = "<unknown>", mode: str = "exec") -> Any:
    """Parse Python; a second time if another thread disturbed the parser, which counts its depth for all threads together.

    See python/cpython#106905; Dask parses its settings in a thread of its own.
    """
    try:
        return ast.parse(source, filename=name, mode=mode)
    except SystemError:
        return ast.parse(source, filename=name, mode=mode)


def _parse(file: Path) -> ast.Module:
    try:
        tree: ast.Module = syntax_tree(file.read_bytes(), str(file))
        return tree
    except (OSError, SyntaxError, ValueError) as error:
        raise PluginError(f"{file}: cannot be read as Python ({error})") from None


def imports_of(file: Path, module: str) -> Iterator[str]:
    """Yield the dotted names that a source file imports, at its top and inside functions."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(_parse(file)):
        if isinstance(node, ast.Import):  # `import a.b` runs a too
            yield from (
                ".".join(parts[: i + 1]) for alias in node.names for parts in [alias.name.split(".")] for i in range(len(parts))
            )
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join(parents[: len(parents) - node.level + 1] + ([base] if base else []))
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    return tuple({Path(sysconfig.get_paths()[key]).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib")})


def _locate(imported: str, own: str, folder: Path) -> Path | str | None:
    """Return the source of a module that counts by content, the version of one that counts by version, or None."""
    top, _, rest = imported.partition(".")
    if top in sys.builtin_module_names or top in sys.stdlib_module_names or top == "tmi":
        return None  # the core has a fingerprint of its own, in every key
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        beside = (folder / f"{top}.py", folder / top / "__init__.py")
        root = next((file for file in beside if file.exists()), None)
    else:
        root = Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    # A package without __init__.py has folders and no source of its own.
    places = [root.parent / top if root.name != "__init__.py" else root.parent] if root else []
    places = places or [Path(place) for place in (spec.submodule_search_locations or [] if spec else [])]
    if not places or (top != own and any(map(_is_installed, places))):
        return _version(top)
    if not rest:
        return root
    for place in places:
        inside = place.joinpath(*rest.split("."))
        for candidate in (inside.with_name(f"{inside.name}.py"), inside / "__init__.py"):
            if candidate.exists():
                return candidate
    return None  # a name inside a module, not a module


def _is_installed(place: Path) -> bool:
    # Debian's dist-packages and a user's own site-packages are not among the interpreter's folders.
    if {"site-packages", "dist-packages"} & set(place.parts):
        return True
    return any(place.resolve().is_relative_to(installed) for installed in _installed_folders())


@functools.cache
def _version(top: str) -> str | None:
    try:
        return metadata.version(top)
    except metadata.PackageNotFoundError:  # imported by another name than the distribution's, as sklearn is
        if top == "sklearn":
            return versions()["scikit-learn"]
        owners = metadata.packages_distributions().get(top, [])  # reads all metadata: slow, so not asked first
        return ", ".join(sorted(f"{owner} {metadata.version(owner)}" for owner in set(owners))) or None
