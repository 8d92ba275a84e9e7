"""The store: data sets, networks and results, one immutable HDF5 file each, named by its key.

A file is put together in memory, written under a temporary name in the same folder, and put in place by one atomic rename:
whatever kills the process, and wherever the disk ends, a file that is there is whole. A seal (see `tmi.store.files`) makes sure
that a flipped byte or a cut file is never believed. Arrays have labelled axes (dimension scales): xarray, h5dump and HDF5 viewers
open the files. Nothing is ever unpickled: a file holds plain numbers, words and JSON.

An SQLite index answers a warm run without opening the files. It is made from them, checked against their sizes and times, and may
be deleted at any time.
"""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import DamagedFileError, InputError, StoreError
from ..keys import canonical
from ..result import LabelledArray, MetricInfo, ProbeResult
from . import claims, files
from .files import Stamp
from .index import Index, Row

if TYPE_CHECKING:
    import torch

    from ..dataset import Dataset
    from ..network import Network
    from ..tiles import TemplateTask
    from ..trained import Trained
    from .contents import Arrays

VERSION = 1
"""Version of the file layout; a file of a newer one is refused."""

DEFAULT = "tmi-store"
"""Where results go if neither an argument nor the variable ``TMI_STORE`` says otherwise."""

FOLDERS = {"result": "results", "dataset": "datasets", "network": "networks"}
"""The kinds of file, and the folder of each."""


@dataclass(frozen=True)
class Stored:
    """What a warm run needs of a result: its metrics and where it came from, without the arrays.

    Attributes
    ----------
    key : str
    metrics : dict of str to float
    record : dict
        Provenance: names, settings, seed, versions, device, threads, seconds, time, notes of the data set, warnings.
    notes : tuple of str
        The probe's own remarks.
    """

    key: str
    metrics: dict[str, float]
    record: dict[str, Any]
    notes: tuple[str, ...]


class _Content(msgspec.Struct):
    """What the index says of a result."""

    metrics: list[tuple[str, float]]
    record: dict[str, Any]
    notes: tuple[str, ...]

    def stored(self, key: str) -> Stored:
        return Stored(key, dict(self.metrics), self.record, self.notes)


@dataclass(frozen=True)
class Failure:
    """Why a cell failed when it was last tried.

    Attributes
    ----------
    cell : str
    message : str
        One line.
    traceback : str
    mistake : bool
        Whether the data set or the network could not be made for what was asked for.
    run : str
        The run that tried it.
    finished : str
        When, in UTC.
    """

    cell: str
    message: str
    traceback: str = ""
    mistake: bool = False
    run: str = ""
    finished: str = ""


