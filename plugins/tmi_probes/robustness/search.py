"""The smallest change of an image found that alters a network's answer: projected gradients, a greedy search, other images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from tmi.networks.modes import evaluation_mode

from ..linear.exact_network import ExactNetwork, gradients
from .balls import project, size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..linear.region import Norm

    Array = NDArray[np.float64]

_HALVINGS = 25  # of the share of a change
_PIXELS = 2_000_000  # in one batch
_SHARES = (0.1, 0.02)  # of the pixels that one step in L1 changes: few pixels are a direction of steepest descent


class Margins:
    """The margin by which a network's answer leads on images, and its gradient, in float64.

    Parameters
    ----------
    exact : ExactNetwork
    images : Tensor of float64, shape (N, C, m, n)
        The images whose answers are attacked.
    """

    def __init__(self, exact: ExactNetwork, images: torch.Tensor) -> None:
        self._exact, self._shape = exact, images.shape[1:]
        self._step = max(1, min(256, getattr(exact.module, "images_at_once", 256), _PIXELS // images[0].numel()))
        self.differentiable = True
        logits = self.logits(images.flatten(1))
        first, second = logits.topk(2, 1).values.T if logits.shape[1] > 1 else (logits[:, 0], logits[:, 0] - 1)
        self.answers = torch.where(first > second, logits.argmax(1), -1)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits (N, L) on flat images (N, pixels)."""
        with torch.inference_mode(False), torch.no_grad(), evaluation_mode(self._exact.module):
            return torch.cat([self._of(part) for part in torch.split(images, self._step)])

    def _of(self, images: torch.Tensor) -> torch.Tensor:
        return self._exact.answer(self._exact.copied(images.reshape(-1, *self._shape))).cpu()

    def margin(self, images: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """Return the answer's logit less the largest other one, (N,): the answer has changed where it is at most 0."""
        return _margin(self.logits(images), answers, None)

    def gradient(
        self, images: torch.Tensor, answers: torch.Tensor, rivals: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the margin (N,), and its gradient (N, pixels); with rivals that of the margin over those classes.

        The gradient is rounded to float32: equal ones are then equal for every size of a batch.
        """
        margins, found = [], []
        for start in range(0, len(images), self._step):
            rows = slice(start, start + self._step)
            with gradients(), evaluation_mode(self._exact.module):
                x = images[rows].detach().clone().requires_grad_(True)
                logits = self._exact.answer(x.reshape(-1, *self._shape).to(self._exact.device)).cpu()
                margin = _margin(logits, answers[rows], None if rivals is None else rivals[rows])
                if not margin.requires_grad:
                    self.differentiable = False
                    found.append(torch.zeros_like(x))
                else:
                    (gradient,) = torch.autograd.grad(margin.sum(), x, allow_unused=True)
                    found.append(torch.zeros_like(x) if gradient is None else gradient.nan_to_num().float().double())
            margins.append(_margin(logits.detach(), answers[rows], None))
        return torch.cat(margins), torch.cat(found)


def _margin(logits: torch.Tensor, answers: torch.Tensor, rivals: torch.Tensor | None) -> torch.Tensor:
    rows, answer = torch.arange(len(logits)), answers.clamp(min=0)
    own = logits[rows, answer]
    if rivals is not None:
        return own - logits[rows, rivals]
    others = logits.masked_fill(torch.nn.functional.one_hot(answer, logits.shape[1]).bool(), -torch.inf)
    return own - others.amax(1)


class Search:
    """The smallest changes found so far.

    Parameters
    ----------
    margins : Margins
    images : Tensor of float64, shape (N, C, m, n), in [0, 1]
    answers : Tensor of int64, shape (N,)
    norm : {"l1", "linf"}

    Attributes
    ----------
    best : Tensor of float64, shape (N, pixels)
        For each image the nearest one found with another answer.
    radius : Tensor of float64, shape (N,)
        Its distance; infinite where none was found.
    """

    def __init__(self, margins: Margins, images: torch.Tensor, answers: torch.Tensor, norm: Norm) -> None:
        self._margins, self._x, self._answers, self._norm = margins, images.flatten(1), answers, norm
        self.best = self._x.clone()
        self.radius = torch.full((len(images),), torch.inf, dtype=torch.float64)

    def _try(self, images: torch.Tensor, margin: torch.Tensor | None = None) -> torch.Tensor:
        """Keep the images that have another answer and are nearer than those found; return which have another answer."""
        margin = self._margins.margin(images, self._answers) if margin is None else margin
        distance = size(images - self._x, self._norm)
        changed = margin <= 0
        better = changed & (distance < self.radius)
        self.best[better], self.radius[better] = images[better], distance[better]
        return changed

    def towards(self, others: torch.Tensor, answers: torch.Tensor) -> None:
        """Start from the nearest of some images with other answers; needs no gradient.

        Parameters
        ----------
        others : Tensor of float64, shape (K, C, m, n)
        answers : Tensor of int64, shape (K,)
        """
        flat = others.flatten(1)
        far = torch.cdist(self._x, flat, p=1.0 if self._norm == "l1" else torch.inf)
        far = far.masked_fill(answers[None] == self._answers[:, None], torch.inf)
        if len(flat):
            self._try(flat[far.argmin(1)])

    def descend(self, steps: int, start: torch.Tensor | None = None, rivals: torch.Tensor | None = None) -> None:
        """Follow the gradient of the margin within a ball that shrinks where the answer changes and grows where it does not.

        Each step goes along the direction of steepest descent and back to the ball and to [0, 1] (Pintor et al. 2021).

        Parameters
        ----------
        steps : int
        start : Tensor of float64, shape (N, pixels), optional
            The first change; by default none.
        rivals : Tensor of int64, shape (N,), optional
            Classes to be answered instead; by default whichever is next.
        """
        change = torch.zeros_like(self._x) if start is None else start
        margin, gradient = self._margins.gradient(self._x + change, self._answers, rivals)
        # Where the network is linear a change of this size is enough.
        steepest = (gradient.abs().amax(1) if self._norm == "l1" else gradient.abs().sum(1)).clamp(min=1e-12)
        radius = torch.minimum(torch.minimum(1.5 * margin.clamp(min=1e-9) / steepest, self._largest()), self.radius)
        for step in range(steps):
            changed = self._try(self._x + change, margin)
            decay = 0.5 * (1 + np.cos(np.pi * step / steps))
            rate = 0.02 + 0.2 * decay
            radius = torch.where(changed, torch.minimum(radius, self.radius) * (1 - rate), radius * (1 + rate))
            radius = torch.minimum(radius, torch.minimum(self._largest(), self.radius))
            length = (0.02 + 0.4 * decay) * radius
            change = change + length[:, None] * self._direction(change, gradient, step)
            change = project(change, self._x, radius, self._norm)
            margin, gradient = self._margins.gradient((self._x + change).clamp(0, 1), self._answers, rivals)
        self._try((self._x + change).clamp(0, 1), margin)

    def _largest(self) -> torch.Tensor:
        return size(torch.maximum(self._x, 1 - self._x), self._norm)

    def _direction(self, change: torch.Tensor, gradient: torch.Tensor, step: int) -> torch.Tensor:
        """Return a direction of norm 1 along which the margin falls: signs, in L1 of the steepest pixels that can still move."""
        sign = -gradient.sign()
        if self._norm == "linf":
            return sign
        count = max(1, round(_SHARES[step % len(_SHARES)] * gradient.shape[1]))
        steep = (gradient.abs() * (self._room(change, sign) > 1e-12)).topk(count, 1)
        chosen = torch.zeros_like(gradient).scatter_(1, steep.indices, (steep.values > 0).double())
        return chosen * sign / chosen.sum(1, keepdim=True).clamp(min=1)

    def _room(self, change: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
        now = self._x + change
        return torch.where(sign > 0, 1 - now, now)

    def one_pixel_after_another(self, pixels: int) -> None:
        """Move the pixel along which the margin falls most, as far as needed or possible, then the next one (for L1).

        Parameters
        ----------
        pixels : int
            How many moves.
        """
        rows = torch.arange(len(self._x))
        image = self._x.clone()
        for _ in range(pixels):
            margin, gradient = self._margins.gradient(image, self._answers)
            if bool(self._try(image, margin).all()):
                return
            sign = -gradient.sign()
            room = self._room(image - self._x, sign)
            pixel = (gradient.abs() * (room > 1e-9)).argmax(1)
            slope, there = gradient[rows, pixel].abs(), room[rows, pixel]
            # By a little more than needed where the network stays linear.
            move = torch.minimum((1 + 1e-6) * margin.clamp(min=0) / slope.clamp(min=1e-12), there)
            image[rows, pixel] = (image[rows, pixel] + sign[rows, pixel] * move).clamp(0, 1)
        self._try(image)

    def shorten(self) -> None:
        """Shorten the changes found, along themselves, and for L1 by restoring pixels that do little."""
        self._halve()
        if self._norm == "l1":
            for _ in range(2):
                self._restore()
                self._halve()

    def _halve(self) -> None:
        """Bisect the share of each change that alters the answer."""
        end = self.best.clone()
        low, high = torch.zeros(len(end), dtype=torch.float64), torch.ones(len(end), dtype=torch.float64)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            changed = self._try(self._x + middle[:, None] * (end - self._x))
            low, high = torch.where(changed, low, middle), torch.where(changed, middle, high)

    def _restore(self) -> None:
        """Restore as many pixels as possible, those first whose change lowers the margin least, by bisecting their number."""
        end = self.best.clone()
        change = end - self._x
        # Just before the border: beyond it the gradient may be 0.
        _, gradient = self._margins.gradient(self._x + 0.999 * change, self._answers)
        gain = -gradient * change if bool(gradient.any()) else change.abs()
        gain = (gain / change.abs().clamp(min=1e-12)).masked_fill(change == 0, -torch.inf)
        rank = gain.argsort(dim=1, stable=True).argsort(dim=1)
        low = torch.zeros(len(end), dtype=torch.float64)
        high = torch.full_like(low, float(end.shape[1]))
        for _ in range(int(np.ceil(np.log2(end.shape[1] + 1)))):
            middle = ((low + high) / 2).floor()
            kept = torch.where(rank < middle[:, None], self._x, end)
            # What is left may be enlarged a little: restored pixels helped.
            changed = self._try(kept)
            low, high = torch.where(changed, middle, low), torch.where(changed, high, middle)


def smallest_change(
    margins: Margins,
    images: torch.Tensor,
    answers: torch.Tensor,
    norm: Norm,
    *,
    others: tuple[torch.Tensor, torch.Tensor],
    steps: int,
    noise: Sequence[torch.Tensor],
) -> Search:
    """Return the best of all searches for the smallest change of each image.

    Parameters
    ----------
    margins : Margins
    images : Tensor of float64, shape (N, C, m, n), in [0, 1]
    answers : Tensor of int64, shape (N,)
    norm : {"l1", "linf"}
    others : (Tensor of float64, shape (K, C, m, n), Tensor of int64, shape (K,))
        Images to start from, and their answers.
    steps : int
        Of each descent.
    noise : sequence of Tensor, shape (N, pixels), in [−1, 1]
        The directions of random starts.
    """
    search = Search(margins, images, answers, norm)
    search.towards(*others)
    search.shorten()
    search.descend(steps)
    if margins.differentiable:
        search.descend(steps, rivals=_nearest_rival(margins, images, answers, norm))
        for direction in noise:
            radius = torch.where(search.radius.isfinite(), search.radius, 0.1)
            search.descend(steps, start=project(direction * radius[:, None], images.flatten(1), radius, norm))
        if norm == "l1":
            search.one_pixel_after_another(steps)
    search.shorten()
    return search


def _nearest_rival(margins: Margins, images: torch.Tensor, answers: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Return the class that would be reached first if the network were linear."""
    flat, classes = images.flatten(1), margins.logits(images[:1].flatten(1)).shape[1]
    logits = margins.logits(flat)
    rows = torch.arange(len(flat))
    nearest, rival = torch.full((len(flat),), torch.inf, dtype=torch.float64), answers.clamp(min=0).clone()
    for other in range(classes):
        _, gradient = margins.gradient(flat, answers, torch.full_like(answers, other))
        slope = gradient.abs().amax(1) if norm == "l1" else gradient.abs().sum(1)
        distance = (logits[rows, answers.clamp(min=0)] - logits[:, other]) / slope.clamp(min=1e-12)
        better = (distance < nearest) & (answers != other)
        nearest, rival = torch.where(better, distance, nearest), torch.where(better, other, rival)
    return rival
