"""A row for each measure: its values on constructed and trained networks over the seeds, and which direction is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import tmi
    from tmi.runs.results import Entry

LAYERS = ("hidden", "conv")
"""The layer that is compared: the one whose neurons stand for windows; in a network without it the convolution."""


@dataclass(frozen=True)
class Measure:
    """A metric that gets a row.

    Attributes
    ----------
    topic : str
    text : str
        Its meaning, in a few words.
    probe : str
        Label of the suite's probe.
    metric : str
        Its name; ``{layer}`` stands for the layer that is compared.
    headline : bool
        Whether it is a share, from 0 to 1, that the first picture shows.
    """

    topic: str
    text: str
    probe: str
    metric: str
    headline: bool = False


@dataclass(frozen=True)
class Row:
    """A measure and its values.

    Attributes
    ----------
    measure : Measure
    better : str
        "higher", "lower" or empty.
    values : dict of str to tuple of float
        By network; one value a seed. A network without a value is missing.
    chance : dict of str to float
        What chance scores on each network, mean over the seeds, where the probe reports it.
    origins : dict of str to str
        `tmi.Network.origin` of each network.
    """

    measure: Measure
    better: str
    values: dict[str, tuple[float, ...]]
    chance: dict[str, float]
    origins: dict[str, str]

    @property
    def best(self) -> list[str]:
        """The networks whose mean is best; empty where no direction is."""
        if not self.better or not self.values:
            return []
        means = {name: float(np.mean(values)) for name, values in self.values.items()}
        top = max(means.values()) if self.better == "higher" else min(means.values())
        return [name for name, mean in means.items() if abs(mean - top) <= 1e-9 * max(1.0, abs(top))]


_INSIDE, _PARTS, _ROBUST, _PIECES = "single neurons", "parts", "robustness", "linear pieces"
MEASURES = (
    Measure("task", "accuracy", "accuracy", "accuracy", True),
    Measure("task", "largest logit of a wrong class", "accuracy", "offlabel_logit_max"),
    Measure(_INSIDE, "share of neurons active on an image", "activation-sparsity", "active_share.{layer}", True),
    Measure(_INSIDE, "neurons active on an image", "activation-sparsity", "active_per_image.{layer}"),
    Measure(_INSIDE, "Hoyer sparsity", "activation-sparsity", "hoyer.{layer}", True),
    Measure(_INSIDE, "dead neurons", "activation-sparsity", "dead_share.{layer}"),
    Measure(_INSIDE, "neurons that fire for one class", "selectivity", "monosemantic.{layer}", True),
    Measure(_INSIDE, "classes a neuron fires for, beside its best", "selectivity", "classes_relative.{layer}"),
    Measure(_INSIDE, "class selectivity", "selectivity", "class_selectivity.{layer}", True),
    Measure(_INSIDE, "best ROC AUC of a neuron", "selectivity", "auc.{layer}"),
    Measure(_INSIDE, "mutual information with the label", "selectivity", "mutual_information.{layer}"),
    Measure(_INSIDE, "Monosemanticity Score", "selectivity", "monosemanticity_score.{layer}", True),
    Measure(_INSIDE, "recovery of tile and place, MCC", "unit-recovery", "mcc.tile-place.{layer}", True),
    Measure(_INSIDE, "recovery of tile and place, uniqueness", "unit-recovery", "uniqueness.tile-place.{layer}"),
    Measure(_INSIDE, "recovery of tile and place, F1", "unit-recovery", "f1.tile-place.{layer}"),
    Measure(_INSIDE, "recovery of the tile, MCC", "unit-recovery", "mcc.tile.{layer}"),
    Measure(
        _PARTS,
        "dimension that a tile and place has for itself",
        "superposition",
        "feature_dimensionality.tile-place.{layer}",
        True,
    ),
    Measure(_PARTS, "class read off linearly", "decodability", "decodability.class.{layer}"),
    Measure(_PARTS, "place read off linearly", "decodability", "decodability.place.{layer}"),
    Measure(_PARTS, "tile: MCC of units, before a dictionary", "dictionary", "mcc.tile.units"),
    Measure(_PARTS, "tile: MCC after NMF", "dictionary", "mcc.tile.nmf"),
    Measure(_PARTS, "tile: MCC after dictionary learning", "dictionary", "mcc.tile.dictionary-learning"),
    Measure(_PARTS, "tile: MCC after a sparse autoencoder", "dictionary", "mcc.tile.sparse-autoencoder"),
    Measure(_PARTS, "tile: MCC of supervised directions", "dictionary", "mcc.tile.supervised"),
    Measure(_PARTS, "neurons that suffice for the label", "responsible-neurons", "sufficient.{layer}"),
    Measure(_PARTS, "known responsible neurons found (TPR)", "responsible-neurons", "tpr.{layer}"),
    Measure(_PARTS, "others taken for responsible (FPR)", "responsible-neurons", "fpr.{layer}"),
    Measure(_PARTS, "share of weights needed for 99 % of the accuracy", "prunability", "weights_needed"),
    Measure(_ROBUST, "logit std over backgrounds", "background-robustness", "logit_std"),
    Measure(_ROBUST, "logit std over all places", "translation-robustness", "logit_std"),
    Measure(_ROBUST, "right at every place", "translation-robustness", "correct", True),
    Measure(_ROBUST, "least margin over places", "translation-robustness", "margin_min"),
    Measure(_ROBUST, "variance over places / over backgrounds", "variance-ratio", "variance_ratio"),
    Measure(_ROBUST, "right on natural backgrounds", "background-kinds", "correct.natural", True),
    Measure(_ROBUST, "right on constant backgrounds", "background-kinds", "correct.constant"),
    Measure(_ROBUST, "right on binary noise", "background-kinds", "correct.binary"),
    Measure(_ROBUST, "equivariance defect, compared layer", "equivariance", "defect_mean.{layer}"),
    Measure(_ROBUST, "equivariance defect, logits", "equivariance", "defect_mean.logits"),
    Measure(_ROBUST, "accuracy under rotation of the tile", "deformation", "accuracy_under.rotation", True),
    Measure(_ROBUST, "accuracy under blur", "deformation", "accuracy_under.blur"),
    Measure(_ROBUST, "accuracy under occlusion", "deformation", "accuracy_under.occlusion"),
    Measure(_ROBUST, "accuracy under noise", "deformation", "accuracy_under.noise"),
    Measure(_ROBUST, "images with a certificate", "certificate", "certified"),
    Measure(_PIECES, "error of f(x) = W x + b, relative", "local-linear-form", "reconstruction_error"),
    Measure(_PIECES, "share of |W| in the tile's support", "local-linear-form", "support_share", True),
    Measure(_PIECES, "W alike at other places", "local-linear-form", "similarity_places", True),
    Measure(_PIECES, "W alike on other backgrounds", "local-linear-form", "similarity_backgrounds"),
    Measure(_PIECES, "linear pieces an image", "linear-regions", "sample_regions_share", True),
    Measure(_PIECES, "pieces on the way to another background", "linear-regions", "path_regions.background"),
    Measure(_PIECES, "pieces on the way one pixel on", "linear-regions", "path_regions.translation"),
    Measure("section 6.1", "neuron above 1 over a patch of mean ≥ 0.7", "squares-heuristics", "high_above_1"),
    Measure("section 6.1", "neuron 0 over a patch of mean ≤ 0.4", "squares-heuristics", "low_is_0"),
)


def compare(results: tmi.Results, dataset: str, tiles_per_class: int | None = None) -> list[Row]:
    """Return the rows for one data set, those without any value left out.

    Parameters
    ----------
    results : Results
        Of suite ``monosemanticity``, or of a part of it.
    dataset : str
    tiles_per_class : int, optional
        Which of the swept ones.

    Returns
    -------
    list of Row
        Their values in the order of the networks in the suite.
    """
    chosen = [e for e in results if e.dataset == dataset and e.swept.get("tiles_per_class") == tiles_per_class and e.metrics]
    rows = []
    for measure in MEASURES:
        values: dict[str, tuple[float, ...]] = {}
        chances: dict[str, list[float]] = {}
        origins: dict[str, str] = {}
        better = ""
        for entry in chosen:
            metric = _metric(measure, entry.metrics) if entry.probe == measure.probe else None
            if metric is None:
                continue
            name = network_name(entry)
            if name not in values and not better:
                info = results.load(entry).describe(metric)
                better = (info.better if info else None) or ""
            values[name] = (*values.get(name, ()), entry.metrics[metric])
            origins[name] = network_origin(entry)
            if f"{metric}.chance" in entry.metrics:
                chances.setdefault(name, []).append(entry.metrics[f"{metric}.chance"])
        if values:
            rows.append(Row(measure, better, values, {name: float(np.mean(shares)) for name, shares in chances.items()}, origins))
    return rows


def network_name(entry: Entry) -> str:
    """Return a network's name in the report: how it came about, then which one it is."""
    if entry.network.startswith("theorem"):
        return f"constructed: Theorem {entry.network[-1]}"
    if entry.network == "literal":
        return "constructed: Theorem 1 as layers"
    filters = entry.swept.get("filters")
    return "trained" if filters is None else f"trained, {filters} filter{'s' if filters > 1 else ''}"


def network_origin(entry: Entry) -> str:
    """Return the origin of an entry's network as its record has it, such as "constructed"; empty where it is not known."""
    return str(entry.record.get("network_origin", ""))


def spread(values: Sequence[float]) -> str:
    """Write mean ± standard deviation (an estimate, n − 1); equal values as one number."""
    mean = float(np.mean(values))
    shown = f"{mean:,.0f}" if abs(mean) >= 1000 else f"{mean:.3g}"
    if min(values) == max(values):
        return shown
    std = float(np.std(values, ddof=1))
    return f"{shown} ± {std:,.0f}" if std >= 10 else f"{shown} ± {std:.1g}"


def _metric(measure: Measure, metrics: Mapping[str, float]) -> str | None:
    names = [measure.metric.format(layer=layer) for layer in LAYERS]
    return next((name for name in names if name in metrics), None)
