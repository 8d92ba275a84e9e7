"""The network from a layer on: the logits that follow from replaced activations, and their gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.networks.modes import evaluation_mode

from ..circuits.readout import LinearReadout, linear_form, logits_from
from ..pipeline.samples import widened
from ..pipeline.scenes import in_float64
from ..pipeline.units import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    import tmi

    Array = NDArray[np.float64]

_AT_ONCE = 4_000_000  # activations replaced at a time
_ROUNDING = 1e-6  # largest error of a linear readout, relative to its largest logit, in float64


class Downstream:
    """What a network computes from the activations of a layer; in float64 where the network can.

    Where the logits are linear in the layer, which is checked, they are computed from the weights.

    Parameters
    ----------
    network : Network
    layer : str
    scenes : Scenes
        Some images, on which the linearity is checked.

    Attributes
    ----------
    shape : tuple of int
        Of the layer's activations on one image.
    linear : bool
    """

    def __init__(self, network: tmi.Network, layer: str, scenes: tmi.Scenes) -> None:
        wide = widened(network, layer, scenes[:1])
        self.layer, self.network, self._wide = layer, wide or network, wide is not None
        some = self.images(scenes[:4])
        values = self.network.activations(some, layer)[layer]
        self.shape = tuple(values.shape[1:])
        self.neurons = int(np.prod(self.shape, dtype=int))
        flat = values.reshape(len(values), -1).double().numpy()
        logits = self.network.logits(some).double().numpy()
        form = linear_form(self.network, layer, flat, logits, some[:1])
        self._form = form if form is not None and self._holds(form, some[:1], flat) else None

    @property
    def linear(self) -> bool:
        """Whether the logits are linear in the layer."""
        return self._form is not None

    def images(self, scenes: tmi.Scenes) -> torch.Tensor:  # type: ignore[name-defined]  # noqa: F821
        """Return the images of scenes in the dtype in which the network computes here."""
        return (in_float64(scenes) if self._wide else scenes).images

    def evaluated(self, *scenes: tmi.Scenes) -> Iterator[tuple[Any, list[Array], list[Array]]]:
        """Yield, scene by scene, the image, and of each of some equally long lists of scenes the activations and logits.

        Yields
        ------
        image : Tensor, shape (1, C, m, n)
            Of the first list.
        activations : list of ndarray of float64, shape (neurons,)
        logits : list of ndarray of float64, shape (L,)
        """
        for rows, part in in_parts(scenes[0], len(scenes) * self.neurons):
            images = [self.images(one) for one in (part, *(other[rows] for other in scenes[1:]))]
            values = [self.network.activations(one, self.layer)[self.layer].flatten(1) for one in images]
            logits = [self.network.logits(one).double().numpy() for one in images]
            for i in range(len(part)):
                yield images[0][i : i + 1], [one[i].double().numpy() for one in values], [one[i] for one in logits]

    def logits(self, image: Any, activations: Array, logits: Array, changes: csr_array) -> Array:
        """Return the logits after each of several changes of the layer's activations on an image.

        Parameters
        ----------
        image : Tensor, shape (1, C, m, n)
            The input of the paths that lead around the layer.
        activations : ndarray, shape (neurons,)
            To which the changes are added: those of this image, or of any other.
        logits : ndarray, shape (L,)
            Of these activations; used where the rest of the network is linear.
        changes : scipy.sparse.csr_array, shape (K, neurons)

        Returns
        -------
        ndarray of float64, shape (K, L)
        """
        if self._form is not None:
            return np.asarray(logits + changes @ self._form.weight.T, np.float64)
        step = max(1, _AT_ONCE // self.neurons)
        parts = [
            logits_from(self.network, self.layer, image, activations + changes[start : start + step].toarray())
            for start in range(0, changes.shape[0], step)
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(logits)))

    def gradient(self, image: Any, activations: Array, weights: Array) -> Array | None:
        """Return the gradient of a weighted sum of the logits with respect to the layer's activations.

        Parameters
        ----------
        image : Tensor, shape (1, C, m, n)
        activations : ndarray, shape (neurons,)
        weights : ndarray, shape (L,)

        Returns
        -------
        ndarray of float64, shape (neurons,), or None
            None where the rest of the network has no gradient.
        """
        if self._form is not None:
            return np.asarray(weights @ self._form.weight)
        import torch

        leaves: list[torch.Tensor] = []

        def replace(_module: Any, _inputs: Any, output: Any) -> Any:
            given: torch.Tensor = self.network.part(self.layer, output)
            leaf = torch.from_numpy(activations.copy()).to(given.device, given.dtype).reshape(given.shape).requires_grad_()
            leaves.append(leaf)
            return self.network.with_activations(self.layer, output, leaf.clone())  # a leaf must not be changed in place

        module = self.network.module
        like = next((p for p in module.parameters() if p.is_floating_point()), None)
        handle = module.get_submodule(self.layer).register_forward_hook(replace)
        try:
            with torch.inference_mode(False), torch.enable_grad(), evaluation_mode(module):
                batch = image.detach().clone()
                answer = module(batch if like is None else batch.to(like.device, like.dtype))
                (gradient,) = torch.autograd.grad((answer[0].cpu().double() * torch.from_numpy(weights)).sum(), leaves)
        except RuntimeError:  # torch's error where nothing depends differentiably on the layer
            return None
        finally:
            handle.remove()
        return gradient.detach().cpu().double().numpy().reshape(-1)  # type: ignore[no-any-return]

    def _holds(self, form: LinearReadout, image: Any, values: Array) -> bool:
        """Whether a readout that reproduces images reproduces mixtures of their activations too, as patches are."""
        chosen = np.random.default_rng(0).random((4, self.neurons)) < 0.5
        mixtures = np.where(chosen, values[0], values[-1] * 0.5)
        found = logits_from(self.network, self.layer, image, mixtures)
        size = np.abs(mixtures) @ np.abs(form.weight.T) + np.abs(form.bias)
        return bool((np.abs(mixtures @ form.weight.T + form.bias - found) <= _ROUNDING * size + 1e-300).all())
