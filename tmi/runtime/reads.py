"""What a call reads: the files and folders that code opens for reading or lists, found by an audit hook of the interpreter.

A plug-in's result depends on what its function reads. What no key covers is found here, while the function runs. Not counted are
the files of Python and of installed packages, of the system, caches of libraries, and what the call itself has written.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import site
import stat
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

_IN_C = {
    "h5py": (("h5py.h5f", "open"), ("h5py.h5f", "create")),
    "cv2": (("cv2", "imread"), ("cv2", "imreadmulti"), ("cv2", "VideoCapture"), ("cv2", "imwrite")),
    "safetensors": tuple(
        (f"safetensors{module}", name) for module in ("", ".torch", ".numpy") for name in ("safe_open", "serialize_file")
    ),
    "torch": (("torch._C", "import_ir_module"), ("torch._C", "PyTorchFileWriter")),
}
"""Functions that open files in C, where the interpreter sees nothing: module and name, by library."""

_WRITES = {"create", "imwrite", "serialize_file", "PyTorchFileWriter"}
"""Those among them that write."""


class Read(NamedTuple):
    """A file, folder or address that a call opened for reading.

    Attributes
    ----------
    path : str
        Absolute; or a URL.
    owner : str
        The value of ``owners`` for the innermost function that was running; empty if none of them was.
    """

    path: str
    owner: str


at_import: dict[str, tuple[str, int]] = {}
"""By the path of a module's source: the first file that it read when it was imported, and when the source was modified."""


def modified(path: str) -> int:
    """Return when a file was modified, in nanoseconds; 0 if it is missing."""
    with contextlib.suppress(OSError):
        return os.stat(path).st_mtime_ns  # noqa: PTH116
    return 0


class Watch:
    """What one call reads.

    Attributes
    ----------
    reads : dict of Read to None
        In order, each once.
    declared_reads : set of str
        The declared paths at or below which something was opened.
    """

    def __init__(self, owners: Mapping[CodeType, str], declared: Sequence[str], ignored: Sequence[str]) -> None:
        self.reads: dict[Read, None] = {}
        self.declared_reads: set[str] = set()
        self.owners = owners
        self._declared = {path: (path, os.path.realpath(path)) for path in declared}
        self._ignored = tuple(ignored)
        self._written: set[str] = set()
        self.start = time.time_ns()
        self._pid = os.getpid()
        self._spool: Any = None  # a file in which forked processes write what they read

    def note_written(self, path: str) -> None:
        """Note a file or folder that the call makes: what it then reads of it depends on nothing else."""
        self._written.add(os.path.realpath(path))

    def note_read(self, path: str, frame: FrameType | None) -> None:
        """Note that something is opened, unless it is declared, ignored, or was written before by the same call."""
        for declared, roots in self._declared.items():
            if _is_below(path, roots):
                self.declared_reads.add(declared)
                return
        if _is_ignored(path) or _is_below(path, self._ignored):
            return
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116
        except (OSError, ValueError):
            return  # it fails anyway
        real = os.path.realpath(path)
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or _is_below(real, self._written):
            return
        if real != path and (_is_ignored(real) or _is_below(real, self._ignored)):
            return
        for declared, roots in self._declared.items():
            if _is_below(real, roots):
                self.declared_reads.add(declared)
                return
        self.note(path, frame)

    def note(self, path: str, frame: FrameType | None) -> None:
        """Note a file or a URL with the function that reads it, unless a library reads it while it is imported."""
        imported, module, is_library = None, None, True
        started_by = _threads.get(threading.current_thread())
        owner = "" if started_by is None else self.owners.get(started_by, "")
        while frame is not None:
            code = frame.f_code
            if is_library and _belongs_to_import(code, path):
                return
            if is_library and not _is_of_library(code.co_filename):
                is_library = False
            if code in self.owners:
                owner = self.owners[code]
                break
            if code.co_name == "<module>" and not is_library:
                imported = code.co_filename
            elif imported is not None and code.co_filename.startswith("<frozen importlib"):
                module = os.path.realpath(imported)
            frame = frame.f_back
        self.add(Read(path, owner), module)

    def add(self, read: Read, module: str | None) -> None:
        """Add to the reads; in a forked process, by a file that the parent reads."""
        if read in self.reads and module is None:
            return
        self.reads[read] = None
        if os.getpid() != self._pid and self._spool is not None:
            os.write(self._spool.fileno(), json.dumps([*read, module]).encode() + b"\n")
            return
        if module is not None and os.path.realpath(read.path) != module:  # numba's cache reads its function's own source
            at_import[module] = read.path, modified(module)

    def prepare_fork(self) -> None:
        """Make the file in which a process that is now forked writes."""
        import tempfile

        if self._spool is None and os.getpid() == self._pid:
            self._spool = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()

    def close(self) -> None:
        """Take in what forked processes have read."""
        if self._spool is not None and os.getpid() == self._pid:
            written = os.pread(self._spool.fileno(), os.fstat(self._spool.fileno()).st_size, 0)
            for line in written.splitlines():
                path, owner, module = json.loads(line)
                self.add(Read(path, owner), module)
            self._spool.close()


