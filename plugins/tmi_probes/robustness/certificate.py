"""Certified robustness: how far test images may change before a constructed network's prediction can."""

from __future__ import annotations

import numpy as np

import tmi
from tmi.params import Count

from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled

INFO = {
    "certified": tmi.MetricInfo("Share of test images with a certificate above 0", "higher", 0, 1),
    "radius_mean": tmi.MetricInfo("Mean certified L1 radius over test images", "higher", 0, unit="summed pixel difference"),
    "radius_min": tmi.MetricInfo("Least certified L1 radius of a test image", "higher", 0, unit="summed pixel difference"),
}


def certificate(network: tmi.Network, data: tmi.Dataset, *, images: Count = 1000) -> tmi.ProbeResult:
    """Measure the certified L1 radius of a constructed network on test images.

    Parameters
    ----------
    images : int
        How many test images: the first ones.

    Returns
    -------
    ProbeResult
        Metrics ``certified``, ``radius_mean`` and ``radius_min``; array ``radius`` (image). A network that was not constructed
        has no certificate: ``certified`` is 0, and a note says so.

    Raises
    ------
    InputError
        If no test scene shows a tile, or a constructed network does not compute φ of its task.
    """
    scenes = labelled(data.test, images)
    if network.origin != "constructed":
        note = f"the network is {network.origin}; nothing is certified, which does not mean that its predictions change easily"
        return tmi.ProbeResult({"certified": 0.0}, info={"certified": INFO["certified"]}, notes=note)
    radius = network.certificate(scenes.images, scenes.labels).numpy()
    result = ResultBuilder(INFO)
    result.add("certified", np.mean(radius > 0))
    result.add("radius_mean", radius.mean())
    result.add("radius_min", radius.min())
    result.arrays["radius"] = ("image", radius)
    return result.result()
