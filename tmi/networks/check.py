"""The check of a network on the first image that it sees: without it, a module of another form gives wrong numbers quietly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tmi.errors import InputError, TmiError

from .adapters import described

if TYPE_CHECKING:
    import torch

Outputs = dict[str, list[Any]]
Forward = Callable[["torch.Tensor"], tuple[Any, Outputs]]
"""From images to the module's answer, and to the outputs of each named layer, one for each use."""

_REPEATS = 20  # of a module that draws random numbers, which need not change its answer every time


class RandomError(InputError):
    """The forward pass of a network does not repeat; it may do so by chance the next time."""


def check(
    forward: Forward,
    image: torch.Tensor,
    classes: int,
    alone: bool,
    has_generator: bool = False,
    in_float64: Callable[[], Forward] | None = None,
) -> None:
    """Check that a module answers as every probe takes for granted.

    Parameters
    ----------
    forward : callable
        Images (N, C, m, n) to the module's answer and the outputs of its named layers.
    image : Tensor, shape (1, C, m, n), in [0, 1]
        It is evaluated together with its negative 1 − x, twice, and each of the two alone.
    classes : int
        L, the number of logits.
    alone : bool
        Whether the module is only ever given one image at a time, so that images cannot influence each other.
    has_generator : bool
        Whether the module holds a generator of random numbers.
    in_float64 : callable, optional
        Returns ``forward`` of a copy of the module in float64. It is called for a module of lower precision whose answers for an
        image alone and in a batch differ by no more than rounding where large terms cancel.

    Raises
    ------
    InputError
        With the remedy, if the module fails; its answer is not one tensor of finite numbers (N, L); a named layer does not give
        one tensor with one entry an image, or is not used exactly once; a second evaluation gives other bits; or an image's
        answer depends on the other images of its batch beyond rounding.
    """
    import torch

    from tmi.runtime.seeds import fixed_seed

    pair = image if alone else torch.cat([image, 1 - image])
    with fixed_seed(0):  # puts the generators back afterwards
        before = _generators()
        logits, outputs = _evaluated(forward, pair)
        is_random = has_generator or _generators() != before
        _check_logits(logits, len(pair), classes)
        _check_layers(outputs, len(pair))
        for _ in range(_REPEATS if is_random else 1):
            _check_repetition((logits, outputs), _evaluated(forward, pair))
        if alone or _check_neighbours(forward, pair, (logits, outputs)):
            return
        if in_float64 is not None and pair.dtype != torch.float64:  # where what is rounding is smaller
            try:
                precise, pair = in_float64(), pair.double()
                both = _evaluated(precise, pair)
            except Exception as error:
                raise InputError(
                    "network: activations on an image alone and in a batch differ, perhaps by the rounding of its largest ones, "
                    f"which a copy in float64 could tell; it fails ({error}); let it answer after module.double()"
                ) from error
            _check_neighbours(precise, pair, both)


def _evaluated(forward: Forward, images: torch.Tensor) -> tuple[Any, Outputs]:
    try:
        return forward(images)
    except TmiError:
        raise
    except Exception as error:
        text = " ".join(str(error).split()).removesuffix(".")[:300]
        remedy = "; give it weights of one dtype (module.float())" if "dtype" in text or "type" in text else ""
        where = f"network: its module fails on images {tuple(images.shape)}"
        raise InputError(f"{where} ({type(error).__name__}: {text}){remedy}") from error


def _generators() -> tuple[Any, ...]:
    """Return the states of the global generators of torch, Python and NumPy: an evaluation that changes one draws numbers."""
    import random

    import numpy as np
    import torch

    of_numpy: Any = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), of_numpy[1].tobytes(), of_numpy[2:]


def _check_repetition(first: tuple[Any, Outputs], second: tuple[Any, Outputs]) -> None:
    _check_layers(second[1], len(first[0]))
    for name, one, other in _paired(*first, *second):
        if one.shape != other.shape or not _same_bits(one, other):
            raise RandomError(
                f"network: {name} differ from one evaluation of the same images to the next; draw nothing at random in "
                "evaluation mode (F.dropout needs training=self.training) and change no state"
            )


def _check_neighbours(forward: Forward, pair: torch.Tensor, both: tuple[Any, Outputs]) -> bool:
    """Refuse a module if its images influence each other; return whether that is certain without regard to cancelling terms."""
    certain = True
    for number in range(len(pair)):
        alone = _evaluated(forward, pair[number : number + 1])
        _check_layers(alone[1], 1)
        compared = _paired(*both, *alone)
        # Where large terms cancel, a sum that should be 0 is as large as their rounding.
        rounding = max(_rounding(in_batch) for _, in_batch, _ in compared)
        for name, in_batch, single in compared:
            in_batch = in_batch[number : number + 1]
            if in_batch.shape != single.shape or not _agree(in_batch, single, rounding):
                raise InputError(
                    f"network: {name} on an image depend on the other images of its batch; normalise by running statistics "
                    "(track_running_stats=True), and combine no images"
                )
            certain = certain and _agree(in_batch, single, 0)
    return certain


