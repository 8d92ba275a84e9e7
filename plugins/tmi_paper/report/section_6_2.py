"""Section 6.2: how many tiles a class, Figure 4, and neurons that are monosemantic and polysemantic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tmi.report import Section, figure, paragraph, table

from .. import figures
from ..claims.claim import at_one_tile, described, swept_values, tiles_from
from ..comparison import network_origin
from .common import NETWORKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tmi


def tiles_per_class(results: tmi.Results) -> Section | None:
    """Give the accuracies by the number of tiles a class, and explain the seed with most errors."""
    rows = []
    for network in ("theorem1", "theorem2", "trained"):
        for k in swept_values(results, "tiles_per_class"):
            chosen = results.select(network=network, probe="accuracy", tiles_per_class=k)
            test, train = chosen.values("accuracy"), chosen.values("train_accuracy")
            if test:
                each = ", ".join(f"{value:.3f}" for value in test)
                rows.append((network.replace("theorem", "Theorem "), k, described(test), described(train), each))
    if not rows:
        return None
    return Section(
        "Section 6.2: how many tiles a class",
        paragraph(
            "One convolution with 12 filters of 5×5 straight to the logits, 4,000 training images, 15 epochs, learning rate "
            "0.03, batch size 100, as in the paper. The paper does not say how many tiles k a class has, so several are run. "
            "Compare the accuracy on the training images with that on new ones."
        )
        + table(
            ("network", "tiles a class, k", "test accuracy", "training accuracy", "test accuracy, seed by seed"),
            rows,
            f"Tiles from the {tiles_from(results)}.",
        )
        + _confusions(results),
    )


def _confusions(results: tmi.Results) -> str:
    entries = [entry for entry in at_one_tile(results, "trained", "confused-tiles") if "errors" in entry.metrics]
    if not entries:
        return ""
    rows = []
    for entry in entries:
        arrays = results.load(entry)
        names, distance = arrays.coords["class"], arrays.arrays["distance"].values
        nearest = np.unravel_index(np.nanargmin(distance), distance.shape) if np.isfinite(distance).any() else (0, 0)
        share = entry.metrics.get("nearest_share")
        pair = f"{names[nearest[1]]} and {names[nearest[0]]}"
        rows.append((entry.seed, int(entry.metrics["errors"]), entry.metrics.get("least_distance"), pair, share))
    return paragraph(
        "Which tiles are confused (k = 1)? The paper's network fails where two tiles of different classes are similar: the "
        "errors are then between these two classes."
    ) + table(
        ("seed", "errors", "least distance of two tiles", "of", "share of the errors between these two"),
        rows,
        "Distances are L1 over all pixels, of two tiles laid on each other.",
    )


def figure_4(results: tmi.Results) -> Section | None:
    """Draw Figure 4 as the paper has it, for the trained and the constructed network, and give its claim in numbers."""
    drawn = []
    for network in ("trained", "theorem1"):
        entries = {}
        for probe, what in (("background-robustness", "backgrounds"), ("translation-robustness", "places")):
            chosen = [entry for entry in at_one_tile(results, network, probe) if entry.status == "ok"]
            if chosen:
                entries[what] = chosen[0]
        if not entries:
            continue
        seed, origin = next(iter(entries.values())).seed, network_origin(next(iter(entries.values())))
        name = NETWORKS[network]
        drawn.append(
            figure(
                figures.logit_spread(_counted({what: results.load(entry) for what, entry in entries.items()}), origin),
                f"Distributions of all ten logits of three tiles over backgrounds and over places, {name} network",
                f"Figure 4 of the paper, {name} network, seed {seed}, k = 1. Columns: three tiles of different classes, chosen "
                "by the seed. First row: the tile at one place on other backgrounds; second row: on one background at other "
                "places. Boxes span the quartiles, whiskers the whole range; the coloured box is the label's logit. A box "
                "without height is a logit that does not change at all.",
            )
        )
    if not drawn:
        return None
    return Section(
        "Figure 4: another background, another place",
        "".join(drawn) + _ratios(results) + _unchanged(results),
    )


def _counted(rows: dict[str, tmi.ProbeResult]) -> dict[str, tmi.ProbeResult]:
    """Put the number of variants before each heading, as in "100 places"."""
    return {f"{result.arrays['kept_variant'].values.shape[1]} {what}": result for what, result in rows.items()}


def _ratios(results: tmi.Results) -> str:
    rows = []
    for entry in at_one_tile(results, "trained", "variance-ratio"):
        if "variance_ratio" in entry.metrics:
            m = entry.metrics
            stds = [float(np.sqrt(m[name])) for name in ("variance_background", "variance_translation")]
            rows.append((entry.seed, *stds, m["variance_ratio"], m.get("variance_ratio_min")))
    if not rows:
        return ""
    head = ("seed", "logit std, backgrounds", "logit std, places", "ratio of the variances", "least ratio of a tile")
    return table(
        head, rows, "The trained network, over the tiles, backgrounds and places of the probe; root mean square over tiles."
    )


def _unchanged(results: tmi.Results) -> str:
    rows = []
    for network, name in NETWORKS.items():
        values = [
            at_one_tile(results, network, probe).values(metric)
            for metric in ("logit_std", "correct")
            for probe in ("background-robustness", "translation-robustness")
        ]
        if all(values):
            rows.append((name, *map(described, values)))
    head = ("network", "logit std, backgrounds", "logit std, places", "right, backgrounds", "right, places")
    return table(head, rows, "The three tiles of the figure, mean over logits and tiles.") if rows else ""


def neurons(results: tmi.Results) -> Section | None:
    """Draw how many neurons an image activates, and for how many classes a neuron fires."""
    shares: dict[str, dict[str, list[float]]] = {}
    totals: dict[str, dict[str, int]] = {}
    first_seed = 0
    counts: dict[str, NDArray[np.float64]] = {}
    origins: dict[str, str] = {}
    for network in NETWORKS:
        chosen = at_one_tile(results, network, "activation-sparsity")
        for entry in chosen:
            origins[NETWORKS[network]] = network_origin(entry)
            for metric, value in entry.metrics.items():
                measure, _, layer = metric.partition(".")
                if measure == "active_share" and layer != "logits" and f"neurons.{layer}" in entry.metrics:  # no control
                    shares.setdefault(NETWORKS[network], {}).setdefault(layer, []).append(value)
                    totals.setdefault(NETWORKS[network], {})[layer] = int(entry.metrics[f"neurons.{layer}"])
        panel = next((entry for entry in at_one_tile(results, network, "selectivity") if entry.status == "ok"), None)
        if panel is None:
            continue
        first_seed = panel.seed
        for name, array in results.load(panel).arrays.items():
            measure, _, layer = name.partition(".")
            if measure == "classes_relative":
                origins[f"{NETWORKS[network]}: {layer}"] = network_origin(panel)
                counts[f"{NETWORKS[network]}: {layer}"] = array.values[np.isfinite(array.values)]
    if not shares:
        return None
    body = figure(
        figures.active_neurons(shares, totals, origins),
        "Share of active neurons an image, by layer, constructed and trained",
        "Section 6.2, k = 1. How many neurons of a layer an image activates, mean over images and seeds. "
        "Theorem 1 promises one for the constructed network, where no other window matches: that of this tile at this place.",
    )
    if counts:
        body += figure(
            figures.classes_per_neuron(counts, _classes(results), origins),
            "For how many classes neurons fire, by layer",
            "For how many classes a neuron is above half its maximum more than half as often as for its best class; "
            f"seed {first_seed}, k = 1. A monosemantic neuron fires for one.",
        )
    return Section("Monosemantic and polysemantic neurons", body)


def _classes(results: tmi.Results) -> int:
    """Return the number of classes of fashion, from the first result that names them; 1 where none does."""
    for entry in results.select(dataset="fashion", status="ok"):
        if "class" in (coords := results.load(entry).coords):
            return len(coords["class"])
    return 1
