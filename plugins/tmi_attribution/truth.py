"""What is known about an image and a network, and how a network answers to changed images."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

import tmi
from tmi.probing.attribution import Level

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

T = TypeVar("T")

_ELEMENTS = 2_000_000  # pixels of changed images held at a time


class Truth:
    """N images, what is asked about them, and what is known of the answer.

    Parameters
    ----------
    module : torch.nn.Module
        A copy of the network's, in evaluation mode, its weights without gradients.
    scenes : Scenes
        All with a tile: counterfactuals are exact, see `Scenes`.
    images, baselines : Tensor, shape (N, C, m, n)
        In the dtype and on the device in which the module takes them.
    targets : Tensor of int64, shape (N,)
        The attributed logit of each image: its label.
    masks : ndarray of bool, shape (N, m, n)
        The pixels G that decide: the support of the pasted tile at its place; for a neuron of a constructed network that of its
        own tile at its own place, for one of a trained network its receptive field. At level "layer", of a layer whose neurons
        stand for tiles at places, (N, neurons): those that stand for the shown one.
    null : ndarray of bool, shape (N, m, n), or a function that returns one, optional
        Pixels on which what is attributed provably does not depend, anywhere between baseline and image; None where nothing is
        proven, as for the logits of a trained network.
    exact : ndarray of float64, shape (N, C, m, n), or a function that returns one, optional
        The exact signed attribution of a constructed network.
    level : {"input", "layer", "neuron"}
    constructed : bool
        Whether the module computes φ of its task.
    baseline : {"black", "background"}
        What the baselines are: "background" follows where the background changes.
    neurons : ndarray of int64, shape (N,), optional
        At level "neuron" which neuron of the flattened layer is attributed.

    Attributes
    ----------
    module, scenes, images, baselines, targets, masks, null, exact, level, constructed, baseline, neurons
        As given; ``null`` and ``exact`` are computed when first asked for.
    numbers : ndarray of int64, shape (N,)
        The images' numbers, by which each has its own seed, whichever of them are asked about.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        scenes: tmi.Scenes,
        images: torch.Tensor,
        baselines: torch.Tensor,
        targets: torch.Tensor,
        masks: Mask,
        null: Mask | Callable[[], Mask] | None = None,
        exact: Array | Callable[[], Array] | None = None,
        level: Level = "input",
        constructed: bool = False,
        baseline: Literal["black", "background"] = "black",
        neurons: NDArray[np.int64] | None = None,
        numbers: NDArray[np.int64] | None = None,
    ) -> None:
        self.module, self.scenes, self.images, self.baselines, self.targets = module, scenes, images, baselines, targets
        self.masks: Mask = _unwritable(masks)
        self.level, self.constructed, self.baseline = level, constructed, baseline
        self.neurons, self.numbers = neurons, np.arange(len(images)) if numbers is None else numbers
        self._null, self._exact = null, exact
        self._known: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def null(self) -> Mask | None:
        """See the parameters."""
        found: Mask | None = _unwritable(self._null() if callable(self._null) else self._null)
        return found

    @cached_property
    def exact(self) -> Array | None:
        """See the parameters."""
        found: Array | None = _unwritable(self._exact() if callable(self._exact) else self._exact)
        return found

    def __getitem__(self, rows: slice) -> Truth:
        """Return the truth about some of the images."""
        return self.but(
            scenes=self.scenes[rows],
            images=self.images[rows],
            baselines=self.baselines[rows],
            targets=self.targets[rows],
            masks=self.masks[rows],
            neurons=None if self.neurons is None else self.neurons[rows],
            numbers=self.numbers[rows],
            null=None if self._null is None else lambda: self.null[rows],  # type: ignore[index]
            exact=None if self._exact is None else lambda: self.exact[rows],  # type: ignore[index]
        )

    def on(self, images: torch.Tensor, baselines: torch.Tensor | None = None) -> Truth:
        """Return the same questions about changed images (N, C, m, n); their null region is not asked for."""
        given = images.to(self.images.device, self.images.dtype)
        below = self.baselines if baselines is None else baselines.to(given.device, given.dtype)

        def exact() -> Array:
            from .exact import signed

            return signed(self.scenes.task, given, self.targets)

        known = exact if self.constructed and self.level == "input" else None
        return self.but(images=given, baselines=below, null=None, exact=known)

    def but(self, **changed: Any) -> Truth:
        """Return this with some of its parts changed."""
        names = ("module", "scenes", "images", "baselines", "targets", "masks", "level", "constructed", "baseline", "neurons")
        kept = {name: getattr(self, name) for name in (*names, "numbers")} | {"null": self._null, "exact": self._exact}
        return Truth(**(kept | changed))

    def logit(self, images: torch.Tensor) -> Array:
        """Return the attributed logit on changed images, in bounded memory.

        Parameters
        ----------
        images : Tensor, shape (R, N, C, m, n) or (N, C, m, n)

        Returns
        -------
        ndarray of float64, shape (R, N) or (N,)
        """
        import torch

        flat = images.reshape(-1, *self.images.shape[1:])
        targets = self.targets.repeat(len(flat) // max(1, len(self.targets)))
        step = max(1, min(getattr(self.module, "images_at_once", 256), _ELEMENTS // max(1, flat[:1].numel())))
        with torch.no_grad():
            parts = [
                self.module(part.to(self.images.device, self.images.dtype)).gather(1, target[:, None])[:, 0].double().cpu()
                for part, target in zip(torch.split(flat, step), torch.split(targets, step), strict=True)
            ]
        found: Array = torch.cat(parts).numpy().reshape(images.shape[:-3])
        return found

    def once(self, name: Hashable, make: Callable[[], T]) -> T:
        """Return what ``make`` returned the first time: what does not depend on the method is computed once for all of them."""
        if name not in self._known:
            self._known[name] = make()
        found: T = self._known[name]
        return found


def _unwritable(values: NDArray[Any] | None) -> Any:
    """A view that cannot be written into: the truth is shared by all methods and measures."""
    if values is None:
        return None
    view = values.view()
    view.setflags(write=False)
    return view
