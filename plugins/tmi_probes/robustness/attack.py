"""The smallest change that alters an answer: found by attacks, an upper bound, beside the sound radius, a lower one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count, Index

from ..pipeline.result import ONE_CLASS, ResultBuilder
from ..pipeline.scenes import in_float64, labelled, spread_over
from ..pipeline.units import in_parts

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ..linear.exact_network import ExactNetwork
    from ..linear.region import Norm
    from .sound import SoundRadius

    Array = NDArray[np.float64]

ROUNDING = 1e-9
"""By so much, relative to it, an upper bound may be below the lower one in float64."""

_UNIT = "summed (L1) or largest (L∞) pixel difference"
INFO = {
    "radius_lower": tmi.MetricInfo(
        "Norm of a change below which provably no change alters the answer: certificate of a constructed network, radius of the "
        "linear region of any other; median over test images",
        "higher",
        0,
        unit=_UNIT,
    ),
    "radius_lower_mean": tmi.MetricInfo("The same, mean over test images", "higher", 0, unit=_UNIT),
    "radius_upper": tmi.MetricInfo(
        "Norm of the smallest change found that alters the answer, best of all attacks, median over test images",
        "higher",
        0,
        unit=_UNIT,
    ),
    "radius_upper_mean": tmi.MetricInfo("The same, mean over test images", "higher", 0, unit=_UNIT),
    "gap": tmi.MetricInfo(
        "radius_upper over radius_lower, median over the test images with both: 1 where the radius is known exactly", "lower", 0
    ),
    "found": tmi.MetricInfo("Share of test images for which some change was found that alters the answer", None, 0, 1),
}


def attack(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    images: Count = 1000,
    steps: Count = 30,
    restarts: Index = 1,
    keep: Count = 4,
) -> tmi.ProbeResult:
    """Search for the smallest change of an image that alters the answer, in L1 and L∞, and give it beside the sound radius.

    All of it is computed in float64, within the range [0, 1] of pixels. An answer is altered where its logit is no longer greater
    than every other. The best is kept of: an image with another answer, its change taken back as far as possible (which needs
    no gradient); gradient descent of the margin, projected onto a ball whose radius shrinks where the answer changes and grows
    where it does not, with any class, the nearest one, and random starts; for L1 also one pixel after another. At last each
    change is shortened by bisection, and in L1 by restoring pixels.

    Parameters
    ----------
    images : int
        How many test images: the first ones.
    steps : int
        Steps of each descent, and pixels of the greedy search.
    restarts : int
        Random starts.
    keep : int
        For how many images the changed images are kept in the arrays, of as many classes as possible.

    Returns
    -------
    ProbeResult
        For each norm, ``.l1`` and ``.linf``: metrics ``radius_lower``, ``radius_upper``, their ``_mean``, ``gap`` and ``found``.
        Arrays ``radius_lower.l1`` and ``radius_upper.l1`` (image), likewise ``.linf``, NaN where unknown; ``answer`` and
        ``label`` (image); for a few images ``images`` and ``attacked.l1``, ``attacked.linf`` (kept, channel, row, col). Images
        on which several logits are the largest have no answer, and are left out. A network that is neither constructed nor
        piecewise linear has no lower bound, and the note names the layer; nor has one with an upper bound below a lower one on
        some image. One that cannot compute in float64 is not applicable.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    from ..linear.exact_network import ExactNetwork, NoFormError, gradients
    from ..linear.region import NORMS
    from .sound import MEANING, SoundRadius

    scenes = labelled(data.test, images)
    result = ResultBuilder(INFO)
    if len(data.task.classes) == 1:
        result.cannot_fail("radius_lower, radius_upper, gap, found", ONE_CLASS)
        return result.result()
    exact = ExactNetwork(network)
    sound: SoundRadius | None = None
    try:
        with gradients():  # also where the caller has switched them off: tensors made in inference mode have none
            others, answers = _first_of_each_answer(exact, scenes)
    except NoFormError as reason:
        return tmi.ProbeResult.not_applicable(str(reason))
    try:
        sound = SoundRadius(network, exact, in_float64(scenes[:1]).images)
        meaning = MEANING[sound.source]
    except InputError as reason:
        meaning = f"left out: {reason}"
    kept = spread_over(scenes.labels.tolist(), keep)
    with gradients():
        lower, upper, changed = _searched(exact, sound, scenes, others, answers, kept, seed, steps, restarts)
    refuted = np.any([upper[norm] < radius * (1 - ROUNDING) for norm, radius in lower.items()], axis=0)
    if refuted.any():
        lower = {}
        meaning = (
            f"left out: on {int(refuted.sum())} of {len(scenes)} images a smaller change alters the answer, so that it is no "
            "lower bound; the network may compute a part of its logits outside torch"
        )
    result.notes.append(f"radius_lower: {meaning}")
    answered = answers >= 0
    if not answered.all():
        result.notes.append(f"{int((~answered).sum())} of {len(scenes)} images have no single answer and are left out")
    for norm in NORMS:
        _add(result, norm, lower.get(norm), upper[norm])
        result.arrays[f"attacked.{norm}"] = (("kept", "channel", "row", "col"), np.stack(changed[norm]))
    result.arrays |= {
        "answer": ("image", answers),
        "label": ("image", scenes.labels),
        "images": (("kept", "channel", "row", "col"), in_float64(scenes[kept]).images),
    }
    result.coords["kept"] = kept
    return result.result()


