"""A network in float64, with the linear form that holds around an image; the network itself is left unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.errors import InputError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

BIAS = "bias"
"""Parameters whose names begin like this are added, independently of the image."""

_HELD = 4_000_000  # numbers of all ReLUs held at a time
_CACHED = 1_000_000  # numbers of the widest ReLU computed at a time


class NoGradientError(InputError):
    """The logits of a network do not depend differentiably on the image."""


@contextmanager
def _gradients() -> Iterator[None]:
    """Record gradients inside the block, even where the caller has switched that off."""
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        yield


@dataclass(frozen=True)
class Form:
    """The linear form of all logits around one image: f(x) = W x + b.

    Attributes
    ----------
    weight : ndarray of float64, shape (L, C, m, n)
    bias, logits : ndarray of float64, shape (L,)
        ``logits`` is f(x) as the network computes it; ``bias`` is computed without it.
    """

    weight: Array
    bias: Array
    logits: Array

    def error(self, image: Array) -> float:
        """Return max |W x + b − f(x)| over the logits, relative to the largest |f(x)|; if all are 0, to |W x| and |b|."""
        linear = self.weight.reshape(len(self.bias), -1) @ image.ravel()
        scale = np.abs(self.logits).max() or max(np.abs(linear).max(), np.abs(self.bias).max()) or 1.0
        return float(np.abs(linear + self.bias - self.logits).max() / scale)


class ExactNetwork:
    """A network evaluated in float64, with access to its gradients and to the inputs of its ReLUs.

    Parameters
    ----------
    network : Network
        Trained weights are read as float64; a constructed network computes in its images' dtype.

    Attributes
    ----------
    by_formula : bool
        Whether it is a fused constructed network, which has no bias parameters.
    """

    def __init__(self, network: tmi.Network) -> None:
        self.network, self.task = network, network.task
        module = network.module
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        tensors = {name: values for name, values in tensors.items() if values.is_floating_point()}
        weight = next((p for p in module.parameters() if p.is_floating_point()), None)
        self._device = None if weight is None else weight.device
        self._dtype = None if weight is None else weight.dtype
        with _gradients():
            self._biases = {n: v.detach().clone() for n, v in tensors.items() if n.rpartition(".")[2].startswith(BIAS)}
            self._weights = {n: v.detach() for n, v in tensors.items() if n not in self._biases}
            if weight is None:
                self._weights = {}
            else:
                self._weights = {n: v.double() for n, v in self._weights.items()}
                self._biases = {n: v.double() for n, v in self._biases.items()}
            self._fold_means()
            for values in self._biases.values():
                values.requires_grad_(True)
        self._width: int | None = None
        self.by_formula = network.origin == "constructed" and not self._biases

    def as_weights(self, images: torch.Tensor) -> torch.Tensor:
        """Return images in the dtype and on the device of the network's own weights."""
        return images if self._dtype is None else images.to(self._device, self._dtype)

    def form(self, image: torch.Tensor) -> Form:
        """Return the linear form around an image, by one backward pass a logit.

        Parameters
        ----------
        image : Tensor of float64, shape (1, C, m, n)

        Returns
        -------
        Form
            W is the gradient of the logits with respect to the image, b the sum of gradient · bias over all biases (Srinivas and
            Fleuret 2019): the logits at x = 0 with every ReLU held in its present state.

        Raises
        ------
        NoGradientError
            If the logits do not depend differentiably on the image.
        """
        import torch

        with _gradients(), self._evaluating():
            x = self._copied(image).requires_grad_(True)
            logits = self._call(x)[0]
            if not logits.requires_grad:
                raise NoGradientError("the logits do not depend differentiably on the image, so that there is no linear form")
            biases = list(self._biases.values())
            weight, bias = [], []
            for number, logit in enumerate(logits):
                last = number == len(logits) - 1
                first, *others = torch.autograd.grad(logit, [x, *biases], retain_graph=not last, allow_unused=True)
                weight.append(torch.zeros_like(x) if first is None else first)
                shares = [(g * b).sum() for g, b in zip(others, biases, strict=True) if g is not None]
                bias.append(float(torch.stack(shares).detach().sum()) if shares else 0.0)
            weights = torch.cat(weight).cpu().numpy()
            values = logits.detach().cpu().numpy()
        return Form(weights, self._bias_by_formula(image) if self.by_formula else np.array(bias), values)

    def logits(self, images: torch.Tensor) -> Array:
        """Return the logits on float64 images (N, C, m, n), shape (N, L)."""
        import torch

        with torch.inference_mode(False), torch.no_grad(), self._evaluating():
            step = self._step(images)
            return np.concatenate([self._call(self._copied(part)).cpu().numpy() for part in _parts(images, step)])

    def relus(self, image: torch.Tensor) -> list[str]:
        """Return the names of the ReLU modules in the order of their use on an image (1, C, m, n), one name a use."""
        return [name for name, _ in self._inputs(image)]

    def before_relu(self, images: torch.Tensor, use: int) -> Array:
        """Return the inputs of one ReLU, shape (N, neurons).

        Parameters
        ----------
        images : Tensor of float64, shape (N, C, m, n)
        use : int
            Which use of a ReLU, counted as in `relus`.
        """
        step = self._step(images)
        return np.concatenate([self._inputs(part, use)[0][1] for part in _parts(images, step)])

    def patterns(self, images: torch.Tensor) -> Iterator[tuple[slice, list[NDArray[np.bool_]]]]:
        """Yield, a few images at a time, which inputs of each ReLU are above 0: one (N, neurons) for each use of a ReLU."""
        step = self._step(images)
        sizes = [values.shape[1] for _, values in self._inputs(images[:1])]
        step = max(1, min(step, _HELD // max(1, sum(sizes))))
        for start in range(0, len(images), step):
            rows = slice(start, start + step)
            yield rows, [values > 0 for _, values in self._inputs(images[rows])]

    def _inputs(self, images: torch.Tensor, use: int | None = None) -> list[tuple[str, Array]]:
        """Return the inputs of each ReLU, or of one use of one, on a batch."""
        import torch
        from torch import nn

        seen: list[tuple[str, Array]] = []
        calls = -1

        def keep(name: str) -> Any:
            def hook(_module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
                nonlocal calls
                calls += 1
                if use is None or use == calls:
                    seen.append((name, inputs[0].detach().reshape(len(inputs[0]), -1).cpu().numpy().copy()))

            return hook

        relus = {name: part for name, part in self.network.module.named_modules() if isinstance(part, nn.ReLU)}
        handles = [part.register_forward_pre_hook(keep(name)) for name, part in relus.items()]
        try:
            with torch.inference_mode(False), torch.no_grad(), self._evaluating():
                self._call(self._copied(images))
        finally:
            for handle in handles:
                handle.remove()
        return seen

    def _step(self, images: torch.Tensor) -> int:
        if self._width is None:
            self._width = max([images[0].numel(), *(values.shape[1] for _, values in self._inputs(images[:1]))])
        # Larger batches leave the processor's cache and take twice as long.
        return max(1, min(256, getattr(self.network.module, "images_at_once", 256), _CACHED // self._width))

    def _copied(self, images: torch.Tensor) -> torch.Tensor:
        return images.detach().clone().to(self._device) if self._device is not None else images.detach().clone()

    def _call(self, images: torch.Tensor) -> torch.Tensor:
        from torch.func import functional_call

        logits: torch.Tensor = functional_call(self.network.module, {**self._weights, **self._biases}, (images,))
        return logits

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        modes = [(part, part.training) for part in self.network.module.modules()]
        self.network.module.eval()
        try:
            yield
        finally:
            for part, mode in modes:
                part.training = mode

    def _fold_means(self) -> None:
        """Fold the mean of each batch normalisation into its bias, for it shifts values too."""
        from torch.nn.modules.batchnorm import _BatchNorm

        for name, part in self.network.module.named_modules():
            bias, mean = f"{name}.bias", f"{name}.running_mean"
            if isinstance(part, _BatchNorm) and bias in self._biases and mean in self._weights:
                scale = self._weights[f"{name}.weight"] / (self._weights[f"{name}.running_var"] + part.eps).sqrt()
                self._biases[bias] = self._biases[bias] - scale * self._weights[mean]
                self._weights[mean] = self._weights[mean] * 0

    def _bias_by_formula(self, image: torch.Tensor) -> Array:
        """Return Σ over active windows of ε − Σ_S s·c, s being the slope ±1 that the network has at a pixel of tile value c.

        Where the slope is 0, at y = 0 and in patches of Theorem 2 that match exactly, the pixel contributes −|y − c| itself.
        """
        import torch

        tiles = self.task.tiles
        bias = np.zeros(len(self.task.classes))
        matches = tmi.match(image, tiles)
        hidden = _window_layer(self.network)
        kept: list[torch.Tensor] = []
        handle = self.network.module.get_submodule(hidden).register_forward_hook(lambda _m, _x, output: kept.append(output))
        try:
            with _gradients(), self._evaluating():
                x = self._copied(image).requires_grad_(True)
                self._call(x)
                neurons = window_numbers(self.task, matches.tile.numpy(), matches.row.numpy(), matches.col.numpy())
                places = zip(neurons, matches.tile.tolist(), matches.row.tolist(), matches.col.tolist(), strict=True)
                for number, tile, row, col in places:
                    (gradient,) = torch.autograd.grad(kept[0].reshape(-1)[number], x, retain_graph=True)
                    template = tiles[tile]
                    place = np.s_[0, :, row : row + template.shape[1], col : col + template.shape[2]]
                    slope, y = gradient.cpu().numpy()[place][template.support], image.numpy()[place][template.support]
                    c = template.values[template.support]
                    flat = np.where((y == 0) | (y == c), np.abs(y - c), 0)
                    bias[self.task.tile_class[tile]] += template.epsilon - np.where(slope != 0, slope * c, flat).sum()
        finally:
            handle.remove()
        return bias


def _parts(images: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    for start in range(0, len(images), size):
        yield images[start : start + size]


def window_numbers(
    task: tmi.TemplateTask, tile: NDArray[np.int64], row: NDArray[np.int64], col: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the numbers of windows in the order (tile, row, col), the order of the constructed networks' hidden neurons."""
    windows = np.array(task.windows)
    size = windows.prod(1)
    numbers: NDArray[np.int64] = (np.cumsum(size) - size)[tile] + row * windows[tile, 1] + col
    return numbers


def _window_layer(network: tmi.Network) -> str:
    """Return the layer with one neuron for each window."""
    for layer in network.layers[:-1]:
        table = network.neurons(layer)
        if (
            table is not None
            and {"tile", "row", "col"} <= set(table)
            and len(table) == np.array(network.task.windows).prod(1).sum()
        ):
            return layer
    raise InputError("network: constructed without biases, and no layer has one neuron for each window")
