"""Every method by which `direction_recovery` fits dictionaries, with all strengths and seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from .dictionary_methods import (
    ONE_FIT,
    Dictionary,
    dictionary_learning,
    ica,
    k_means,
    nmf,
    pca,
    random_directions,
    sparse_codes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .sparse_autoencoders import Rule

    Array = NDArray[np.float32]

Method = Literal[
    "top-k", "batch-top-k", "l1", "gated", "jump-relu", "nmf", "dictionary-learning", "k-means", "ica", "pca", "random", "neurons"
]
METHODS: list[Method] = list(get_args(Method))


@dataclass(frozen=True, eq=False)
class Fit:
    """How dictionaries are fitted; see the settings of `direction_recovery`.

    Attributes
    ----------
    atoms : int
    active : list of int
    penalties : list of float
    offset : bool
    steps : int
    seeds : list of int
        One for each fit.
    non_negative : bool
        Whether random directions are of absolute values.
    """

    atoms: int
    active: list[int]
    penalties: list[float]
    offset: bool
    steps: int
    seeds: list[int]
    non_negative: bool


def fitted_by(method: Method, x: Array, y: Array, how: Fit) -> tuple[list[float], list[list[Dictionary]]]:
    """Fit a method to samples x with every strength and seed, and code samples y.

    Returns
    -------
    strengths : list of float
        Numbers of active codes, or penalties; none for a method without.
    fitted : list of list of Dictionary
        By strength, one entry for a method without, then by seed.
    """
    if method in ("top-k", "batch-top-k", "l1", "gated", "jump-relu"):
        return _autoencoders(method, x, y, how)
    seeds = how.seeds[:1] if method in ONE_FIT else how.seeds
    if method == "dictionary-learning":
        by_penalty = [[dictionary_learning(x, y, how.atoms, penalty, s) for s in seeds] for penalty in how.penalties]
        return list(how.penalties), by_penalty
    fit: Callable[[int], Dictionary]
    if method == "random":

        def fit(seed: int) -> Dictionary:
            return sparse_codes(y, random_directions(x.shape[1], how.atoms, seed, how.non_negative), how.active[0])
    elif method == "neurons":

        def fit(seed: int) -> Dictionary:
            return sparse_codes(y, np.eye(x.shape[1], dtype=np.float32), how.active[0])
    elif method == "nmf":
        fit = partial(_of_classic(method), np.maximum(x, 0), np.maximum(y, 0), how.atoms)
    else:
        fit = partial(_of_classic(method), x, y, how.atoms)
    return [], [[fit(seed) for seed in seeds]]


def _of_classic(method: Method) -> Callable[[Array, Array, int, int], Dictionary]:
    return {"nmf": nmf, "k-means": k_means, "ica": ica, "pca": pca}[method]


def _autoencoders(method: Rule, x: Array, y: Array, how: Fit) -> tuple[list[float], list[list[Dictionary]]]:
    from .sparse_autoencoders import SparseAutoencoders

    scale = 0.1 if method == "jump-relu" else 1.0
    strengths = [float(k) for k in how.active] if method.endswith("top-k") else [scale * penalty for penalty in how.penalties]
    pairs = [(strength, seed) for strength in strengths for seed in how.seeds]
    model = SparseAutoencoders(method, how.atoms, [p for p, _ in pairs], [s for _, s in pairs], how.steps, offset=how.offset)
    codes = model.fit(x).transform(y)
    found = [Dictionary(*parts) for parts in zip(codes, model.decoder.numpy(), model.restore(codes), strict=True)]
    return strengths, [found[i : i + len(how.seeds)] for i in range(0, len(found), len(how.seeds))]
