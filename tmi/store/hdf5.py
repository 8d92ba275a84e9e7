"""The content of a file: a header of JSON and labelled arrays, in HDF5 that xarray, h5dump and viewers open.

It is put together in memory, since HDF5 may crash the process when it writes to a full disk.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tmi.hashing import canonical
from tmi.probing.result import LabelledArray
from tmi.stages import Stage

_SMALL = 4096  # bytes below which compression does not pay
_SMALL_WORDS = 1_000_000  # bytes
_DEFLATE = 1100  # bytes that one byte of gzip becomes at most, rounded up

Arrays = Mapping[str, LabelledArray]
Attributes = Mapping[str, Mapping[str, str]]


def to_bytes(
    kind: Stage, header: Mapping[str, Any], arrays: Arrays, *, compress: bool = True, attrs: Attributes | None = None
) -> bytes:
    """Return the HDF5 bytes of a file.

    Parameters
    ----------
    kind : Stage
        The stage that made it; the attribute ``format`` of the file names its product.
    header : mapping
        JSON.
    arrays : mapping of str to LabelledArray
        An array of one axis with the axis's name holds its labels; an axis without labels has its places numbered.
    compress : bool
        Whether to compress larger arrays; with random numbers this only costs time.
    attrs : mapping of str to (mapping of str to str), optional
        For the name of an array its attributes, which other programs show beside it; tmi reads the header instead.

    Raises
    ------
    ValueError, TypeError
        If HDF5 cannot hold it: text with a NUL character, a header that is not JSON.
    """
    import h5py
    import numpy as np

    contents = dict(arrays)
    lengths = {dim: length for a in contents.values() for dim, length in zip(a.dims, a.shape, strict=True)}
    for dim, length in lengths.items():
        contents.setdefault(dim, LabelledArray((dim,), np.arange(length)))
    buffer = io.BytesIO()
    # v110 halves the size of small files; track_order keeps the order of the arrays.
    with h5py.File(buffer, "w", libver=("v110", "v110"), track_order=True) as file:
        file.attrs["format"] = f"tmi {kind.product}"
        file["header"] = canonical(dict(header))  # not an attribute, which may have 64 kB at most
        for name, array in contents.items():
            _write_array(file, name, array, compress=compress)
        for name, texts in (attrs or {}).items():
            file[name].attrs.update(texts)
        for dim in lengths:
            file[dim].make_scale(dim)
        for name, array in contents.items():
            if name not in lengths:
                for axis, dim in enumerate(array.dims):
                    file[name].dims[axis].attach_scale(file[dim])
    return buffer.getvalue()


def from_bytes(data: bytes, names: Sequence[str] | None = None) -> tuple[dict[str, Any], dict[str, LabelledArray]]:
    """Return the header of a file and its arrays of these names, by default all.

    Raises
    ------
    Exception
        Of any class, if another program wrote the file.
    """
    import h5py

    with h5py.File(io.BytesIO(data), "r") as file:
        header: dict[str, Any] = json.loads(_own(file, "header", _DEFLATE * len(data)).asstr()[()])
        wanted = [name for name in file if name != "header"] if names is None else names
        arrays, room = {}, _DEFLATE * len(data)
        for name in wanted:
            arrays[name] = _read_array(_own(file, name, room), room)
            room -= arrays[name].values.nbytes
        return header, arrays


def _own(file: Any, name: str, room: int) -> Any:
    """Return an HDF5 data set of at most ``room`` bytes whose numbers are in the file itself."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name!r} is a link")
    dataset = file[name]
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{name!r} lies in another file")
    if dataset.nbytes > room:
        raise ValueError(f"{name!r} claims {dataset.nbytes} bytes, more than the file can hold")
    return dataset


def _write_array(file: Any, name: str, array: LabelledArray, *, compress: bool) -> None:
    import h5py
    import numpy as np

    values = array.values
    if values.dtype.kind == "U":
        file.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype())
        return
    options: dict[str, Any] = {}
    if compress and values.nbytes > _SMALL:
        options = {"compression": "gzip", "compression_opts": 4, "shuffle": True, "fletcher32": True}
    kept = file.create_dataset(name, data=values.view(np.int8) if values.dtype == bool else values, **options)
    if values.dtype == bool:
        kept.attrs["dtype"] = "bool"  # by the netCDF convention, as xarray reads it


def _read_array(dataset: Any, room: int) -> LabelledArray:
    import h5py
    import numpy as np

    if dataset.is_scale:  # the labels of an axis carry its name
        dims: tuple[str, ...] = (dataset.name.strip("/"),)
    else:
        dims = tuple(dim.label or dim[0].name.strip("/") for dim in dataset.dims)
    if h5py.check_string_dtype(dataset.dtype):
        words = np.asarray(dataset.asstr()[()], dtype=object)
        # NumPy makes every word as wide as the longest.
        if 4 * words.size * max(map(len, words.flat), default=0) > max(room, _SMALL_WORDS):
            raise ValueError(f"{dataset.name!r} holds words that are too long")
        return LabelledArray(dims, words.astype(str))
    values = np.asarray(dataset[()])
    return LabelledArray(dims, values.view(bool) if dataset.attrs.get("dtype") == "bool" else values)
