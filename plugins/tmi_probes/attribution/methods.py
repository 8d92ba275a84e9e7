"""The attribution methods, all of them Captum's, in bounded memory; and the controls beside them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError

from .preflight import recording

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    import tmi

    Array = NDArray[np.float64]

_CHUNK = 8  # images at a time
_FORWARD = 64  # images in one pass of the module

COMPLETE = ("integrated-gradients", "deeplift", "gradient-shap")
"""The methods whose attributions add up to the change of the logit since the baseline."""

CONTROLS = ("random", "sobel", "oracle")
"""What runs beside the methods, for comparison."""


class Work:
    """What every method is given: a module of its own, images, targets, baselines and settings.

    Parameters
    ----------
    module : torch.nn.Module
        Copied, so that hooks and flags that Captum sets never reach the original.
    scenes : Scenes
        All with a tile.
    baseline : {"black", "background"}
    seed, steps, draws, window, stride
        See `tmi_probes.attribution.attribution`.

    Raises
    ------
    InputError
        If the window does not fit into the image, or the stride exceeds the window.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        scenes: tmi.Scenes,
        baseline: str,
        *,
        seed: int,
        steps: int,
        draws: int,
        window: int | None,
        stride: int | None,
    ) -> None:
        import torch

        weight = next((p for p in module.parameters() if p.is_floating_point()), None)
        # A constructed network computes in its images' dtype, a trained one in its weights'.
        like = scenes.images if weight is None else weight
        with recording():
            self.module = copy.deepcopy(module).eval().requires_grad_(False)
            self.images, self.baselines = (
                images.to(like.device, like.dtype).clone()
                for images in (
                    scenes.images,
                    scenes.without_tiles().images if baseline == "background" else torch.zeros_like(scenes.images),
                )
            )
            self.targets = scenes.labels.to(like.device).clone()
        self.seed, self.steps, self.draws = seed, steps, draws
        side = min(scenes.task.image_shape[1:])
        self.window = max(1, side // 8) if window is None else window
        self.stride = (self.window + 1) // 2 if stride is None else stride
        if self.window > side:
            raise InputError(f"window: {self.window} is larger than the image, {scenes.task.image_shape[1:]}")
        if self.stride > self.window:
            raise InputError(f"stride: {self.stride} is larger than the window, {self.window}: pixels would be left out")

    def between(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits on points between images and baselines, which rounding may have carried past 1."""
        # The gradient passes as if nothing had been done.
        logits: torch.Tensor = self.module(images + (images.clamp(0, 1) - images).detach())
        return logits

    def each(self, size: int, attribute: Callable[[Any, Any, Any, int], Any]) -> Array:
        """Attribute ``size`` images at a time: ``attribute(images, baselines, targets, number of the first)``."""
        with recording():
            parts = [
                attribute(self.images[rows].clone().requires_grad_(True), self.baselines[rows], self.targets[rows], rows.start)
                .detach()
                .cpu()
                for rows in (slice(start, start + size) for start in range(0, len(self.images), size))
            ]
        return np.concatenate([part.double().numpy() for part in parts])

    def change(self) -> Array:
        """Return the label's logit less the label's logit on the baseline, float64 (N,)."""
        import torch

        with torch.no_grad():
            label, bare = (
                torch.cat(
                    [self.module(images[start : start + _FORWARD]).double().cpu() for start in range(0, len(images), _FORWARD)]
                )
                for images in (self.images, self.baselines)
            )
        change: Array = (label - bare).gather(1, self.targets.cpu()[:, None])[:, 0].numpy()
        return change


def saliency(work: Work) -> Array:
    """Gradient of the label's logit (Simonyan et al. 2014), with its sign."""
    from captum.attr import Saliency

    method = Saliency(work.module)
    return work.each(_FORWARD, lambda x, _b, t, _i: method.attribute(x, target=t, abs=False))


def input_x_gradient(work: Work) -> Array:
    """Gradient times image."""
    from captum.attr import InputXGradient

    method = InputXGradient(work.module)
    return work.each(_FORWARD, lambda x, _b, t, _i: method.attribute(x, target=t))


def integrated_gradients(work: Work) -> Array:
    """Integral of the gradient from the baseline to the image (Sundararajan et al. 2017)."""
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(work.between)
    return work.each(
        _CHUNK, lambda x, b, t, _i: method.attribute(x, b, target=t, n_steps=work.steps, internal_batch_size=_FORWARD)
    )


def deeplift(work: Work) -> Array:
    """DeepLift with the rescale rule (Shrikumar et al. 2017). Only for modules that pass the preflight."""
    from captum.attr import DeepLift

    method = DeepLift(work.module)
    with _quiet():
        return work.each(_CHUNK, lambda x, b, t, _i: method.attribute(x, b, target=t))


def gradient_shap(work: Work) -> Array:
    """Mean gradient at random points between baseline and image (Lundberg and Lee 2017); each image has draws of its own."""
    from captum.attr import GradientShap

    from tmi.seeds import fixed_seed

    method = GradientShap(work.between)

    def one(x: Any, b: Any, t: Any, number: int) -> Any:
        with fixed_seed(_seed(work.seed, number)):
            return method.attribute(x, b, n_samples=work.draws, stdevs=0.0, target=t)

    return work.each(1, one)


def occlusion(work: Work) -> Array:
    """Change of the label's logit when a square shows the baseline (Zeiler and Fergus 2014)."""
    from captum.attr import Occlusion

    method = Occlusion(work.module)
    window = (work.images.shape[1], work.window, work.window)
    strides = (work.images.shape[1], work.stride, work.stride)
    return work.each(
        _CHUNK,
        lambda x, b, t, _i: method.attribute(
            x, window, strides, baselines=b, target=t, perturbations_per_eval=max(1, _FORWARD // len(x))
        ),
    )


METHODS: dict[str, Callable[[Work], Array]] = {
    "saliency": saliency,
    "input-x-gradient": input_x_gradient,
    "integrated-gradients": integrated_gradients,
    "deeplift": deeplift,
    "gradient-shap": gradient_shap,
    "occlusion": occlusion,
}
"""Name to function: signed attributions of the label's logit, float64 (N, C, m, n)."""


def controls(scenes: tmi.Scenes, seed: int) -> dict[str, Array]:
    """Return maps (N, m, n) that owe nothing to the network: uniform noise, Sobel edges, and the true mask."""
    from scipy.ndimage import sobel

    images = scenes.images.double().numpy()
    noise = [np.random.default_rng([seed, number]).random(images.shape[2:]) for number in range(len(images))]
    edges = np.hypot(sobel(images, axis=2), sobel(images, axis=3)).sum(1)
    return dict(zip(CONTROLS, (np.stack(noise), edges, scenes.masks.double().numpy()), strict=True))


def _seed(seed: int, number: int) -> int:
    """Return the seed of one image, so that its draws do not depend on the images before it."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


@contextmanager
def _quiet() -> Iterator[None]:
    """Do not repeat Captum's announcement that it sets hooks: it sets them on a copy."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting forward, backward hooks")
        yield
