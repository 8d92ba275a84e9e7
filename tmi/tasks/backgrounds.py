"""Backgrounds as recipes: whole numbers from which the background of each image is rendered when it is asked for.

Uniform random pixels are a place in the stream of a random generator: 48 bytes an image, most of them equal for all images. Any
other law is a function and one number an image, the key of the image's own generator. So a data set is small however large its
images are, any part of it can be rendered alone, and the pixels are equal bit for bit on every machine.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tmi.errors import InputError

from .images import check_images

if TYPE_CHECKING:
    import torch

    from .task import TemplateTask

Shape = tuple[int, int, int]

Law = Callable[[np.random.Generator, "TemplateTask"], NDArray[Any]]
"""A law of backgrounds: a function of a generator and the task that returns one background, (C, m, n) in [0, 1]."""

_WORD = 2**32  # a float32 takes one word of 32 bits from the generator
_AT_ONCE = 1 << 18  # words that are drawn at once: 1 MB, which the cache holds


@dataclass(frozen=True, eq=False)
class Recipes:
    """N backgrounds of one shape, which are rendered when they are asked for.

    Attributes
    ----------
    numbers : ndarray of uint64, shape (N, k)
        What each background is rendered from.
    """

    numbers: NDArray[np.uint64]

    def chosen(self, index: Any) -> Self:
        """Return those that a slice or an array of whole numbers chooses."""
        return replace(self, numbers=self.numbers[index])

    @property
    def image_shape(self) -> Shape:
        """(C, m, n) of each."""
        raise NotImplementedError

    def render(self) -> torch.Tensor:
        """Return the backgrounds, float32 (N, C, m, n) in [0, 1]."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class UniformRecipes(Recipes):
    """Uniform random pixels: places in the stream of NumPy's generator PCG64 (O'Neill 2014).

    A background is what ``rng.random(shape, dtype=np.float32)`` returns there: each pixel is the upper 24 bits of a word of 32
    bits, times 2⁻²⁴; the words are the lower and the upper halves of the generator's raw output.

    Attributes
    ----------
    numbers : ndarray of uint64, shape (N, 6)
        The generator's state and increment (upper, lower half each), 2³² plus the half of a raw output that it had left or 0
        where it had none, and how many words come before the first pixel.
    shape : (int, int, int)
        (C, m, n) of each.
    """

    shape: Shape

    @property
    def image_shape(self) -> Shape:
        """(C, m, n) of each."""
        return self.shape

    @classmethod
    def drawn(cls, rng: np.random.Generator, shape: Shape, count: int) -> UniformRecipes:
        """Take the next ``count`` backgrounds from a generator, which afterwards is where drawing their pixels would leave it.

        Parameters
        ----------
        rng : numpy.random.Generator
            Of PCG64, as `numpy.random.default_rng` makes it.
        shape : (int, int, int)
        count : int
        """
        source: Any = rng.bit_generator
        state = source.state
        left = _WORD + state["uinteger"] if state["has_uint32"] else 0
        halves = [half for part in (state["state"]["state"], state["state"]["inc"]) for half in divmod(part, 2**64)]
        pixels = int(np.prod(shape))
        numbers = np.empty((count, 6), np.uint64)
        numbers[:, :5] = [*halves, left]
        numbers[:, 5] = np.arange(count, dtype=np.uint64) * np.uint64(pixels)
        words = count * pixels - bool(left)
        if words >= 0:
            source.advance(words // 2)
            if words % 2:
                rng.random(dtype=np.float32)  # leaves the upper half of the last raw output, as drawing all would
        return cls(numbers, shape)

    def render(self) -> torch.Tensor:
        """Return the backgrounds, float32 (N, C, m, n) in [0, 1)."""
        import torch

        pixels = int(np.prod(self.shape))
        result = np.empty((len(self.numbers), pixels), np.float32)
        at_once = max(1, _AT_ONCE // pixels)
        source = np.random.PCG64(0)
        for start, stop in self._runs(pixels):
            for first in range(start, stop, at_once):
                last = min(first + at_once, stop)
                words = _words(source, self.numbers[first].tolist(), (last - first) * pixels)
                target = result[first:last].reshape(-1)
                target[:] = words >> np.uint32(8)  # whole numbers of 24 bits, which float32 holds exactly
                target *= np.float32(2.0**-24)
        return torch.from_numpy(result.reshape(-1, *self.shape))

    def _runs(self, pixels: int) -> list[tuple[int, int]]:
        """Return ranges of images that follow each other in one stream."""
        count = len(self.numbers)
        if not count:
            return []
        same = (self.numbers[1:, :5] == self.numbers[:-1, :5]).all(1)
        same &= self.numbers[1:, 5] == self.numbers[:-1, 5] + np.uint64(pixels)
        ends = [0, *(np.flatnonzero(~same) + 1).tolist(), count]
        return [*itertools.pairwise(ends)]


def _words(source: np.random.PCG64, numbers: list[int], count: int) -> NDArray[np.uint32]:
    """Return ``count`` words of 32 bits of a stream; see `UniformRecipes` for the numbers."""
    state_high, state_low, inc_high, inc_low, left, skipped = numbers
    source.state = {
        "bit_generator": "PCG64",
        "state": {"state": state_high * 2**64 + state_low, "inc": inc_high * 2**64 + inc_low},
        "has_uint32": 0,
        "uinteger": 0,
    }
    first = [left - _WORD] if left and not skipped else []
    skipped -= bool(left) and not first
    source.advance(skipped // 2)
    raw = source.random_raw((count - len(first) + skipped % 2 + 1) // 2)
    words = raw.astype("<u8", copy=False).view("<u4")[skipped % 2 :]
    return np.concatenate([np.array(first, np.uint32), words])[:count] if first else words[:count]


@dataclass(frozen=True, eq=False)
class LawRecipes(Recipes):
    """Backgrounds of a law, each drawn with a generator of its own: Philox (Salmon et al. 2011), its key the image's number.

    Attributes
    ----------
    numbers : ndarray of uint64, shape (N, 1)
    task : TemplateTask
    law : callable
        ``(rng, task) -> array of shape (C, m, n)``, in [0, 1].
    text : str
        The law's name with its settings, as a suite has it; empty for a law that is not registered.
    """

    task: TemplateTask
    law: Law
    text: str = ""

    @property
    def image_shape(self) -> Shape:
        """(C, m, n) of each."""
        return self.task.image_shape

    @classmethod
    def drawn(cls, rng: np.random.Generator, task: TemplateTask, count: int, law: Law) -> LawRecipes:
        """Draw the numbers of ``count`` backgrounds from a generator."""
        return cls(rng.integers(0, 2**63, (count, 1)).astype(np.uint64), task, law, getattr(law, "text", ""))

    def render(self) -> torch.Tensor:
        """Return the backgrounds, float32 (N, C, m, n) in [0, 1].

        Raises
        ------
        InputError
            If the law returns something else than numbers in [0, 1] of the images' shape.
        """
        import torch

        what = f"background {self.text or getattr(self.law, '__name__', self.law)}"
        result = np.empty((len(self.numbers), *self.image_shape), np.float32)
        source = np.random.Philox(key=0)
        start = source.state  # of a new generator; to set its key takes a fifth of the time of making one
        rng = np.random.Generator(source)
        for number, target in zip(self.numbers[:, 0], result, strict=True):
            start["state"]["key"][0] = number
            source.state = start
            returned = self.law(rng, self.task)
            try:
                drawn = np.asarray(returned)
            except ValueError:
                kind = type(returned).__name__
                raise InputError(f"{what}: expected numbers of shape {self.image_shape}, got a {kind} of no shape") from None
            if drawn.shape != self.image_shape or drawn.dtype.kind not in "fiu":
                raise InputError(f"{what}: expected numbers of shape {self.image_shape}, got {drawn.dtype} {drawn.shape}")
            target[:] = drawn
        return check_images(torch.from_numpy(result), what=what)


def uniform(rng: np.random.Generator, task: TemplateTask) -> NDArray[np.float32]:
    """Every pixel uniform random in [0, 1), as in the paper."""
    return rng.random(task.image_shape, dtype=np.float32)


def draw_recipes(
    rng: np.random.Generator, task: TemplateTask, count: int, law: Law | Literal["uniform"] | None = None
) -> Recipes:
    """Draw recipes of backgrounds.

    Parameters
    ----------
    rng : numpy.random.Generator
    task : TemplateTask
    count : int
    law : callable, optional
        By default `uniform`, which its name stands for too; for it, and a generator of PCG64, the pixels are those that the
        generator itself would draw next.

    Returns
    -------
    Recipes

    Raises
    ------
    InputError
        For the name of another law, which the registry of plug-ins knows, and for what is no function of two arguments.
    """
    if law is None or (isinstance(law, str) and law == "uniform") or inspect.unwrap(getattr(law, "function", law)) is uniform:
        if isinstance(rng.bit_generator, np.random.PCG64):
            return UniformRecipes.drawn(rng, task.image_shape, count)
        law = uniform
    if isinstance(law, str):
        raise InputError(f"background {law!r}: expected a law itself; its name is looked up by tmi.generate and in suites")
    try:
        inspect.signature(law).bind(rng, task)
    except (TypeError, ValueError):
        raise InputError(f"background: expected a function of a generator and the task, got {type(law).__name__}") from None
    return LawRecipes.drawn(rng, task, count, law)
