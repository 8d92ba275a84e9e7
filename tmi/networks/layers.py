"""A torch module with named layers: its activations, its logits, and the meaning of its neurons where that is known."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tmi.errors import InputError, UnknownNameError, did_you_mean
from tmi.tasks.images import check_images

from .adapters import (
    Form,
    Output,
    evaluating,
    has_generator,
    in_full_precision,
    name_without_wrappers,
    part_of,
    widened,
    with_part,
    with_readout,
    without_wrappers,
)
from .check import Forward, RandomError, check
from .directions import Directions, one_a_neuron
from .modes import evaluation_mode
from .nonlinearity import can_watch, defined_after, watching
from .plain import copied

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn

    from tmi.tasks.task import TemplateTask


Origin = Literal["constructed", "trained", "imported"]

N = TypeVar("N", bound="LayeredModule")

_PIXELS = 4_000_000  # in one batch: bounds the memory for large images


class LayeredModule:
    """A torch module with named layers, their activations, and what their neurons mean.

    It is the base of `tmi.Network`, which documents the parameters and adds explanations, certificates and export as methods.
    The functions behind those methods take this type, so that no two modules of the package import each other.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: Sequence[str],
        origin: Origin,
        *,
        task: TemplateTask,
        output: Output | None = None,
        form: Form | None = None,
        parts: Mapping[str, Output] | None = None,
        meanings: Mapping[str, Mapping[str, Any] | Callable[[], Mapping[str, Any]]] | None = None,
        directions: Mapping[str, Directions | Callable[[], Directions]] | None = None,
        history: Mapping[str, Any] | None = None,
        name: str = "",
        seed: int | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        given, wrapped = (layers,) if isinstance(layers, str) else tuple(layers), module
        module = in_full_precision(evaluating(without_wrappers(module)))
        self.module = module if output is None and form is None else with_readout(module, output, form)
        self.layers = tuple(name_without_wrappers(wrapped, layer) for layer in given)
        self.parts = {name_without_wrappers(wrapped, layer): part for layer, part in (parts or {}).items()}
        self.task = task
        self.name, self.seed, self.params = name, seed, dict(params or {})
        if origin not in ("constructed", "trained", "imported"):
            raise InputError(f'origin: expected "constructed", "trained" or "imported", got {origin!r}')
        self.origin: Origin = origin
        if not self.layers:
            raise InputError("layers: needs at least one; the last one gives the logits")
        submodules = dict(module.named_modules(remove_duplicate=False))
        for layer in self.parts:
            if layer not in self.layers:
                raise UnknownNameError(f"parts {layer!r}: not among the layers{did_you_mean(layer, self.layers)}")
        meanings = {name_without_wrappers(wrapped, layer): columns for layer, columns in (meanings or {}).items()}
        self.known_directions = {name_without_wrappers(wrapped, layer): one for layer, one in (directions or {}).items()}
        for layer in self.layers:
            if layer not in submodules or not layer:
                raise UnknownNameError(f"layer {layer!r}: the module has none{did_you_mean(layer, filter(None, submodules))}")
        for what, known in (("meanings", meanings), ("directions", self.known_directions)):
            for layer in known:
                if layer not in self.layers:
                    raise UnknownNameError(f"{what} {layer!r}: not among the layers{did_you_mean(layer, self.layers)}")
        for layer, columns in meanings.items():
            if not callable(columns):
                _check_lengths(layer, columns)
        self.meanings = {layer: columns if callable(columns) else dict(columns) for layer, columns in meanings.items()}
        self.history = {name: np.asarray(values, float) for name, values in (history or {}).items()}
        self._checked, self._refused = False, ""
        self._followed: dict[str, str] | None = None

    def __repr__(self) -> str:
        after = ((layer, self.nonlinearity_after(layer)) for layer in self.layers)
        layers = ", ".join(f"{layer} (before {name})" if name else layer for layer, name in after)
        return f"Network({self.name or type(self.module).__name__}, {self.origin}, layers: {layers})"

    def _repr_html_(self) -> str:
        from tmi.views.networks import network

        return network(self)

    def __call__(self, images: Any, batch_size: int = 256) -> torch.Tensor:
        """Return the logits on images; the same as `logits`."""
        return self.logits(images, batch_size)

    def check(self, images: Any) -> None:
        """Check, on the first image, that the module answers as every probe takes for granted; once for each network.

        `activations`, `logits`, `tmi.build` and `tmi.probe` call it, so that no network is examined unchecked.

        Parameters
        ----------
        images : Tensor or array, float32 or float64, shape (N, C, m, n), in [0, 1]
            The first one is evaluated; nothing is checked if there is none.

        Raises
        ------
        InputError
            In one sentence with the remedy, if the module fails on the image; it answers with something else than finite logits
            (N, L) for the L classes of the task, see the parameters ``output`` and ``form``; a named layer is not used exactly
            once, or does not give one tensor with an entry for each image, see ``parts``; the forward pass does not repeat bit
            for bit; or an image's answer depends on the other images of its batch.

        Notes
        -----
        An answer (N, L, 1, 1) is taken as (N, L).
        """
        if self._checked or not len(images):
            return
        if self._refused:  # remembered, for the next check might not see it
            raise InputError(self._refused)
        (image,) = self._batches(images[:1], 1)

        def forward(batch: torch.Tensor) -> tuple[Any, dict[str, list[Any]]]:
            if self._followed is None and can_watch(self.module):
                with watching(self.module, self.layers) as self._followed:
                    answer, outputs = self._evaluate(batch, self.layers)
            else:
                answer, outputs = self._evaluate(batch, self.layers)
            if getattr(answer, "ndim", 0) > 2 and answer.shape[1:].numel() == answer.shape[1] == len(self.task.classes):
                self.module, answer = with_readout(self.module, None, "squeeze"), answer.flatten(1)
            return answer, outputs

        def in_float64() -> Forward:
            precise = self.with_module(copied(self.module).double())
            return lambda batch: precise._evaluate(batch, self.layers)

        alone = getattr(self.module, "images_at_once", 2) < 2
        try:
            check(forward, image, len(self.task.classes), alone, has_generator(self.module), in_float64)
        except RandomError as error:
            self._refused = str(error)
            raise
        self._checked = True

    def nonlinearity_after(self, layer: str) -> str:
        """Return the non-linearity that follows a layer, so that its activations are taken before it; empty if none does.

        Parameters
        ----------
        layer : str
            One of ``layers``.

        Returns
        -------
        str
            The function that is applied to the layer's output, as ``"relu"``, seen when the network was checked. Of a network
            that was never evaluated it is the non-linear module that is defined after the layer.

        Raises
        ------
        UnknownNameError
            For a layer that the network does not have.
        """
        self._check_layer(layer)
        return defined_after(self.module, layer) if self._followed is None else self._followed.get(layer, "")

    def with_module(self: N, module: nn.Module) -> N:
        """Return this network around a changed copy of its module: the same layers, task, origin and meanings.

        Parameters
        ----------
        module : torch.nn.Module
            A copy of ``network.module`` with other weights or in another dtype. It is not checked.
        """
        network = copy.copy(self)
        network.module = module.eval()
        return network

    def activations(
        self, images: Any, layers: Sequence[str] | str | None = None, batch_size: int = 256
    ) -> dict[str, torch.Tensor]:
        """Return the activations of layers on images.

        Parameters
        ----------
        images : Tensor or array, float32 or float64, shape (N, C, m, n), in [0, 1]
        layers : sequence of str, optional
            By default all of them.
        batch_size : int
            Images at a time, fewer if they are large. It bounds the memory, and changes the numbers by no more than rounding.

        Returns
        -------
        dict of str to Tensor
            Layer to activations (N, …), on the CPU.

        Raises
        ------
        UnknownNameError
            For a layer that the network does not have.
        InputError
            For bad images, a batch size below 1, or a layer that the module does not call on these images.
        """
        import torch

        chosen = self.layers if layers is None else (layers,) if isinstance(layers, str) else tuple(dict.fromkeys(layers))
        for layer in chosen:
            self._check_layer(layer)
        self.check(images)
        outputs = [self._forward(batch, chosen) for batch in self._batches(images, batch_size)]
        return {layer: torch.cat([batch[layer] for batch in outputs]) for layer in chosen}

    def logits(self, images: Any, batch_size: int = 256) -> torch.Tensor:
        """Return the module's output on images, shape (N, L); see `activations`."""
        import torch

        self.check(images)
        with evaluation_mode(self.module), torch.no_grad():
            return torch.cat([widened(self.module(batch).cpu()) for batch in self._batches(images, batch_size)])

    def with_activations(self, layer: str, output: Any, activations: torch.Tensor) -> Any:
        """Return the output of a layer's module with its activations replaced, for a hook that intervenes.

        Parameters
        ----------
        layer : str
        output : object
            What the module gave: a tensor, or a tuple or dict with the part that ``parts`` names.
        activations : Tensor, shape (K, …)

        Raises
        ------
        InputError
            If the part is given by a function.
        """
        if layer not in self.parts:
            return activations
        try:
            return with_part(output, self.parts[layer], activations)
        except InputError as error:
            raise InputError(f"parts {layer!r}: {error}") from None

    def neurons(self, layer: str) -> pd.DataFrame | None:
        """Return what each neuron of a layer means.

        Parameters
        ----------
        layer : str
            One of ``layers``.

        Returns
        -------
        DataFrame or None
            One row for each neuron, in the order of the flattened layer; for hidden neurons of the constructions the columns
            ``tile`` (index into ``task.tiles``), ``class`` (name), ``row`` and ``col``. None where the meaning is not
            known, as in every trained network.

        Raises
        ------
        UnknownNameError
            For a layer that the network does not have.
        """
        self._check_layer(layer)
        if layer not in self.meanings:
            return None
        import pandas as pd

        meaning = self.meanings[layer]
        columns = dict(meaning() if callable(meaning) else meaning)
        _check_lengths(layer, columns)
        return pd.DataFrame(columns).rename_axis("neuron")

    def directions(self, layer: str) -> Directions | None:
        """Return the direction of each feature in a layer, where directions and not single neurons stand for features.

        Parameters
        ----------
        layer : str
            One of ``layers``.

        Returns
        -------
        Directions or None
            Those of layer ``mixed`` of `superposed`, for example. Of a layer with `neurons`, whose every neuron stands for
            something of its own, the identity. None where nothing is known, as in every trained network.

        Raises
        ------
        UnknownNameError
            For a layer that the network does not have.
        """
        self._check_layer(layer)
        if layer in self.known_directions:
            known = self.known_directions[layer]
            return known if isinstance(known, Directions) else known()
        table = self.neurons(layer)
        return None if table is None else one_a_neuron(table)

    def _check_layer(self, layer: str) -> None:
        if layer not in self.layers:
            raise UnknownNameError(f"layer {layer!r}: {self!r} has none{did_you_mean(layer, self.layers)}")

    def _batches(self, images: Any, batch_size: int) -> Iterator[torch.Tensor]:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size: expected a whole number of at least 1, got {batch_size!r}")
        images = check_images(images, self.task.image_shape)
        at_once = max(1, _PIXELS // images.shape[1:].numel())
        batch_size = min(batch_size, at_once, getattr(self.module, "images_at_once", batch_size))
        weight = next((p for p in self.module.parameters() if p.is_floating_point()), None)
        # A constructed network has buffers or nothing; it computes in its images' dtype, a trained one in its weights'.
        device = next((t.device for t in (*self.module.parameters(), *self.module.buffers())), images.device)
        dtype = images.dtype if weight is None else weight.dtype
        for start in range(0, max(len(images), 1), batch_size):
            yield images[start : start + batch_size].detach().to(device, dtype)

    def _forward(self, batch: torch.Tensor, layers: Sequence[str]) -> dict[str, torch.Tensor]:
        _, outputs = self._evaluate(batch, layers)
        for layer, given in outputs.items():
            if len(given) != 1:
                times = "did not use it" if not given else f"used it {len(given)} times"
                raise InputError(f"layer {layer!r}: the module {times} on these images")
        return {layer: widened(given[0]) for layer, given in outputs.items()}

    def _evaluate(self, batch: torch.Tensor, layers: Sequence[str]) -> tuple[Any, dict[str, list[Any]]]:
        """Return the module's answer and the outputs of layers, one for each use."""
        import torch

        outputs: dict[str, list[Any]] = {layer: [] for layer in layers}
        modules = dict(self.module.named_modules(remove_duplicate=False))

        def keep(layer: str) -> Any:
            def hook(_module: Any, _inputs: Any, output: Any) -> None:
                output = self.part(layer, output)
                # A copy: a later in-place ReLU would write into the output itself.
                is_tensor = isinstance(output, torch.Tensor)
                outputs[layer].append(output.detach().to("cpu", copy=True) if is_tensor else output)

            return hook

        handles = [modules[layer].register_forward_hook(keep(layer)) for layer in layers]
        try:
            with evaluation_mode(self.module), torch.no_grad():
                answer = self.module(batch)
        finally:
            for handle in handles:
                handle.remove()
        return answer, outputs

    def part(self, layer: str, output: Any) -> Any:
        """Return the part of a module's output that the activations of a layer are."""
        if layer not in self.parts:
            return output
        try:
            return part_of(output, self.parts[layer])
        except InputError as error:
            raise InputError(f"parts {layer!r}: {error}") from None


def _check_lengths(layer: str, columns: Mapping[str, Any]) -> None:
    if len({len(column) for column in columns.values()}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise InputError(f"meanings {layer!r}: the columns differ in length: {lengths}")


def flat(activations: torch.Tensor) -> NDArray[Any]:
    """Return activations (N, …) as an array (N, neurons)."""
    return activations.reshape(len(activations), activations.shape[1:].numel()).numpy()