_active: dict[int, Watch] = {}  # by the thread that makes the call
_threads: WeakKeyDictionary[threading.Thread, CodeType | None] = WeakKeyDictionary()
"""The threads that were started during some call, with the function of interest that was running."""
_busy: set[int] = set()  # threads in which the hook itself opens something


@contextlib.contextmanager
def watching(
    owners: Mapping[CodeType, str] | None = None, declared: Sequence[str] = (), ignored: Sequence[str] = ()
) -> Iterator[Watch]:
    """Find what the block reads, in this thread, in threads that are started in the block, and in processes that it forks.

    Parameters
    ----------
    owners : mapping of code to str
        Functions of interest by their code; see `Read`.
    declared : sequence of str
        Absolute paths of files and folders that may be read.
    ignored : sequence of str
        Absolute paths below which nothing counts.

    Yields
    ------
    Watch
        Complete when the block has ended.

    Notes
    -----
    The interpreter reports what Python code opens, also through NumPy, PIL or pandas, and `sqlite3` and `urllib` by themselves.
    h5py, OpenCV, safetensors and ``torch.jit.load`` open files in C and are wrapped. What other libraries open in C is not seen,
    nor what processes open that are not forked. Hooks may be nested; the innermost one counts.
    """
    _install()
    for library in _IN_C:
        if library in sys.modules:
            _wrap(library)
    watch, ident = Watch(owners or {}, declared, ignored), threading.get_ident()
    outer = _active.get(ident)
    _active[ident] = watch
    try:
        yield watch
    finally:
        if outer is None:
            _active.pop(ident, None)
        else:
            _active[ident] = outer
        watch.close()


@functools.cache
def _install() -> None:
    sys.addaudithook(_hook)
    start = threading.Thread.start  # Python reports a new thread since 3.13

    @functools.wraps(start)
    def start_and_note(thread: threading.Thread) -> None:
        if _active and (threading.get_ident() in _active or threading.current_thread() in _threads):
            _threads[thread] = _running()
        start(thread)

    threading.Thread.start = start_and_note  # type: ignore[method-assign, assignment]


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _active or event not in _EVENTS:
        return
    ident = threading.get_ident()
    if ident in _busy:
        return
    watch = _active.get(ident)
    if watch is None:
        thread = threading._active.get(ident)  # type: ignore[attr-defined]  # current_thread() would make a new object
        if thread is None or thread not in _threads:
            return
        watch = next(reversed(list(_active.values())), None)
    if watch is None:
        return
    _busy.add(ident)
    try:
        # The call that is watched must not fail by it; an exception that a signal raises here is not suppressed.
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError):
            _EVENTS[event](watch, args)
    finally:
        _busy.discard(ident)


def _running() -> CodeType | None:
    """Return the innermost function of interest that this thread runs, or that started it."""
    watch, frame = _active.get(threading.get_ident()), _caller()
    while watch is not None and frame is not None:
        if frame.f_code in watch.owners:
            return frame.f_code
        frame = frame.f_back
    return _threads.get(threading.current_thread())


