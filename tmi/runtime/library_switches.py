"""The switches of libraries, each read only where its library is imported already; see `tmi.runtime.switches`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from .switches import UNREADABLE, Switch, attributes, names_of, nothing, on_off

_FINALLY = "put it back in `finally`"
_THREADS = "give `threads` to the run"


def _decimal() -> Iterator[Switch]:
    import decimal

    def read() -> tuple[Any, ...]:
        c = decimal.getcontext()
        return c.prec, c.rounding, c.Emin, c.Emax, c.capitals, c.clamp, tuple(c.traps.items())

    def write(before: tuple[Any, ...]) -> None:
        prec, rounding, low, high, capitals, clamp, traps = before
        trapped = [signal for signal, is_trapped in traps if is_trapped]
        decimal.setcontext(decimal.Context(prec, rounding, low, high, capitals, clamp, [], trapped))

    yield Switch("the decimal context", "use `with decimal.localcontext():`", read, write, nothing)


def _logging() -> Iterator[Switch]:
    import logging

    yield Switch("logging.disable", "set the level of one logger", lambda: logging.root.manager.disable, logging.disable)


def _socket() -> Iterator[Switch]:
    import socket

    remedy = "give each socket its own"
    yield Switch("the default timeout of sockets", remedy, socket.getdefaulttimeout, socket.setdefaulttimeout)


def _multiprocessing() -> Iterator[Switch]:
    import multiprocessing as mp

    default = mp.get_all_start_methods()[0]  # a pool sets it where none is set
    yield Switch(
        "the start method of processes",
        'use `multiprocessing.get_context("spawn")`',
        lambda: mp.get_start_method(allow_none=True) or default,
        lambda before: mp.set_start_method(before, force=True),
    )


def _numpy() -> Iterator[Switch]:
    import numpy as np

    remedy = 'use `with np.errstate(divide="ignore"):`'
    yield Switch("NumPy's error state", remedy, np.geterr, lambda before: np.seterr(**before), names_of)
    yield Switch("NumPy's error handler", "use `with np.errstate(call=function):`", np.geterrcall, np.seterrcall, nothing)
    yield Switch("NumPy's buffer size", _FINALLY, np.getbufsize, np.setbufsize)
    remedy = "use `with np.printoptions(precision=3):`"
    yield Switch("NumPy's print options", remedy, np.get_printoptions, lambda before: np.set_printoptions(**before), names_of)


def _scipy_special() -> Iterator[Switch]:
    from scipy import special

    remedy = 'use `with scipy.special.errstate(all="ignore"):`'
    yield Switch("SciPy's error state", remedy, special.geterr, lambda before: special.seterr(**before), names_of)


def _sklearn() -> Iterator[Switch]:
    import sklearn

    remedy = "use `with sklearn.config_context(…):`"
    yield Switch("scikit-learn's settings", remedy, sklearn.get_config, lambda before: sklearn.set_config(**before), names_of)


def _h5py() -> Iterator[Switch]:
    import h5py

    remedy = "give `track_order` to each group"
    yield attributes("h5py's settings", remedy, h5py.get_config(), "track_order")


def _matplotlib() -> Iterator[Switch]:
    import matplotlib as mpl

    settings: Any = mpl.rcParams
    names = [name for name in dict.keys(settings) if not name.startswith("backend")]
    backends = [at for at, name in enumerate(dict.keys(settings)) if name.startswith("backend")]

    def read() -> list[Any]:
        values = list(dict.values(settings))  # without the conversions of RcParams, which take 100 µs
        for at in reversed(backends):
            del values[at]
        return values

    yield Switch(
        "matplotlib's settings",
        "use `with matplotlib.rc_context():`",
        read,
        lambda before: dict.update(settings, zip(names, before, strict=True)),
        lambda before, after: names_of(dict(zip(names, before, strict=True)), dict(zip(names, after, strict=True))),
    )

    chosen_by_itself = {"macosx", "qtagg", "gtk4agg", "gtk3agg", "tkagg", "wxagg", "agg"}  # at the first figure

    def backend_changed(before: Any, after: Any) -> bool:
        return bool(before != after and (isinstance(before, str) or str(after).lower() not in chosen_by_itself))

    def set_backend(before: Any) -> None:
        if isinstance(before, str):
            mpl.use(before)
        else:
            dict.__setitem__(settings, "backend", before)  # none was chosen

    remedy = "use `figure.savefig(file)`, which needs none, or put it back in `finally`"
    yield Switch(
        "matplotlib's backend",
        remedy,
        lambda: dict.__getitem__(settings, "backend"),
        set_backend,
        changed=backend_changed,
    )


def _numba_has_started() -> bool:
    """Return whether numba has started its threads."""
    return bool(getattr(sys.modules.get("numba.np.ufunc.parallel"), "_is_initialized", False))


def _numba() -> Iterator[Switch]:
    import numba

    def read() -> Any:
        if not _numba_has_started():  # asking for the number would start the threads
            return numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        return numba.get_num_threads()

    yield Switch("numba's number of threads", _THREADS, read, numba.set_num_threads)


_WITH_THREADS = ("numpy", "scipy.linalg", "sklearn", "torch", "numba.np.ufunc.omppool", "mkl", "cv2", "faiss")


def _threadpoolctl() -> Iterator[Switch]:
    import threadpoolctl

    libraries: list[Any] = []
    searched_with: list[bool] | None = None

    def read() -> dict[str, int]:
        nonlocal libraries, searched_with
        imported = [name in sys.modules for name in _WITH_THREADS]
        if imported != searched_with:  # the search takes 7 ms
            # torch sets OpenMP's number, which has a switch of its own.
            found = threadpoolctl.ThreadpoolController().lib_controllers
            libraries, searched_with = [library for library in found if library.user_api == "blas"], imported
        return {library.filepath: library.get_num_threads() for library in libraries}

    def write(before: dict[str, int]) -> None:
        for library in libraries:
            if library.filepath in before:
                library.set_num_threads(before[library.filepath])

    def changed(before: dict[str, int], after: dict[str, int]) -> bool:
        return any(after[file] != number for file, number in before.items() if file in after)

    yield Switch(
        "the number of threads of BLAS",
        f"{_THREADS}, or use `with threadpool_limits(1):`",
        read,
        write,
        lambda before, after: ", ".join(map(str, sorted(set(after.values())))),
        changed,
    )


def _torch() -> Iterator[Switch]:
    import torch

    yield Switch(
        "the gradient mode", "use `with torch.no_grad():`", torch.is_grad_enabled, torch.set_grad_enabled, on_off, is_quick=True
    )
    remedy = "use `with torch.inference_mode():`"
    yield Switch("the inference mode", remedy, torch.is_inference_mode_enabled, _enter_inference_mode, on_off)
    yield Switch(
        "the default dtype", "give `dtype` to each tensor", torch.get_default_dtype, torch.set_default_dtype, is_quick=True
    )
    remedy = "give `device` to each tensor, or use `with torch.device(device):`"

    def default_device() -> Any:
        # Not torch.get_default_device(): a default that is set makes every call of torch slower, also if it is the CPU.
        context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
        return None if context is None else context.device

    yield Switch("the default device", remedy, default_device, torch.set_default_device, is_quick=True)
    yield Switch(
        "torch's number of threads",
        _THREADS,
        lambda: (torch.get_num_threads(), _numba_has_started()),
        lambda before: torch.set_num_threads(before[0]),
        # numba changes it when it starts its own threads, which is not the plug-in's doing.
        lambda before, after: str(after[0]) if before[1] == after[1] else None,
        lambda before, after: before[0] != after[0],
        is_quick=True,
    )
    yield Switch(
        "torch's deterministic algorithms",
        _FINALLY,
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
        on_off,
    )
    yield attributes("torch's filling of new memory", _FINALLY, torch.utils.deterministic, "fill_uninitialized_memory")
    yield from _torch_precision()
    remedy = "use `with torch.backends.cudnn.flags(…):`"
    yield attributes("the settings of cuDNN", remedy, torch.backends.cudnn, "enabled", "benchmark", "deterministic")
    yield attributes("the use of oneDNN", "use `with torch.backends.mkldnn.flags(…):`", torch.backends.mkldnn, "enabled")
    yield Switch(
        "the fast path of attention",
        _FINALLY,
        torch.backends.mha.get_fastpath_enabled,
        torch.backends.mha.set_fastpath_enabled,
        on_off,
    )
    yield Switch(
        "autocast",
        'use `with torch.autocast("cpu"):`',
        lambda: {device: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in ("cpu", "cuda")},
        _set_autocast,
        names_of,
    )
    yield Switch(
        "torch's detection of anomalies",
        "use `with torch.autograd.detect_anomaly():`",
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda before: torch.autograd.set_detect_anomaly(*before),  # sets it at once
        lambda before, after: on_off(before, after[0]),
    )
    yield Switch(
        "the rounding of tiny numbers to 0",
        "use `torch.set_flush_denormal(False)` in `finally`",
        lambda: sys.float_info.min / 2 == 0,  # torch has no function that tells; it holds for all code of the thread
        torch.set_flush_denormal,
        on_off,
        is_quick=True,
    )
    yield _module_hooks()
    options = torch._tensor_str.PRINT_OPTS
    yield attributes("torch's print options", _FINALLY, options, *vars(options))


_entered: list[Any] = []


def _enter_inference_mode(mode: bool) -> None:
    import torch

    # It has no setter. The context is kept, since it ends when it is collected.
    context = torch.inference_mode(mode)
    context.__enter__()
    _entered.append(context)


def _torch_precision() -> Iterator[Switch]:
    import torch

    def or_unreadable(read: Callable[[], Any]) -> Callable[[], Any]:
        def read_it() -> Any:
            try:
                return read()
            except RuntimeError:  # torch refuses to read by the old function what was set by the new one
                return UNREADABLE

        return read_it

    name, backends = "torch's precision of float32", torch.backends
    if not hasattr(backends.cuda.matmul, "fp32_precision"):  # before torch 2.9
        yield Switch(name, _FINALLY, torch.get_float32_matmul_precision, torch.set_float32_matmul_precision)
        yield attributes("TF32 in cuDNN", _FINALLY, backends.cudnn, "allow_tf32")
        return
    holders: list[Any] = [backends, backends.cuda.matmul, backends.cudnn, backends.cudnn.conv, backends.cudnn.rnn]  # type: ignore[attr-defined]
    holders += [backends.mkldnn, backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn]  # type: ignore[attr-defined]

    def write(before: list[str]) -> None:
        for holder, value in zip(holders, before, strict=True):
            holder.fp32_precision = value

    # By both ways: each holds what the other does not show.
    old = or_unreadable(torch.get_float32_matmul_precision)
    yield Switch(name, _FINALLY, old, torch.set_float32_matmul_precision)
    yield Switch(
        name,
        _FINALLY,
        lambda: [holder.fp32_precision for holder in holders],
        write,
        lambda before, after: ", ".join(sorted({a for b, a in zip(before, after, strict=True) if a != b})),
    )


def _set_autocast(before: dict[str, tuple[bool, Any]]) -> None:
    import torch

    for device, (enabled, dtype) in before.items():
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, dtype)


def _module_hooks() -> Switch:
    from torch.nn.modules import module

    tables = [table for name, table in vars(module).items() if name.startswith("_global_") and isinstance(table, dict)]

    def write(before: list[list[Any]]) -> None:
        for table, items in zip(tables, before, strict=True):
            table.clear()
            table.update(items)
        if not module._global_backward_hooks:
            module._global_is_full_backward_hook = None

    remedy = "keep the handle and call its `remove()`"
    return Switch("torch's hooks of all modules", remedy, lambda: [list(table.items()) for table in tables], write, nothing)


LIBRARIES: dict[str, Callable[[], Iterator[Switch]]] = {
    "decimal": _decimal,
    "logging": _logging,
    "socket": _socket,
    "multiprocessing": _multiprocessing,
    "numpy": _numpy,
    "scipy.special": _scipy_special,
    "sklearn": _sklearn,
    "h5py": _h5py,
    "matplotlib": _matplotlib,
    "numba": _numba,
    "threadpoolctl": _threadpoolctl,
    "torch": _torch,
}
"""For each module the function that gives its switches, to be called once the module is imported."""
