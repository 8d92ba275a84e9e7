"""Results as labelled arrays: a variable for each metric, with its meaning and unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from tmi.errors import InputError

if TYPE_CHECKING:
    import xarray

    from tmi.probing.result import MetricInfo

_MOST = 100_000_000  # numbers


def to_xarray(results: Any) -> xarray.Dataset:
    """Return the metrics of a `tmi.Results` as an `xarray.Dataset`; see its method ``to_xarray``."""
    import numpy as np
    import xarray

    entries = [entry for entry in results if entry.metrics]
    axes = ("dataset", "network", *results.columns, "seed")
    labels = {axis: _labels([_value(results, entry, axis) for entry in entries]) for axis in axes}
    shape = tuple(len(of_axis) for of_axis in labels.values())
    names = list(dict.fromkeys((entry.probe, metric) for entry in entries for metric in entry.metrics))
    if len(names) * prod(shape) > _MOST:
        raise InputError(
            f"to_xarray: {len(names)} metrics of {' × '.join(map(str, shape))} cells are too many; choose some by sel"
        )
    arrays = {name: np.full(shape, np.nan) for name in names}
    for entry in entries:
        place = tuple(labels[axis].index(_value(results, entry, axis)) for axis in axes)
        for metric, value in entry.metrics.items():
            arrays[entry.probe, metric][place] = value
    probes_of = Counter(metric for _, metric in names)
    infos = {probe: results.meanings(probe) for probe in {probe for probe, _ in names}}
    return xarray.Dataset(
        {
            metric if probes_of[metric] == 1 else f"{probe}.{metric}": (axes, values, _attributes(probe, metric, infos))
            for (probe, metric), values in arrays.items()
        },
        coords={axis: (axis, _plain(of_axis)) for axis, of_axis in labels.items()},
        attrs={"suite": results.name, "description": results.description},
    )


def _value(results: Any, entry: Any, axis: str) -> Any:
    value = entry.swept.get(axis) if axis in results.columns else getattr(entry, axis)
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _labels(values: list[Any]) -> list[Any]:
    """Return the distinct labels in their order, None last."""
    labels = list(dict.fromkeys(values))
    return [label for label in labels if label is not None] + [None] * (None in labels)


def _plain(labels: list[Any]) -> Any:
    """Return labels as an array of one type: numbers, with NaN for None, or text."""
    import numpy as np

    known = [label for label in labels if label is not None]
    if any(isinstance(label, str | bool) for label in known):
        return np.array(["" if label is None else str(label) for label in labels])
    return np.array(labels if len(known) == len(labels) else [np.nan if label is None else label for label in labels])


def _attributes(probe: str, metric: str, infos: Mapping[str, Mapping[str, MetricInfo]]) -> dict[str, Any]:
    attributes: dict[str, Any] = {"probe": probe, "metric": metric}
    info = infos[probe].get(metric.partition(".")[0])
    if info is not None:
        given = {"long_name": info.text, "units": info.unit, "better": info.better, "low": info.low, "high": info.high}
        attributes |= {name: value for name, value in given.items() if value not in (None, "")}
    return attributes
