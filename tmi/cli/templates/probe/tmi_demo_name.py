"""The probe demo-name for tmi."""

from __future__ import annotations

import tmi
from tmi.params import Count


@tmi.hookimpl
def tmi_probes() -> dict[str, str]:
    """Name the probes of this package, and where their functions are."""
    return {"demo-name": "tmi_demo_name:demo_name"}


def demo_name(network: tmi.Network, data: tmi.Dataset, *, images: Count = 1000) -> tmi.ProbeResult:
    """Margin of the label's logit over the greatest other one.

    Parameters
    ----------
    images : int
        The number of test images: the first ones are taken.
    """
    if len(data.task.classes) < 2:
        return tmi.ProbeResult.not_applicable("the margin needs two classes")
    scenes = data.test[:images]
    logits = network.logits(scenes.images)
    label = logits.gather(1, scenes.labels[:, None])[:, 0]
    others = logits.scatter(1, scenes.labels[:, None], float("-inf")).max(1).values
    margin = label - others
    return tmi.ProbeResult(
        {"margin": margin.mean(), "margin.least": margin.min(), "positive": (margin > 0).double().mean()},
        arrays={"margins": ("image", margin)},
        info={
            "margin": tmi.MetricInfo("Logit of the label minus the greatest other one, mean and least", "higher", unit="logit"),
            "positive": tmi.MetricInfo("Share of images with a margin above 0", "higher", 0, 1),
        },
    )
