"""How far test images may provably change before the answer can: certificates, and the radius of linear regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Count

from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import in_float64, labelled
from ..pipeline.units import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..linear.region import Norm

INFO = {
    "certified": tmi.MetricInfo("Share of test images with a certificate above 0, of constructed networks", "higher", 0, 1),
    "radius_mean": tmi.MetricInfo("Mean certified L1 radius over test images", "higher", 0, unit="summed pixel difference"),
    "radius_min": tmi.MetricInfo("Least certified L1 radius of a test image", "higher", 0, unit="summed pixel difference"),
    "region_radius": tmi.MetricInfo(
        "Norm of a change, L1 or L∞, below which neither the linear region nor the answer changes: median over test images",
        "higher",
        0,
        unit="summed, or largest, pixel difference",
    ),
    "region_radius_mean": tmi.MetricInfo("The same, mean over test images", "higher", 0, unit="the same"),
    "region_radius_min": tmi.MetricInfo("The same, least of a test image", "higher", 0, unit="the same"),
}


def certificate(network: tmi.Network, data: tmi.Dataset, *, images: Count = 1000) -> tmi.ProbeResult:
    """Measure a sound radius: the certificate of a constructed network, the radius of linear regions of any other ReLU network.

    Parameters
    ----------
    images : int
        How many test images: the first ones.

    Returns
    -------
    ProbeResult
        Of a constructed network ``certified``, ``radius_mean`` and ``radius_min`` (L1), with array ``radius`` (image). Of any
        other network of piecewise linear operations ``region_radius``, ``region_radius_mean`` and ``region_radius_min``, each
        ``.l1`` and ``.linf``, with arrays ``region_radius.l1`` and ``.linf`` (image): 0 where the image is on a border of its
        region or several logits are the largest. Not applicable to a network that is not piecewise linear; the note names the
        layer.

    Raises
    ------
    InputError
        If no test scene shows a tile, or a constructed network does not compute φ of its task.
    """
    scenes = labelled(data.test, images)
    result = ResultBuilder(INFO)
    if network.origin == "constructed":
        radius = network.certificate(scenes.images, scenes.labels).numpy()
        result.add("certified", np.mean(radius > 0))
        result.add("radius_mean", radius.mean())
        result.add("radius_min", radius.min())
        result.arrays["radius"] = ("image", radius)
        return result.result()
    from ..linear.exact_network import ExactNetwork
    from .search import Margins
    from .sound import SoundRadius

    exact = ExactNetwork(network)
    found: dict[Norm, list[NDArray[np.float64]]] = {"l1": [], "linf": []}
    try:
        sound = SoundRadius(network, exact, in_float64(scenes[:1]).images)
        for _, part in in_parts(scenes):
            given = in_float64(part).images
            for norm, radius in sound.radii(given, Margins(exact, given).answers).items():
                found[norm].append(radius)
    except InputError as reason:
        return tmi.ProbeResult.not_applicable(str(reason))
    for norm, parts in found.items():
        radius = np.concatenate(parts)
        for name, value in (("", np.median(radius)), ("_mean", radius.mean()), ("_min", radius.min())):
            result.add(f"region_radius{name}.{norm}", value)
        result.arrays[f"region_radius.{norm}"] = ("image", radius)
    result.notes.append(f"the network is {network.origin}: the radius is that of linear regions, in float64")
    return result.result()
