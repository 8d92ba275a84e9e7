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
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tmi.errors import DamagedFileError, InputError, StoreError
from tmi.probing.result import ProbeResult
from tmi.stages import Stage

from . import files
from . import leases as leasing
from .failures import Failure, Failures
from .files import Stamp
from .format import VERSION, Parts, believing, check_key, headed, is_key, read_parts
from .index import Index, IndexRow
from .results import Stored, from_row, metrics_of, result_bytes, result_of, row_of, row_of_other, whole

if TYPE_CHECKING:
    import torch

    from tmi.networks.network import Network
    from tmi.networks.train_once import Trained
    from tmi.tasks.dataset import Dataset
    from tmi.tasks.task import TemplateTask

    from .hdf5 import Arrays

__all__ = [
    "DEFAULT",
    "FOLDERS",
    "VERSION",
    "Failure",
    "Store",
    "Stored",
    "StoredNetwork",
    "read_result",
    "result_bytes",
    "result_of",
]

T = TypeVar("T")

DEFAULT = "tmi-store"
"""Where results go if neither an argument nor the variable ``TMI_STORE`` says otherwise."""

FOLDERS = {Stage.PROBE: "results", Stage.DATASET: "datasets", Stage.NETWORK: "networks"}
"""The kinds of file, and the folder of each."""


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
        """Weights and history for `tmi.networks.train_once.weights`."""
        return (self.trained.weights, self.trained.history) if self.trained is not None else ({}, {})


