"""A network in float64, with the linear form that holds around an image; the network itself is left unchanged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.networks.modes import evaluation_mode

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from .pieces import Recording
    from .switches import State, Use

    Array = NDArray[np.float64]

EXACT = 1e-6
"""Relative error up to which a linear form counts as exact."""

_HELD = 4_000_000  # numbers of all operations held at a time
_CACHED = 1_000_000  # numbers of the widest operation computed at a time


class NoFormError(InputError):
    """A network has no linear form: its logits do not depend differentiably on the image, or it cannot compute in float64."""


@contextmanager
def gradients() -> Iterator[None]:
    """Record gradients inside the block, even where the caller has switched that off."""
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Turn torch's error, such as that for tensors of different dtypes or a missing gradient, into a reason."""
    try:
        yield
    except RuntimeError as error:
        raise NoFormError(f"the network cannot be {what} ({str(error).splitlines()[0].removesuffix('.')})") from error


@dataclass(frozen=True)
class Form:
    """The linear form around one image: f(x) = W x + b.

    Attributes
    ----------
    weight : ndarray of float64, shape (K, C, m, n)
        W of K logits.
    bias, logits : ndarray of float64, shape (L,)
        ``logits`` is f(x) as the network computes it; ``bias`` is computed without it.
    error : float
        Largest |W x + b − f(x)| over all logits, relative to the largest |f(x)|; if all are 0, to |W x| and |b|. The same is
        compared at another image, with f held in the pieces of this one: the larger of both errors.
    """

    weight: Array
    bias: Array
    logits: Array
    error: float


