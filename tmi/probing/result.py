"""The result of a probe: metrics, labelled arrays, and descriptions of the metrics."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tmi.errors import InputError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

RESERVED = ("header", "metrics", "metric")
"""Names that the file format uses; metrics, arrays and axes cannot have them."""

_LONGEST = 2000  # characters of an attribute


@dataclass(frozen=True, eq=False)
class LabelledArray:
    """An array with named axes.

    Attributes
    ----------
    dims : tuple of str
        The names of the axes, in order.
    values : ndarray
        Numbers, booleans or strings.
    """

    dims: tuple[str, ...]
    values: NDArray[Any]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype) if copy else np.asarray(self.values, dtype=dtype)

    def __repr__(self) -> str:
        from tmi.views.results import array_text

        return array_text(self.dims, self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.values.shape


@dataclass(frozen=True)
class MetricInfo:
    """The description of a metric, for reports, `Results` and the documentation.

    Attributes
    ----------
    text : str
        One line: what is measured, and the source of the definition.
    better : {"higher", "lower", None}
        Which direction is better; None if neither is.
    low, high : float or None
        The ends of the range; None where it is unbounded.
    unit : str
        Empty for a share or a count.
    """

    text: str
    better: Literal["higher", "lower"] | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""

    @property
    def line(self) -> str:
        """The description with unit, direction and range: ``"Share of … (higher is better; from 0 to 1)"``."""
        better = f"{self.better} is better" if self.better else ""
        ends = (f"from {self.low:g}" if self.low is not None else "", f"to {self.high:g}" if self.high is not None else "")
        remarks = "; ".join(filter(None, (self.unit, better, " ".join(filter(None, ends)))))
        return f"{self.text} ({remarks})" if remarks else self.text


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class ProbeResult:
    """The result of a probe: metrics and labelled arrays.

    Parameters
    ----------
    metrics : mapping of str to float
        Finite numbers. A metric that has no value for this network is left out, and a note gives the reason. A dot separates the
        measure from what it is measured on: ``"active_per_image.hidden"``.
    arrays : mapping of str to (dims, array), optional
        As in xarray: the names of the axes, and the values (numbers, booleans or strings). An axis has the same length in all
        arrays.
    coords : mapping of str to sequence, optional
        For the name of an axis its labels: as many numbers or strings as the axis is long.
    info : mapping of str to MetricInfo, optional
        Descriptions of the metrics, by the part of their name before the first dot.
    notes : str or iterable of str, optional
        Remarks on the result: what was left out, and why.

    Raises
    ------
    InputError
        For a metric that is NaN or infinite, an array whose shape does not match its axes, or a name that cannot be stored.

    Notes
    -----
    A probe that has nothing to measure returns `ProbeResult.not_applicable`.
    """

    metrics: Mapping[str, float]
    # Passed as (dims, array) pairs and sequences, stored as LabelledArray and ndarray; the type Any covers both.
    arrays: Mapping[str, Any] = field(default_factory=dict)
    coords: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, MetricInfo] = field(default_factory=dict)
    notes: Sequence[str] | str = ()

    def __post_init__(self) -> None:
        replace = object.__setattr__  # the class is frozen; the checked values replace the arguments
        for part in ("metrics", "arrays", "coords", "info"):
            if not isinstance(getattr(self, part), Mapping):
                raise InputError(f"{part}: expected a dict of names and values, got {type(getattr(self, part)).__name__}")
        replace(self, "metrics", {name: _number(name, value) for name, value in dict(self.metrics).items()})
        replace(self, "arrays", {name: _labelled(name, value) for name, value in dict(self.arrays).items()})
        replace(self, "coords", {name: _plain(name, np.asarray(v)) for name, v in dict(self.coords).items()})
        replace(self, "notes", (self.notes,) if isinstance(self.notes, str) else tuple(self.notes))
        replace(self, "info", dict(self.info))
        self._check_axes()
        bases = {name.partition(".")[0] for name in self.metrics}
        for name in self.info:
            if name not in bases:
                raise InputError(f"info {name!r}: there is no metric of this name{did_you_mean(name, bases)}")

    def _check_axes(self) -> None:
        dims = [dim for array in self.arrays.values() for dim in array.dims]
        for name in (*self.metrics, *self.arrays, *self.coords, *dims):
            if not isinstance(name, str) or not name or {"/", "\0"} & set(name) or name.startswith(".") or name in RESERVED:
                rules = f"not empty, no '/', no NUL, no leading '.', none of {', '.join(RESERVED)}"
                raise InputError(f"name {name!r} cannot be stored; expected: {rules}")
        lengths: dict[str, int] = {}
        for name, array in self.arrays.items():
            if name in dims or name in self.coords:
                raise InputError(f"array {name!r}: has the name of an axis")
            for dim, length in zip(array.dims, array.shape, strict=True):
                if lengths.setdefault(dim, length) != length:
                    raise InputError(f"array {name!r}: axis {dim!r} is {length} long, elsewhere {lengths[dim]}")
        for dim, labels in self.coords.items():
            if dim not in lengths:
                raise InputError(f"coords {dim!r}: no array has an axis of this name{did_you_mean(dim, lengths)}")
            if labels.shape != (lengths[dim],):
                raise InputError(f"coords {dim!r}: expected {lengths[dim]} labels, got shape {labels.shape}")

    @classmethod
    def not_applicable(cls, reason: str) -> ProbeResult:
        """Return the result of a probe that has nothing to measure on this network or data set.

        Its row has the status ``"not applicable"``, with the reason as its message. It is not a failure: the result is stored
        like any other, and the exit code of ``tmi run`` stays 0.

        Parameters
        ----------
        reason : str
            One sentence, such as ``"a trained network has no certificate"``.

        Returns
        -------
        ProbeResult
            Without metrics and arrays; ``notes`` holds the reason.

        Raises
        ------
        InputError
            If the reason is empty.
        """
        if not isinstance(reason, str) or not reason.strip():
            raise InputError("not_applicable: give the reason, in one sentence")
        return cls({}, notes=(reason,))

    @property
    def applicable(self) -> bool:
        """Whether the result holds a metric or an array."""
        return bool(self.metrics or self.arrays)

    def __repr__(self) -> str:
        if not self.applicable:
            return f"ProbeResult(not applicable: {'; '.join(self.notes) or 'no reason given'})"
        shown = ", ".join(f"{name}={value:.6g}" for name, value in list(self.metrics.items())[:6])
        more = f", … {len(self.metrics) - 6} more" if len(self.metrics) > 6 else ""
        return f"ProbeResult({shown}{more}; arrays: {', '.join(self.arrays) or 'none'})"

    def _repr_html_(self) -> str:
        from tmi.views.results import probe_result

        return probe_result(self)

    def __getitem__(self, name: str) -> Any:
        """Return a metric or an array by its name.

        Raises
        ------
        UnknownNameError
            If there is neither; the message names the nearest.
        """
        if name in self.metrics:
            return self.metrics[name]
        if name in self.arrays:
            return self.arrays[name]
        hint = did_you_mean(name, [*self.metrics, *self.arrays])
        raise UnknownNameError(f"result: there is no metric and no array {name!r}{hint}")

    def __contains__(self, name: object) -> bool:
        return name in self.metrics or name in self.arrays

    def __iter__(self) -> Iterator[str]:
        return iter([*self.metrics, *self.arrays])

    def plot(self, name: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw metrics or an array on ``ax``, or on the axes of a new figure; return the axes.

        Parameters
        ----------
        name : str, optional
            A metric, or the part of its name before a dot; or an array: one of one axis as a curve or bars, one of two axes as a
            map, and one of images as pictures. By default the metrics of the commonest unit and range, with their intervals
            and controls.
        ax : Axes, optional

        Raises
        ------
        UnknownNameError
            If there is no metric and no array of this name.
        InputError
            For an array that is empty, holds text, or has three axes or more and no images.
        """
        from tmi.views.result_plots import probe_result

        return probe_result(self, name, ax)

    def describe(self, metric: str) -> MetricInfo | None:
        """Return the description of a metric, or None if the probe gives none.

        Parameters
        ----------
        metric : str
            Its full name, or the part before the first dot.
        """
        return self.info.get(metric.partition(".")[0])

    def attributes(self) -> dict[str, dict[str, str]]:
        """Return what a file or an `xarray.Dataset` says beside its numbers.

        Returns
        -------
        dict of str to (dict of str to str)
            ``"metrics"``: ``meaning.NAME`` for the metrics whose name begins with NAME; ``"/"``: ``notes``, where there are any.
        """
        meanings = {f"meaning.{name}": info.line[:_LONGEST] for name, info in self.info.items()}
        notes = "\n".join(self.notes)[:_LONGEST]
        return {"metrics": meanings, "/": {"notes": notes} if notes else {}}

    def to_xarray(self) -> xarray.Dataset:
        """Return the arrays and the metrics with their labelled axes as an `xarray.Dataset`, as xarray reads them from the file.

        Returns
        -------
        xarray.Dataset
            The metrics are the variable ``metrics`` along the axis ``metric``: ``data["metrics"].sel(metric="accuracy")``. Its
            attributes ``meaning.NAME`` say what each measures, with unit, direction and range. The places of an axis without
            labels are numbered. The attribute ``notes`` of the data set holds the notes, where there are any.

        Raises
        ------
        ImportError
            If xarray is not installed (``pip install "tmi-interp[xarray]"``).
        """
        import xarray

        attributes = self.attributes()
        arrays = {name: (array.dims, array.values) for name, array in self.arrays.items()}
        lengths = {dim: size for array in self.arrays.values() for dim, size in zip(array.dims, array.shape, strict=True)}
        places = {dim: np.arange(size) for dim, size in lengths.items()} | {"metric": np.array(list(self.metrics), dtype=str)}
        metrics = ("metric", np.array(list(self.metrics.values()), float), attributes["metrics"])
        return xarray.Dataset(
            {**arrays, "metrics": metrics},
            coords={dim: (dim, labels) for dim, labels in (places | dict(self.coords)).items()},
            attrs=attributes["/"],
        )


