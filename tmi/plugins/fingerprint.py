"""Fingerprints of the code that computes a number, taken without running it.

The fingerprint of a plug-in covers its source file and every file of its own that it imports, as syntax trees without comments,
docstrings and the texts of errors and warnings: a changed helper changes the fingerprint, a reworded message does not. The
packages of the core that compute numbers have a fingerprint of their own, see `core_fingerprint`. Libraries are covered by their
versions.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tmi.errors import PluginError
from tmi.hashing import digest

LIBRARIES = ("torch", "numpy", "numba", "scipy", "scikit-learn", "captum")
"""The libraries whose version may change a number; their versions are part of every key."""

CORE = ("tasks", "networks", "probing", "params.py", "statistics.py", "runtime/seeds.py")
"""The parts of the core that compute numbers; their code is part of every key. All other code of the core is part of none."""

F = TypeVar("F", bound=Callable[..., Any])


def external(identify: Callable[..., Any]) -> Callable[[F], F]:
    """Declare the external inputs of a data set, network, probe, method or measure, such as the files that it reads.

    Parameters
    ----------
    identify : callable
        Called with the settings (``**params``) while a run is planned. It returns JSON-compatible values that identify the
        content of the inputs, such as the names and checksums of data files; they become part of the key. It must be fast and
        must not import large libraries.

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
    """Return the versions of Python and of `LIBRARIES`, read from their metadata without importing them."""
    result = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in LIBRARIES:
        try:
            result[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            result[name] = "absent"
    return result


@functools.cache
def core_fingerprint() -> str:
    """Return the fingerprint of the parts of the core that compute numbers; see `CORE`."""
    root = Path(__file__).parents[1]
    files = sorted(file for part in CORE for file in ([root / part] if part.endswith(".py") else (root / part).rglob("*.py")))
    return digest([[file.relative_to(root).as_posix(), _tree_of(file)] for file in files])


def fingerprint(module: str, file: Path | None = None) -> str:
    """Return the fingerprint of a module and of its own modules that it imports, directly or indirectly.

    Parameters
    ----------
    module : str
        Dotted name, as in ``"module:function"``.
    file : Path, optional
        Its source file, if it was loaded from a file.

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
    A module's own modules are those outside the standard library and the installed packages, and those of the module's
    top-level package, also where that is installed. Of a module that is a file, what lies in its folder is its own too, whatever
    its name: Python would import a ``utils.py`` there and not an installed ``utils``. Other installed packages are covered by
    their version. Imports that are computed at run time are not found.
    """
    return record_of(module, file or source_of(module)).digest


def own_code(module: str, file: Path | None = None) -> Record | None:
    """Return the code of a module and of its own modules that it imports, as it is now; None for an installed package.

    Parameters
    ----------
    module, file
        As for `fingerprint`.

    Returns
    -------
    Record
        Its ``digest`` changes with the code, so that what `tmi.external` declares can be it. Its ``modules`` are the source files
        by the names of the modules. None also if there is no source.

    Raises
    ------
    PluginError
        If a source file cannot be read as Python.
    """
    if file is None:
        try:
            file = source_of(module)
        except PluginError:
            return None
        if _is_installed(file.parent):
            return None
    forget_changed([(module, file)])  # it may have been edited since this process read it
    return record_of(module, file)


class _File(NamedTuple):
    """A source file as it was when it was first read, which is when it is imported."""

    stamp: tuple[int, int] | None
    digest: str


class Record(NamedTuple):
    """The code of a module and of its own modules that it imports, as it was when it was imported.

    Attributes
    ----------
    content : dict
        What the fingerprint is the digest of.
    modules : dict of str to Path
        The source file of each module.
    files : dict of Path to tuple
        Of each source file the time and size, and the digest of its code.
    """

    content: dict[str, Any]
    modules: dict[str, Path]
    files: dict[Path, _File]

    @property
    def digest(self) -> str:
        """The fingerprint."""
        return digest(self.content)

    def changed(self) -> set[Path]:
        """Return the source files that hold other code now, or cannot be read."""
        return {path for path, file in self.files.items() if _stamp(path) != file.stamp and _digest_now(path) != file.digest}


def is_current(module: str, file: Path) -> bool:
    """Return whether the source files of an earlier fingerprint still hold the same code; True if there is none yet.

    Parameters
    ----------
    module, file
        As for `fingerprint`.
    """
    return not record_of(module, file).changed()


def forget_changed(sources: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Forget the code of modules whose files have changed since they were imported, and of those that import them.

    Parameters
    ----------
    sources : iterable of (str, Path)
        Modules and their files, as for `record_of`; their own modules are looked at too.

    Returns
    -------
    dict of str to Path
        The modules that must be imported again, with their files; their next record is of the new code.
    """
    records = [record_of(*source) for source in sources]
    changed = {path for record in records for path in record.changed()}
    if not changed:
        return {}
    modules = {name: path for record in records for name, path in record.modules.items()}
    affected = {name: path for name, path in modules.items() if _uses(name, path, changed)}
    for path in changed:
        _files.pop(path, None)
    for source in affected.items():
        _records.pop(source, None)
    return affected


def _uses(module: str, file: Path, changed: set[Path]) -> bool:
    try:
        return not changed.isdisjoint(record_of(module, file).files)
    except PluginError:  # it cannot be read any more
        return True


_files: dict[Path, _File] = {}
_records: dict[tuple[str, Path], Record] = {}


def _stamp(file: Path) -> tuple[int, int] | None:
    """Return a file's time of modification in nanoseconds and its size in bytes; None if it cannot be read."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _digest_now(file: Path) -> str | None:
    try:
        return _tree_of(file)
    except PluginError:
        return None


def record_of(module: str, file: Path) -> Record:
    """Return the record of a module, made at the first call and kept.

    Parameters
    ----------
    module, file
        As for `fingerprint`.

    Raises
    ------
    PluginError
        If a source file cannot be read as Python.
    """
    if (module, file) not in _records:
        _records[module, file] = _record(module, file)
    return _records[module, file]


def _record(module: str, file: Path) -> Record:
    folder = file.parent if "." not in module and file.name != "__init__.py" and not _is_installed(file.parent) else None
    own = module.partition(".")[0] if folder is None else ""
    packages: dict[str, str] = {}
    sources: dict[str, Path] = {}
    pending = [(module, file)]
    while pending:
        module, path = pending.pop()
        # Two modules may have one name, in the folder and elsewhere: which of them is imported is not known here, so both count.
        name = module if _is_same(sources.get(module, path), path) else f"{module} elsewhere"
        if name in sources:
            continue
        sources[name] = path
        _file(path)
        for imported in imports_of(path, module):
            if imported.partition(".")[0] == "tmi":
                continue  # the core has a fingerprint of its own, which is part of every key
            source_or_version = _locate(imported, own, folder)
            if isinstance(source_or_version, Path):
                pending.append((imported, source_or_version))
            elif source_or_version:
                packages[imported.partition(".")[0]] = source_or_version
            beside = None if folder is None else _submodule(folder, imported)
            if beside is not None:
                pending.append((imported, beside))
    digests = {name: _file(path).digest for name, path in sources.items()}
    return Record({"modules": digests, "packages": packages}, sources, {path: _file(path) for path in sources.values()})


def source_of(module: str) -> Path:
    """Return the source file of a module, found without importing it.

    Raises
    ------
    PluginError
        If there is none.
    """
    top, _, rest = module.partition(".")
    if rest:  # `find_spec` would import the parent packages of a submodule
        with suppress(ImportError, ValueError):
            spec = find_spec(top)
            for folder in (spec.submodule_search_locations or []) if spec else []:
                source = _submodule(Path(folder), rest)
                if source is not None:
                    return source
    try:
        spec = find_spec(module)
    except Exception as error:  # `find_spec` imports the parent packages of a submodule, which may raise anything
        raise PluginError(f"module {module!r} cannot be found ({error})") from error
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise PluginError(f"module {module!r} has no Python source to fingerprint")
    return Path(spec.origin)


def _submodule(folder: Path, name: str) -> Path | None:
    """Return the source file of the submodule ``name`` (dotted) of the package in a folder; None if there is none."""
    path = folder.joinpath(*name.split("."))
    return next((file for file in (path.with_name(f"{path.name}.py"), path / "__init__.py") if file.exists()), None)


def _file(path: Path) -> _File:
    if path not in _files:
        _files[path] = _File(_stamp(path), _tree_of(path))  # the stamp is taken first: the file may be written between the two
    return _files[path]


def _tree_of(file: Path) -> str:
    """Hash a source file's syntax tree without comments, layout, docstrings and the texts of errors and warnings."""
    tree = _parse(file)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and any(map(_is_text, body)):  # docstrings, and strings below a constant that document it
            node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]  # type: ignore[attr-defined]
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _called(node) == "warn"):
            _WithoutMessages().visit(node)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


