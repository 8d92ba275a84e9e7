"""What is known about images and a network, and the network's logits on changed images."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

import tmi

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

T = TypeVar("T")

Level = Literal["input", "layer", "neuron"]
"""A logit attributed to pixels, a logit attributed to the neurons of a layer, or a neuron attributed to pixels."""

Baseline = Literal["black", "background"]
"""What an image is compared with: a black image, or its scene without the tile: the exact counterfactual."""

Output = Literal["logit", "probability", "accuracy", "spread"]
"""What a network says about the target: its logit; its softmax probability; 1 if it is the class of the greatest logit, 1/k if k
classes share that logit, else 0; or, whatever the target, the greatest logit minus the least."""

_ELEMENTS = 2_000_000  # pixels of changed images held at a time


class Truth:
    """N images, the output that is attributed on each, and what is known about the right attribution.

    Parameters
    ----------
    module : torch.nn.Module
        A copy of the network's module, in evaluation mode, its weights without gradients.
    scenes : Scenes
        Where the images come from; each shows a tile.
    images, baselines : Tensor, shape (N, C, m, n)
        In the dtype and on the device that the module takes.
    targets : Tensor of int64, shape (N,)
        The attributed logit of each image: by default its label.
    masks : ndarray of bool, shape (N, m, n)
        The pixels G that decide: the support of the pasted tile at its place. At level "neuron" the support of the neuron's own
        tile at its own place if the network is constructed, of a neuron that several tiles share the supports of those that are
        active, else the neuron's receptive field. At level "layer" of shape (N, neurons): the neurons that stand for the shown
        tile at its place, alone or with other tiles. Where the attributed logit is not the label's: the
        supports of its active windows if the network is constructed, else nothing, for it is not known.
    null : ndarray of bool, shape (N, m, n), or a function that returns one, optional
        The null region: pixels on which the attributed output provably does not depend, anywhere between baseline and image.
        None where nothing is proven, as for the logits of a trained network.
    exact : ndarray of float64, shape (N, C, m, n), or a function that returns one, optional
        The exact signed attribution of a constructed network.
    level : {"input", "layer", "neuron"}
    constructed : bool
        Whether the module computes φ of its task.
    baseline : {"black", "background"}
        What the baselines show: "background" changes with the background.
    neurons : ndarray of int64, shape (N,), optional
        At level "neuron": the attributed neuron of the flattened layer, for each image.
    numbers : ndarray of int64, shape (N,), optional
        The number of each image, from which its random seed follows; by default 0, 1, … It stays with the image in a slice.

    Attributes
    ----------
    module, scenes, images, baselines, targets, masks, null, exact, level, constructed, baseline, neurons, numbers
        As given; ``null`` and ``exact`` are computed on first use. The arrays are read-only: all methods and measures share them.
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
        baseline: Baseline = "black",
        neurons: NDArray[np.int64] | None = None,
        numbers: NDArray[np.int64] | None = None,
    ) -> None:
        self.module, self.scenes, self.images, self.baselines, self.targets = module, scenes, images, baselines, targets
        self.masks: Mask = _read_only(masks)
        self.level, self.constructed, self.baseline = level, constructed, baseline
        self.neurons, self.numbers = neurons, np.arange(len(images)) if numbers is None else numbers
        self._null, self._exact = null, exact
        self._results: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def null(self) -> Mask | None:
        """See the parameters."""
        null: Mask | None = _read_only(self._null() if callable(self._null) else self._null)
        return null

    @cached_property
    def exact(self) -> Array | None:
        """See the parameters."""
        exact: Array | None = _read_only(self._exact() if callable(self._exact) else self._exact)
        return exact

    @cached_property
    def of_label(self) -> Mask:
        """Whether the attributed logit of each image is the label's, (N,)."""
        of_label: Mask = (self.targets.cpu() == self.scenes.labels).numpy()
        return of_label

    def __getitem__(self, rows: slice) -> Truth:
        """Return the truth about some of the images."""
        return self.replaced(
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
        """Return the truth about changed images (N, C, m, n), without their null region; targets and masks stay as they are."""
        changed = images.to(self.images.device, self.images.dtype)
        below = self.baselines if baselines is None else baselines.to(changed.device, changed.dtype)

        def exact() -> Array:
            from .exact import signed

            return signed(self.scenes.task, changed, self.targets)

        computed = exact if self.constructed and self.level == "input" else None
        return self.replaced(images=changed, baselines=below, null=None, exact=computed)

    def against(self, baseline: Baseline | None) -> Truth:
        """Return the truth with other baselines, the same one at every call; null region and exact attribution are left out.

        Parameters
        ----------
        baseline : {"black", "background"} or None
            "background": every pixel of the pasted tile becomes the pixel of the background that is behind it. None: as it is.
        """
        import torch

        if baseline in (None, self.baseline):
            return self

        def changed() -> Truth:
            below = self.scenes.without_tiles().images if baseline == "background" else torch.zeros_like(self.images)
            baselines = below.to(self.images.device, self.images.dtype)
            return self.replaced(baselines=baselines, baseline=baseline, null=None, exact=None)

        return self.once(("against", baseline), changed)

    def replaced(self, **changed: Any) -> Truth:
        """Return a copy with other values of some parameters."""
        names = ("module", "scenes", "images", "baselines", "targets", "masks", "level", "constructed", "baseline", "neurons")
        kept = {name: getattr(self, name) for name in (*names, "numbers")} | {"null": self._null, "exact": self._exact}
        return Truth(**(kept | changed))

    def logit(self, images: torch.Tensor) -> Array:
        """Return the attributed logit on changed images; see `output`."""
        return self.output(images, "logit")

    def output(self, images: torch.Tensor, of: Output) -> Array:
        """Return what the network says about the target on changed images, in bounded memory.

        Parameters
        ----------
        images : Tensor, shape (R, N, C, m, n) or (N, C, m, n)
        of : {"logit", "probability", "accuracy", "spread"}
            See `Output`.

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
                _of_target(self.module(part.to(self.images.device, self.images.dtype)), target, of).double().cpu()
                for part, target in zip(torch.split(flat, step), torch.split(targets, step), strict=True)
            ]
        outputs: Array = torch.cat(parts).numpy().reshape(images.shape[:-3])
        return outputs

    def once(self, name: Hashable, make: Callable[[], T]) -> T:
        """Return ``make()``, called once for each name: values that do not depend on the method are shared by all methods."""
        if name not in self._results:
            self._results[name] = make()
        result: T = self._results[name]
        return result


def _of_target(logits: torch.Tensor, targets: torch.Tensor, of: Output) -> torch.Tensor:
    """Return what logits (N, L) say about the targets (N,)."""
    if of == "spread":
        return logits.amax(1) - logits.amin(1)
    if of == "accuracy":
        greatest = logits == logits.amax(1, keepdim=True)
        values = greatest.double() / greatest.sum(1, keepdim=True)
    else:
        values = logits.double().softmax(1) if of == "probability" else logits
    return values.gather(1, targets[:, None])[:, 0]


def _read_only(values: NDArray[Any] | None) -> Any:
    """Return a view that cannot be written into."""
    if values is None:
        return None
    view = values.view()
    view.setflags(write=False)
    return view