class Store:
    """A folder of data sets, networks and results.

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
        self.index = Index(self.folder)
        self._waiting: list[Row] = []

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    def path(self, key: str, kind: str = "result") -> Path:
        """Where the file of a key is kept.

        Parameters
        ----------
        key : str
        kind : {"result", "dataset", "network"}
        """
        _check_key(key)
        return self.folder / FOLDERS[kind] / key[:2] / f"{key}.h5"

    def __contains__(self, key: str) -> bool:
        return self.has("result", key)

    def has(self, kind: str, key: str | None) -> bool:
        """Whether there is a file of this kind and key; it may still turn out to be damaged."""
        return key is not None and self.path(key, kind).is_file()

    def keys(self, kind: str = "result") -> Iterator[str]:
        """The keys of all files of a kind, sorted."""
        for path in sorted((self.folder / FOLDERS[kind]).glob("??/*.h5")):
            if _is_key(path.stem):
                yield path.stem

    def prepare(self) -> None:
        """Make the folder, try to write to it, and sweep up what killed processes left.

        Raises
        ------
        StoreError
            If it cannot be written to; said before any work is done, not after it.
        """
        try:
            for folder in (*FOLDERS.values(), "claims"):
                (self.folder / folder).mkdir(parents=True, exist_ok=True)
            probe = self.folder / "results" / files.temporary_name("write-test")
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(f"store {self.folder}: cannot be written to ({error.strerror or error})") from error
        files.sweep(self.folder)
        claims.sweep(self.folder / "claims")

    def claims(self, run: str, attempts: int = 2) -> claims.Claims:
        """Return the claims of a run on this store; see `tmi.store.claims`."""
        return claims.Claims(self.folder / "claims", run, attempts)

    # Results.

    def read(self, key: str) -> Stored | None:
        """Read the metrics and the provenance of a result, or None where there is none.

        A damaged file is set aside in the folder ``damaged``, with a warning, and counts as none.

        Raises
        ------
        StoreError
            If the file cannot be read for want of permission, or was written by a newer tmi.
        """
        found: Stored | None = self._guarded("result", key, lambda file: _stored(_read_parts(file, ("metric", "metrics"))))
        return found

    def read_all(self, keys: Iterable[str]) -> dict[str, Stored]:
        """Read the metrics and the provenance of many results: from the index where it knows the file, else from the file.

        Parameters
        ----------
        keys : iterable of str

        Returns
        -------
        dict of str to Stored
            Those that there are.

        Raises
        ------
        StoreError
            As for `read`.
        """
        stamps: dict[str, Stamp] = {}
        folder = str(self.folder / FOLDERS["result"])
        for key in dict.fromkeys(keys):
            _check_key(key)
            found = files.stamp(f"{folder}/{key[:2]}/{key}.h5")  # put together by hand: a Path takes as long as the rest
            if found is not None:
                stamps[key] = found
        rows = self.index.read("result", stamps) if stamps else {}
        result = {}
        for key, seen in stamps.items():
            stored = _from_row(rows[key]) if key in rows else None
            if stored is None:
                stored = self.read(key)
                if stored is not None:
                    self.remember(stored, seen)
            if stored is not None:
                result[key] = stored
        self.flush()
        return result

    def remember(self, stored: Stored, stamp: Stamp) -> None:
        """Put a result into the index, at the latest at the next `flush`."""
        probe = stored.record.get("probe", {})
        # As pairs: the order of the metrics is their probe's.
        pairs = [[name, value] for name, value in stored.metrics.items()]
        content = canonical({"metrics": pairs, "record": stored.record, "notes": list(stored.notes)})
        seconds = float(stored.record.get("seconds", {}).get("probe", 0.0))
        self._wait(Row("result", stored.key, *stamp, *_component(probe), seconds, _finished(stored.record), content))

    def remember_rows(self, rows: Iterable[Row]) -> None:
        """Put rows that another process made into the index, at the latest at the next `flush`."""
        for row in rows:
            self._wait(row)

    def take_rows(self) -> list[Row]:
        """Return what waits for the index, for another process to put there."""
        rows, self._waiting = self._waiting, []
        return rows

    def flush(self) -> None:
        """Write what waits for the index."""
        if self._waiting:
            self.index.add(self.take_rows())

    def load(self, key: str) -> ProbeResult | None:
        """Read a whole result, or None where there is none; see `read`."""
        found: ProbeResult | None = self._guarded("result", key, lambda file: _result(_read_parts(file, None)))
        return found

    def write(self, key: str, result: ProbeResult, record: Mapping[str, Any]) -> Stamp:
        """Keep a result.

        Parameters
        ----------
        key : str
        result : ProbeResult
        record : mapping
            Provenance, as JSON.

        Returns
        -------
        Stamp
            Of the file.

        Raises
        ------
        InputError
            If it holds what a file cannot: words with a NUL character, a record that is not JSON.
        StoreError
            If it cannot be written: no permission, or no space. What was there before stays.
        """
        stamp = self._write("result", key, lambda: result_bytes(key, result, record))
        self.remember(Stored(key, dict(result.metrics), dict(record), tuple(result.notes)), stamp)
        return stamp

    # Data sets and networks.

    def load_dataset(self, key: str) -> tuple[Dataset, dict[str, Any]] | None:
        """Read a data set and its provenance, or None where there is none; see `read`."""
        from .datasets import unpack

        def made(parts: _Parts) -> tuple[Dataset, dict[str, Any]]:
            with _Guard():
                return unpack(parts.header, parts.arrays), parts.header["record"]

        found: tuple[Dataset, dict[str, Any]] | None = self._guarded("dataset", key, lambda file: made(_read_parts(file, None)))
        return found

    def write_dataset(self, key: str, data: Dataset, record: Mapping[str, Any]) -> bool:
        """Keep a data set, and return whether it can be: one of a class of its own cannot be restored exactly.

        Raises
        ------
        InputError, StoreError
            As for `write`.
        """
        from .datasets import pack

        packed = pack(data)
        if packed is None:
            return False
        header, arrays = packed
        # Backgrounds are mostly random: compression would take long for little. It is made again if a power cut takes it.
        self._write_other("dataset", key, {**header, "record": dict(record)}, arrays)
        return True

    def load_network(self, key: str, task: TemplateTask) -> StoredNetwork | None:
        """Read a network, or None where there is none; see `read`.

        Parameters
        ----------
        key : str
        task : TemplateTask
            Of the data set that it was built for.
        """
        from . import networks

        def made(parts: _Parts) -> StoredNetwork:
            with _Guard():
                network = networks.unpack(parts.header, parts.arrays, task)
                return StoredNetwork(network, networks.trained_of(parts.header, parts.arrays), parts.header["record"])

        found: StoredNetwork | None = self._guarded("network", key, lambda file: made(_read_parts(file, None)))
        return found

    def write_network(
        self, key: str, network: Network, images: torch.Tensor, task: TemplateTask, trained: Trained, record: Mapping[str, Any]
    ) -> bool:
        """Keep a network, and return whether it can be restored from its file alone.

        Parameters
        ----------
        key : str
        network : Network
        images : Tensor
            A few, on which the restored network must give the same logits, bit for bit.
        task : TemplateTask
            Of the data set that it was built for.
        trained : Trained
            What `tmi.train_once` trained for its builder.
        record : mapping

        Raises
        ------
        InputError, StoreError
            As for `write`.
        """
        from .networks import pack

        packed = pack(network, images, task=task, trained=trained)
        if packed is None:
            return False
        header, arrays = packed
        self._write_other("network", key, {**header, "record": dict(record)}, arrays)
        return bool(header["restored_by"] == "file")

    # Failures.

    def write_failure(self, key: str, failure: Failure) -> None:
        """Remember why a cell failed; where that cannot be written, nothing is lost but the reason."""
        with suppress(OSError):
            files.write_json(self._failure(key), asdict(failure))

    def read_failure(self, key: str) -> Failure | None:
        """Return why a cell failed when it was last tried, or None if it did not."""
        try:
            failure = Failure(**files.read_json(self._failure(key)))
        except (OSError, ValueError, TypeError):
            return None
        kinds = {"mistake": bool}
        return failure if all(type(value) is kinds.get(name, str) for name, value in asdict(failure).items()) else None

    def clear_failure(self, key: str) -> None:
        """Forget a failure."""
        with suppress(OSError):
            self._failure(key).unlink()

    def failures(self) -> set[str]:
        """The keys of all cells that failed when they were last tried."""
        return {path.stem for path in (self.folder / "failures").glob("??/*.json") if _is_key(path.stem)}

    def _failure(self, key: str) -> Path:
        _check_key(key)
        return self.folder / "failures" / key[:2] / f"{key}.json"

    # Files.

    def set_aside(self, kind: str, key: str, why: str, *, stacklevel: int = 3) -> None:
        """Move a damaged file to the folder ``damaged``, with a warning."""
        path = self.path(key, kind)
        aside = files.set_aside(path, self.folder / "damaged")
        self.index.remove(kind, [key])
        warnings.warn(f"store: {path.name} is damaged ({why}); {aside}; it will be computed again", stacklevel=stacklevel)

    def _write_other(self, kind: str, key: str, header: Mapping[str, Any], arrays: Arrays) -> None:
        from .contents import to_bytes

        whole, record = {"version": VERSION, "key": key, **header}, header["record"]
        stamp = self._write(kind, key, lambda: to_bytes(kind, whole, arrays, compress=False), sync=False)
        seconds = float(record.get("seconds", 0.0))
        self._wait(Row(kind, key, *stamp, *_component(record[kind]), seconds, _finished(record), canonical({"record": record})))

    def _write(self, kind: str, key: str, make: Callable[[], bytes], *, sync: bool = True) -> Stamp:
        path = self.path(key, kind)
        try:
            data = make()
        except (ValueError, TypeError) as error:
            raise InputError(f"the {kind} cannot be kept: {error}") from error
        try:
            return files.write_sealed(path, data, sync=sync)
        except OSError as error:
            raise StoreError(f"store {self.folder}: cannot keep a {kind} ({error.strerror or error})") from error

    def _wait(self, row: Row) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= 500:
            self.flush()

    def _guarded(self, kind: str, key: str, use: Any) -> Any:
        path = self.path(key, kind)
        try:
            return use(_Sealed(path, key, kind))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except DamagedFileError as error:
            self.set_aside(kind, key, str(error), stacklevel=5)
            return None
        except OSError as error:
            raise StoreError(f"store {self.folder}: cannot read {path.name} ({error.strerror or error})") from error


@dataclass(frozen=True)
class StoredNetwork:
    """What a store has of a network.

    Attributes
    ----------
    network : Network or None
        None where it takes its builder to make it.
    trained : Trained or None
        What its builder need not train again.
    record : dict
    """

    network: Network | None
    trained: Trained | None
    record: dict[str, Any]

    @property
    def trained_arrays(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Weights and history for `tmi.trained.weights`."""
        return (self.trained.weights, self.trained.history) if self.trained is not None else ({}, {})


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
        If its bytes are not those that were written, or it is no result of a store.
    StoreError
        If it is missing or cannot be read, or was written by a newer tmi.
    """
    try:
        return _result(_read_parts(_Sealed(Path(path), None, "result"), None))
    except DamagedFileError as error:
        raise DamagedFileError(f"{path}: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error})") from error


def result_bytes(key: str, result: ProbeResult, record: Mapping[str, Any]) -> bytes:
    """Return the HDF5 file of a result, without its seal.

    Raises
    ------
    ValueError, TypeError
        If it holds what a file cannot.
    """
    import numpy as np

    from .contents import to_bytes

    header = {
        "version": VERSION,
        "key": key,
        "record": dict(record),
        "info": {name: asdict(info) for name, info in result.info.items()},
        "notes": list(result.notes),
        "arrays": list(result.arrays),
        "coords": list(result.coords),
    }
    arrays = {
        **{name: LabelledArray((name,), values) for name, values in result.coords.items()},
        "metric": LabelledArray(("metric",), np.array(list(result.metrics), dtype=str)),
        **result.arrays,
        "metrics": LabelledArray(("metric",), np.array(list(result.metrics.values()), float)),
    }
    return to_bytes("result", header, arrays)


def result_of(data: bytes) -> ProbeResult:
    """Read what `result_bytes` made."""
    from .contents import from_bytes

    return _result(_Parts(*from_bytes(data)))


@dataclass(frozen=True)
class _Sealed:
    """A file to be read, and what it should be."""

    path: Path
    key: str | None
    kind: str


@dataclass(frozen=True)
class _Parts:
    header: dict[str, Any]
    arrays: dict[str, LabelledArray]


class _Guard:
    """Inside it, whatever a file of another making leads to means that the file is damaged."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, StoreError | MemoryError | OSError):
            raise DamagedFileError(f"{type(error).__name__}: {error}") from error


