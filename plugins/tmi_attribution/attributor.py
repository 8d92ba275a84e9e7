"""Runs an attribution method: on a copy of the module, a few images at a time, every draw fixed, every evaluation counted."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import PluginError
from tmi.probing.attribution import GIVEN, MethodInfo, method_info

from .common import recording
from .preflight import problems

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from tmi.plugins.references import Reference

    from .truth import Truth

    Array = NDArray[np.float64]


@dataclass
class Evaluations:
    """How many images a module was asked about, and how many gradients."""

    forward: int = 0
    backward: int = 0


@dataclass(eq=False)
class Attributor:
    """A method that is ready to run; call it with a `Truth`.

    Attributes
    ----------
    method : Reference
        The method and its settings.
    references : Tensor, shape (R, C, m, n)
        Other images of the task, the same for every image.
    seed : int
        From it each image gets a seed of its own, so that its draws do not depend on its neighbours.
    layer : str or None
        For methods that look at a layer.
    evaluations : Evaluations
        Of all calls so far.
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
        """Say why the method would be wrong for the module; empty if nothing speaks against it."""
        if self.layer is None and "maps" in self.info.needs:
            return ["none of the network's layers gives maps (channels, rows, cols)"]
        if self.layer is None and self.info.level != "input":
            return ["no layer to look at: name one by the setting layer"]
        needs = [need for need in self.info.needs if need != "constructed"]
        if len(needs) < len(self.info.needs) and not truth.constructed:
            return ["the network is not constructed, so that its exact attribution is not known"]
        if self.info.control:  # it does not ask the network
            return []
        looked_at = self.layer if "layer" in inspect.signature(self.method.function).parameters else None
        return problems(needs, truth.module, truth.images, looked_at)

    def __call__(self, truth: Truth) -> Array:
        """Attribute.

        Parameters
        ----------
        truth : Truth

        Returns
        -------
        ndarray of float64, shape (N, C, m, n) or (N, 1, m, n); of a layer (N, …)
            Signed.

        Raises
        ------
        PluginError
            If the method returns something of another shape.
        """
        wanted = set(inspect.signature(self.method.function).parameters) & set(GIVEN["method"])
        step = 1 if "seed" in wanted else self.info.images_at_once
        step = max(1, min(step, getattr(truth.module, "images_at_once", step)))
        with recording():
            module = copy.deepcopy(truth.module)
        with self._counting(module):
            parts = [self._part(module, truth[start : start + step], wanted) for start in range(0, len(truth), step)]
        return np.concatenate(parts)

    def _part(self, module: torch.nn.Module, truth: Truth, wanted: set[str]) -> Array:
        import torch

        from tmi.runtime.seeds import fixed_seed

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
            handed = {name: given[name] for name in wanted}
            maps = self.method.function(module, images, truth.targets.clone(), **handed, **self.method.params)
        return self._checked(maps, truth)

    def _checked(self, maps: Any, truth: Truth) -> Array:
        found = self._numbers(maps)
        count, channels, *size = truth.images.shape
        if self.info.level == "layer":
            if found.ndim < 2 or len(found) != count:
                raise PluginError(
                    f"method {self.method.text}: returned shape {found.shape}, expected ({count}, the layer's shape)"
                )
            return found
        if found.shape == (count, *size):
            found = found[:, None]
        if found.shape not in ((count, channels, *size), (count, 1, *size)):
            shapes = " or ".join(map(str, [(count, channels, *size), (count, *size)]))
            raise PluginError(f"method {self.method.text}: returned shape {found.shape}, expected {shapes}")
        return found

    def _numbers(self, maps: Any) -> Array:
        import torch

        if isinstance(maps, torch.Tensor) and not maps.is_complex():
            found: Array = maps.detach().cpu().double().numpy()
            return found
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
    """Return the seed of one image."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