class Store:
    """A folder of data sets, networks and results.

    Parameters
    ----------
    folder : str or Path, optional
        By default the variable ``TMI_STORE``, else ``tmi-store`` in the working folder. Made when first written to.

    Attributes
    ----------
    index : Index
    failures : Failures
        Why cells failed when they were last tried.

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
        self.failures = Failures(self.folder / "failures")
        self._waiting: list[IndexRow] = []

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    def path(self, key: str, kind: Stage | str = Stage.PROBE) -> Path:
        """Where the file of a key is kept.

        Parameters
        ----------
        key : str
        kind : Stage or {"result", "dataset", "network"}
        """
        check_key(key)
        return self.folder / FOLDERS[Stage(kind)] / key[:2] / f"{key}.h5"

    def __contains__(self, key: str) -> bool:
        return self.has(Stage.PROBE, key)

    def has(self, kind: Stage | str, key: str | None) -> bool:
        """Whether there is a file of this kind and key; it may still turn out to be damaged."""
        return key is not None and self.path(key, kind).is_file()

    def keys(self, kind: Stage | str = Stage.PROBE) -> Iterator[str]:
        """The keys of all files of a kind, sorted."""
        for path in sorted((self.folder / FOLDERS[Stage(kind)]).glob("??/*.h5")):
            if is_key(path.stem):
                yield path.stem

    def prepare(self) -> None:
        """Make the folder, try to write to it, and sweep up what killed processes left.

        Raises
        ------
        StoreError
            If it cannot be written to; said before any work is done, not after it.
        """
        try:
            for folder in (*FOLDERS.values(), leasing.FOLDER):
                (self.folder / folder).mkdir(parents=True, exist_ok=True)
            probe = self.folder / "results" / files.temporary_name("write-test")
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(f"store {self.folder}: cannot be written to ({error.strerror or error})") from error
        files.sweep(self.folder)
        leasing.sweep(self.folder / leasing.FOLDER)

    def leases(self, run: str, attempts: int = 2) -> leasing.Leases:
        """Return the claims of a run on this store; see `tmi.store.leases`."""
        return leasing.Leases(self.folder / leasing.FOLDER, run, attempts)

    # Results.

    def read(self, key: str) -> Stored | None:
        """Read the metrics and the provenance of a result, or None where there is none.

        A damaged file is set aside in the folder ``damaged``, with a warning, and counts as none.

        Raises
        ------
        StoreError
            If the file cannot be read for want of permission, or was written by a newer tmi.
        """
        return self._guarded(Stage.PROBE, key, metrics_of, ("metric", "metrics"))

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
        folder = str(self.folder / FOLDERS[Stage.PROBE])
        for key in dict.fromkeys(keys):
            check_key(key)
            found = files.stamp(f"{folder}/{key[:2]}/{key}.h5")  # put together by hand: a Path takes as long as the rest
            if found is not None:
                stamps[key] = found
        rows = self.index.read(Stage.PROBE, stamps) if stamps else {}
        result = {}
        for key, seen in stamps.items():
            stored = from_row(rows[key]) if key in rows else None
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
        self._wait(row_of(stored, stamp))

    def remember_rows(self, rows: Iterable[IndexRow]) -> None:
        """Put rows that another process made into the index, at the latest at the next `flush`."""
        for row in rows:
            self._wait(row)

    def take_rows(self) -> list[IndexRow]:
        """Return what waits for the index, for another process to put there."""
        rows, self._waiting = self._waiting, []
        return rows

    def flush(self) -> None:
        """Write what waits for the index."""
        if self._waiting:
            self.index.add(self.take_rows())

    def load(self, key: str) -> ProbeResult | None:
        """Read a whole result, or None where there is none; see `read`."""
        return self._guarded(Stage.PROBE, key, whole)

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
        stamp = self._write(Stage.PROBE, key, lambda: result_bytes(key, result, record))
        self.remember(Stored(key, dict(result.metrics), dict(record), tuple(result.notes)), stamp)
        return stamp

    # Data sets and networks.

    def load_dataset(self, key: str) -> tuple[Dataset, dict[str, Any]] | None:
        """Read a data set and its provenance, or None where there is none; see `read`."""
        from .datasets import unpack

        def made(parts: Parts) -> tuple[Dataset, dict[str, Any]]:
            return unpack(parts.header, parts.arrays), parts.header["record"]

        return self._guarded(Stage.DATASET, key, made)

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
        self._write_other(Stage.DATASET, key, {**header, "record": dict(record)}, arrays)
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

        def made(parts: Parts) -> StoredNetwork:
            network = networks.unpack(parts.header, parts.arrays, task)
            return StoredNetwork(network, networks.trained_of(parts.header, parts.arrays), parts.header["record"])

        return self._guarded(Stage.NETWORK, key, made)

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
        self._write_other(Stage.NETWORK, key, {**header, "record": dict(record)}, arrays)
        return bool(header["restored_by"] == "file")

    # Files.

    def set_aside(self, kind: Stage, key: str, why: str, *, stacklevel: int = 3) -> None:
        """Move a damaged file to the folder ``damaged``, with a warning."""
        path = self.path(key, kind)
        aside = files.set_aside(path, self.folder / "damaged")
        self.index.remove(kind, [key])
        warnings.warn(f"store: {path.name} is damaged ({why}); {aside}; it will be computed again", stacklevel=stacklevel)

    def _write_other(self, kind: Stage, key: str, header: Mapping[str, Any], arrays: Arrays) -> None:
        from .hdf5 import to_bytes

        stamp = self._write(kind, key, lambda: to_bytes(kind, headed(key, header), arrays, compress=False), sync=False)
        self._wait(row_of_other(kind, key, stamp, header["record"]))

    def _write(self, kind: Stage, key: str, make: Callable[[], bytes], *, sync: bool = True) -> Stamp:
        path = self.path(key, kind)
        try:
            data = make()
        except (ValueError, TypeError) as error:
            raise InputError(f"the {kind.product} cannot be kept: {error}") from error
        try:
            return files.write_sealed(path, data, sync=sync)
        except OSError as error:
            raise StoreError(f"store {self.folder}: cannot keep a {kind.product} ({error.strerror or error})") from error

    def _wait(self, row: IndexRow) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= 500:
            self.flush()

    def _guarded(self, kind: Stage, key: str, use: Callable[[Parts], T], names: tuple[str, ...] | None = None) -> T | None:
        """Read a file and make something of it; a damaged one is set aside."""
        path = self.path(key, kind)
        try:
            parts = read_parts(path, key, kind, names)
            with believing():
                return use(parts)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except DamagedFileError as error:
            self.set_aside(kind, key, str(error), stacklevel=4)
            return None
        except OSError as error:
            raise StoreError(f"store {self.folder}: cannot read {path.name} ({error.strerror or error})") from error


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
        return whole(read_parts(Path(path), None, Stage.PROBE))
    except DamagedFileError as error:
        raise DamagedFileError(f"{path}: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error})") from error
