"""Intervals, p-values and their correction: the one place from which every probe, report and page of the docs takes them.

Values are nested: a training seed has tiles, a tile has images. Values of one seed, or of one tile, are alike, so that the
outermost level with several units counts as independent: the training seed where several networks were trained, else the tile,
else the image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Unit = Literal["seeds", "tiles", "images"]
Direction = Literal["higher", "lower", "not shown to differ"]

CONFIDENCE = 0.95
"""Of every interval."""

FEWEST_DRAWS = 20
"""With fewer draws no distribution of chance is given."""

FEWEST_EQUAL = 5
"""Of fewer units with one value, it is not taken for shown that this value differs from another."""

_ROUNDING = 1e-12
"""Values that differ by less than this share of their size are equal."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval.

    Attributes
    ----------
    value : float
        The statistic of all values.
    low, high : float
        Ends of the interval, cut off at the range of the statistic.
    p : float
        Two-sided p-value of `null`: below 0.05 exactly where the interval excludes `null`, but for an end that was cut off. Units
        that all have one value give no spread, and an interval of no width. Where that value is not `null`, p is 0 for
        `FEWEST_EQUAL` units or more, and for u fewer the sign test's 2^(1 − u).
    n : int
        The number of values; NaN is not counted.
    units : int
        How many independent units they come from: the interval is over these.
    unit : {"seeds", "tiles", "images"}
        What the units are.
    null : float
        The value that stands for no effect.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    units: int
    unit: Unit
    null: float = 0.0
    _error: float = field(default=0.0, repr=False)
    _range: tuple[float, float] = field(default=(-np.inf, np.inf), repr=False)
    _freedom: float = field(default=1.0, repr=False)

    @property
    def shown(self) -> bool:
        """Whether the statistic is shown to differ from `null`: its p-value is below 0.05."""
        return self.p < 1 - CONFIDENCE

    @property
    def direction(self) -> Direction:
        """In which direction it is shown to differ from `null`: the only source of such words in reports."""
        if not self.shown:
            return "not shown to differ"
        return "higher" if self.value > self.null else "lower"

    def widened(self, factor: float) -> Estimate:
        """Return it with its p-value times a factor ≥ 1, at most 1, and an interval of the confidence 1 − 0.05/factor."""
        return _with_interval(self, factor)

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}], {self.units} {self.unit}"