class _WithoutMessages(ast.NodeTransformer):
    """Empties the messages in an expression: f-strings, and strings of several words. A single word may be a value."""

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
    """Parse Python source, and once more if parsing in another thread at the same time made it fail.

    The parser counts its recursion depth for all threads together (python/cpython#106905); Dask parses its settings in a thread.
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
    """Yield the dotted names that a source file imports, at module level and inside functions."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(_parse(file)):
        if isinstance(node, ast.Import):  # `import a.b` imports a too
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


def _locate(imported: str, own: str, beside: Path | None) -> Path | str | None:
    """Return the source file of an own module, the version of an installed package, or None for what is not covered."""
    top, _, rest = imported.partition(".")
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return None
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None and beside is not None and (_submodule(beside, top) or (beside / top).is_dir()):
        return None  # it is in the folder of the first file, where `_record` finds it
    root = Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
    # A namespace package, without __init__.py, has folders and no source file of its own.
    folders = [root.parent / top if root.name != "__init__.py" else root.parent] if root else []
    folders = folders or [Path(place) for place in (spec.submodule_search_locations or [] if spec else [])]
    if not folders or (top != own and any(map(_is_installed, folders))):
        return _version(top)
    if not rest:
        return root
    # None if `rest` is a name inside a module and not a module.
    return next(filter(None, (_submodule(place, rest) for place in folders)), None)


def _is_same(file: Path, other: Path) -> bool:
    return file == other or file.resolve() == other.resolve()


def _is_installed(folder: Path) -> bool:
    # Debian's dist-packages and a user's site-packages are not among the interpreter's folders.
    if {"site-packages", "dist-packages"} & set(folder.parts):
        return True
    return any(folder.resolve().is_relative_to(installed) for installed in _installed_folders())


@functools.cache
def _version(top: str) -> str | None:
    try:
        return metadata.version(top)
    except metadata.PackageNotFoundError:  # the import name differs from the distribution's name, as for sklearn
        if top == "sklearn":
            return versions()["scikit-learn"]
        owners = metadata.packages_distributions().get(top, [])  # reads all metadata, which is slow, so it is the last resort
        return ", ".join(sorted(f"{owner} {metadata.version(owner)}" for owner in set(owners))) or None
