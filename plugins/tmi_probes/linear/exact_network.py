"""A network's exact pieces: evaluated in float64, with the linear form that holds around an image. The network is not touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.errors import InputError
from tmi_attribution.common import recording

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

BIAS = "bias"
"""How the names of weights begin that are added, whatever the image."""

_ELEMENTS = 4_000_000  # numbers of all ReLUs held at a time
_CACHED = 1_000_000  # numbers of the widest ReLU computed at a time


@dataclass(frozen=True)
class Form:
    """The linear form of all logits around one image: f(x) = W x + b.

    Attributes
    ----------
    weight : ndarray of float64, shape (L, C, m, n)
    bias, logits : ndarray of float64, shape (L,)
        ``logits`` is f(x) as the network computes it; ``bias`` is found without it.
    """

    weight: Array
    bias: Array
    logits: Array

    def error(self, image: Array) -> float:
        """Return max |W x + b − f(x)| over the logits, relative to the largest |f(x)|, or if all are 0 to |W x| and |b|."""
        linear = self.weight.reshape(len(self.bias), -1) @ image.ravel()
        scale = np.abs(self.logits).max() or max(np.abs(linear).max(), np.abs(self.bias).max()) or 1.0
        return float(np.abs(linear + self.bias - self.logits).max() / scale)


def in_float64(scenes: tmi.Scenes) -> tmi.Scenes:
    """Return the scenes rendered in float64, so that a pasted tile has its exact values."""
    return scenes.with_backgrounds(scenes.backgrounds.double())


class Exact:
    """A network evaluated in float64, gradients and ReLUs at hand.

    Parameters
    ----------
    network : Network
        Trained weights are read as float64. A constructed network computes in its images' dtype anyway.

    Attributes
    ----------
    by_formula : bool
        Whether it is a constructed network in one piece, whose biases are in no weight.
    """

    def __init__(self, network: tmi.Network) -> None:
        self.network, self.task = network, network.task
        module = network.module
        found = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        found = {name: values for name, values in found.items() if values.is_floating_point()}
        weight = next((p for p in module.parameters() if p.is_floating_point()), None)
        self._device = None if weight is None else weight.device
        self._dtype = None if weight is None else weight.dtype
        with recording():
            self._biases = {n: v.detach().clone() for n, v in found.items() if n.rpartition(".")[2].startswith(BIAS)}
            self._weights = {n: v.detach() for n, v in found.items() if n not in self._biases}
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
        """Return images in the dtype and on the device in which the network itself takes them."""
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
            Fleuret 2019): what the logits would be at 0 with every ReLU held as it is.

        Raises
        ------
        InputError
            If the logits do not depend differentiably on the image.
        """
        import torch

        with recording(), self._evaluating():
            x = self._given(image).requires_grad_(True)
            logits = self._call(x)[0]
            if not logits.requires_grad:
                raise InputError("network: its logits do not depend differentiably on the image, so that there is no linear form")
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
            return np.concatenate([self._call(self._given(part)).cpu().numpy() for part in _parts(images, step)])

    def relus(self, image: torch.Tensor) -> list[str]:
        """Name the ReLU modules in the order in which they are used on an image (1, C, m, n), each use once."""
        return [name for name, _ in self._inputs(image)]

    def before_relu(self, images: torch.Tensor, use: int) -> Array:
        """Return what goes into one ReLU, shape (N, neurons).

        Parameters
        ----------
        images : Tensor of float64, shape (N, C, m, n)
        use : int
            Which, counted as in `relus`.
        """
        step = self._step(images)
        return np.concatenate([self._inputs(part, use)[0][1] for part in _parts(images, step)])

    def patterns(self, images: torch.Tensor) -> Iterator[tuple[slice, list[NDArray[np.bool_]]]]:
        """Yield, a few images at a time, which neurons are above 0 in front of each ReLU: (N, neurons) each."""
        step = self._step(images)
        sizes = [values.shape[1] for _, values in self._inputs(images[:1])]
        step = max(1, min(step, _ELEMENTS // max(1, sum(sizes))))
        for start in range(0, len(images), step):
            rows = slice(start, start + step)
            yield rows, [values > 0 for _, values in self._inputs(images[rows])]

    def _inputs(self, images: torch.Tensor, use: int | None = None) -> list[tuple[str, Array]]:
        """What goes into each ReLU, or into one of them, on a batch."""
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

        found = {name: part for name, part in self.network.module.named_modules() if isinstance(part, nn.ReLU)}
        handles = [part.register_forward_pre_hook(keep(name)) for name, part in found.items()]
        try:
            with torch.inference_mode(False), torch.no_grad(), self._evaluating():
                self._call(self._given(images))
        finally:
            for handle in handles:
                handle.remove()
        return seen

    def _step(self, images: torch.Tensor) -> int:
        if self._width is None:
            self._width = max([images[0].numel(), *(values.shape[1] for _, values in self._inputs(images[:1]))])
        # More at a time leave the processor's cache and take twice as long.
        return max(1, min(256, getattr(self.network.module, "images_at_once", 256), _CACHED // self._width))

    def _given(self, images: torch.Tensor) -> torch.Tensor:
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
        """Take the mean of each batch normalisation into its bias, for it shifts values too."""
        from torch.nn.modules.batchnorm import _BatchNorm

        for name, part in self.network.module.named_modules():
            bias, mean = f"{name}.bias", f"{name}.running_mean"
            if isinstance(part, _BatchNorm) and bias in self._biases and mean in self._weights:
                scale = self._weights[f"{name}.weight"] / (self._weights[f"{name}.running_var"] + part.eps).sqrt()
                self._biases[bias] = self._biases[bias] - scale * self._weights[mean]
                self._weights[mean] = self._weights[mean] * 0

    def _bias_by_formula(self, image: torch.Tensor) -> Array:
        """Σ over active windows of ε − Σ_S s·c, s being the slope ±1 that the network itself has at a pixel, on value c.

        Where the slope is 0 the pixel counts as it stands, −|y − c|: at y = 0, and in patches of Theorem 2 that match exactly.
        """
        import torch

        tiles = self.task.tiles
        bias = np.zeros(len(self.task.classes))
        found = tmi.match(image, tiles)
        hidden = _window_layer(self.network)
        kept: list[torch.Tensor] = []
        handle = self.network.module.get_submodule(hidden).register_forward_hook(lambda _m, _x, output: kept.append(output))
        try:
            with recording(), self._evaluating():
                x = self._given(image).requires_grad_(True)
                self._call(x)
                neurons = window_numbers(self.task, found.tile.numpy(), found.row.numpy(), found.col.numpy())
                places = zip(neurons, found.tile.tolist(), found.row.tolist(), found.col.tolist(), strict=True)
                for number, tile, row, col in places:
                    (gradient,) = torch.autograd.grad(kept[0].reshape(-1)[number], x, retain_graph=True)
                    one = tiles[tile]
                    place = np.s_[0, :, row : row + one.shape[1], col : col + one.shape[2]]
                    slope, y = gradient.cpu().numpy()[place][one.support], image.numpy()[place][one.support]
                    c = one.values[one.support]
                    flat = np.where((y == 0) | (y == c), np.abs(y - c), 0)
                    bias[self.task.tile_class[tile]] += one.epsilon - np.where(slope != 0, slope * c, flat).sum()
        finally:
            handle.remove()
        return bias


def _parts(images: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    for start in range(0, len(images), size):
        yield images[start : start + size]


def window_numbers(
    task: tmi.TemplateTask, tile: NDArray[np.int64], row: NDArray[np.int64], col: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the numbers of windows in the order (tile, row, col), which is that of the constructed networks' hidden neurons."""
    windows = np.array(task.windows)
    size = windows.prod(1)
    numbers: NDArray[np.int64] = (np.cumsum(size) - size)[tile] + row * windows[tile, 1] + col
    return numbers


def _window_layer(network: tmi.Network) -> str:
    """The layer with one neuron a window."""
    for layer in network.layers[:-1]:
        table = network.neurons(layer)
        if (
            table is not None
            and {"tile", "row", "col"} <= set(table)
            and len(table) == np.array(network.task.windows).prod(1).sum()
        ):
            return layer
    raise InputError("network: constructed without biases, and no layer has one neuron for each window")


def cosine(one: Array, other: Array) -> Array:
    """Return the cosine of rows, (N, …) and (N, …) give (N,); NaN where a row is 0."""
    a, b = one.reshape(len(one), -1), other.reshape(len(other), -1)
    size = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    result: Array = np.full(len(a), np.nan)
    np.divide((a * b).sum(1), size, out=result, where=size > 0)
    return np.clip(result, -1, 1)


def mean_cosine(vectors: Array, groups: Sequence[int] | NDArray[Any], *, same: bool = True) -> float:
    """Return the mean cosine over pairs of rows of the same group, or of different groups; NaN where there is no pair.

    Parameters
    ----------
    vectors : ndarray, shape (N, …)
        Rows that are 0 are left out.
    groups : sequence of int, shape (N,)
    same : bool
    """
    flat = vectors.reshape(len(vectors), -1)
    size = np.linalg.norm(flat, axis=1)
    unit, group = flat[size > 0] / size[size > 0, None], np.asarray(groups)[size > 0]
    within = between = 0.0
    pairs = 0
    for one in np.unique(group):
        rows = unit[group == one]
        # Σ_{i<j} cos = (‖Σ u‖² − n)/2
        within += float((np.square(rows.sum(0)).sum() - len(rows)) / 2)
        pairs += len(rows) * (len(rows) - 1) // 2
    if not same:
        every = len(unit) * (len(unit) - 1) // 2
        between = float((np.square(unit.sum(0)).sum() - len(unit)) / 2) - within if len(unit) else 0.0
        within, pairs = between, every - pairs
    return float(np.clip(within / pairs, -1, 1)) if pairs else float("nan")
