"""Runs an attribution method on a copy of the module, a few images at a time, with fixed seeds, and counts the evaluations."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import PluginError
from tmi.probing.attribution import MethodInfo, method_info
from tmi.runtime.seeds import fixed_seed

from .common import recording
from .methods.path import at_once
from .preflight import problems

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from tmi.plugins.references import Reference

    from .truth import Truth

    Array = NDArray[np.float64]


@dataclass
class Evaluations:
    """Number of images that went forward through a module, and of gradients that came back."""

    forward: int = 0
    backward: int = 0


@dataclass(eq=False)
class Attributor:
    """A method with its settings, references and seed; call it with a `Truth`.

    Attributes
    ----------
    method : Reference
        The method and its settings.
    references : Tensor, shape (R, C, m, n)
        Other images of the task, the same for every image.
    seed : int
        Each image gets a seed of its own, derived from this one and the image's number, so that its random draws do not depend on
        the other images.
    layer : str or None
        For methods that look at a layer.
    evaluations : Evaluations
        The total of all calls so far.
    """

    method: Reference
    references: torch.Tensor
    seed: int = 0
    layer: str | None = None
    evaluations: Evaluations = field(default_factory=Evaluations)

    @property
    def info(self) -> MethodInfo:
        """What the method declares."""
        return method_info(self.method.function)

    def problems(self, truth: Truth) -> list[str]:
        """Return why the method would be wrong for the module, one reason each; an empty list if it is right."""
        if self.layer is None and "maps" in self.info.needs:
            return ["none of the network's layers gives maps (channels, rows, cols)"]
        if self.layer is None and self.info.level != "input":
            return ["no layer to look at: name one by the setting layer"]
        needs = [need for need in self.info.needs if need != "constructed"]
        if len(needs) < len(self.info.needs) and not truth.constructed:
            return ["the network is not constructed, so that its exact attribution is not known"]
        if self.info.control:  # it does not evaluate the network
            return []
        layer = self.layer if "layer" in inspect.signature(self.method.function).parameters else None
        return problems(needs, truth.module, truth.images, layer)

    def __call__(self, truth: Truth) -> Array:
        """Run the method.

        Parameters
        ----------
        truth : Truth

        Returns
        -------
        ndarray of float64, shape (N, C, m, n) or (N, 1, m, n); of a layer (N, …)
            Signed attributions.

        Raises
        ------
        PluginError
            If the method returns something else than real numbers of this shape.
        """
        wanted = set(inspect.signature(self.method.function).parameters)
        step = 1 if "seed" in wanted else self.info.images_at_once
        step = at_once(truth.images, max(1, min(step, getattr(truth.module, "images_at_once", step))))
        with recording():
            module = copy.deepcopy(truth.module)
        with self._counting(module):
            parts = [self._call(module, truth[start : start + step], wanted) for start in range(0, len(truth), step)]
        return np.concatenate(parts)

    def _call(self, module: torch.nn.Module, truth: Truth, wanted: set[str]) -> Array:
        import torch

        seed = _seed(self.seed, int(truth.numbers[0]))
        given: dict[str, Any] = {
            "seed": seed,
            "baselines": truth.baselines.clone(),  # a method may work in place
            "references": self.references.clone(),
            "layer": self.layer,
            "neurons": None if truth.neurons is None else torch.from_numpy(truth.neurons),
            "truth": truth,
        }
        with fixed_seed(seed), recording():
            images = truth.images.clone().requires_grad_(True)
            asked_for = {name: value for name, value in given.items() if name in wanted}
            maps = self.method.function(module, images, truth.targets.clone(), **asked_for, **self.method.params)
        return self._checked(maps, truth)

    def _checked(self, maps: Any, truth: Truth) -> Array:
        values = self._numbers(maps)
        count, channels, *size = truth.images.shape
        if self.info.level == "layer":
            if values.ndim < 2 or len(values) != count:
                raise PluginError(
                    f"method {self.method.text}: returned shape {values.shape}, expected ({count}, the layer's shape)"
                )
            return values
        if values.shape == (count, *size):
            values = values[:, None]
        if values.shape not in ((count, channels, *size), (count, 1, *size)):
            shapes = " or ".join(map(str, [(count, channels, *size), (count, *size)]))
            raise PluginError(f"method {self.method.text}: returned shape {values.shape}, expected {shapes}")
        return values

    def _numbers(self, maps: Any) -> Array:
        import torch

        if isinstance(maps, torch.Tensor) and not maps.is_complex():
            values: Array = maps.detach().cpu().double().numpy()
            return values
        if isinstance(maps, np.ndarray) and maps.dtype.kind in "fiub":
            return maps.astype(np.float64)
        kind = type(maps).__name__ if not hasattr(maps, "dtype") else f"{type(maps).__name__} of {maps.dtype}"
        raise PluginError(f"method {self.method.text}: returned {kind}, expected a tensor or an array of real numbers")

    @contextmanager
    def _counting(self, module: torch.nn.Module) -> Iterator[None]:
        counts = self.evaluations

        def backward(gradient: torch.Tensor) -> None:
            counts.backward += len(gradient)

        def forward(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
            counts.forward += len(output)
            if output.requires_grad:
                output.register_hook(backward)  # type: ignore[no-untyped-call]

        handle = module.register_forward_hook(forward)
        try:
            yield
        finally:
            handle.remove()


def _seed(seed: int, number: int) -> int:
    """Return the seed of the image with a given number."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def not_finite(values: Array) -> str:
    """Return how many images have values that are NaN or infinite, in words; an empty string if none has.

    Parameters
    ----------
    values : ndarray, shape (N, …)
    """
    bad = int((~np.isfinite(values.reshape(len(values), -1))).any(1).sum())
    return f"NaN or infinity on {bad} of {len(values)} images" if bad else ""
