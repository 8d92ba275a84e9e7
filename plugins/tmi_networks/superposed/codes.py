"""Codes: which neurons carry which feature, so that any two features have few neurons in common."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tmi.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_CANDIDATES = 64  # neurons tried as the next of a word: all of them in small codes
_STEPS = 300  # steps of gradient descent on a dense code
_GRID = 2.0**-12  # of the weights of a dense code
_LEAST = 0.1  # the least weight of a dense code, in units of the mean


@dataclass(frozen=True)
class Code:
    """The weights with which features are written to neurons, and read from them again.

    Feature f adds its activation times ``matrix[f]`` to the neurons; the product of ``matrix[f]`` with the neurons, divided by
    ``size[f]``, reads it. Then a feature reads its own activation as it is and that of another one at most ``overlap`` times.

    Attributes
    ----------
    matrix : scipy.sparse.csr_array of float64, shape (features, neurons)
        Weights of at least 0.
    size : ndarray of float64, shape (features,)
        The squared length of each row.
    overlap : float
        μ, the largest part that a feature reads of another one.
    """

    matrix: csr_array
    size: NDArray[np.float64]
    overlap: float

    @property
    def shared(self) -> NDArray[np.float64]:
        """What each feature reads of each other one, shape (features, features): at most ``overlap``, 0 on the diagonal."""
        product: NDArray[np.float64] = (self.matrix @ self.matrix.T).toarray() / self.size[:, None]
        np.fill_diagonal(product, 0)
        return product

    def permuted(self, order: NDArray[np.int64]) -> Code:
        """Return the code in which feature f has the neurons that feature ``order[f]`` had."""
        return Code(self.matrix[order], self.size[order], self.overlap)


def binary_code(features: int, neurons: int, weight: int, seed: int) -> Code:
    """Give every feature some of the neurons, so that any two features share as few as possible.

    It is a packing: with an overlap of λ neurons, any λ + 1 neurons are together in one word at most. The search adds
    words and removes a word that shares too many neurons with a new one, as Stinson (1985) constructs Steiner triple systems;
    it takes the least λ for which it finds all words. Neurons are used equally often as far as it can.

    Parameters
    ----------
    features, neurons : int
    weight : int
        Neurons of each feature.
    seed : int
        The code is the same for the same arguments, on every machine.

    Returns
    -------
    Code
        Of weights 0 and 1.

    Raises
    ------
    InputError
        If there are fewer sets of so many neurons than features; the message names the least number of neurons.
    """
    if comb(neurons, weight) < features:
        least = next(d for d in range(weight, features + weight) if comb(d, weight) >= features)
        raise InputError(
            f"superposed: there are no {features} different sets of {weight} of {neurons} neurons; "
            + (f"take at least {least} neurons" if least < features else other_code(features))
        )
    found = (_words(features, neurons, weight, shared, seed) for shared in range(weight))
    # With weight − 1 shared neurons any two different words will do.
    return _code_of(next(words for words in found if words is not None), neurons)


def default_code(features: int, weight: int, seed: int) -> Code:
    """Return the binary code with the least neurons, from `least_neurons` upwards, for which two features share one at most.

    The bound that `least_neurons` goes by is not always attained. Where no number below the features will do, it is the code for
    `least_neurons`.

    Parameters
    ----------
    features, weight, seed : int
        As for `binary_code`.
    """
    least = least_neurons(features, weight)
    if _most_words(least, weight, 1) >= features:
        for neurons in range(least, features):
            words = _words(features, neurons, weight, 1, seed)
            if words is not None:
                return _code_of(words, neurons)
    return binary_code(features, least, weight, seed)


def _words(features: int, neurons: int, weight: int, shared: int, seed: int) -> NDArray[np.int64] | None:
    """Return words that share at most so many neurons pairwise, shape (features, weight), or None if none are found."""
    if _most_words(neurons, weight, shared) < features:
        return None
    return _Packing(neurons, weight, shared, random.Random(f"{seed} {shared}")).find(features)


def _code_of(words: NDArray[np.int64], neurons: int) -> Code:
    from scipy.sparse import csr_array

    features, weight = words.shape
    matrix = csr_array((np.ones(words.size), words.ravel(), np.arange(0, words.size + 1, weight)), shape=(features, neurons))
    used = (matrix @ matrix.T).tocoo()
    overlap = used.data[used.coords[0] != used.coords[1]].max(initial=0) / weight
    return Code(matrix, np.full(features, float(weight)), float(overlap))


def dense_code(features: int, neurons: int, seed: int) -> Code:
    """Give every feature a direction with weights above 0 on all neurons, so that any two are far from parallel.

    Parameters
    ----------
    features, neurons : int
        At least 2 neurons; with one, all directions are the same.
    seed : int
        Of the random directions to begin with, whose largest inner products are then reduced by gradient descent.

    Returns
    -------
    Code
        Of rows of length 1, up to the rounding of weights to multiples of 2^−12: with so few digits a feature that is alone reads
        its activation without rounding error where that has few digits too. ``overlap`` is the largest cosine of two directions.

    Raises
    ------
    InputError
        For one neuron.
    """
    import torch
    from scipy.sparse import csr_array

    if neurons < 2:
        raise InputError("superposed: a dense code needs at least 2 neurons; on one neuron all tiles have the same direction")
    weights = torch.from_numpy(np.random.default_rng(seed).exponential(size=(features, neurons)) ** 2)
    for step in range(_STEPS):
        unit = torch.nn.functional.normalize(weights, dim=1)
        product = (unit @ unit.T).fill_diagonal_(0)
        # The gradient of a soft maximum, sharper from step to step.
        soft = torch.softmax((product * (20 + step)).flatten(), 0).view_as(product)
        push = soft @ unit
        push -= (push * unit).sum(1, keepdim=True) * unit
        length = push.norm(dim=1, keepdim=True).clamp_min(1e-12)
        weights = unit - push / length.max() * 0.3 * (1 - step / _STEPS)
        weights = torch.maximum(weights, _LEAST * weights.mean(1, keepdim=True))
    unit = torch.nn.functional.normalize(weights, dim=1)
    matrix = (unit / _GRID).round().clamp_min(1).numpy() * _GRID
    size = (matrix**2).sum(1)
    shared = matrix @ matrix.T / size[:, None]
    np.fill_diagonal(shared, 0)
    return Code(csr_array(matrix), size, float(shared.max()))


def other_code(features: int) -> str:
    """Return the advice where fewer neurons than features, at least three of these, have no code of the weight that is set."""
    # 4 neurons have 6 sets of 2; of 2 or 3 neurons there are no more sets of one size than neurons.
    return 'take weight = 2, or code = "dense"' if features >= 5 else 'take code = "dense"'


def least_neurons(features: int, weight: int) -> int:
    """Return the least number of neurons for which features may have words that share one neuron at most.

    Where that is no fewer than the features, the least for which there are different words.
    """
    apart = next(d for d in range(weight, features * weight + 1) if _most_words(d, weight, min(1, weight - 1)) >= features)
    return apart if apart < features else next(d for d in range(weight, features + weight) if comb(d, weight) >= features)


def _most_words(neurons: int, weight: int, shared: int) -> int:
    """The bound of Johnson and Schönheim on the number of words that share at most so many neurons pairwise."""
    most = 1
    for taken in range(shared, -1, -1):
        most = (neurons - taken) * most // (weight - taken)
    return most


class _Packing:
    """Words of neurons that have at most ``shared`` neurons in common pairwise.

    Sets of words are the bits of an integer, so that a word of many neurons takes no more than one of few.
    """

    def __init__(self, neurons: int, weight: int, shared: int, rng: random.Random) -> None:
        self.neurons, self.weight, self.shared, self.rng = neurons, weight, shared, rng
        self.words: dict[int, tuple[int, ...]] = {}  # by number, the latest last
        self.having = [0] * neurons  # the words that have each neuron
        self.used = [0] * neurons

    def find(self, features: int) -> NDArray[np.int64] | None:
        """Return as many words, shape (features, weight), or None if the search does not find them."""
        free = list(range(features))
        for _ in range(5000 + 100 * features):
            if not free:
                break
            word, blocked = self._candidate()
            if word is None:
                continue
            for other in [number for number in self.words if blocked >> number & 1] if blocked else ():
                self._remove(other)
                free.append(other)
            self._add(free.pop(), word)
        if free:
            return None
        self._balance()
        return np.array([sorted(word) for word in self.words.values()])

    def _candidate(self) -> tuple[tuple[int, ...] | None, int]:
        """A new word of rarely used neurons, and the words that share too many neurons with it: at most two."""
        first = min(self.rng.sample(range(self.neurons), min(self.neurons, 3)), key=self.used.__getitem__)
        word: tuple[int, ...] = (first,)
        having = self.having
        blocked = self._full(()) & having[first]
        candidates = min(self.neurons, _CANDIDATES)
        while len(word) < self.weight:
            best: list[tuple[int, int]] = []
            least = 2
            now, full = blocked.bit_count(), self._full(word)
            for neuron in self.rng.sample(range(self.neurons), candidates):
                if neuron in word:
                    continue
                also = blocked | full & having[neuron]
                count = also.bit_count()
                if count < least:
                    best, least = [], count
                if count == least:
                    best.append((neuron, also))
                if count == now and len(best) == 2:
                    break
            if not best:
                return None, 0
            # Of two, the neuron that is used less.
            neuron, blocked = min(best[:2], key=lambda one: self.used[one[0]])
            word += (neuron,)
        return word, blocked

    def _full(self, part: tuple[int, ...]) -> int:
        """The words that have ``shared`` neurons or more in common with a part of a word."""
        common = [-1] + [0] * self.shared  # the words that have at least 0, 1, 2, … in common with it
        for neuron in part:
            for count in range(self.shared, 0, -1):
                common[count] |= common[count - 1] & self.having[neuron]
        return common[-1]

    def _add(self, number: int, word: tuple[int, ...]) -> None:
        self.words[number] = word
        for neuron in word:
            self.having[neuron] |= 1 << number
            self.used[neuron] += 1

    def _remove(self, number: int) -> None:
        for neuron in self.words.pop(number):
            self.having[neuron] ^= 1 << number
            self.used[neuron] -= 1

    def _balance(self) -> None:
        """Move words from neurons that are used most to those used least, as long as no two words come to share more."""
        while any(self._moved(high, low) for high, low in self._uneven()):
            pass

    def _uneven(self) -> Iterator[tuple[int, int]]:
        """Pairs of neurons of which one is in two words more than the other, the most uneven first."""
        by_use = sorted(range(self.neurons), key=self.used.__getitem__)
        return ((high, low) for high in reversed(by_use) for low in by_use if self.used[high] - self.used[low] > 1)

    def _moved(self, high: int, low: int) -> bool:
        """Replace one neuron by the other in some word where that is possible."""
        for number, word in self.words.items():
            if high not in word or low in word:
                continue
            rest = tuple(neuron for neuron in word if neuron != high)
            if not self._full(rest) & self.having[low]:
                self._remove(number)
                self._add(number, (*rest, low))
                return True
        return False
