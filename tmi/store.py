"""The store: one immutable HDF5 file a result, named by its key.

A file is put together in memory, written under a temporary name in the same folder, and put in place by one atomic rename:
whatever kills the process, and wherever the disk ends, a file that is there is whole. Behind the HDF5 data, where HDF5 does not
look, stands a SHA-256 of every byte before it, so that a flipped byte or a cut file is never believed. Arrays have labelled axes
(dimension scales): xarray, h5dump and HDF5 viewers open the files. Nothing is ever unpickled: a file holds plain numbers, words
and JSON.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import socket
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import DamagedFileError, InputError, StoreError
from .keys import canonical
from .result import LabelledArray, MetricInfo, ProbeResult

VERSION = 1
"""Version of the file layout; a file of a newer one is refused."""

DEFAULT = "tmi-store"
"""Where results go if neither an argument nor the variable ``TMI_STORE`` says otherwise."""

_SEAL = b"tmi-sha256:"
_SMALL = 4096  # bytes below which compression only costs
_TEMPORARY = re.compile(r"\.[0-9a-z-]+\.(?P<host>.*)\.(?P<pid>[0-9]{1,9})\.[0-9a-f]{8}\.tmp")
_ABANDONED = 24 * 3600.0  # seconds after which a temporary file of another machine counts as left behind


@dataclass(frozen=True)
class Stored:
    """What a warm run needs of a result: its metrics and where it came from, without the arrays.

    Attributes
    ----------
    key : str
    metrics : dict of str to float
    record : dict
        Provenance: names, settings, seed, versions, threads, seconds, time, notes of the data set, warnings.
    notes : tuple of str
        The probe's own remarks.
    """

    key: str
    metrics: dict[str, float]
    record: dict[str, Any]
    notes: tuple[str, ...]


class Store:
    """A folder of results.

    Parameters
    ----------
    folder : str or Path, optional
        By default the variable ``TMI_STORE``, else ``tmi-store`` in the working folder. Made when first written to.

    Raises
    ------
    StoreError
        If the path is there but is not a folder.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        if folder is not None and not isinstance(folder, str | Path):
            raise StoreError(f"store: expected a folder, got {type(folder).__name__}")
        self.folder = Path(folder or os.environ.get("TMI_STORE") or DEFAULT)
        if self.folder.exists() and not self.folder.is_dir():
            raise StoreError(f"store {self.folder}: is not a folder")

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    def path(self, key: str) -> Path:
        """Where the result of a key is kept."""
        if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
            raise StoreError(f"key {key!r}: expected 64 hexadecimal digits")
        return self.folder / "results" / key[:2] / f"{key}.h5"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def keys(self) -> Iterator[str]:
        """The keys of all results, sorted."""
        for path in sorted((self.folder / "results").glob("??/*.h5")):
            if len(path.stem) == 64:
                yield path.stem

    def prepare(self) -> None:
        """Make the folder, try to write to it, and sweep up what killed processes left.

        Raises
        ------
        StoreError
            If it cannot be written to; said before any work is done, not after it.
        """
        try:
            (self.folder / "results").mkdir(parents=True, exist_ok=True)
            probe = self.folder / "results" / _temporary("write-test")
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(f"store {self.folder}: cannot be written to ({error.strerror or error})") from error
        for path in (self.folder / "results").glob("**/.*.tmp"):
            if _left_behind(path):
                with suppress(FileNotFoundError):
                    path.unlink()

    def read(self, key: str) -> Stored | None:
        """Read the metrics and the provenance of a result, or None where there is none.

        A damaged file is set aside in the folder ``damaged``, with a warning, and counts as none.

        Raises
        ------
        StoreError
            If the file cannot be read for want of permission, or was written by a newer tmi.
        """
        found = self._guarded(key, arrays=False)
        return None if found is None else found[0]

    def load(self, key: str) -> ProbeResult | None:
        """Read a whole result, or None where there is none; see `read`."""
        found = self._guarded(key, arrays=True)
        return None if found is None else found[1]

    def write(self, key: str, result: ProbeResult, record: Mapping[str, Any]) -> None:
        """Keep a result.

        Parameters
        ----------
        key : str
        result : ProbeResult
        record : mapping
            Provenance, as JSON.

        Raises
        ------
        InputError
            If it holds what a file cannot: words with a NUL character, a record that is not JSON.
        StoreError
            If it cannot be written: no permission, or no space. What was there before stays.
        """
        path = self.path(key)
        temporary = path.with_name(_temporary(key))
        try:
            data = _file_of(key, result, record)
        except (ValueError, TypeError) as error:
            raise InputError(f"the result cannot be kept: {error}") from error
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                file.write(data + _SEAL + hashlib.sha256(data).digest())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise StoreError(f"store {self.folder}: cannot keep a result ({error.strerror or error})") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _guarded(self, key: str, *, arrays: bool) -> tuple[Stored, ProbeResult | None] | None:
        path = self.path(key)
        try:
            return _read_file(path, key, arrays=arrays)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"store {self.folder}: cannot read {path.name} ({error.strerror or error})") from error
        except DamagedFileError as error:
            self._set_aside(path, str(error))
            return None

    def _set_aside(self, path: Path, why: str) -> None:
        aside = self.folder / "damaged" / f"{path.name}.{time.time_ns()}"
        try:
            aside.parent.mkdir(exist_ok=True)
            path.replace(aside)
            where = f"set aside as {aside}"
        except OSError as error:
            where = f"could not be set aside ({error.strerror})"
        warnings.warn(f"store: {path.name} is damaged ({why}); {where}; it will be computed again", stacklevel=4)