def _first_of_each_answer(exact: ExactNetwork, scenes: tmi.Scenes) -> tuple[tuple[torch.Tensor, torch.Tensor], NDArray[np.int64]]:
    """Return the first image of each answer with these answers, and the answers of all."""
    import torch

    from .search import Margins

    first: dict[int, torch.Tensor] = {}
    answers = []
    for _, part in in_parts(scenes):
        given = in_float64(part).images
        answers.append(Margins(exact, given).answers)
        for number, answer in enumerate(answers[-1].tolist()):
            if answer >= 0:
                first.setdefault(answer, given[number])
    images = torch.stack([*first.values()]) if first else torch.empty(0, *scenes.task.image_shape, dtype=torch.float64)
    return (images, torch.tensor([*first], dtype=torch.int64)), torch.cat(answers).numpy()


def _searched(
    exact: ExactNetwork,
    sound: SoundRadius | None,
    scenes: tmi.Scenes,
    others: tuple[torch.Tensor, torch.Tensor],
    answers: NDArray[np.int64],
    kept: list[int],
    seed: int,
    steps: int,
    restarts: int,
) -> tuple[dict[Norm, Array], dict[Norm, Array], dict[Norm, list[Array]]]:
    """Return the lower and the upper bounds (NaN where none is known), and the changed images of those to keep."""
    import torch

    from ..linear.region import NORMS
    from .search import Margins, smallest_change

    lower: dict[Norm, Array] = {} if sound is None else {norm: np.full(len(scenes), np.nan) for norm in NORMS}
    upper: dict[Norm, Array] = {norm: np.full(len(scenes), np.nan) for norm in NORMS}
    changed: dict[Norm, dict[int, Array]] = {norm: {} for norm in NORMS}
    for rows, part in in_parts(scenes):
        numbers = np.arange(rows.start, rows.start + len(part))
        given = in_float64(part).images
        for i in set(kept) & set(numbers.tolist()):
            for norm in NORMS:
                changed[norm][i] = given[i - rows.start].numpy()
        numbers = numbers[answers[rows] >= 0]
        if not len(numbers):
            continue
        given, answer = given[numbers - rows.start], torch.from_numpy(answers[numbers])
        if sound is not None:
            for norm, radius in sound.radii(given, answer).items():
                lower[norm][numbers] = radius
        # Drawn for each image by itself, so that they do not depend on the size of a part.
        drawn = [np.random.default_rng([seed, number]).uniform(-1, 1, (restarts, given[0].numel())) for number in numbers]
        noise = [torch.from_numpy(np.stack([of_image[k] for of_image in drawn])) for k in range(restarts)]
        margins = Margins(exact, given)
        for norm in NORMS:
            search = smallest_change(margins, given, answer, norm, others=others, steps=steps, noise=noise)
            upper[norm][numbers] = torch.where(search.radius.isfinite(), search.radius, torch.nan).numpy()
            for i in set(kept) & set(numbers.tolist()):
                changed[norm][i] = search.best[int(np.flatnonzero(numbers == i)[0])].reshape(given.shape[1:]).numpy()
    return lower, upper, {norm: [of_image[i] for i in kept] for norm, of_image in changed.items()}


def _add(result: ResultBuilder, norm: Norm, lower: Array | None, upper: Array) -> None:
    """Add the metrics and arrays of one norm."""
    bounds: dict[str, Any] = {"upper": upper} if lower is None else {"lower": lower, "upper": upper}
    for name, radius in bounds.items():
        known = radius[np.isfinite(radius)]
        if len(known):
            result.add(f"radius_{name}.{norm}", np.median(known))
            result.add(f"radius_{name}_mean.{norm}", known.mean())
        result.arrays[f"radius_{name}.{norm}"] = ("image", radius)
    result.add(f"found.{norm}", np.isfinite(upper).mean())
    if lower is not None:
        both = np.isfinite(upper) & (lower > 0)
        if both.any():
            result.add(f"gap.{norm}", np.median(upper[both] / lower[both]))
