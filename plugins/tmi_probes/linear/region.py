"""The sound radius of a piecewise linear network: how far an image is from the border of its linear region, and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from tmi.errors import InputError

from .exact_network import ExactNetwork
from .gradients import Trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Norm = Literal["l1", "linf"]
NORMS: tuple[Norm, ...] = ("l1", "linf")
"""‖δ‖₁, the summed pixel difference, and ‖δ‖_∞, the largest one."""

MOST = 10**9
"""Numbers in the gradients of all inputs of operations on one image, neurons × pixels, up to which the radius is computed."""

_IMAGES = 64  # at a time: the graph of their forward pass is kept


def dual(gradient: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Return the dual norm of each row (N, pixels): by so much a change of norm 1 can change a value with this gradient."""
    return gradient.abs().amax(1) if norm == "l1" else gradient.abs().sum(1)


class LinearRegions:
    """How far images are from the borders of their linear regions, and from other answers there.

    Parameters
    ----------
    exact : ExactNetwork
    image : Tensor of float64, shape (1, C, m, n)
        An image on which the network is examined.
    most : int
        Neurons × pixels of an image at most.

    Raises
    ------
    NoFormError
        If the network is not continuous and piecewise linear, where known with the layer; or cannot compute in float64.
    InputError
        If neurons × pixels exceed ``most``.
    """

    def __init__(self, exact: ExactNetwork, image: torch.Tensor, most: int = MOST) -> None:
        image = image[:1]
        exact.check_pieces(image)
        self._exact, self._step = exact, min(_IMAGES, exact.at_once(image))
        trace = Trace(exact, image)
        neurons = sum(state.values.shape[1] for state in trace.states)
        if neurons * image[0].numel() > most:
            raise InputError(
                f"radius: {neurons} inputs of piecewise linear operations × {image[0].numel()} pixels "
                f"are more than {most:.0e} numbers"
            )
        uses = list(enumerate(trace.uses))
        fixed = [number for number, use in uses if not use.selects and not trace.depends(number)]
        self._norms = {number: _norms(exact, image, number, self._step) for number in fixed}
        self._rivals = {number: trace.rivals(number) for number, use in uses if use.selects}

    def radii(self, images: torch.Tensor, answers: torch.Tensor) -> dict[Norm, Array]:
        """Return a sound radius of the answer on each image: below it no change alters the linear region, nor the answer.

        On the linear region of an image every input z of an operation is w·x + c. It keeps its sign while ‖δ‖₁ < |z| / ‖w‖_∞, or
        ‖δ‖_∞ < |z| / ‖w‖₁. For an operation that selects an input, as max pooling does, z is the selected one less each other one
        of its window. The answer stays while the norm is below its margin over each other logit, divided likewise. The least of
        all these is the radius (docs/mathematics.md, "A sound radius"), at most the largest change within [0, 1].

        Parameters
        ----------
        images : Tensor of float64, shape (N, C, m, n), in [0, 1]
        answers : Tensor of int64, shape (N,)
            The class whose logit is the largest; −1 where several are, which gives 0.

        Returns
        -------
        dict of {"l1", "linf"} to ndarray of float64, shape (N,)
            Up to the rounding of float64. 0 where an image is on a border.
        """
        found: dict[Norm, list[Array]] = {norm: [] for norm in NORMS}
        for part, answer in zip(images.split(self._step), answers.split(self._step), strict=True):  # type: ignore[no-untyped-call]
            trace = Trace(self._exact, part)
            radius = _of_answer(trace, part, answer)
            for number, state in enumerate(trace.states):
                if number not in self._norms:
                    _lower(trace, number, radius, self._rivals.get(number))
                    continue
                values = torch.from_numpy(state.values).abs()
                for norm in NORMS:
                    nearest = _ratio(values, self._norms[number][norm]).amin(1)
                    radius[norm] = torch.minimum(radius[norm], nearest)
            for norm in NORMS:
                found[norm].append(torch.where(answer >= 0, radius[norm], 0.0).numpy())
        return {norm: np.concatenate(parts) for norm, parts in found.items()}


def _ratio(values: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """Return values / size; infinite where the size is 0, for then the value does not change."""
    return torch.where(size > 0, values / torch.where(size > 0, size, 1.0), torch.inf)


def _norms(exact: ExactNetwork, image: torch.Tensor, number: int, step: int) -> dict[Norm, torch.Tensor]:
    """Return the dual norms of the gradients of a use's values, which are the same on every image."""
    trace = Trace(exact, image.expand(step, *image.shape[1:]))
    width = trace.states[number].values.shape[1]
    parts: dict[Norm, list[torch.Tensor]] = {norm: [] for norm in NORMS}
    for start in range(0, width, step):
        chosen = (start + torch.arange(step)).clamp(max=width - 1)
        gradient = trace.of_input(number, chosen).cpu()
        for norm in NORMS:
            parts[norm].append(dual(gradient, norm)[: width - start])
    return {norm: torch.cat(sizes) for norm, sizes in parts.items()}


def _of_answer(trace: Trace, images: torch.Tensor, answer: torch.Tensor) -> dict[Norm, torch.Tensor]:
    """Return the radius as far as it follows from the logits: from the margin over each other class, and the edge of [0, 1]."""
    room = torch.maximum(images, 1 - images).flatten(1)
    radius: dict[Norm, torch.Tensor] = {"l1": room.sum(1), "linf": room.amax(1)}
    logits = trace.logits.detach().cpu()
    rows, own = torch.arange(len(answer)), answer.clamp(min=0)
    for other in range(logits.shape[1]):
        rival = torch.full_like(own, other)
        gradient = trace.of_logits(own, rival).cpu()
        margin = torch.where(rival == own, torch.inf, logits[rows, own] - logits[:, other])
        for norm in NORMS:
            distance = torch.where(rival == own, torch.inf, _ratio(margin, dual(gradient, norm)))
            radius[norm] = torch.minimum(radius[norm], distance)
    return radius


def _lower(trace: Trace, number: int, radius: dict[Norm, torch.Tensor], rivals: tuple[torch.Tensor, torch.Tensor] | None) -> None:
    """Lower the radii to where a value of a use, or the lead of a selected input, becomes 0; the least values come first."""
    state = trace.states[number]
    values = torch.from_numpy(state.values)
    if rivals is None:
        plus, minus, gap = None, None, values.abs()
    else:
        assert state.selected is not None
        window, member = rivals
        plus, minus = torch.from_numpy(state.selected)[:, window], member.expand(len(values), -1)
        gap = (values.gather(1, plus) - values[:, member]).abs().masked_fill(plus == minus, torch.inf)
    order = gap.argsort(dim=1, stable=True)
    rows = torch.arange(len(values))
    for column in order.T:
        least = gap[rows, column]
        if torch.isinf(least).all() or all((radius[norm] == 0).all() for norm in NORMS):
            break
        if plus is None or minus is None:
            gradient = trace.of_input(number, column)
        else:
            gradient = trace.of_input(number, plus[rows, column], minus[rows, column])
        for norm in NORMS:
            radius[norm] = torch.minimum(radius[norm], _ratio(least, dual(gradient.cpu(), norm)))