def _read_parts(of: _Sealed, names: tuple[str, ...] | None) -> _Parts:
    from .contents import from_bytes

    data = files.read_sealed(of.path)
    with _Guard():
        try:
            header, arrays = from_bytes(data, names)
        except OSError as error:  # HDF5's own
            raise DamagedFileError(f"{type(error).__name__}: {error}") from error
        if header["version"] > VERSION:
            raise StoreError(f"{of.path}: was written by a newer tmi (layout {header['version']}, this one reads {VERSION})")
        if of.key not in (None, header["key"]):
            raise DamagedFileError(f"it holds the {of.kind} of another key")
        return _Parts(header, arrays)


def _stored(parts: _Parts) -> Stored:
    with _Guard():
        names, values = (parts.arrays[name].values.tolist() for name in ("metric", "metrics"))
        metrics = dict(zip(names, values, strict=True))
        return Stored(parts.header["key"], metrics, parts.header["record"], tuple(parts.header["notes"]))


def _result(parts: _Parts) -> ProbeResult:
    stored = _stored(parts)
    with _Guard():
        arrays = {name: parts.arrays[name] for name in parts.header["arrays"]}
        coords = {name: parts.arrays[name].values for name in parts.header["coords"]}
        info = {name: MetricInfo(**fields) for name, fields in parts.header["info"].items()}
        return ProbeResult(stored.metrics, arrays, coords, info, stored.notes)


def _from_row(row: Row) -> Stored | None:
    try:
        return msgspec.json.decode(row.content, type=_Content).stored(row.key)
    except (msgspec.DecodeError, RecursionError):
        return None


def _component(choice: Mapping[str, Any]) -> tuple[str, str]:
    return str(choice.get("name", "")), canonical(choice.get("params", {}))


def _finished(record: Mapping[str, Any]) -> str:
    return str(record.get("finished", "")) or time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())


_KEY = re.compile("[0-9a-f]{64}")


def _is_key(key: str) -> bool:
    return _KEY.fullmatch(key) is not None


def _check_key(key: str) -> None:
    if not _is_key(key):
        raise StoreError(f"key {key!r}: expected 64 hexadecimal digits")
