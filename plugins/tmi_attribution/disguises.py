"""Probe ``disguises``: by how much each attribution method changes when the same function is computed by other neurons."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi import params
from tmi.errors import InputError
from tmi.params import Count, Positive, Share
from tmi_networks.disguised import DISGUISES, Disguise, check_logits, disguise

from .attributor import Attributor, not_finite
from .build_truth import layer_for, references_of, truth_of
from .common import described, each_once
from .receptive import most_active
from .truth import Baseline, Truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

EXACT = 1e-9
"""The largest relative change of an attribution that counts as none: rounding, in float64."""

APPROXIMATE = 1e-3
"""The largest relative change that counts as approximate invariance."""

METHODS = [
    *("saliency", "input-x-gradient", "integrated-gradients", "gradient-shap", "smooth-grad", "smooth-grad-squared", "var-grad"),
    *("smooth-integrated-gradients", "occlusion", "feature-ablation", "feature-permutation", "shapley-sampling", "shapley-exact"),
    *("kernel-shap", "lime", "deeplift", "deeplift-shap", "lrp", "guided-backprop", "deconvolution", "grad-cam"),
    *("guided-grad-cam", "layer-activation", "layer-gradient-x-activation", "layer-integrated-gradients", "layer-conductance"),
    *("internal-influence", "layer-deeplift", "layer-deeplift-shap", "layer-gradient-shap", "layer-grad-cam", "layer-lrp"),
    *("layer-feature-ablation", "layer-feature-permutation", "neuron-gradient", "neuron-integrated-gradients"),
    *("neuron-conductance", "neuron-deeplift", "neuron-deeplift-shap", "neuron-gradient-shap", "neuron-guided-backprop"),
    *("neuron-deconvolution", "neuron-feature-ablation"),
]
"""The built-in methods that look at the network: those of the pixels, of a layer, and of a neuron."""

_ALL: list[Disguise] = [*DISGUISES]

INFO = {
    "change": tmi.MetricInfo(
        "Largest change of a method's attributions under any disguise, max |a' − a| / max |a| over the images; 0 where they "
        "depend on the function alone (implementation invariance, Sundararajan et al. 2017)",
        None,
        0,
    ),
    "methods": tmi.MetricInfo(
        "Number of methods whose change is at most 1e-9 (exact), at most 1e-3 (approximate), or more (changed)",
        None,
        0,
    ),
}


def disguises(
    network: tmi.Network,
    data: tmi.Dataset,
    *,
    seed: int,
    methods: list[params.Method] = METHODS,
    disguises: list[Disguise] = _ALL,
    draws: Count = 1,
    images: Count = 4,
    noise: Share = 0.001,
    baseline: Baseline = "black",
    layer: str | None = None,
    memory: Positive = 1.0,
) -> tmi.ProbeResult:
    """By how much each attribution method changes when the same function is computed by other neurons.

    The network is given other neurons, by one disguise at a time (see builder ``disguised``), and its label's logit is attributed
    before and after, in float64 and with the same random draws. A method that depends on the function alone cannot change.

    Attributions of a layer are compared neuron by neuron: those of the neurons that an old one was split into are added up, and
    those of added neurons are left out. After a change of basis neuron number i is compared with neuron number i. A method that
    attributes a neuron is asked about the neuron that the most active one has become, or the first of several.

    Parameters
    ----------
    methods : list of str
        Which methods, with settings of their own in brackets; by default all built-in ones that look at the network.
    disguises : list of str
        Which disguises, each alone.
    draws : int
        How many random disguises of each kind.
    images : int
        The number of test images: the first ones are taken.
    noise : float
        Each pixel is changed by a random number up to this, and stays in [0, 1]. Where a tile is pasted exactly, a constructed
        network is at a kink, at which rounding decides about the gradient.
    baseline : {"black", "background"}
        What an image is compared with: a black image, or the same scene without its tile.
    layer : str, optional
        Which layer, for methods that look at one. By default the last one of maps for Grad-CAM, else ``hidden``.
    memory : float
        Gigabytes that the dense weights may take.

    Returns
    -------
    ProbeResult
        Metrics ``change.<method>``, the largest over all disguises, and ``methods.exact``, ``methods.approximate`` and
        ``methods.changed``. Arrays ``change`` (method, disguise, draw), NaN where it is undefined, ``random`` (method), which
        methods draw random numbers, and ``level`` (method). Not applicable to a network that cannot be disguised, or
        that then has other logits on the images.

    Raises
    ------
    InputError
        If no test scene shows a tile, or a method or a disguise is named twice.
    """
    each_once("methods", [method.text for method in methods])
    each_once("disguises", disguises)
    try:
        variants = [
            (name, draw, *disguise(network, [name], seed=_number(seed, draw), memory=memory))
            for name in disguises
            for draw in range(draws)
        ]
        plain, _ = disguise(network, [], seed=seed, memory=memory)
    except InputError as error:
        return tmi.ProbeResult.not_applicable(str(error))
    truth = _shaken(truth_of(plain, data, images, baseline), noise, seed)
    try:
        for other in (plain, *(variant for *_, variant, _ in variants)):
            check_logits(network, other, truth.images)
    except InputError as error:
        return tmi.ProbeResult.not_applicable(str(error))
    references = references_of(truth, data)
    change = np.full((len(methods), len(disguises), draws), np.nan)
    notes: list[str] = []
    for index, method in enumerate(tmi.track(methods, "methods")):
        run = Attributor(method, references, seed)
        run.layer = layer_for(plain, run.info.level, run.info.needs, layer, data.test.images)
        asked = _asked(run, plain, truth)
        if reasons := run.problems(asked):
            notes.append(f"{method.text}: refused: {'; '.join(reasons)}")
            continue
        before = run(asked)
        size = float(np.abs(before).max())
        if (invalid := not_finite(before)) or not size:
            notes.append(f"{method.text}: left out, for it gave {invalid or '0 everywhere'}")
            continue
        for name, draw, other, mixing in variants:
            known = mixing.get(run.layer or "")
            changed = asked.replaced(module=_frozen(other.module), neurons=_followed(asked.neurons, known, run, plain, truth))
            if reasons := run.problems(changed):
                notes.append(f"{method.text}: refused after {name}: {'; '.join(reasons)}")
                continue
            after = run(changed)
            if run.info.level == "layer" and known is not None:
                after = _brought_back(after, known if name != "basis" else np.eye(len(known)), before.shape)
            change[index, disguises.index(name), draw] = np.abs(after - before).max() / size
    notes = list(dict.fromkeys(notes))
    measured = np.isfinite(change).any((1, 2))
    if not measured.any():
        return tmi.ProbeResult.not_applicable("none of the methods gives an attribution other than 0 on the network")
    largest = {m.text: float(np.nanmax(values)) for m, values, some in zip(methods, change, measured, strict=True) if some}
    kinds = [kind_of(value) for value in largest.values()]
    metrics = {f"change.{name}": value for name, value in largest.items()}
    metrics |= {f"methods.{kind}": float(kinds.count(kind)) for kind in ("exact", "approximate", "changed")}
    infos = [inspect.signature(method.function).parameters for method in methods]
    arrays: dict[str, Any] = {
        "change": (("method", "disguise", "draw"), change),
        "random": (("method",), ["seed" in wanted for wanted in infos]),
        "level": (("method",), [Attributor(method, references).info.level for method in methods]),
    }
    coords = {"method": [method.text for method in methods], "disguise": list(disguises)}
    return tmi.ProbeResult(metrics, arrays, coords, described(INFO, metrics), notes)


def kind_of(change: float) -> str:
    """Return "exact", "approximate" or "changed" for a relative change of an attribution."""
    return "exact" if change <= EXACT else "approximate" if change <= APPROXIMATE else "changed"


def _number(seed: int, draw: int) -> int:
    return int(np.random.SeedSequence([seed, draw]).generate_state(1)[0])


def _shaken(truth: Truth, noise: float, seed: int) -> Truth:
    """Return the truth about images with noise."""
    import torch

    images = truth.images
    random = torch.rand(images.shape, dtype=images.dtype, generator=torch.Generator().manual_seed(seed % 2**63))
    # Reflected at 0 and 1 and not clipped: pixels of a tile that are 0 or 1 must not stay at their value.
    shaken = (images + noise * (2 * random - 1)).abs()
    return truth.replaced(images=1 - (1 - shaken).abs())


def _asked(run: Attributor, network: tmi.Network, truth: Truth) -> Truth:
    """Return the truth at the method's level, for which no mask is needed."""
    if run.info.level != "neuron" or run.layer is None:
        return truth.replaced(level=run.info.level)
    return truth.replaced(level="neuron", neurons=most_active(network, run.layer, truth.scenes))


def _frozen(module: Any) -> Any:
    return copy.deepcopy(module).eval().requires_grad_(False)


def _followed(neurons: Any, known: Array | None, run: Attributor, network: tmi.Network, truth: Truth) -> Any:
    """Return the neurons that old ones have become: the first of those with the largest weight of it."""
    if neurons is None or known is None or run.layer is None:
        return neurons
    size = network.activations(truth.scenes[:1].images, run.layer)[run.layer].numel()
    channel, place = np.divmod(neurons, size // known.shape[1])
    return np.abs(known).argmax(0)[channel] * (size // known.shape[1]) + place


def _brought_back(after: Array, known: Array, shape: tuple[int, ...]) -> Array:
    """Return attributions of new neurons (N, new, …) as those of the old ones: of parts their sum, without added neurons."""
    summed: Array = np.einsum("nkp,ko->nop", after.reshape(len(after), len(known), -1), (known != 0).astype(float))
    return summed.reshape(shape)
