"""What a file holds: a header of JSON and labelled arrays, as HDF5 that xarray, h5dump and viewers open.

The file is put together in memory, for on a full disk HDF5 itself may take the process down.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tmi.hashing import canonical
from tmi.probing.result import LabelledArray
from tmi.stages import Stage

_SMALL = 4096  # bytes below which compression only costs
_SMALL_WORDS = 1_000_000  # bytes
_DEFLATE = 1100  # bytes that one byte of gzip becomes at most, and a little more

Arrays = Mapping[str, LabelledArray]


def to_bytes(kind: Stage, header: Mapping[str, Any], arrays: Arrays, *, compress: bool = True) -> bytes:
    """Return a file.

    Parameters
    ----------
    kind : Stage
        What it is; readers see what the stage makes.
    header : mapping
        JSON.
    arrays : mapping of str to LabelledArray
        An array of one axis with the axis's name holds its labels; an axis without labels has its places numbered.
    compress : bool
        Whether larger arrays are compressed; random numbers only lose time by it.

    Raises
    ------
    ValueError, TypeError
        For what a file cannot hold: words with a NUL character, a header that is not JSON.
    """
    import h5py
    import numpy as np

    contents = dict(arrays)
    lengths = {dim: length for a in contents.values() for dim, length in zip(a.dims, a.shape, strict=True)}
    for dim, length in lengths.items():
        contents.setdefault(dim, LabelledArray((dim,), np.arange(length)))
    made = io.BytesIO()
    # v110 halves small files; track_order keeps the arrays in the order in which they were given.
    with h5py.File(made, "w", libver=("v110", "v110"), track_order=True) as file:
        file.attrs["format"] = f"tmi {kind.product}"
        file["header"] = canonical(dict(header))  # not an attribute: those end at 64 kB
        for name, array in contents.items():
            _write_array(file, name, array, compress=compress)
        for dim in lengths:
            file[dim].make_scale(dim)
        for name, array in contents.items():
            if name not in lengths:
                for axis, dim in enumerate(array.dims):
                    file[name].dims[axis].attach_scale(file[dim])
    return made.getvalue()


def from_bytes(data: bytes, names: Sequence[str] | None = None) -> tuple[dict[str, Any], dict[str, LabelledArray]]:
    """Read a file: its header and the arrays of these names, by default all.

    Raises
    ------
    Exception
        Whatever a file of another making leads to.
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
    """Return a data set whose numbers lie in the file itself, and not more bytes of them than there is room for."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name!r} is a link")
    dataset = file[name]
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{name!r} lies in another file")
    if dataset.nbytes > room:
        raise ValueError(f"{name!r} says that it holds {dataset.nbytes} bytes, more than the file can")
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
        kept.attrs["dtype"] = "bool"  # the netCDF convention, by which xarray reads booleans


def _read_array(dataset: Any, room: int) -> LabelledArray:
    import h5py
    import numpy as np

    if dataset.is_scale:  # the labels of an axis carry its name
        dims: tuple[str, ...] = (dataset.name.strip("/"),)
    else:
        dims = tuple(dim.label or dim[0].name.strip("/") for dim in dataset.dims)
    if h5py.check_string_dtype(dataset.dtype):
        words = np.asarray(dataset.asstr()[()], dtype=object)
        # Every word becomes as wide as the longest.
        if 4 * words.size * max(map(len, words.flat), default=0) > max(room, _SMALL_WORDS):
            raise ValueError(f"{dataset.name!r} holds words that are too long")
        return LabelledArray(dims, words.astype(str))
    values = np.asarray(dataset[()])
    return LabelledArray(dims, values.view(bool) if dataset.attrs.get("dtype") == "bool" else values)