class ExactNetwork:
    """A network evaluated in float64, with access to its gradients and to its piecewise linear operations.

    Parameters
    ----------
    network : Network
        A copy with plain weights in float64 is examined; a constructed network computes in its images' dtype.

    Attributes
    ----------
    is_phi : bool
        Whether it was constructed and its logits are φ of the task.
    by_formula : bool
        Whether it was constructed and compares windows with tiles in one operation, which has no weights.
    module : torch.nn.Module
        What is evaluated.
    """

    def __init__(self, network: tmi.Network) -> None:
        import torch

        from tmi_networks.fused import TileMatch

        network.check(torch.zeros(1, *network.task.image_shape))
        self.network, self.task = network, network.task
        module = network.module
        tensors = [t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()]
        self.device = tensors[0].device if tensors else None
        constructed = network.origin == "constructed"
        self.is_phi = constructed and getattr(module, "computes_phi", True)
        self.by_formula = constructed and (not tensors or any(isinstance(part, TileMatch) for part in module.modules()))
        if constructed and any(p.requires_grad for p in module.parameters()):  # of a weight's gradient nothing is asked
            self.module = _frozen(module)
        else:
            self.module = module if constructed else _frozen(network.plain().module, double=True)
        self._surveyed: tuple[list[Use], str] | None = None
        self._most: int | None = None  # images at a time

    def form(self, image: torch.Tensor, logits: Sequence[int] | None = None) -> Form:
        """Return the linear form around an image, by one backward pass a logit.

        Parameters
        ----------
        image : Tensor of float64, shape (1, C, m, n)
        logits : sequence of int, optional
            The logits whose W is returned, by default all.

        Returns
        -------
        Form
            W is the gradient of the logits with respect to the image, b the logits at x = 0 with every piecewise linear operation
            held in the piece that it has at the image. For a ReLU network b is the sum of gradient · bias over all biases
            (Srinivas and Fleuret 2019), but no bias need be known.

        Raises
        ------
        NoFormError
            If the logits do not depend differentiably on the image, or the module cannot compute in float64.
        """
        import torch

        from .pieces import Recording

        if self.by_formula and not self.is_phi:
            raise NoFormError("the network matches tiles in one operation, and its logits are not φ; build it as layers")
        other = torch.rand(image.shape, dtype=image.dtype, generator=torch.Generator().manual_seed(0))
        recording = Recording()
        with gradients(), evaluation_mode(self.module):
            x = self.copied(image).requires_grad_(True)
            with contextlib.nullcontext() if self.by_formula else recording:
                answer = self.answer(x)[0]
            if not answer.requires_grad:
                raise NoFormError("the logits do not depend differentiably on the image, so that there is no linear form")
            wanted = range(len(answer)) if logits is None else logits
            kept: dict[int, Array] = {}
            products: list[Array] = []
            with _in_words("differentiated"):
                for numbers, weight in _gradient_rows(answer, x):
                    kept |= {n: row for n, row in zip(numbers, weight, strict=True) if n in wanted}
                    flat = weight.reshape(len(numbers), -1)
                    products.append(np.stack([flat @ point.numpy().ravel() for point in (image, other)]))
            linear, values = np.concatenate(products, axis=1), answer.detach().cpu().numpy()
            if self.by_formula:
                bias = self._bias_by_formula(image)
                error = _error(linear[0], bias, values)
            else:
                bias, at_other = (self._held(recording, point) for point in (torch.zeros_like(image), other))
                error = max(_error(linear[0], bias, values), _error(linear[1], bias, at_other))
        return Form(np.stack([kept[number] for number in wanted]), bias, values, error)

    def _held(self, recording: Recording, image: torch.Tensor) -> Array:
        """Return the logits on an image with every operation held in its recorded piece."""
        with recording.held():
            # With a gradient to record, for torch may use other operations without.
            answer = self.answer(self.copied(image).requires_grad_(True))
        values: Array = answer[0].detach().cpu().numpy()
        return values

    def logits(self, images: torch.Tensor) -> Array:
        """Return the logits on float64 images (N, C, m, n), shape (N, L)."""
        import torch

        with torch.inference_mode(False), torch.no_grad(), evaluation_mode(self.module):
            step = self.at_once(images)
            return np.concatenate([self.answer(self.copied(part)).cpu().numpy() for part in _parts(images, step)])

    def uses(self, image: torch.Tensor) -> list[Use]:
        """Return the uses of piecewise linear operations on which the logits depend, in the order of the forward pass.

        Parameters
        ----------
        image : Tensor of float64, shape (1, C, m, n)

        Raises
        ------
        NoFormError
            If the network is not piecewise linear and continuous, naming the operation. That of one which compares windows with
            tiles in one operation is known to be.
        """
        from .switches import survey

        if self._surveyed is None:
            with evaluation_mode(self.module), _in_words("computed in float64, with its gradient"):
                self._surveyed = survey(self.module, self.copied(image[:1]))
        uses, problem = self._surveyed
        if problem and not self.by_formula:
            raise NoFormError(f"the network is not piecewise linear and continuous: {problem}")
        return uses

    def check_pieces(self, image: torch.Tensor) -> list[Use]:
        """Return the uses of piecewise linear operations, as `uses` does, after checking f(x) = W x + b on an image too.

        Parameters
        ----------
        image : Tensor of float64, shape (1, C, m, n)

        Raises
        ------
        NoFormError
            If the network is not continuous and piecewise linear in the image; where known, with the layer.
        """
        uses = self.uses(image)
        error = self.form(image, [0]).error
        if not error <= EXACT:
            problem = self._surveyed[1] if self._surveyed else ""
            raise NoFormError(
                "the network is not piecewise linear: with its operations held in their pieces, W x + b misses f(x) by "
                f"{error:.1g} of the largest logit; {problem or 'a value may be detached, rounded or computed outside torch'}"
            )
        return uses

    def state(self, images: torch.Tensor, use: Use) -> State:
        """Return the state of one use on images.

        Parameters
        ----------
        images : Tensor of float64, shape (N, C, m, n)
        use : Use
            One of `uses`.
        """
        from .switches import State

        parts = [self._states(part, [use])[0] for part in _parts(images, self.at_once(images))]
        selected = None if parts[0].selected is None else np.concatenate([part.selected for part in parts])
        return State(np.concatenate([part.values for part in parts]), selected)

    def states(self, images: torch.Tensor) -> Iterator[tuple[slice, list[State]]]:
        """Yield, a few images at a time, the states of all uses."""
        uses = self.uses(images)
        step = self.at_once(images)
        numbers = sum(state.values.size for state in self._states(images[:1], uses))
        step = max(1, min(step, _HELD // max(1, numbers)))
        for start in range(0, len(images), step):
            rows = slice(start, start + step)
            yield rows, self._states(images[rows], uses)

    def _states(self, images: torch.Tensor, uses: list[Use]) -> list[State]:
        import torch

        from .switches import Watch

        watch = Watch(len(images), {use.number for use in uses})
        with torch.inference_mode(False), torch.no_grad(), evaluation_mode(self.module), watch:
            self.answer(self.copied(images))
        if len(watch.states) != len(uses):
            raise NoFormError("some images pass other operations than others, so that their pieces cannot be compared")
        return watch.states

    def at_once(self, images: torch.Tensor) -> int:
        """Return how many images to take at a time: 1 where the operations of a batch do not keep its images apart."""
        if self._most is None:
            alone = self._states(images[:1], self.uses(images))
            width = max([images[0].numel(), *(state.values.size for state in alone)])
            # Larger batches leave the processor's cache and take twice as long.
            most = max(1, min(256, getattr(self.module, "images_at_once", 256), _CACHED // width))
            self._most = most if most == 1 or self._is_row_by_row(images[:1], alone) else 1
        return self._most

    def _is_row_by_row(self, image: torch.Tensor, alone: list[State]) -> bool:
        """Whether in a batch the first of as many parts of each operation's input is the first image's."""
        import torch

        try:
            together = self._states(torch.cat([image, 1 - image]), self.uses(image))
        except NoFormError:  # the operations of a module that loops over images
            return False
        return len(together) == len(alone) and all(
            both.values.shape[1:] == one.values.shape[1:] and np.allclose(both.values[:1], one.values)
            for both, one in zip(together, alone, strict=True)
        )

    def copied(self, images: torch.Tensor) -> torch.Tensor:
        """Return a copy of images, on the module's device."""
        return images.detach().clone().to(self.device) if self.device is not None else images.detach().clone()

    def answer(self, images: torch.Tensor) -> torch.Tensor:
        """Return the module's logits (N, L) on images, with their graph if gradients are recorded."""
        with _in_words("computed in float64"):
            logits: torch.Tensor = self.module(images)
        return logits

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
        handle = self.module.get_submodule(hidden).register_forward_hook(lambda _m, _x, output: kept.append(output))
        try:
            with gradients(), evaluation_mode(self.module):
                x = self.copied(image).requires_grad_(True)
                self.answer(x)
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


def _error(linear: Array, bias: Array, values: Array) -> float:
    """Return the largest |W x + b − f(x)|, relative to the largest |f(x)|, or where all are 0 to |W x| and |b|."""
    scale = np.abs(values).max() or max(np.abs(linear).max(), np.abs(bias).max()) or 1.0
    return float(np.abs(linear + bias - values).max() / scale)


def _frozen(module: nn.Module, *, double: bool = False) -> nn.Module:
    """Return a copy without gradients of its weights; in float64 also tensors that are neither weights nor buffers."""
    import torch

    from tmi.networks.plain import copied

    with torch.inference_mode(False):  # weights made in inference mode would have no graph
        module = copied(module).requires_grad_(False)
        if not double:
            return module
        for part in module.double().modules():
            for name, value in vars(part).items():
                if isinstance(value, torch.Tensor) and value.is_floating_point():
                    setattr(part, name, value.detach().double())
    return module


def _gradient_rows(logits: torch.Tensor, x: torch.Tensor) -> Iterator[tuple[range, Array]]:
    """Yield the gradients of logits with respect to an image, some logits at a time: their numbers and W (numbers, C, m, n)."""
    import torch

    step = max(1, _HELD // x.numel())
    for start in range(0, len(logits), step):
        numbers = range(start, min(start + step, len(logits)))
        rows = []
        for number in numbers:
            last = number == len(logits) - 1
            (gradient,) = torch.autograd.grad(logits[number], x, retain_graph=not last, allow_unused=True)
            rows.append(torch.zeros_like(x) if gradient is None else gradient)
        yield numbers, torch.cat(rows).cpu().numpy()


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
