"""What attribution methods and measures declare: two decorators, whose content is read before anything runs.

A method is ``def f(module, images, targets, *, …) -> maps``, a measure ``def f(maps, truth, *, …) -> scores``. Neither has to be
decorated: a method declares what it needs of a module, a measure its range and which direction is better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from tmi.errors import PluginError, did_you_mean

Level = Literal["input", "layer", "neuron"]
Scored = Literal["absolute", "positive", "signed"]
Need = Literal["gradient", "modules", "relu-modules", "lrp-modules", "maps", "no-inplace", "constructed"]

NEEDS: dict[str, str] = {
    "gradient": "the logits depend differentiably on the image",
    "modules": "every non-linearity is a module of its own that DeepLift knows, used once and not in place, and no max pooling",
    "relu-modules": "every ReLU is an nn.ReLU of its own, used once, not in place and not behind another",
    "lrp-modules": "every operation is a module for which Captum's LRP has a rule, or rearranges numbers",
    "maps": "the layer gives maps (channels, rows, cols)",
    "no-inplace": "no module works in place",
    "constructed": "the network is constructed, so that its exact attribution is known",
}
"""Properties of a module that a method may need, and their meaning; each is checked before the method runs."""

TOPICS = ("localisation", "leakage", "fidelity", "agreement", "counterfactual")
"""Topics of measures. Measures of localisation get a skill."""

GIVEN = {"method": ("seed", "baselines", "references", "layer", "neurons", "truth"), "measure": ("seed", "attribute")}
"""Keyword-only parameters that are supplied to a function that has them; all others are settings."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class MethodInfo:
    """What a method declares; see `tmi.attribution_method`."""

    needs: tuple[str, ...] = ()
    level: Level = "input"
    complete: Literal["", "baselines", "references"] = ""
    images_at_once: int = 16
    control: bool = False


@dataclass(frozen=True)
class MeasureInfo:
    """What a measure declares; see `tmi.attribution_measure`."""

    better: Literal["higher", "lower"] = "higher"
    low: float | None = None
    high: float | None = None
    unit: str = ""
    topic: str = ""
    scored: Scored = "absolute"
    truth_free: bool = False
    spatial: bool = False
    chance: Callable[[Any], Any] | None = None


def attribution_method(
    *,
    needs: Sequence[Need] = (),
    level: Level = "input",
    complete: Literal["", "baselines", "references"] = "",
    images_at_once: int = 16,
    control: bool = False,
) -> Callable[[F], F]:
    """Declare what an attribution method needs and promises.

    Parameters
    ----------
    needs : sequence of str
        See `NEEDS`. If a module does not fulfil them, the method is refused with the reason instead of returning wrong numbers.
    level : {"input", "layer", "neuron"}
        Whether it attributes a logit to pixels, a logit to the neurons of a layer, or a neuron to pixels.
    complete : {"", "baselines", "references"}
        Whether its attributions add up to the logit minus that of the baseline, or minus its mean over the references.
    images_at_once : int
        Images in one call, which bounds the memory. A method that takes ``seed`` is given one image at a time, with its own seed.
    control : bool
        Whether it ignores the network, or knows the truth; other methods are compared with it.

    Raises
    ------
    PluginError
        For an unknown need.
    """
    for need in needs:
        if need not in NEEDS:
            raise PluginError(f"attribution_method: need {need!r} is unknown{did_you_mean(need, NEEDS)}")
    info = MethodInfo(tuple(needs), level, complete, images_at_once, control)

    def mark(function: F) -> F:
        function.tmi_method = info  # type: ignore[attr-defined]
        return function

    return mark


def attribution_measure(
    *,
    better: Literal["higher", "lower"] = "higher",
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    topic: str = "",
    scored: Scored = "absolute",
    truth_free: bool = False,
    spatial: bool = False,
    chance: Callable[[Any], Any] | None = None,
) -> Callable[[F], F]:
    """Declare what a measure of attributions scores, its range, and which direction is better.

    Parameters
    ----------
    better : {"higher", "lower"}
        Which direction is better.
    low, high : float, optional
        Its range; None where it has no bound.
    unit : str
        Empty for a share.
    topic : str
        One of `TOPICS`, or empty. A measure of localisation is also given as a skill, between chance and the oracle.
    scored : {"absolute", "positive", "signed"}
        The maps that the measure receives: ``|a|`` or max(a, 0), summed over the channels, (N, m, n); or the signed attributions,
        (N, C, m, n).
    truth_free : bool
        Whether it can be computed without knowing the truth.
    spatial : bool
        Whether it needs pixels, so that it cannot score attributions of a layer's neurons.
    chance : callable, optional
        ``(truth) -> scores (N,)``: the expected score of a random map. By default random maps are scored.

    Raises
    ------
    PluginError
        For an unknown topic.
    """
    if topic and topic not in TOPICS:
        raise PluginError(f"attribution_measure: topic {topic!r} is unknown{did_you_mean(topic, TOPICS)}")
    info = MeasureInfo(better, low, high, unit, topic, scored, truth_free, spatial, chance)

    def mark(function: F) -> F:
        function.tmi_measure = info  # type: ignore[attr-defined]
        return function

    return mark


def method_info(function: Callable[..., Any]) -> MethodInfo:
    """Return what a method declares, the defaults if it is not decorated."""
    info: MethodInfo = getattr(function, "tmi_method", MethodInfo())
    return info


def measure_info(function: Callable[..., Any]) -> MeasureInfo:
    """Return what a measure declares, the defaults if it is not decorated."""
    info: MeasureInfo = getattr(function, "tmi_measure", MeasureInfo())
    return info


def declared(function: Callable[..., Any], kind: str) -> list[str]:
    """Return what a method or measure declares, as lines of text; nothing for another kind."""
    if kind == "method":
        method = method_info(function)
        kind_of = {"input": "a logit to pixels", "layer": "a logit to the neurons of a layer", "neuron": "a neuron to pixels"}
        lines = [f"Attributes {kind_of[method.level]}{'; a control' if method.control else ''}."]
        return [*lines, *(f"Needs: {NEEDS[need]}." for need in method.needs), ""]
    if kind == "measure":
        measure = measure_info(function)
        low, high = ("…" if end is None else f"{end:g}" for end in (measure.low, measure.high))
        about = f" about {measure.topic}" if measure.topic else ""
        free = "; needs no truth" if measure.truth_free else ""
        text = f"A measure{about} of {measure.scored} attributions: {measure.better} is better, from {low} to {high}{free}."
        return [text, ""]
    return []