def estimate(
    values: Any,
    *,
    seeds: Any = None,
    tiles: Any = None,
    statistic: Callable[..., Any] | None = None,
    null: float = 0.0,
    low: float | None = None,
    high: float | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Return a statistic of nested values with its 95 % interval, by a hierarchical bootstrap.

    Parameters
    ----------
    values : array_like, shape (N,), or tuple of such
        One value for each image, or several for a statistic of several. Rows that hold NaN are left out.
    seeds : array_like, shape (N,), optional
        The training seed that each value comes from.
    tiles : array_like, shape (N,), optional
        The tile that each value's image shows; tiles of different seeds are different ones.
    statistic : callable, optional
        ``(*values) -> float`` of any choice of rows; by default the mean of all values.
    null : float
        The value that stands for no effect, for the p-value.
    low, high : float, optional
        Range of the statistic; the interval is cut off there.
    resamples : int
        How often units are drawn with replacement, for a statistic other than the mean.
    seed : int
        Of the draws.

    Returns
    -------
    Estimate

    Raises
    ------
    InputError
        For arrays of different lengths, infinite values, or fewer than two units.

    Notes
    -----
    Units of the outermost level with several units (seeds, tiles or images) are drawn with replacement, each with all of its
    values. Nothing is drawn again inside a unit: the spread between units holds the spread inside them already, and drawing
    tiles and images too would count it twice (Rao and Wu 1988; Davison and Hinkley 1997, section 3.8). The interval is the
    statistic ± t·s: s is the bootstrap's standard error times √(u/(u − 1)) for u units, and t the quantile of Student's t with
    (Σn)²/Σn² − 1 degrees of freedom for units of n values: u − 1 where they are equally large, and fewer where a few units hold
    most values. Percentiles of the bootstrap are too narrow with few units (Hesterberg 2015). The standard
    error of a mean is computed without draws, for it has a closed form; with as many values in each unit, this is the t-interval
    of the units' means.
    """
    columns = [np.asarray(column, np.float64) for column in (values if isinstance(values, tuple) else (values,))]
    lengths = {column.shape for column in columns} | {np.shape(labels) for labels in (seeds, tiles) if labels is not None}
    if len(lengths) != 1 or len(next(iter(lengths))) != 1:
        raise InputError(f"values: expected one value, seed and tile for each image; got shapes {sorted(lengths)}")
    known = np.asarray(~np.isnan(columns).any(axis=0))
    columns = [column[known] for column in columns]
    if not np.isfinite(columns).all():
        raise InputError("values: some are infinite, so that they have no interval")
    unit, unit_of_row = _units(known, seeds, tiles)
    count = int(unit_of_row.max(initial=-1)) + 1
    if count < 2:
        raise InputError(f"values: an interval needs at least two {unit}; got {count}")
    if statistic is None:
        value = float(columns[0].mean())
        error = _error_of_mean(columns[0], unit_of_row)
    else:
        value = float(statistic(*columns))
        error = _bootstrapped_error(columns, unit_of_row, statistic, resamples, seed)
    limits = (-np.inf if low is None else low, np.inf if high is None else high)
    sizes = np.bincount(unit_of_row)
    freedom = float(sizes.sum() ** 2 / np.square(sizes).sum()) - 1
    return _with_interval(Estimate(value, value, value, 1.0, len(columns[0]), count, unit, null, error, limits, freedom))


def over_seeds(
    values: Mapping[Any, float] | Sequence[float], *, null: float = 0.0, low: float | None = None, high: float | None = None
) -> Estimate:
    """Return the mean of one value for each training seed, with its 95 % interval by Student's t.

    Parameters
    ----------
    values : mapping of seed to float, or sequence of float
        One value a seed; NaN is left out.
    null, low, high : float
        See `estimate`.

    Returns
    -------
    Estimate

    Raises
    ------
    InputError
        For fewer than two seeds: one training says nothing about another.
    """
    numbers = np.asarray(list(values.values() if isinstance(values, Mapping) else values), np.float64)
    return estimate(numbers, seeds=np.arange(len(numbers)), null=null, low=low, high=high)


def from_error(
    value: float,
    error: float,
    *,
    freedom: float,
    n: int,
    units: int,
    unit: Unit = "seeds",
    low: float = -np.inf,
    high: float = np.inf,
) -> Estimate:
    """Return an estimate whose standard error is already known: value ± t·error, and the p-value of 0.

    Parameters
    ----------
    value, error : float
        Infinity as an error stands for one that is not known: the interval is the whole range.
    freedom : float
        Degrees of freedom of Student's t.
    n, units : int
    unit : {"seeds", "tiles", "images"}
        See `Estimate`.
    low, high : float
        Range of the statistic; the interval is cut off there.

    Returns
    -------
    Estimate
    """
    return _with_interval(Estimate(value, value, value, 1.0, n, units, unit, 0.0, error, (low, high), freedom))


def difference(first: Any, second: Any, *, rounding: float = _ROUNDING, **options: Any) -> Estimate:
    """Return the mean paired difference, first − second, with its 95 % interval.

    Parameters
    ----------
    first, second : array_like, shape (N,), or mappings of seed to float
        Values at the same position belong together: the same seed, tile and image. Of mappings the seeds that both have count,
        and each seed is a unit.
    rounding : float
        Values that differ by less than this share of the larger one count as equal; about 1e-6 for what is computed in float32.
    **options
        Passed to `estimate`, or to `over_seeds` for mappings.

    Returns
    -------
    Estimate

    Raises
    ------
    InputError
        For arrays of different lengths, or fewer than two units.
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        common = [key for key in first if key in second]
        differences = _differences([first[key] for key in common], [second[key] for key in common], rounding)
        return over_seeds(differences.tolist(), **options)
    if np.shape(first) != np.shape(second):
        raise InputError(f"second: expected as many values as first, {np.shape(first)}; got {np.shape(second)}")
    return estimate(_differences(first, second, rounding), **options)


def _differences(first: Any, second: Any, rounding: float) -> Array:
    """Return first − second, 0 where that is rounding."""
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return np.where(np.abs(one - other) <= rounding * np.maximum(np.abs(one), np.abs(other)), 0.0, one - other)


def holm(p_values: Any) -> Array:
    """Return p-values corrected for their number by Holm's method (1979), in the given order.

    The least of n is multiplied by n, the next by n − 1, and so on; none is less than one before it, or above 1. With those below
    α taken for shown, the probability that any of them has no effect is at most α.
    """
    p = np.asarray(p_values, np.float64)
    return np.minimum(p * holm_factors(p), 1)


def holm_factors(p_values: Any) -> Array:
    """Return by how much Holm's method multiplies each p-value, before it is cut off at 1; n for a p-value of 0."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        raised = np.maximum.accumulate(p[order] * factors) / p[order]
    return np.where(p[order] > 0, raised, factors)[np.argsort(order)]


def corrected(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Return estimates with p-values and intervals corrected for their number, by Holm's method.

    Parameters
    ----------
    estimates : sequence of Estimate
        All that are compared at once.

    Returns
    -------
    list of Estimate
        The p-value of each is multiplied by Holm's factor (`holm_factors`), and its interval has the confidence 1 − 0.05/factor:
        it excludes `null` exactly where the corrected p-value is below 0.05.
    """
    return [each.widened(factor) for each, factor in zip(estimates, holm_factors([each.p for each in estimates]), strict=True)]


@dataclass(frozen=True)
class Chance:
    """What a score is by chance.

    Attributes
    ----------
    mean : float
        Of the draws.
    low, high : float
        The 2.5 % and 97.5 % quantiles of the draws.
    draws : int
    """

    mean: float
    low: float
    high: float
    draws: int


def of_chance(draws: Any) -> Chance:
    """Return the distribution of a score whose truth was shuffled, or whose answers were drawn at random.

    Parameters
    ----------
    draws : array_like, shape (D,)
        The score of each draw; NaN is left out.

    Returns
    -------
    Chance

    Raises
    ------
    InputError
        For fewer than `FEWEST_DRAWS` draws.
    """
    scores = np.asarray(draws, np.float64).ravel()
    scores = scores[~np.isnan(scores)]
    if len(scores) < FEWEST_DRAWS:
        raise InputError(f"chance: {len(scores)} draws are too few for a distribution; draw at least {FEWEST_DRAWS}")
    low, high = np.quantile(scores, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Chance(float(scores.mean()), float(low), float(high), len(scores))


def _units(known: NDArray[np.bool_], seeds: Any, tiles: Any) -> tuple[Unit, NDArray[np.int64]]:
    """Return the outermost level with several units, and the number of the unit of each known row."""
    levels: list[tuple[Unit, Any]] = [("seeds", seeds), ("tiles", tiles)]
    given = [
        (unit, np.unique(np.asarray(labels)[known], return_inverse=True)[1].reshape(-1))
        for unit, labels in levels
        if labels is not None
    ]
    images: tuple[Unit, NDArray[np.int64]] = ("images", np.arange(int(known.sum())))
    if tiles is None and seeds is not None:
        return given[0]  # nothing below the seeds is said to be independent
    return next((level for level in given if level[1].max(initial=0) > 0), images)


def _error_of_mean(values: Array, unit_of_row: NDArray[np.int64]) -> float:
    """Return the standard error of the mean of all values over units: the limit of the bootstrap's, times √(u/(u − 1))."""
    if np.ptp(values) <= _ROUNDING * np.abs(values).max():
        return 0.0
    deviations = np.bincount(unit_of_row, values - values.mean())
    units = len(deviations)
    return float(np.sqrt(units / (units - 1) * np.square(deviations).sum()) / len(values))


def _bootstrapped_error(
    columns: list[Array], unit_of_row: NDArray[np.int64], statistic: Callable[..., Any], resamples: int, seed: int
) -> float:
    order = np.argsort(unit_of_row, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(unit_of_row))[:-1])
    rng = np.random.default_rng(seed)
    drawn = []
    for units in rng.integers(0, len(rows), (resamples, len(rows))):
        chosen = np.concatenate([rows[unit] for unit in units])
        drawn.append(float(statistic(*(column[chosen] for column in columns))))
    found = np.array(drawn)[np.isfinite(drawn)]
    if len(found) < 2:
        raise InputError("statistic: has no finite value on units that are drawn with replacement")
    return float(found.std(ddof=1) * np.sqrt(len(rows) / (len(rows) - 1)))


def _with_interval(estimated: Estimate, factor: float = 1.0) -> Estimate:
    """Return an estimate with its p-value times a factor, at most 1, and the interval of the confidence that belongs to it."""
    from scipy.special import stdtr, stdtrit

    value, error, freedom = estimated.value, estimated._error, estimated._freedom
    if error == 0:
        same = abs(value - estimated.null) <= _ROUNDING * max(abs(value), abs(estimated.null))
        p = 1.0 if same else 0.0 if estimated.units >= FEWEST_EQUAL else min(2.0 ** (1 - estimated.units) * factor, 1.0)
        half = 0.0
    else:
        p = min(float(2 * stdtr(freedom, -abs(value - estimated.null) / error)) * factor, 1.0)
        half = float(-stdtrit(freedom, (1 - CONFIDENCE) / 2 / factor)) * error
    bottom, top = estimated._range
    return replace(estimated, low=max(value - half, bottom), high=min(value + half, top), p=p)
