"""How far units still have given meanings: firing for them alone, apart by a threshold, correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Kept:
    """What units do where their own meaning is present, and where it is not; one value a unit, shape (units,).

    Attributes
    ----------
    fires : ndarray of float64
        Share of the images with its meaning on which the unit is above 0. NaN where no image has it.
    false_alarms : ndarray of float64
        Share of the other images on which it is above 0. NaN where there are none.
    alone : ndarray of bool
        Whether it is above 0 on all images with its meaning and on no other.
    separable : ndarray of bool
        Whether its least activation on the images with its meaning is greater than its greatest on the others, so that another
        bias makes it fire for its meaning alone.
    correlation : ndarray of float64
        Pearson's correlation of the unit with its meaning; 0 where one of the two is constant.
    """

    fires: Array
    false_alarms: Array
    alone: NDArray[np.bool_]
    separable: NDArray[np.bool_]
    correlation: Array


def kept(activations: NDArray[Any], meanings: NDArray[Any]) -> Kept:
    """Compare each unit with its meaning.

    Parameters
    ----------
    activations : ndarray of float, shape (N, units)
    meanings : ndarray of float, shape (N, units)
        How strongly each unit's own meaning is present on the same images; 0 where it is not.

    Returns
    -------
    Kept
    """
    own, fired = meanings > 0, activations > 0
    present, absent = own.sum(0), (~own).sum(0)
    with np.errstate(invalid="ignore"):
        fires, false_alarms = (fired & own).sum(0) / present, (fired & ~own).sum(0) / absent
    least = np.where(own, activations, np.inf).min(0, initial=np.inf)
    greatest = np.where(own, -np.inf, activations).max(0, initial=-np.inf)
    seen = (present > 0) & (absent > 0)
    correlation = np.einsum("nk,nk->k", standardised(activations), standardised(meanings))
    correlation = correlation.clip(-1, 1)  # beyond it is rounding
    return Kept(fires, false_alarms, seen & (fires == 1) & (false_alarms == 0), seen & (least > greatest), correlation)


def standardised(values: NDArray[Any]) -> Array:
    """Return columns of mean 0 and length 1, so that their inner products are correlations; 0 for a column that does not vary.

    Parameters
    ----------
    values : ndarray of float, shape (N, columns)
    """
    from .recovery import varies

    varying = varies(values)
    largest = np.abs(values).max(0, initial=0).astype(np.float64)
    scaled: Array = np.where(varying, values / np.where(varying & (largest > 0), largest, 1), 0)
    scaled -= scaled.mean(0) if len(scaled) else 0
    length = np.sqrt(np.square(scaled).sum(0))
    result: Array = np.where(varying, scaled / np.where(length > 0, length, 1), 0)
    return result
