"""A network under study: a torch module, its named layers, and what each neuron means where that is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, UnknownNameError, did_you_mean
from .images import check_images

if TYPE_CHECKING:
    import os

    import pandas as pd
    import torch
    from torch import nn

    from .explain import Explanation
    from .tiles import TemplateTask

Origin = Literal["constructed", "trained", "imported"]


class Network:
    """A module with named layers; every probe sees a network only through this.

    Parameters
    ----------
    module : torch.nn.Module
        Images (N, C, m, n) to logits (N, L). If it has an attribute ``images_at_once``, it is given no more images than that.
    layers : sequence of str
        Names of submodules, first to last; the last one gives the logits. The activations of a layer are its submodule's output,
        after the non-linearity where the submodule contains one.
    origin : {"constructed", "trained", "imported"}
        How its weights came about.
    task : TemplateTask
        What it classifies.
    meanings : mapping of str to (mapping of str to sequence, or callable that returns one), optional
        For a layer whose neurons are understood, columns as long as the flattened layer: which tile, class, row, col, … each
        neuron stands for. A callable is called when they are asked for: a layer may have millions of neurons.
    history : mapping of str to array_like, optional
        What was recorded in training, by epoch: ``loss``, …
    name : str
        The registered name of its builder; filled in by `tmi.build`.
    seed : int or None
    params : mapping
        The builder's settings, defaults included; filled in by `tmi.build`.

    Raises
    ------
    InputError
        If there is no layer, the origin is unknown, or the columns of a layer's meanings differ in length.
    UnknownNameError
        If the module has no submodule of a layer's name, or meanings are given for what is not a layer.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: Sequence[str],
        origin: Origin,
        *,
        task: TemplateTask,
        meanings: Mapping[str, Mapping[str, Any] | Callable[[], Mapping[str, Any]]] | None = None,
        history: Mapping[str, Any] | None = None,
        name: str = "",
        seed: int | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        if not hasattr(module, "named_modules"):
            raise InputError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
        self.module = module.eval()
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)
        self.task = task
        self.name, self.seed, self.params = name, seed, dict(params or {})
        if origin not in ("constructed", "trained", "imported"):
            raise InputError(f'origin: expected "constructed", "trained" or "imported", got {origin!r}')
        self.origin: Origin = origin
        if not self.layers:
            raise InputError("layers: needs at least one; the last one gives the logits")
        known = dict(module.named_modules())
        for layer in self.layers:
            if layer not in known or not layer:
                raise UnknownNameError(f"layer {layer!r}: the module has none{did_you_mean(layer, filter(None, known))}")
        for layer, columns in (meanings or {}).items():
            if layer not in self.layers:
                raise UnknownNameError(f"meanings {layer!r}: not among the layers{did_you_mean(layer, self.layers)}")
            if not callable(columns):
                _check_lengths(layer, columns)
        self.meanings = {layer: columns if callable(columns) else dict(columns) for layer, columns in (meanings or {}).items()}
        self.history = {name: np.asarray(values, float) for name, values in (history or {}).items()}

    def __repr__(self) -> str:
        return f"Network({self.name or type(self.module).__name__}, {self.origin}, layers: {', '.join(self.layers)})"

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
            Images at a time; it bounds the memory and does not change the numbers beyond rounding.

        Returns
        -------
        dict of str to Tensor
            Layer to activations (N, …), on the CPU.

        Raises
        ------
        UnknownNameError
            For a layer that the network does not have.
        InputError
            For bad images, or a batch size below 1.
        """
        wanted = self.layers if layers is None else (layers,) if isinstance(layers, str) else tuple(dict.fromkeys(layers))
        for layer in wanted:
            self._check_layer(layer)
        parts: dict[str, list[torch.Tensor]] = {layer: [] for layer in wanted}
        for batch in self._batches(images, batch_size):
            seen = self._forward(batch, wanted)
            for layer in wanted:
                parts[layer].append(seen[layer])
        import torch

        return {layer: torch.cat(found) for layer, found in parts.items()}

    def logits(self, images: Any, batch_size: int = 256) -> torch.Tensor:
        """Return the module's output on images, shape (N, L); see `activations`."""
        import torch

        with self._evaluating(), torch.no_grad():
            return torch.cat([self.module(batch).cpu() for batch in self._batches(images, batch_size)])

    def neurons(self, layer: str) -> pd.DataFrame | None:
        """Return what each neuron of a layer means.

        Parameters
        ----------
        layer : str

        Returns
        -------
        DataFrame or None
            One row a neuron, in the order of the flattened layer; for hidden neurons of the constructions the columns ``tile``
            (index into ``task.tiles``), ``class`` (name), ``row`` and ``col``. None where the meaning is not known, as in every
            trained network.

        Raises
        ------
        UnknownNameError
            For a layer that the network does not have.
        """
        self._check_layer(layer)
        if layer not in self.meanings:
            return None
        import pandas as pd

        given = self.meanings[layer]
        columns = dict(given() if callable(given) else given)
        _check_lengths(layer, columns)
        return pd.DataFrame(columns).rename_axis("neuron")

    def explain(self, image: Any, layers: Sequence[str] | str | None = None) -> Explanation:
        """Say which neurons fired on an image, and what each stands for.

        Parameters
        ----------
        image : Tensor or array, float32 or float64, shape (C, m, n) or (1, C, m, n), in [0, 1]
        layers : sequence of str, optional
            Layers whose neurons are understood; by default those whose neurons stand for a tile at a place.

        Returns
        -------
        Explanation
            Print it, look at it in a notebook, or draw it with its method ``figure``.

        Raises
        ------
        InputError
            For a bad image, or a network of which it is not known what its neurons stand for, as a trained one.
        UnknownNameError
            For a layer whose neurons are not understood.
        """
        from .explain import explain

        return explain(self, image, layers)

    def certificate(self, images: Any, labels: Any = None) -> torch.Tensor:
        """Return how far each image may change before a constructed network's answer can.

        With z = ε − t of all windows, the radius is the smaller of the greatest z among the label's neurons and the least −z
        among those of other classes. An image whose pixels change by less than that in sum (L1) keeps its label's logit above 0
        and every other logit at exactly 0.

        Parameters
        ----------
        images : Tensor or array, float32 or float64, shape (N, C, m, n), in [0, 1]
        labels : sequence of int, optional
            The right class of each image; by default the one that it shows.

        Returns
        -------
        Tensor of float64, shape (N,)
            0 where nothing is certified: the image shows no class or several, or another than its label. Correct to float64
            rounding; a literal network in float32 errs by more, see `tmi.rounding`.

        Raises
        ------
        InputError
            For bad images or labels, and for a network that is not constructed or does not compute φ of its task: of those
            nothing is known that could be certified.
        """
        from .certificate import certificate

        return certificate(self, images, labels)

    def export(
        self, path: str | os.PathLike[str], *, format: str | None = None, dtype: str | None = None, opset: int | None = None
    ) -> None:
        """Write the network as a program that needs no tmi: images (N, C, m, n) in, logits (N, L) out, for any N.

        A constructed network is written as the formula that it computes, in standard operations with sums in float64, whether it
        is literal or fused; any other is written layer by layer. The program does not check its images. ONNX files hold the names
        of the classes as the metadata ``classes``, torch's as the extra file ``classes.json``.

        Parameters
        ----------
        path : path
            Ending in ``.onnx`` or ``.pt2``.
        format : {"onnx", "torch"}, optional
            ONNX, or an exported program of ``torch.export``; by default told from the path. ONNX needs the extra ``export``.
        dtype : {"float32", "float64"}, optional
            Of the images and logits; by default that of the network's weights, float32 where it has none.
        opset : int, optional
            Version of ONNX's operators, 18 to 23; by default torch's.

        Raises
        ------
        InputError
            For an unknown format, dtype or opset, a package that is missing, a place that cannot be written, or a module that
            torch cannot trace.
        """
        from .export import export

        export(self, path, format=format, dtype=dtype, opset=opset)

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as plain arrays by name, in the format safetensors; needs the extra ``export``.

        Raises
        ------
        InputError
            If the network has no weights, as the fused one of Theorem 1, safetensors is missing, or the place cannot be written.
        """
        from .export import save_weights

        save_weights(self, path)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Read weights that `save_weights` wrote into this network.

        Raises
        ------
        DataFileError
            If the file is missing, damaged, or of another format.
        InputError
            If names, shapes, dtypes or classes are not this network's, a weight is not finite, or the network is constructed and
            the weights differ from its own: it would no longer be the network of its task.
        """
        from .export import load_weights

        load_weights(self, path)

    def _check_layer(self, layer: str) -> None:
        if layer not in self.layers:
            raise UnknownNameError(f"layer {layer!r}: {self!r} has none{did_you_mean(layer, self.layers)}")

    def _batches(self, images: Any, batch_size: int) -> Iterator[torch.Tensor]:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InputError(f"batch_size: expected a whole number of at least 1, got {batch_size!r}")
        images = check_images(images, self.task.image_shape)
        batch_size = min(batch_size, getattr(self.module, "images_at_once", batch_size))
        weight = next((p for p in self.module.parameters() if p.is_floating_point()), None)
        for start in range(0, max(len(images), 1), batch_size):
            batch = images[start : start + batch_size].detach()
            # A constructed network computes in its images' dtype, a trained one in its weights'.
            yield batch if weight is None else batch.to(weight.device, weight.dtype)

    def _forward(self, batch: torch.Tensor, layers: Sequence[str]) -> dict[str, torch.Tensor]:
        import torch

        seen: dict[str, torch.Tensor] = {}
        modules = dict(self.module.named_modules())

        def keep(layer: str) -> Any:
            # A copy: a later in-place ReLU would write into what was seen.
            return lambda _module, _inputs, output: seen.__setitem__(layer, output.detach().to("cpu", copy=True))

        handles = [modules[layer].register_forward_hook(keep(layer)) for layer in layers]
        try:
            with self._evaluating(), torch.no_grad():
                self.module(batch)
        finally:
            for handle in handles:
                handle.remove()
        for layer in layers:
            if layer not in seen:
                raise InputError(f"layer {layer!r}: the module did not use it on these images")
        return seen

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Hold evaluation mode inside the block; every submodule's own mode is put back after it."""
        modes = [(module, module.training) for module in self.module.modules()]
        self.module.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode


def _check_lengths(layer: str, columns: Mapping[str, Any]) -> None:
    if len({len(column) for column in columns.values()}) > 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise InputError(f"meanings {layer!r}: the columns differ in length: {lengths}")


def flat(activations: torch.Tensor) -> NDArray[Any]:
    """Return activations (N, …) as an array (N, neurons)."""
    return activations.reshape(len(activations), activations.shape[1:].numel()).numpy()
