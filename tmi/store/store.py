"""The store: data sets, networks and results, one immutable HDF5 file each, named by its key.

A file is put together in memory, written under a temporary name in the same folder, and renamed: when a process is killed or the
disk is full, every file that is there is whole. A seal (see `tmi.store.files`) shows flipped bytes and cut files. Arrays have
labelled axes (dimension scales), which xarray, h5dump and HDF5 viewers read. Nothing is unpickled: a file holds plain numbers,
text and JSON.

An SQLite index answers a warm run without opening the files; see `tmi.store.index`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tmi.errors import DamagedFileError, InputError, StoreError
from tmi.probing.result import ProbeResult
from tmi.runtime.paths import absolute, shown
from tmi.stages import Stage

from . import files
from . import leases as leasing
from .failures import Failure, Failures
from .files import Stamp
from .format import VERSION, Parts, check_key, damaged_if_it_fails, headed, is_key, read_parts
from .index import Index, IndexRow
from .results import (
    Stored,
    from_row,
    metrics_of,
    record_of,
    result_bytes,
    result_of,
    row_of,
    row_of_other,
    whole,
)

if TYPE_CHECKING:
    from tmi.networks.network import Network
    from tmi.networks.train_once import Trained
    from tmi.probing.result import LabelledArray
    from tmi.tasks.dataset import Dataset

    from .datasets import Laws

__all__ = [
    "DEFAULT",
    "FOLDERS",
    "VERSION",
    "Failure",
    "Store",
    "Stored",
    "read_result",
    "result_bytes",
    "result_of",
]

T = TypeVar("T")

DEFAULT = "tmi-store"
"""Where results go if neither an argument nor the variable ``TMI_STORE`` says otherwise."""

FOLDERS = {Stage.PROBE: "results", Stage.DATASET: "datasets", Stage.NETWORK: "networks"}
"""The folder of each kind of file."""

_IGNORE = "*\n"


class Store:
    """A folder of data sets, networks and results.

    Parameters
    ----------
    folder : str or Path, optional
        By default the variable ``TMI_STORE``, else ``tmi-store`` in the working folder; ``~`` is the home folder. It is made by
        `prepare` or the first `write`; a new one gets a ``.gitignore`` that leaves all of it out.

    Attributes
    ----------
    folder : Path
        Absolute, so that a change of the working folder does not move it.
    index : Index
    failures : Failures
        Why cells failed when they were last tried.

    Raises
    ------
    StoreError
        If there is something else than a folder at this path.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        if folder is not None and not isinstance(folder, str | Path):
            raise StoreError(f"store: expected a folder, got {type(folder).__name__}")
        self.folder = absolute(folder or os.environ.get("TMI_STORE") or DEFAULT)
        if self.folder.exists() and not self.folder.is_dir():
            raise StoreError(f"store {shown(self.folder)}: is not a folder")
        self.index = Index(self.folder)
        self.failures = Failures(self.folder / "failures")
        self._waiting: list[IndexRow] = []

    def __repr__(self) -> str:
        return f"Store({shown(self.folder)!r})"

    def path(self, key: str, kind: Stage | str = Stage.PROBE) -> Path:
        """Return the path of the file of a key, whether or not it is there.

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
        """Whether there is a file of this kind and key; it may be damaged."""
        return key is not None and self.path(key, kind).is_file()

    def keys(self, kind: Stage | str = Stage.PROBE) -> Iterator[str]:
        """The keys of all files of a kind, sorted."""
        for path in sorted((self.folder / FOLDERS[Stage(kind)]).glob("??/*.h5")):
            if is_key(path.stem):
                yield path.stem

    def prepare(self) -> None:
        """Make the folders, try to write a file, and remove what killed processes left over.

        Raises
        ------
        StoreError
            If nothing can be written: before any work is done, not after it.
        """
        try:
            self._make()
            for folder in (*FOLDERS.values(), leasing.FOLDER):
                files.make_folder(self.folder / folder)
            probe = self.folder / "results" / files.temporary_name("write-test")
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(f"store {shown(self.folder)}: cannot be written to ({error.strerror or error})") from error
        files.sweep(self._folders())
        leasing.sweep(self.folder / leasing.FOLDER)

    def leases(self, run: str, attempts: int = 2) -> leasing.Leases:
        """Return the leases of a run on this store; see `tmi.store.leases`."""
        return leasing.Leases(self.folder / leasing.FOLDER, run, attempts)

    # Results.

    def read(self, key: str) -> Stored | None:
        """Read the metrics and the provenance of a result; return None if there is no file.

        A damaged file is moved to the folder ``damaged``, with a warning, and counts as no file.

        Raises
        ------
        StoreError
            If permission to read the file is missing, or a newer tmi wrote it.
        """
        return self._guarded(Stage.PROBE, key, metrics_of, ("metric", "metrics"))

    def read_all(self, keys: Iterable[str]) -> dict[str, Stored]:
        """Read the metrics and the provenance of many results, from the index if it has the file, else from the file.

        Parameters
        ----------
        keys : iterable of str

        Returns
        -------
        dict of str to Stored
            The keys that have a file.

        Raises
        ------
        StoreError
            As for `read`.
        """
        stamps: dict[str, Stamp] = {}
        folder = str(self.folder / FOLDERS[Stage.PROBE])
        for key in dict.fromkeys(keys):
            check_key(key)
            stamp = files.stamp(f"{folder}/{key[:2]}/{key}.h5")  # a string: making a Path takes as long as the rest
            if stamp is not None:
                stamps[key] = stamp
        rows = self.index.read(Stage.PROBE, stamps) if stamps else {}
        result = {}
        for key, stamp in stamps.items():
            stored = from_row(rows[key]) if key in rows else None
            if stored is None:
                stored = self.read(key)
                if stored is not None:
                    self.remember(stored, stamp)
            if stored is not None:
                result[key] = stored
        self.flush()
        return result

    def remember(self, stored: Stored, stamp: Stamp) -> None:
        """Put a result into the index, at the latest at the next `flush`."""
        self._wait(row_of(stored, stamp))

    def remember_rows(self, rows: Iterable[IndexRow]) -> None:
        """Put the rows of another process into the index, at the latest at the next `flush`."""
        for row in rows:
            self._wait(row)

    def take_rows(self) -> list[IndexRow]:
        """Return the rows that are not in the index yet, for another process to put there."""
        rows, self._waiting = self._waiting, []
        return rows

    def flush(self) -> None:
        """Put all rows into the index that are not there yet."""
        if self._waiting:
            self.index.add(self.take_rows())

    def load(self, key: str) -> ProbeResult | None:
        """Read a whole result; see `read`."""
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
            If a file cannot hold it: text with a NUL character, a record that is not JSON.
        StoreError
            If it cannot be written: no permission, or no space. An older file stays.
        """
        stamp = self._write(Stage.PROBE, key, lambda: result_bytes(key, result, record))
        self.remember(Stored(key, dict(result.metrics), dict(record), tuple(result.notes)), stamp)
        return stamp

    # Data sets and networks.

    def load_dataset(self, key: str, laws: Laws | None = None) -> tuple[Dataset, dict[str, Any]] | None:
        """Read a data set and its provenance; see `read`, and `tmi.store.datasets.unpack` for ``laws``."""
        from .datasets import unpack

        return self._guarded(
            Stage.DATASET, key, lambda parts: (unpack(parts.header, parts.arrays, laws), record_of(parts, Stage.DATASET))
        )

    def write_dataset(self, key: str, data: Dataset, record: Mapping[str, Any]) -> None:
        """Keep a data set.

        Raises
        ------
        InputError
            If it would not come back as it is, with the reason; see `tmi.store.datasets.pack`.
        StoreError
            As for `write`.
        """
        from .datasets import pack

        self._write_other(Stage.DATASET, key, record, *pack(data))

    def load_network(self, key: str) -> tuple[Trained | None, dict[str, Any]] | None:
        """Read what is kept of a network, and its provenance; see `read`.

        Returns
        -------
        trained : Trained or None
            What its builder need not train again; None if it trains nothing or its training is not kept.
        record : dict
        """
        from .networks import trained_of

        return self._guarded(
            Stage.NETWORK, key, lambda parts: (trained_of(parts.header, parts.arrays), record_of(parts, Stage.NETWORK))
        )

    def write_network(self, key: str, network: Network, trained: Trained | None, record: Mapping[str, Any]) -> None:
        """Keep a network: its training, and a copy of its weights.

        Parameters
        ----------
        key : str
        network : Network
        trained : Trained or None
            What `tmi.train_once` trained for its builder, if `tmi.store.networks.why_not_kept` finds nothing against it.
        record : mapping

        Raises
        ------
        InputError, StoreError
            As for `write`.
        """
        from .networks import pack

        self._write_other(Stage.NETWORK, key, record, *pack(network, trained))

    # Files.

    def set_aside(self, kind: Stage, key: str, why: str, *, stacklevel: int = 3) -> None:
        """Move a damaged file to the folder ``damaged``, with a warning."""
        path = self.path(key, kind)
        aside = files.set_aside(path, self.folder / "damaged")
        self.index.remove(kind, [key])
        warnings.warn(f"store: {path.name} is damaged ({why}); {aside}; it will be computed again", stacklevel=stacklevel)

    def _make(self) -> None:
        """Make the folder if it is missing; git is to ignore what is in a new or empty one."""
        files.make_folder(self.folder)
        if next(self.folder.iterdir(), None) is None:
            (self.folder / ".gitignore").write_text(_IGNORE, encoding="utf-8")
            files.share(self.folder / ".gitignore")

    def _folders(self) -> Iterator[Path]:
        """Yield the folders in which this store writes files."""
        yield from (self.folder, self.folder / leasing.FOLDER)
        for name in (*FOLDERS.values(), "failures"):
            folder = self.folder / name
            if not folder.is_symlink():
                yield folder
                yield from folder.glob("[0-9a-f][0-9a-f]")

    def _write_other(
        self, kind: Stage, key: str, record: Mapping[str, Any], header: Mapping[str, Any], arrays: Mapping[str, LabelledArray]
    ) -> None:
        """Write a data set or a network, which are made again after a power cut; pixels and weights hardly compress."""
        from .hdf5 import to_bytes

        compress = "recipes" in header
        header = headed(key, {**header, "record": dict(record)})
        stamp = self._write(kind, key, lambda: to_bytes(kind, header, arrays, compress=compress), sync=False)
        self._wait(row_of_other(kind, key, stamp, record))

    def _write(self, kind: Stage, key: str, make: Callable[[], bytes], *, sync: bool = True) -> Stamp:
        path = self.path(key, kind)
        try:
            data = make()
        except (ValueError, TypeError) as error:
            raise InputError(f"the {kind.product} cannot be kept: {error}") from error
        try:
            if not self.folder.is_dir():
                self._make()
            return files.write_sealed(path, data, sync=sync)
        except OSError as error:
            raise StoreError(f"store {shown(self.folder)}: cannot keep a {kind.product} ({error.strerror or error})") from error

    def _wait(self, row: IndexRow) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= 500:
            self.flush()

    def _guarded(self, kind: Stage, key: str, use: Callable[[Parts], T], names: tuple[str, ...] | None = None) -> T | None:
        """Read a file and return what ``use`` makes of it; a damaged file is moved away."""
        path = self.path(key, kind)
        try:
            parts = read_parts(path, key, kind, names)
            with damaged_if_it_fails():
                return use(parts)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except DamagedFileError as error:
            self.set_aside(kind, key, str(error), stacklevel=4)
            return None
        except OSError as error:
            raise StoreError(f"store {shown(self.folder)}: cannot read {path.name} ({error.strerror or error})") from error


def read_result(path: str | Path) -> ProbeResult:
    """Read the file of a result, in a store or copied from one.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    ProbeResult

    Raises
    ------
    DamagedFileError
        If its bytes are not those that were written, or it does not hold a result.
    StoreError
        If it is missing or cannot be read, or a newer tmi wrote it.
    """
    try:
        return whole(read_parts(absolute(path), None, Stage.PROBE))
    except DamagedFileError as error:
        raise DamagedFileError(f"{path}: {error}") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error})") from error
