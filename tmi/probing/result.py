"""What a probe returns: metrics, labelled arrays, and what the metrics mean."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tmi.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import xarray

RESERVED = ("header", "metrics", "metric")
"""Names that a stored file uses itself."""


@dataclass(frozen=True, eq=False)
class LabelledArray:
    """An array whose axes have names.

    Attributes
    ----------
    dims : tuple of str
    values : ndarray
    """

    dims: tuple[str, ...]
    values: NDArray[Any]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype) if copy else np.asarray(self.values, dtype=dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.values.shape


@dataclass(frozen=True)
class MetricInfo:
    """What a metric means, so that a reader and a report need not guess.

    Attributes
    ----------
    text : str
        One line: what is measured, and where the definition comes from.
    better : {"higher", "lower", None}
        Which direction is better; None where neither is.
    low, high : float or None
        The range; None where it has no end.
    unit : str
        Empty for a share or a count.
    """

    text: str
    better: Literal["higher", "lower"] | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class ProbeResult:
    """Metrics and labelled arrays.

    Parameters
    ----------
    metrics : mapping of str to float
        Finite numbers. A metric that has no value on this network is left out, and a note says why. Dots separate the measure
        from what it is measured on: ``"active_per_image.hidden"``.
    arrays : mapping of str to (dims, array), optional
        As xarray has it: names of the axes, and the values. An axis has the same length wherever it appears.
    coords : mapping of str to sequence, optional
        Labels along an axis: its name, and as many numbers or words as it is long.
    info : mapping of str to MetricInfo, optional
        What the metrics mean, by the part of their name before the first dot.
    notes : iterable of str, optional
        What a reader should know: what was left out, and why.

    Raises
    ------
    InputError
        For a metric that is NaN or infinite, an array whose axes do not fit, or a name that cannot be stored.
    """

    metrics: Mapping[str, float]
    # Given as (dims, array) pairs and sequences, kept as LabelledArray and ndarray: Any serves both for a type checker.
    arrays: Mapping[str, Any] = field(default_factory=dict)
    coords: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, MetricInfo] = field(default_factory=dict)
    notes: Sequence[str] | str = ()

    def __post_init__(self) -> None:
        replace = object.__setattr__  # frozen: the checked values take the place of the given ones
        for part in ("metrics", "arrays", "coords", "info"):
            if not isinstance(getattr(self, part), Mapping):
                raise InputError(f"{part}: expected names and values, as a dict; got {type(getattr(self, part)).__name__}")
        replace(self, "metrics", {name: _number(name, value) for name, value in dict(self.metrics).items()})
        replace(self, "arrays", {name: _labelled(name, value) for name, value in dict(self.arrays).items()})
        replace(self, "coords", {name: _plain(name, np.asarray(v)) for name, v in dict(self.coords).items()})
        replace(self, "notes", (self.notes,) if isinstance(self.notes, str) else tuple(self.notes))
        replace(self, "info", dict(self.info))
        self._check_axes()
        bases = {name.partition(".")[0] for name in self.metrics}
        for name in self.info:
            if name not in bases:
                raise InputError(f"info {name!r}: describes no metric{did_you_mean(name, bases)}")

    def _check_axes(self) -> None:
        dims = [dim for array in self.arrays.values() for dim in array.dims]
        for name in (*self.metrics, *self.arrays, *self.coords, *dims):
            if not isinstance(name, str) or not name or {"/", "\0"} & set(name) or name.startswith(".") or name in RESERVED:
                raise InputError(f"name {name!r} cannot be stored: not empty, no '/', no NUL, no leading '.', none of {RESERVED}")
        lengths: dict[str, int] = {}
        for name, array in self.arrays.items():
            if name in dims or name in self.coords:
                raise InputError(f"array {name!r}: has the name of an axis")
            for dim, length in zip(array.dims, array.shape, strict=True):
                if lengths.setdefault(dim, length) != length:
                    raise InputError(f"array {name!r}: axis {dim!r} is {length} long, elsewhere {lengths[dim]}")
        for dim, labels in self.coords.items():
            if dim not in lengths:
                raise InputError(f"coords {dim!r}: no array has such an axis{did_you_mean(dim, lengths)}")
            if labels.shape != (lengths[dim],):
                raise InputError(f"coords {dim!r}: expected {lengths[dim]} labels, got shape {labels.shape}")

    @classmethod
    def not_applicable(cls, reason: str) -> ProbeResult:
        """Return the result of a probe that has nothing to measure on this network or data set.

        Its row has the status ``"not applicable"``, which is no failure: the result is stored like any other.

        Parameters
        ----------
        reason : str
            One sentence, such as ``"a trained network has no certificate"``.

        Raises
        ------
        InputError
            Without a reason.
        """
        if not isinstance(reason, str) or not reason.strip():
            raise InputError("not_applicable: give the reason, in one sentence")
        return cls({}, notes=(reason,))

    @property
    def applicable(self) -> bool:
        """Whether it holds anything: a metric or an array."""
        return bool(self.metrics or self.arrays)

    def __repr__(self) -> str:
        if not self.applicable:
            return f"ProbeResult(not applicable: {'; '.join(self.notes) or 'no reason given'})"
        shown = ", ".join(f"{name}={value:.6g}" for name, value in list(self.metrics.items())[:6])
        more = f", … {len(self.metrics) - 6} more" if len(self.metrics) > 6 else ""
        return f"ProbeResult({shown}{more}; arrays: {', '.join(self.arrays) or 'none'})"

    def describe(self, metric: str) -> MetricInfo | None:
        """Return what a metric means, or None where its probe does not say."""
        return self.info.get(metric.partition(".")[0])

    def to_xarray(self) -> xarray.Dataset:
        """Return the arrays with their labelled axes as an `xarray.Dataset`, the metrics as its attributes.

        Raises
        ------
        ImportError
            Where xarray is not installed (``pip install xarray``).
        """
        import xarray

        return xarray.Dataset(
            {name: (array.dims, array.values) for name, array in self.arrays.items()},
            coords={name: (name, values) for name, values in self.coords.items()},
            attrs=dict(self.metrics),
        )


def _number(name: str, value: Any) -> float:
    if getattr(value, "ndim", None) == 0:  # of NumPy or torch
        value = value.item()
    if not isinstance(value, numbers.Real):
        raise InputError(f"metric {name!r}: expected a number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"metric {name!r}: is {number}; leave out a metric that has no value, and say why in a note")
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
        raise InputError(f"array {name!r}: {values.ndim} axes, but they are named {dims}")
    return LabelledArray(dims, values)


def _plain(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Refuse what cannot be stored as plain numbers or words."""
    if values.dtype.kind == "O" and all(isinstance(v, str) for v in values.flat):
        values = values.astype(str)
    if values.dtype.kind not in "biufU":
        raise InputError(f"array {name!r}: expected numbers, booleans or words, got {values.dtype}")
    return values