def _check_logits(answer: Any, count: int, classes: int) -> None:
    import torch

    wanted = f"expected logits (N, {classes}) for N images and {classes} classes"
    if not isinstance(answer, torch.Tensor):
        given = f"network: the module answers with {described(answer)}, {wanted}"
        if not isinstance(answer, Mapping | Sequence) or isinstance(answer, str) or not answer:
            raise InputError(f"{given}; give a function that returns them as output=…")
        which = f'output="{next(iter(answer))}"' if isinstance(answer, Mapping) else "output=0"
        raise InputError(f"{given}; name the part by {which}, or give a function")
    given = f"network: the module answers {count} images with {described(answer)}, {wanted}"
    if not answer.is_floating_point():
        raise InputError(f"{given}; give logits, which are real numbers")
    if tuple(answer.shape) == (count, classes):
        if not answer.isfinite().all():
            remedy = "as after training that diverged; train it again"
            raise InputError(f"network: logits are NaN or infinite on the first image that it sees, {remedy}")
        return
    if classes == 2 and answer.numel() == count:
        raise InputError(f'{given}; form="sigmoid" makes one sigmoid logit two')
    if answer.ndim > 2 and tuple(answer.shape[:2]) == (count, classes):
        raise InputError(f'{given}; form="mean" or form="max" reduces a map')
    if answer.ndim > 2 and answer.numel() == count * classes and len(answer) == count:
        raise InputError(f'{given}; form="squeeze" removes axes of length 1')
    if answer.ndim == 2 and len(answer) == count:
        raise InputError(f"{given}; choose one for each class, as output=lambda y: y[:, :{classes}] does")
    raise InputError(f"{given}; give a function that returns them as output=…")


def _check_layers(outputs: Outputs, count: int) -> None:
    import torch

    for layer, given in outputs.items():
        where, other = f"network: layer {layer!r}", "or name another layer"
        if not given:
            raise InputError(f"{where}: the module did not use it on these images; name a layer that its forward pass calls")
        if len(given) > 1:
            raise InputError(f"{where} is used {len(given)} times in one pass; give each use a module of its own, {other}")
        (output,) = given
        if not isinstance(output, torch.Tensor):
            part = next(iter(output), 0) if isinstance(output, Mapping) else 0
            remedy = f"say which part by parts={{{layer!r}: {part!r}}}"
            raise InputError(f"{where} gives {described(output)}, not a tensor; {remedy}, {other}")
        if output.is_complex() or output.layout != torch.strided or output.is_quantized:
            raise InputError(f"{where} gives {described(output)}, not an array of real numbers; name another layer")
        if output.ndim < 1 or len(output) != count:
            shape = f"{tuple(output.shape)} for {count} images, not one entry an image along its first axis"
            raise InputError(f"{where} gives {shape}; move that axis by parts={{{layer!r}: lambda y: …}}, {other}")


def _paired(logits: Any, outputs: Outputs, others: Any, other_outputs: Outputs) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    layers = [(f"the activations of layer {layer!r}", outputs[layer][0], other_outputs[layer][0]) for layer in outputs]
    return [("the logits", logits, others), *layers]


def _same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    import torch

    return torch.equal(first, second) or bool(((first == second) | (first.isnan() & second.isnan())).all())


def _rounding(values: torch.Tensor) -> float:
    """Return the rounding of a sum of many numbers as large as the largest of these; 0 for integers."""
    import torch

    if not values.is_floating_point():
        return 0.0
    finite = values[values.isfinite()]
    return float(finite.abs().max()) * min(1e4 * torch.finfo(values.dtype).eps, 1e-5) if finite.numel() else 0.0


def _agree(first: torch.Tensor, second: torch.Tensor, rounding: float) -> bool:
    """Whether two tensors agree up to rounding, which depends on the size of a batch."""
    import torch

    if torch.equal(first, second) or not first.is_floating_point():
        return torch.equal(first, second)
    eps = torch.finfo(first.dtype).eps
    first, second = first.double(), second.double()
    finite = first[first.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return torch.allclose(first, second, rtol=0, atol=max(max(1e-4, 8 * eps) * scale, rounding), equal_nan=True)
