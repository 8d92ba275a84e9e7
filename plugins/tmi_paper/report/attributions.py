"""Attribution methods on the two networks, beside the exact truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tmi.report import Section, bullets, figure, paragraph, table

from .. import figures
from ..claims.claim import at_one_tile
from ..comparison import network_origin
from .common import NETWORKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi
    from tmi.runs.results import Entry

METHODS = ("saliency", "input-x-gradient", "integrated-gradients", "deeplift", "gradient-shap", "occlusion", "sobel")


def attributions(results: tmi.Results) -> Section | None:
    """Compare attribution methods on the two networks with the exact truth."""
    chosen = {
        network: [entry for entry in at_one_tile(results, network, probe) if entry.metrics]
        for network, probe in (
            ("theorem1", "attribution"),
            ("trained", "attribution"),
            ("theorem1-layers", "attribution-as-layers"),
        )
    }
    layers = chosen.pop("theorem1-layers")
    chosen = {network: entries for network, entries in chosen.items() if entries}
    if not chosen:
        return None
    seed = next(iter(chosen.values()))[0].seed
    first = {NETWORKS[network]: results.load(entries[0]) for network, entries in chosen.items()}
    maps = {name: _maps(result) for name, result in first.items()}
    scores = {NETWORKS[network]: _precision(entries) for network, entries in chosen.items()}
    kept = next(iter(first.values()))
    remark = ""
    if layers and "constructed" in maps:
        # DeepLift refuses the fused network; the same function as layers, with the same gradient, supplies its map.
        same = results.load(layers[0])
        if np.array_equal(same.arrays["images"].values[:2], kept.arrays["images"].values[:2]):
            maps["constructed"]["deeplift"] = _maps(same)["deeplift"]
            scores["constructed"]["deeplift"] = _precision(layers)["deeplift"]
            remark = (
                " DeepLift is refused on the fused constructed network, for its matching is a single operation; shown is its map "
                "on "
                "the same network as layers, scored on fewer images."
            )
        first["constructed, as layers"] = same
    delta = [
        (name, method, result.metrics[f"completeness_relative.{method}"], result.metrics.get(f"zero_map.{method}"))
        for name, result in first.items()
        for method in METHODS
        if f"completeness_relative.{method}" in result.metrics
    ]
    refused = [f"{name}: {note}" for name, result in first.items() for note in result.notes if "refused" in note]
    origins = {NETWORKS[network]: network_origin(entries[0]) for network, entries in chosen.items()}
    chances = [entry.metrics["precision.chance"] for entries in chosen.values() for entry in entries]
    return Section(
        "Where attribution methods look, and where they should",
        paragraph(
            "Captum's methods explain the label's logit of test images of section 6.2 (k = 1). The truth is known: only the "
            "pixels in the outline can decide. Every map is scored by the share of its strongest pixels that lie there; a "
            "constant map scores chance, the truth itself 1, and edges alone (Sobel) need no network at all."
        )
        + figure(
            figures.attribution_maps(kept.arrays["images"].values[:2], kept.arrays["masks"].values[:2], maps, METHODS),
            "Attribution maps of all methods, network by network",
            f"Absolute attributions on the same images, each map scaled to its own maximum (black is 0); seed {seed}. The "
            f"outline is the tile's support.{remark}",
        )
        + figure(
            figures.attribution_scores(scores, float(np.mean(chances)), origins),
            "Precision of attribution methods, by network",
            "Mean over images and seeds.",
        )
        + table(
            ("network", "method", "error of completeness, relative", "share of maps that are 0 everywhere"),
            delta,
            f"Attributions should add up to the logit's change from the baseline; seed {seed}. The logit of a constructed "
            "network is above 0 only within ε of a tile, at the end of the path from black: few steps, or random points, fall "
            "there.",
        )
        + (bullets(refused) if refused else ""),
    )


def _maps(result: tmi.ProbeResult) -> dict[str, NDArray[np.float32]]:
    return dict(zip(result.coords["method"].tolist(), result.arrays["maps"].values[:, :2], strict=True))


def _precision(entries: list[Entry]) -> dict[str, float]:
    """Mean precision of each method over the entries."""
    known = {metric.partition(".")[2]: metric for metric in entries[0].metrics if metric.startswith("precision.")}
    return {m: float(np.mean([entry.metrics[known[m]] for entry in entries])) for m in METHODS if m in known}
