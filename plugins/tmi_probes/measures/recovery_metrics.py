"""Scoring units, or the codes of a dictionary, against exact features, beside chance and oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .recovery import Recovery, recovery

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..pipeline.features import Features
    from ..pipeline.result import ResultBuilder


def add_recovery(
    result: ResultBuilder, name: str, values: NDArray[Any], features: Features, order: NDArray[np.int64]
) -> Recovery:
    """Add ``mcc.<name>``, ``uniqueness.<name>`` and ``f1.<name>``, each with ``.chance`` and ``.oracle``.

    Parameters
    ----------
    result : ResultBuilder
    name : str
    values : ndarray, shape (N, units)
        Activations of units, or codes, that vary.
    features : Features
        What each of the N samples shows. If all show the same, there is nothing to recover and no metric is added.
    order : ndarray of int64, shape (N,)
        A permutation of the samples, for chance.

    Returns
    -------
    Recovery
    """
    scored, shuffled = recovery(values, features), recovery(values[order], features)
    units = values.shape[1]
    if len(features) > 1:
        possible = min(len(features), units)  # matched one to one at most
        result.add(f"mcc.{name}", scored.mcc, chance=shuffled.mcc, oracle=possible / len(features))
        if units:
            result.add(f"uniqueness.{name}", scored.uniqueness, chance=shuffled.uniqueness, oracle=possible / units)
            result.add(f"f1.{name}", scored.f1.mean(), chance=shuffled.f1.mean(), oracle=1.0)
    return scored
