"""DeepLift: differences from a baseline, passed back through every module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import tmi

from .path import at_once

if TYPE_CHECKING:
    import torch

_REFERENCES = 16  # references in one pass of the module


@tmi.attribution_method(needs=["gradient", "modules"], complete="baselines")
def deeplift(module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, baselines: torch.Tensor) -> torch.Tensor:
    """DeepLift with the rescale rule (Shrikumar et al. 2017)."""
    from captum.attr import DeepLift

    with quiet():
        attributions: torch.Tensor = DeepLift(module).attribute(images, baselines, target=targets)
        return attributions


@tmi.attribution_method(needs=["gradient", "modules"], complete="references", images_at_once=4)
def deeplift_shap(
    module: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, *, references: torch.Tensor
) -> torch.Tensor:
    """Mean of DeepLift over the references as baselines (Lundberg and Lee 2017)."""
    import torch
    from captum.attr import DeepLiftShap

    references = two(references)
    method = DeepLiftShap(module)
    with quiet():
        sums = [len(part) * method.attribute(images, two(part), target=targets) for part in _parts(references, images)]
    return torch.stack(sums).sum(0) / len(references)


def mean_over(references: torch.Tensor, images: torch.Tensor, attribute: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Return the mean attribution over references, of large images a few references at a time."""
    import torch

    parts = _parts(references, images)
    if len(parts) == 1:
        return attribute(two(references))
    return torch.stack([len(part) * attribute(two(part)).detach() for part in parts]).sum(0) / len(references)


def _parts(references: torch.Tensor, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Divide references so that as many as fit into one pass meet each image, at least two."""
    most = min(_REFERENCES, max(2, at_once(images) // len(images)))
    return references.tensor_split(-(-len(references) // most))


def two(references: torch.Tensor) -> torch.Tensor:
    """Return references as they are, but a single one twice: Captum's DeepLiftShap demands two."""
    return references.repeat(2, 1, 1, 1) if len(references) == 1 else references


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress Captum's warnings that it sets hooks and requires gradients; it does so on copies."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*Setting (forward, )?backward hooks")
        warnings.filterwarnings("ignore", message="Input Tensor . did not already require gradients")
        yield