def _number(name: str, value: Any) -> float:
    if getattr(value, "ndim", None) == 0:  # a scalar of NumPy or torch
        value = value.item()
    if not isinstance(value, numbers.Real):
        raise InputError(f"metric {name!r}: expected a number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"metric {name!r}: is {number}; leave out a metric that has no value, and give the reason in a note")
    return number


def _labelled(name: str, value: Any) -> LabelledArray:
    if isinstance(value, LabelledArray):
        dims, values = value.dims, value.values
    else:
        try:
            dims, values = value
        except (TypeError, ValueError):
            raise InputError(f"array {name!r}: expected (names of the axes, values), got {type(value).__name__}") from None
    dims = (dims,) if isinstance(dims, str) else tuple(dims)
    if hasattr(values, "detach"):  # a tensor
        values = values.detach().cpu().numpy()
    values = _plain(name, np.asarray(values))
    if len(dims) != values.ndim or len(set(dims)) != len(dims):
        raise InputError(f"array {name!r}: has {values.ndim} axes, but the names are {dims}")
    return LabelledArray(dims, values)


def _plain(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Check that an array holds numbers, booleans or strings, which can be stored; convert object arrays of strings."""
    if values.dtype.kind == "O" and all(isinstance(v, str) for v in values.flat):
        values = values.astype(str)
    if values.dtype.kind not in "biufU":
        raise InputError(f"array {name!r}: expected numbers, booleans or strings, got {values.dtype}")
    return values