def read_result(path: str | Path) -> ProbeResult:
    """Read one file of a store, wherever it lies.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    ProbeResult

    Raises
    ------
    DamagedFileError
        If its bytes are not those that were written, or it is no file of a store.
    StoreError
        If it is missing or cannot be read, or was written by a newer tmi.
    """
    try:
        _, result = _read_file(Path(path), None, arrays=True)
    except DamagedFileError as error:
        raise DamagedFileError(f"{path}: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error})") from error
    assert result is not None
    return result


def _temporary(name: str) -> str:
    return f".{name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"


def _left_behind(path: Path) -> bool:
    """Whether the process that wrote a temporary file is gone."""
    made = _TEMPORARY.fullmatch(path.name)
    if made is None or not path.is_file():
        return False  # not a file of ours
    if made["host"] == socket.gethostname():
        try:
            os.kill(int(made["pid"]), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED
    except FileNotFoundError:
        return False


def _file_of(key: str, result: ProbeResult, record: Mapping[str, Any]) -> bytes:
    """Return the HDF5 file of a result. It is made in memory, for on a full disk HDF5 itself may take the process down."""
    import h5py
    import numpy as np

    header = {
        "version": VERSION,
        "key": key,
        "record": dict(record),
        "info": {name: asdict(info) for name, info in result.info.items()},
        "notes": list(result.notes),
        "arrays": list(result.arrays),
        "coords": list(result.coords),
    }
    contents = {
        **{name: LabelledArray((name,), values) for name, values in result.coords.items()},
        "metric": LabelledArray(("metric",), np.array(list(result.metrics), dtype=str)),
        **result.arrays,
        "metrics": LabelledArray(("metric",), np.array(list(result.metrics.values()), float)),
    }
    lengths = {dim: length for a in contents.values() for dim, length in zip(a.dims, a.shape, strict=True)}
    for dim, length in lengths.items():  # an axis without labels: its places are numbered
        contents.setdefault(dim, LabelledArray((dim,), np.arange(length)))
    made = io.BytesIO()
    # v110 halves small files; track_order keeps the arrays in the order in which the probe gave them.
    with h5py.File(made, "w", libver=("v110", "v110"), track_order=True) as file:
        file.attrs["format"] = "tmi result"
        file["header"] = canonical(header)  # not an attribute: those end at 64 kB
        for name, array in contents.items():
            _write_array(file, name, array)
        for dim in lengths:
            file[dim].make_scale(dim)
        for name, array in contents.items():
            if name not in lengths:
                for axis, dim in enumerate(array.dims):
                    file[name].dims[axis].attach_scale(file[dim])
    return made.getvalue()


def _write_array(file: Any, name: str, array: LabelledArray) -> None:
    import h5py
    import numpy as np

    values = array.values
    if values.dtype.kind == "U":
        file.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype())
        return
    options: dict[str, Any] = {}
    if values.nbytes > _SMALL:
        options = {"compression": "gzip", "compression_opts": 4, "shuffle": True, "fletcher32": True}
    kept = file.create_dataset(name, data=values.view(np.int8) if values.dtype == bool else values, **options)
    if values.dtype == bool:
        kept.attrs["dtype"] = "bool"  # the netCDF convention, by which xarray reads booleans


def _unsealed(path: Path) -> bytes:
    """Read a file, and refuse bytes that are not those that were written: a flipped one can make HDF5 hang."""
    data = path.read_bytes()
    mark = len(data) - len(_SEAL) - hashlib.sha256().digest_size
    if mark < 0 or data[mark : mark + len(_SEAL)] != _SEAL:
        raise DamagedFileError("it is cut short, or not a file of a store")
    if hashlib.sha256(data[:mark]).digest() != data[mark + len(_SEAL) :]:
        raise DamagedFileError("its bytes are not those that were written")
    return data[:mark]


def _read_file(path: Path, key: str | None, *, arrays: bool) -> tuple[Stored, ProbeResult | None]:
    import h5py

    data = io.BytesIO(_unsealed(path))
    try:
        with h5py.File(data, "r") as file:
            header = json.loads(file["header"].asstr()[()])
            if header["version"] > VERSION:
                raise StoreError(f"{path}: was written by a newer tmi (layout {header['version']}, this one reads {VERSION})")
            if key not in (None, header["key"]):
                raise DamagedFileError("it holds the result of another key")
            metrics = dict(zip(_read_array(file["metric"]).tolist(), file["metrics"][()].tolist(), strict=True))
            stored = Stored(header["key"], metrics, header["record"], tuple(header["notes"]))
            return stored, _read_result(file, header, stored) if arrays else None
    except (StoreError, MemoryError):
        raise
    except Exception as error:  # whatever a file of another making leads to
        raise DamagedFileError(f"{type(error).__name__}: {error}") from error


def _read_result(file: Any, header: dict[str, Any], stored: Stored) -> ProbeResult:
    arrays = {
        name: LabelledArray(tuple(dim.label or dim[0].name.strip("/") for dim in file[name].dims), _read_array(file[name]))
        for name in header["arrays"]
    }
    coords = {name: _read_array(file[name]) for name in header["coords"]}
    info = {name: MetricInfo(**fields) for name, fields in header["info"].items()}
    return ProbeResult(stored.metrics, arrays, coords, info, stored.notes)


def _read_array(dataset: Any) -> Any:
    import h5py
    import numpy as np

    if h5py.check_string_dtype(dataset.dtype):
        return np.asarray(dataset.asstr()[()], dtype=str)
    values = dataset[()]
    return values.view(bool) if dataset.attrs.get("dtype") == "bool" else np.asarray(values)
