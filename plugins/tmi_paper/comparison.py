"""A row for each measure: its values on constructed and trained networks by seed, and what their differences show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from tmi import statistics
from tmi_attribution.learnt import has_learnt

from .unit_measures import Measure, change, sign

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import tmi
    from tmi.runs.results import Entry
    from tmi.statistics import Estimate

LAYERS = ("hidden", "conv")
"""The layer that is compared: the one whose neurons stand for windows; in a network without it the convolution."""

BySeed = dict[int, float]


@dataclass(frozen=True, eq=False)
class Row:
    """A measure and its values, by network and by seed. Of trained networks only runs that learnt count, see `learnt`.

    Attributes
    ----------
    measure : Measure
    better : str
        "higher", "lower" or empty.
    values : dict of str to (dict of int to float)
        A network without a value is missing.
    chance, untrained : dict of str to (dict of int to float)
        What chance scores on each network, and the network before training, where the probe reports it.
    origins : dict of str to str
        `tmi.Network.origin` of each network.
    """

    measure: Measure
    better: str
    values: dict[str, BySeed]
    chance: dict[str, BySeed]
    untrained: dict[str, BySeed]
    origins: dict[str, str]

    def difference(self, network: str, reference: str) -> Estimate | None:
        """Return a network's value less the reference's, paired by seed; each less its chance where both have one.

        None where no direction is better, one has no value, or they have fewer than two seeds in common.
        """
        if not self.better or not {network, reference} <= self.values.keys():
            return None
        one, other = self.values[network], self.values[reference]
        if {network, reference} <= self.chance.keys():
            one, other = (_less(self.values[name], self.chance[name]) for name in (network, reference))
        return change(other, one)

    def by_training(self, network: str) -> Estimate | None:
        """Return a network's value less that before training, paired by seed; None as for `difference`.

        Of raw values: chance before training is not known, and to subtract one chance from both changes nothing.
        """
        known = self.better and network in self.untrained and network in self.values
        return change(self.untrained[network], self.values[network]) if known else None


def _less(values: BySeed, chance: BySeed) -> BySeed:
    return {seed: value - chance[seed] for seed, value in values.items() if seed in chance}


_INSIDE, _PARTS, _ROBUST, _PIECES, _LIKE = "single neurons", "parts", "robustness", "linear pieces", "representation"
MEASURES = (
    Measure("accuracy", "accuracy", "accuracy", topic="task", headline=True),
    Measure("largest logit of a wrong class", "accuracy", "offlabel_logit_max", topic="task"),
    Measure("share of neurons active on an image", "activation-sparsity", "active_share.{layer}", topic=_INSIDE, headline=True),
    Measure("neurons active on an image", "activation-sparsity", "active_per_image.{layer}", topic=_INSIDE),
    Measure("Hoyer sparsity", "activation-sparsity", "hoyer.{layer}", topic=_INSIDE, headline=True),
    Measure("dead neurons", "activation-sparsity", "dead_share.{layer}", topic=_INSIDE),
    Measure("neurons that fire for one class", "selectivity", "monosemantic.{layer}", topic=_INSIDE, headline=True),
    Measure("classes a neuron fires for, beside its best", "selectivity", "classes_relative.{layer}", topic=_INSIDE),
    Measure("class selectivity", "selectivity", "class_selectivity.{layer}", topic=_INSIDE, headline=True),
    Measure("best ROC AUC of a neuron", "selectivity", "auc.{layer}", topic=_INSIDE),
    Measure("mutual information with the label", "selectivity", "mutual_information.{layer}", topic=_INSIDE),
    Measure("Monosemanticity Score", "selectivity", "monosemanticity_score.{layer}", topic=_INSIDE, headline=True),
    Measure("recovery of tile and place, MCC", "unit-recovery", "mcc.tile-place.{layer}", topic=_INSIDE, headline=True),
    Measure("recovery of tile and place, uniqueness", "unit-recovery", "uniqueness.tile-place.{layer}", topic=_INSIDE),
    Measure("recovery of tile and place, F1", "unit-recovery", "f1.tile-place.{layer}", topic=_INSIDE),
    Measure("recovery of the tile, MCC", "unit-recovery", "mcc.tile.{layer}", topic=_INSIDE),
    Measure(
        "dimension that a tile and place has for itself",
        "superposition",
        "feature_dimensionality.tile-place.{layer}",
        topic=_PARTS,
        headline=True,
    ),
    Measure("class read off linearly", "decodability", "decodability.class.{layer}", topic=_PARTS),
    Measure("place read off linearly", "decodability", "decodability.place.{layer}", topic=_PARTS),
    Measure("tile: MCC of units, before a dictionary", "dictionary", "mcc.tile.units", topic=_PARTS),
    Measure("tile: MCC after NMF", "dictionary", "mcc.tile.nmf", topic=_PARTS),
    Measure("tile: MCC after dictionary learning", "dictionary", "mcc.tile.dictionary-learning", topic=_PARTS),
    Measure("tile: MCC after a sparse autoencoder (top-k)", "dictionary", "mcc.tile.top-k", topic=_PARTS),
    Measure("tile: MCC of k-means, one code a sample", "dictionary", "mcc.tile.k-means", topic=_PARTS),
    Measure("tile: MCC of random projections", "dictionary", "mcc.tile.projections", topic=_PARTS),
    Measure("tile: MCC of supervised directions", "dictionary", "mcc.tile.supervised", topic=_PARTS),
    Measure("neurons that suffice for the label", "responsible-neurons", "sufficient.{layer}", topic=_PARTS),
    Measure("known responsible neurons found (TPR)", "responsible-neurons", "tpr.{layer}", topic=_PARTS),
    Measure("others taken for responsible (FPR)", "responsible-neurons", "fpr.{layer}", topic=_PARTS),
    Measure("share of weights needed for 99 % of the accuracy", "prunability", "weights_needed", topic=_PARTS),
    Measure("logit std over backgrounds", "background-robustness", "logit_std", topic=_ROBUST),
    Measure("logit std over all places", "translation-robustness", "logit_std", topic=_ROBUST),
    Measure("right at every place", "translation-robustness", "correct", topic=_ROBUST, headline=True),
    Measure("least margin over places", "translation-robustness", "margin_min", topic=_ROBUST),
    Measure("variance over places / over backgrounds", "variance-ratio", "variance_ratio", topic=_ROBUST),
    Measure("right on natural backgrounds", "background-kinds", "correct.natural", topic=_ROBUST, headline=True),
    Measure("right on constant backgrounds", "background-kinds", "correct.constant", topic=_ROBUST),
    Measure("right on binary noise", "background-kinds", "correct.binary", topic=_ROBUST),
    Measure("equivariance defect, compared layer", "equivariance", "defect_mean.{layer}", topic=_ROBUST),
    Measure("equivariance defect, logits", "equivariance", "defect_mean.logits", topic=_ROBUST),
    Measure("accuracy under rotation of the tile", "deformation", "accuracy_under.rotation", topic=_ROBUST, headline=True),
    Measure("accuracy under blur", "deformation", "accuracy_under.blur", topic=_ROBUST),
    Measure("accuracy under occlusion", "deformation", "accuracy_under.occlusion", topic=_ROBUST),
    Measure("accuracy under noise", "deformation", "accuracy_under.noise", topic=_ROBUST),
    Measure("images with a certificate", "certificate", "certified", topic=_ROBUST),
    Measure("error of f(x) = W x + b, relative", "local-linear-form", "reconstruction_error", topic=_PIECES),
    Measure("share of |W| in the tile's support", "local-linear-form", "support_share", topic=_PIECES, headline=True),
    Measure("W alike at other places", "local-linear-form", "similarity_places", topic=_PIECES, headline=True),
    Measure("W alike on other backgrounds", "local-linear-form", "similarity_backgrounds", topic=_PIECES),
    Measure("linear pieces an image", "linear-regions", "sample_regions_share", topic=_PIECES, headline=True),
    Measure("pieces on the way to another background", "linear-regions", "path_regions.background", topic=_PIECES),
    Measure("pieces on the way one pixel on", "linear-regions", "path_regions.translation", topic=_PIECES),
    Measure("CKA with Theorem 1's hidden neurons", "cka", "cka_other.{layer}.hidden", topic=_LIKE),
    Measure("top-activating scenes show one tile", "top-activating-scenes", "same_tile.{layer}", topic=_LIKE, headline=True),
    Measure(
        "top-activating scenes show one tile at one place",
        "top-activating-scenes",
        "same_place.{layer}",
        topic=_LIKE,
        headline=True,
    ),
    Measure(
        "preferred picture and a tile, correlation", "activation-maximisation", "best_tile.{layer}", topic=_LIKE, headline=True
    ),
    Measure("neuron above 1 over a patch of mean ≥ 0.7", "squares-heuristics", "high_above_1", topic="section 6.1"),
    Measure("neuron 0 over a patch of mean ≤ 0.4", "squares-heuristics", "low_is_0", topic="section 6.1"),
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
    chosen = _of_task(results, dataset, tiles_per_class)
    dead = {
        (name, seed) for name, runs in learnt(results, dataset, tiles_per_class).items() for seed, ok in runs.items() if not ok
    }
    rows = []
    for measure in MEASURES:
        row = Row(measure, "", {}, {}, {}, {})
        for entry in chosen:
            metric = _metric(measure, entry.metrics) if entry.probe == measure.probe else None
            name = network_name(entry)
            if metric is None or (name, entry.seed) in dead:
                continue
            if not row.values:
                info = results.load(entry).describe(metric)
                row = replace(row, better=(info.better if info else None) or "")
            row.origins[name] = network_origin(entry)
            for where, suffix in ((row.values, ""), (row.chance, ".chance"), (row.untrained, ".untrained")):
                if f"{metric}{suffix}" in entry.metrics:
                    where.setdefault(name, {})[entry.seed] = entry.metrics[f"{metric}{suffix}"]
        if row.values:
            rows.append(row)
    return rows


def learnt(results: tmi.Results, dataset: str, tiles_per_class: int | None = None) -> dict[str, dict[int, bool]]:
    """Return for each network and seed whether the run learnt the task; only those whose accuracy is known."""
    found: dict[str, dict[int, bool]] = {}
    for entry in _of_task(results, dataset, tiles_per_class):
        if entry.probe == "accuracy" and "accuracy" in entry.metrics:
            found.setdefault(network_name(entry), {})[entry.seed] = has_learnt(entry.metrics)
    return found


def _of_task(results: tmi.Results, dataset: str, tiles_per_class: int | None) -> list[Entry]:
    return [e for e in results if e.dataset == dataset and e.swept.get("tiles_per_class") == tiles_per_class and e.metrics]


Verdict = Literal["better", "worse", "not shown"]
"""Of a network beside another by one measure; see `verdicts`."""

Verdicts = dict[tuple[Row, str], tuple[Verdict, "Estimate"]]
"""By row and network, with the corrected difference; without those that have no difference."""


def verdicts(rows: list[Row], reference: str) -> Verdicts:
    """Say of each measure and network whether it is better or worse than the reference.

    The criterion: the 95 % interval of the paired difference over the seeds excludes 0, corrected by Holm's method for all
    measures and networks of the rows together. Else the difference is not shown.

    Parameters
    ----------
    rows : list of Row
    reference : str
        Name of a network.

    Returns
    -------
    dict of (Row, str) to (str, Estimate)
        By row and network; without those for which `Row.difference` is None.
    """
    return _verdicts({(row, name): row.difference(name, reference) for row in rows for name in row.values if name != reference})


def verdicts_on_training(rows: list[Row]) -> Verdicts:
    """Say of each measure and network whether training made it better or worse; the criterion is that of `verdicts`."""
    return _verdicts({(row, name): row.by_training(name) for row in rows for name in row.values})


def _verdicts(found: dict[tuple[Row, str], Estimate | None]) -> Verdicts:
    known = {key: each for key, each in found.items() if each is not None}
    result: Verdicts = {}
    for (row, name), each in zip(known, statistics.corrected([*known.values()]), strict=True):
        way = sign(each) * (1 if row.better == "higher" else -1)
        result[row, name] = ("better" if way > 0 else "worse" if way < 0 else "not shown"), each
    return result


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
    """Write mean ± standard deviation (an estimate, n − 1); values that are equal but for rounding as one number."""
    mean = float(np.mean(values))
    shown = f"{mean:,.0f}" if abs(mean) >= 1000 else f"{mean:.3g}"
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    if std <= 1e-12 * abs(mean):  # equal but for rounding
        return shown
    return f"{shown} ± {std:,.0f}" if std >= 10 else f"{shown} ± {std:.1g}"


def _metric(measure: Measure, metrics: Mapping[str, float]) -> str | None:
    names = [measure.metric.format(layer=layer) for layer in LAYERS]
    return next((name for name in names if name in metrics), None)
