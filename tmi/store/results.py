"""Results in files and in the index."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from tmi.errors import DamagedFileError
from tmi.hashing import canonical
from tmi.probing.result import LabelledArray, MetricInfo, ProbeResult
from tmi.stages import Stage

from .files import Stamp
from .format import Parts, damaged_if_it_fails, headed
from .index import IndexRow
from .roundtrip import is_text


@dataclass(frozen=True)
class Stored:
    """A stored result without its arrays: what a warm run needs.

    Attributes
    ----------
    key : str
    metrics : dict of str to float
    record : dict
        Provenance: names, settings, seed, versions, device, threads, seconds, time, notes of the data set, warnings.
    notes : tuple of str
        Remarks of the probe.
    """

    key: str
    metrics: dict[str, float]
    record: dict[str, Any]
    notes: tuple[str, ...]


def result_bytes(key: str, result: ProbeResult, record: Mapping[str, Any]) -> bytes:
    """Return the HDF5 file of a result, without its seal.

    Raises
    ------
    ValueError, TypeError
        If a file cannot hold it: text with a NUL character, a record that is not JSON.
    """
    import numpy as np

    from .hdf5 import to_bytes

    header = {
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
    attrs = {
        name: {key: text for key, text in texts.items() if is_text(key) and is_text(text)}
        for name, texts in result.attributes().items()
    }
    return to_bytes(Stage.PROBE, headed(key, header), arrays, attrs=attrs)


def result_of(data: bytes) -> ProbeResult:
    """Return the result in bytes of `result_bytes`."""
    from .hdf5 import from_bytes

    return whole(Parts(*from_bytes(data)))


def metrics_of(parts: Parts) -> Stored:
    """Return the metrics and the provenance of a result.

    Raises
    ------
    DamagedFileError
        If the file holds no result.
    """
    if "metric" not in parts.arrays:
        raise DamagedFileError("holds no result; it may hold a data set or a network")
    with damaged_if_it_fails():
        names, values = (parts.arrays[name].values.tolist() for name in ("metric", "metrics"))
        metrics = dict(zip(names, values, strict=True))
        record = record_of(parts, Stage.PROBE)
        return Stored(parts.header["key"], metrics, record, tuple(parts.header["notes"]))


def whole(parts: Parts) -> ProbeResult:
    """Return a whole result.

    Raises
    ------
    DamagedFileError
        If the file holds no result.
    """
    stored = metrics_of(parts)
    with damaged_if_it_fails():
        arrays = {name: parts.arrays[name] for name in parts.header["arrays"]}
        coords = {name: parts.arrays[name].values for name in parts.header["coords"]}
        info = {name: MetricInfo(**fields) for name, fields in parts.header["info"].items()}
        return ProbeResult(stored.metrics, arrays, coords, info, stored.notes)


def row_of(stored: Stored, stamp: Stamp) -> IndexRow:
    """Return the row of a result in the index."""
    # Pairs, since canonical JSON would sort the metrics of the probe.
    pairs = [[name, value] for name, value in stored.metrics.items()]
    content = canonical({"metrics": pairs, "record": stored.record, "notes": list(stored.notes)})
    seconds = float(stored.record.get("seconds", {}).get("probe", 0.0))
    return IndexRow(
        Stage.PROBE, stored.key, *stamp, *component_of(stored.record.get("probe", {})), seconds, finished(stored.record), content
    )


def row_of_other(kind: Stage, key: str, stamp: Stamp, record: Mapping[str, Any]) -> IndexRow:
    """Return the row of a data set or a network in the index."""
    seconds = float(record.get("seconds", 0.0))
    return IndexRow(
        kind, key, *stamp, *component_of(record[kind]), seconds, finished(record), canonical({"record": dict(record)})
    )


def from_row(row: IndexRow) -> Stored | None:
    """Return the result that a row of the index describes, or None if the row cannot be read."""
    try:
        content = msgspec.json.decode(row.content, type=_Content)
    except (msgspec.DecodeError, RecursionError):
        return None
    return Stored(row.key, dict(content.metrics), content.record, content.notes)


class _ResultRecord(msgspec.Struct):
    """The types of what a run reads of a result's record."""

    seconds: dict[str, float] = {}
    probe: dict[str, Any] = {}
    finished: str = ""


class _ProductRecord(msgspec.Struct):
    """The types of what a run reads of the record of a data set or a network."""

    seconds: float
    warnings: list[str]
    finished: str = ""


def record_of(parts: Parts, kind: Stage) -> dict[str, Any]:
    """Return the record of a file.

    Raises
    ------
    DamagedFileError
        If what a run reads of it has other types.
    """
    record: dict[str, Any] = parts.header["record"]
    try:
        msgspec.convert(record, _ResultRecord if kind == Stage.PROBE else _ProductRecord)
    except msgspec.ValidationError as error:
        raise DamagedFileError(f"it is no {kind.product} (its record: {error})") from error
    return record


class _Content(msgspec.Struct):
    metrics: list[tuple[str, float]]
    record: dict[str, Any]
    notes: tuple[str, ...]


def component_of(choice: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and the settings of a record's data set, network or probe."""
    return str(choice.get("name", "")), canonical(choice.get("params", {}))


def finished(record: Mapping[str, Any]) -> str:
    """Return the time at which a record was finished; the present time if it has none."""
    return str(record.get("finished", "")) or time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