def _caller() -> FrameType | None:
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _on_open(watch: Watch, args: tuple[Any, ...]) -> None:
    path, _, flags = args
    if isinstance(path, int):
        return
    path = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
    if flags & (os.O_TRUNC | os.O_EXCL) or (flags & os.O_CREAT and not os.path.lexists(path)):
        if not os.path.isdir(path):  # noqa: PTH112  # a temporary file is first reported by the name of its folder
            watch.note_written(path)
    elif flags & os.O_ACCMODE != os.O_WRONLY:
        watch.note_read(path, _caller())


def _on_list(watch: Watch, args: tuple[Any, ...]) -> None:
    path = "." if args[0] is None else args[0]
    if not isinstance(path, int):
        watch.note_read(os.path.abspath(os.fsdecode(path)), _caller())  # noqa: PTH100


def _on_mkdir(watch: Watch, args: tuple[Any, ...]) -> None:
    path = os.path.abspath(os.fsdecode(args[0]))  # noqa: PTH100
    if not os.path.lexists(path):
        watch.note_written(path)


def _on_rename(watch: Watch, args: tuple[Any, ...]) -> None:
    source, destination = (os.path.abspath(os.fsdecode(path)) for path in args[:2])  # noqa: PTH100
    if _is_below(os.path.realpath(source), watch._written):
        watch.note_written(destination)


def _on_database(watch: Watch, args: tuple[Any, ...]) -> None:
    path = os.fsdecode(args[0])
    if path.startswith("file:"):
        path = path.removeprefix("file:").partition("?")[0]
    if path and path != ":memory:":
        path = os.path.abspath(path)  # noqa: PTH100
        if os.path.lexists(path):
            watch.note_read(path, _caller())
        else:
            watch.note_written(path)


def _on_url(watch: Watch, args: tuple[Any, ...]) -> None:
    url = str(args[0])
    if not url.startswith(("file:", "data:")):  # a file is opened as any other
        watch.note(url, _caller())


def _on_connection(watch: Watch, args: tuple[Any, ...]) -> None:
    socket, address = args
    import socket as sockets

    if socket.family not in (sockets.AF_INET, sockets.AF_INET6) or socket.type != sockets.SOCK_STREAM:
        return
    if not str(address[0]).startswith("127.") and address[0] not in ("localhost", "::1"):
        watch.note(f"{address[0]}:{address[1]}", _caller())


def _on_import(watch: Watch, args: tuple[Any, ...]) -> None:
    library = args[0].partition(".")[0]
    if library in _IN_C and library not in sys.modules:
        with contextlib.suppress(Exception):  # the import itself reports it
            importlib.import_module(library)
            _wrap(library)


def _on_open_in_c(watch: Watch, args: tuple[Any, ...]) -> None:
    path = os.path.abspath(os.fsdecode(args[0]))  # noqa: PTH100
    if modified(path) >= watch.start:
        watch.note_written(path)  # by a function in C that is not wrapped
    else:
        watch.note_read(path, _caller())


_EVENTS: dict[str, Callable[[Watch, tuple[Any, ...]], None]] = {
    "open": _on_open,
    "os.listdir": _on_list,
    "os.scandir": _on_list,
    "os.mkdir": _on_mkdir,
    "os.rename": _on_rename,
    "sqlite3.connect": _on_database,
    "urllib.Request": _on_url,
    "socket.connect": _on_connection,
    "import": _on_import,
    "os.fork": lambda watch, _: watch.prepare_fork(),
    # Events of this module, for what libraries open in C.
    "tmi.opens": _on_open_in_c,
    "tmi.writes": lambda watch, args: watch.note_written(os.path.abspath(os.fsdecode(args[0]))),  # noqa: PTH100
}


