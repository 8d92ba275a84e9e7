"""Exchanges the neurons between two linear layers for others that compute the same: five disguises."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from .torch_layers import LINEAR, RECTIFYING, Budget, leaves, linear_layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class Exchange:
    """Exchanges the neurons between the linear layers of a network, one disguise after another.

    Parameters
    ----------
    module : Sequential
        In torch's own layers, see `tmi_networks.disguised.torch_layers.torch_layers`; it is changed in place.
    names : sequence of str
        The layers of the network.
    image_shape : (int, int, int)
    budget : Budget

    Attributes
    ----------
    mixing : dict of str to ndarray
        See `tmi_networks.disguised.disguise`.
    """

    def __init__(self, module: nn.Sequential, names: Sequence[str], image_shape: tuple[int, int, int], budget: Budget) -> None:
        self.module, self.names, self.image_shape, self.budget = module, tuple(names), image_shape, budget
        self.mixing: dict[str, Array] = {}

    def pairs(self) -> list[tuple[int, int]]:
        """Return the positions of each two linear layers that follow one another, among all layers.

        Left out are pairs between which channels are flattened and other ones are formed.
        """
        parts = [part for _, part in self._leaves()]
        found = itertools.pairwise(index for index, part in enumerate(parts) if isinstance(part, LINEAR))
        # The channels that are formed of a linear layer's neurons are its own, but those that are formed of these are not.
        return [
            (first, last)
            for first, last in found
            if sum(isinstance(part, nn.Unflatten) for part in parts[first:last]) <= isinstance(parts[first], nn.Linear)
        ]

    def apply(self, name: str, rng: np.random.Generator) -> None:
        """Apply one disguise between all pairs of linear layers."""
        # From the last pair to the first: layers that are inserted leave the positions before them as they are.
        for first, last in reversed(self.pairs()):
            maps = self._unflatten(first, last)
            # A linear layer may give the neurons of maps.
            neurons = len(self._leaves()[first][1].weight) if maps is None else self._leaves()[maps][1].unflattened_size[0]
            self.budget.take(2 * neurons, neurons)  # of the mixtures themselves
            if name == "basis":
                self._rotate(first, last, _orthogonal(neurons, rng))
            else:
                into, back, known = _MIXTURES[name](neurons, rng)
                if maps is not None:
                    layer, part = self._leaves()[maps]
                    self._set(layer, nn.Unflatten(1, (len(into), *part.unflattened_size[1:])))
                self._mix(first, into)
                self._unmix(last, back)
                self._note(first, last, known)
            self.budget.take(-2 * neurons, neurons)

    def _rotate(self, first: int, last: int, basis: Array) -> None:
        """Insert QᵀQ between two linear layers, multiplied into them where nothing is between."""
        parts = self._leaves()
        named = [at for at in map(self._position, self.names) if first <= at < last]
        rectifying = [at for at in range(first, last) if isinstance(parts[at][1], RECTIFYING)]
        at = max(named or rectifying or [first])
        until = next((index for index in rectifying if index > at), last)
        axes, size = self._output(at)
        if axes == 1 and at > first:  # flat: a channel has several neurons
            basis = _at_places(basis, size // len(basis))
        self._note(at, until, basis)
        # The later one first, for an insertion moves the positions behind it.
        if until == last:
            self._unmix(last, basis.T)
        else:
            self._insert(until, back=self._rotation(basis.T, axes))
        if at == first:
            self._mix(first, basis)
        else:
            self._insert(at, basis=self._rotation(basis, axes))

    def _mix(self, index: int, into: Array) -> None:
        """Replace the outputs y of a linear layer by ``into`` · y, channel by channel."""
        part = self._leaves()[index][1]
        matrix = torch.from_numpy(_at_places(into, len(part.weight) // into.shape[1]))
        weight = (matrix @ part.weight.flatten(1)).view(len(matrix), *part.weight.shape[1:])
        self._replace(index, weight, None if part.bias is None else matrix @ part.bias)

    def _unmix(self, index: int, back: Array) -> None:
        """Replace the weights W of a linear layer by W · ``back``, channel by channel."""
        part, matrix = self._leaves()[index][1], torch.from_numpy(back)
        old, new = matrix.shape
        weight = torch.einsum("ocp,cd->odp", part.weight.reshape(len(part.weight), old, -1), matrix)
        shape = (new, *part.weight.shape[2:]) if part.weight.ndim > 2 else (-1,)
        self._replace(index, weight.reshape(len(weight), *shape), part.bias)

    def _replace(self, index: int, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        name, part = self._leaves()[index]
        self.budget.take(*weight.shape)
        self.budget.release(part.weight)
        self._set(name, linear_layer(weight, bias, part))

    def _rotation(self, basis: Array, axes: int) -> nn.Module:
        """Return an orthogonal matrix as a layer for outputs with so many axes, without that of the images."""
        self.budget.take(*basis.shape)
        return linear_layer(torch.from_numpy(basis).view(*basis.shape, *[1] * (axes - 1)), None)

    def _insert(self, index: int, basis: nn.Module | None = None, back: nn.Module | None = None) -> None:
        """Insert a rotation after a layer, or its inverse before it, inside the module of that layer's name."""
        name, part = self._leaves()[index]
        parts = {"back": back, "layer": part, "basis": basis}
        self._set(name, nn.Sequential(OrderedDict((key, value) for key, value in parts.items() if value is not None)))

    def _note(self, first: int, last: int, known: Array) -> None:
        """Record a mixture for every named layer from one position to before another."""
        for layer in self.names:
            if first <= self._position(layer) < last:
                before = self.mixing.get(layer, np.eye(known.shape[1]))
                places = known.shape[1] // len(before)
                self.mixing[layer] = known @ _at_places(before, places)

    def _unflatten(self, first: int, last: int) -> int | None:
        """Return the position between two others at which channels are formed; None if there is none."""
        return next((at for at in range(first, last) if isinstance(self._leaves()[at][1], nn.Unflatten)), None)

    def _position(self, layer: str) -> int:
        """Return the position of the last layer in the module of a named one, which gives its activations."""
        return max(index for index, (name, _) in enumerate(self._leaves()) if f"{name}.".startswith(f"{layer}."))

    def _output(self, index: int) -> tuple[int, int]:
        """Return the axes and the size of what the layer at a position gives for one image."""
        x = torch.zeros(1, *self.image_shape, dtype=torch.float64)
        with torch.no_grad():
            for _, part in self._leaves()[: index + 1]:
                x = part(x)
        return x.ndim - 1, x.numel()

    def _leaves(self) -> list[tuple[str, Any]]:
        return list(leaves(self.module))

    def _set(self, name: str, module: nn.Module) -> None:
        parent, _, own = name.rpartition(".")
        self.module.get_submodule(parent)._modules[own] = module


