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
        What each of the N samples shows. If all show the same, there is nothing to recover and no metric is added. A metric
        that cannot fail is left out with a note: ``uniqueness`` of one unit; ``f1`` where the images of a feature are all equal,
        for then those on which a unit is strongest are a feature; all of them where there are two different images, which any
        unit that varies tells apart.
    order : ndarray of int64, shape (N,)
        A permutation of the samples, for chance.

    Returns
    -------
    Recovery
    """
    scored, shuffled = recovery(values, features), recovery(values[order], features)
    units = values.shape[1]
    if len(features) < 2:
        result.cannot_fail(f"mcc.{name}, uniqueness.{name}, f1.{name}", f"all samples show one {features.kind}")
        return scored
    picture = np.arange(len(values)) if features.picture is None else features.picture
    if len(np.unique(picture)) <= 2:
        result.cannot_fail(f"mcc.{name}, uniqueness.{name}, f1.{name}", "any unit tells the two different images apart")
        return scored
    possible = min(len(features), units)  # matched one to one at most
    result.add(f"mcc.{name}", scored.mcc, chance=shuffled.mcc, oracle=possible / len(features))
    if units > 1:
        result.add(f"uniqueness.{name}", scored.uniqueness, chance=shuffled.uniqueness, oracle=possible / units)
    elif units:
        result.cannot_fail(f"uniqueness.{name}", "one unit alone is unique")
    if units and len(np.unique(np.stack([features.of_image, picture]), axis=1).T) > len(features):
        result.add(f"f1.{name}", scored.f1.mean(), chance=shuffled.f1.mean(), oracle=1.0)
    elif units:
        result.cannot_fail(f"f1.{name}", f"all images of a {features.kind} are equal")
    return scored