@functools.cache
def _wrap(library: str) -> None:
    """Make a library report what it opens in C."""
    for name, attribute in _IN_C[library]:
        function = getattr(sys.modules.get(name), attribute, None)
        if callable(function) and not hasattr(function, "tmi_event"):
            setattr(sys.modules[name], attribute, _reporting(function, "tmi.writes" if attribute in _WRITES else "tmi.opens"))


def _reporting(function: Callable[..., Any], event: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def reporting(*args: Any, **kwargs: Any) -> Any:
        if _active:
            for value in (*args, *kwargs.values()):
                if isinstance(value, str | bytes | os.PathLike):
                    sys.audit(event, value)
        return function(*args, **kwargs)

    reporting.tmi_event = event  # type: ignore[attr-defined]
    return reporting


def _is_below(path: str, roots: Sequence[str] | set[str]) -> bool:
    """Whether a path is one of several, or lies in a folder among them."""
    if not roots:
        return False
    while path not in roots:
        parent = os.path.dirname(path)  # noqa: PTH120
        if parent == path:
            return False
        path = parent
    return True


@functools.cache
def _is_of_library(file: str) -> bool:
    """Whether a file is code of Python, of an installed package or of tmi."""
    return file.startswith("<frozen") or _is_ignored(os.path.realpath(file))


def _belongs_to_import(code: CodeType, path: str) -> bool:
    """Whether a function imports a module, looks for packages, or reads source code to show or fingerprint it."""
    file, name = code.co_filename, code.co_name
    if file.startswith("<frozen importlib"):
        return name in ("_find_and_load", "_fill_cache")
    return file == _METADATA or (file in _OF_SOURCES and path.endswith(".py"))


_METADATA = str(Path(os.__file__).parent / "importlib" / "metadata" / "__init__.py")
_OF_SOURCES = {str(Path(os.__file__).with_name("linecache.py")), str(Path(__file__).parents[1] / "plugins" / "fingerprint.py")}


def _is_ignored(path: str) -> bool:
    return (
        f"{path}/".startswith(_ignored())
        or path.endswith((".pyc", ".nbi", ".nbc"))
        or "/site-packages/" in path
        or "/dist-packages/" in path
        or "/torchinductor_" in path
    )


def _ignored_folders() -> Iterator[str]:
    """Yield the folders whose content belongs to Python, to installed packages, to the system, or to caches of libraries."""
    yield from (sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts"))
    yield from site.getsitepackages()
    yield site.getusersitepackages()
    if sys.prefix != sys.base_prefix:
        yield sys.prefix
    yield from (f"{sys.base_prefix}/{name}" for name in ("bin", "lib", "lib64", "libexec", "include"))
    yield str(Path(__file__).parents[1])
    yield from (
        "/dev",
        "/proc",
        "/sys",
        "/etc",
        "/bin",
        "/sbin",
        "/lib",
        "/lib64",
        "/usr/bin",
        "/usr/sbin",
        "/usr/lib",
        "/usr/lib64",
    )
    yield from (
        f"/usr/share/{name}" for name in ("zoneinfo", "fonts", "fontconfig", "locale", "mime", "ca-certificates", "terminfo")
    )
    yield from ("/usr/local/share/fonts", "/usr/local/share/ca-certificates", "/Library/Fonts", "/System")
    home = os.path.expanduser("~")  # noqa: PTH111
    cache, config = os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache", os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    yield from (f"{home}/{name}" for name in (".fonts", ".local/share/fonts", "Library/Fonts", ".nv", ".triton"))
    yield from (f"{cache}/{name}" for name in ("fontconfig", "matplotlib", "numba", "torch/kernels", "torch_extensions"))
    yield from (f"{config}/{name}" for name in ("fontconfig", "matplotlib"))
    for name in (
        "MPLCONFIGDIR",
        "NUMBA_CACHE_DIR",
        "TORCHINDUCTOR_CACHE_DIR",
        "TRITON_CACHE_DIR",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
    ):
        if os.environ.get(name):
            yield os.environ[name]


@functools.cache
def _ignored() -> tuple[str, ...]:
    return tuple({f"{path.rstrip('/')}/" for folder in _ignored_folders() for path in (folder, os.path.realpath(folder))})