# A mixture of n neurons is three matrices: the incoming weights (new × old), the outgoing ones that undo them (old × new), and
# what the activations of the new neurons are of the old ones' (new × old).


def _permutation(count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    order = rng.permutation(count)
    while count > 1 and (order == np.arange(count)).all():
        order = rng.permutation(count)
    into = np.eye(count)[order]
    return into, into.T, into


def _rescaling(count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    factor = 2.0 ** rng.choice([-3, -2, -1, 1, 2, 3], count)
    return np.diag(factor), np.diag(1 / factor), np.diag(factor)


def _split(count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    shares = ([1.0], [0.5, 0.5], [0.5, 0.25, 0.25])
    parts = rng.integers(3, size=count)
    parts[rng.integers(count)] = 1 + rng.integers(2)  # at least one neuron is split
    rows = np.repeat(np.arange(count), parts + 1)
    into = np.eye(count)[rows] * np.concatenate([shares[part] for part in parts])[:, None]
    return into, (into > 0).T.astype(float), into


def _cancelling(count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    same, pairs = np.eye(count), -(-count // 4)
    incoming, outgoing = rng.normal(scale=count**-0.5, size=(2, pairs, count))
    into = np.concatenate([same, incoming, incoming])
    back = np.concatenate([same, outgoing.T, -outgoing.T], axis=1)
    return into, back, np.concatenate([same, np.zeros((2 * pairs, count))])


def _at_places(matrix: Array, places: int) -> Array:
    """Return a matrix of channels as one of the flattened maps, where each channel has so many neurons."""
    return matrix if places == 1 else np.asarray(np.kron(matrix, np.eye(places)), np.float64)


def _orthogonal(count: int, rng: np.random.Generator) -> Array:
    """Return a random orthogonal matrix, all equally likely (Mezzadri 2007)."""
    basis, triangle = np.linalg.qr(rng.normal(size=(count, count)))
    return np.asarray(basis * np.sign(np.diag(triangle)), np.float64)


_MIXTURES = {"permutation": _permutation, "rescaling": _rescaling, "split": _split, "cancelling": _cancelling}
