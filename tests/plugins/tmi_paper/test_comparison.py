"""The comparison of constructed and trained networks, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import tmi
from tmi import statistics
from tmi.runs.results import Entry
from tmi_paper.comparison import compare, learnt, network_name, spread, verdicts
from tmi_paper.comparison_text import REFERENCE


def entry(network, metrics, seed=0, filters=None, probe="accuracy"):
    result = tmi.ProbeResult(metrics, info={name.partition(".")[0]: INFO[name.partition(".")[0]] for name in metrics})
    swept = {"tiles_per_class": 1, "filters": filters}
    record = {"network_origin": "constructed" if network in ("theorem1", "theorem2", "literal") else "trained"}
    return Entry("", "fashion", network, probe, seed, swept, "ok", None, dict(result.metrics), record=record, _result=result)


INFO = {
    "accuracy": tmi.MetricInfo("a", "higher", 0, 1),
    "offlabel_logit_max": tmi.MetricInfo("b", "lower"),
    "hoyer": tmi.MetricInfo("c", None),
}


def by_hand():
    entries = [
        entry("theorem1", {"accuracy": 1.0, "offlabel_logit_max": 0.0}),
        entry("theorem1", {"accuracy": 1.0}, seed=1),
        entry("trained-fashion", {"accuracy": 0.6, "accuracy.chance": 0.1, "offlabel_logit_max": -1.0}, filters=4),
        entry("trained-fashion", {"accuracy": 0.9, "accuracy.chance": 0.3}, seed=1, filters=4),
        entry("theorem2", {"hoyer.conv": 0.2}, probe="activation-sparsity"),
        entry("theorem1", {"hoyer.hidden": 0.7, "hoyer.conv": 0.1}, probe="activation-sparsity"),
    ]
    return tmi.Results(entries, columns={"tiles_per_class": "dataset", "filters": "network"})


def test_rows_by_hand():
    rows = {row.measure.text: row for row in compare(by_hand(), "fashion", 1)}
    accuracy = rows["accuracy"]
    assert accuracy.values == {"constructed: Theorem 1": {0: 1.0, 1: 1.0}, "trained, 4 filters": {0: 0.6, 1: 0.9}}
    assert accuracy.chance == {"trained, 4 filters": {0: 0.1, 1: 0.3}}
    assert (accuracy.better, rows["largest logit of a wrong class"].better) == ("higher", "lower")
    hoyer = rows["Hoyer sparsity"]
    assert hoyer.values == {"constructed: Theorem 2": {0: 0.2}, "constructed: Theorem 1": {0: 0.7}}
    assert hoyer.difference("constructed: Theorem 2", "constructed: Theorem 1") is None  # no direction is better
    assert compare(by_hand(), "squares") == []


def many(trained, built=0.9, chance=None, untrained=None, dead=(), measures=1):
    """Results of five seeds: a selectivity by seed of a trained network beside Theorem 1's, and measures that do not differ."""
    info = {"class_selectivity": tmi.MetricInfo("s", "higher", 0, 1), "auc": tmi.MetricInfo("t", "higher", 0, 1)} | INFO
    entries = []
    for seed, value in enumerate(trained):
        for network, own in (("theorem1", built), ("trained-fashion", value)):
            filters = None if network == "theorem1" else 4
            wrong = 0.1 if network != "theorem1" and seed in dead else 1.0
            entries.append(entry(network, {"accuracy": wrong, "chance": 0.1}, seed, filters))
            metrics = {"class_selectivity.hidden": own}
            if chance is not None:
                metrics["class_selectivity.hidden.chance"] = chance[network]
            if untrained is not None and network != "theorem1":
                metrics["class_selectivity.hidden.untrained"] = untrained
            if measures > 1:
                metrics["auc.hidden"] = 0.5 + (seed - 2) / 10 * (network != "theorem1")
            result = tmi.ProbeResult(metrics, info={k: v for k, v in info.items() if any(m.startswith(k) for m in metrics)})
            made = entry(network, {"accuracy": 1.0}, seed, filters, "selectivity")
            entries.append(replace(made, metrics=dict(result.metrics), _result=result))
    return tmi.Results(entries, columns={"tiles_per_class": "dataset", "filters": "network"})


INFO["chance"] = tmi.MetricInfo("d", None)
TRAINED = "trained, 4 filters"


def verdict_of(results, text="class selectivity"):
    rows = compare(results, "fashion", 1)
    found = verdicts(rows, REFERENCE)
    return {row.measure.text: verdict for (row, _), (verdict, _) in found.items()}.get(text)


def test_a_verdict_needs_an_interval_that_excludes_0_and_can_go_either_way():
    assert verdict_of(many([0.5, 0.52, 0.48, 0.51, 0.49])) == "worse"
    assert verdict_of(many([0.95, 0.96, 0.97, 0.95, 0.96])) == "better"
    assert verdict_of(many([0.5, 0.99, 0.95, 0.99, 0.99])) == "not shown"
    assert verdict_of(many([0.9] * 5)) == "not shown"


def test_a_verdict_is_corrected_for_the_number_of_measures():
    weak = [0.9 - value for value in (0.1, 0.13, 0.16, 0.0, 0.1)]
    p = statistics.over_seeds([0.9 - value for value in weak]).p
    assert 0.05 / 3 < p < 0.05 / 2  # accuracy is 1 in every seed, and p = 1
    assert verdict_of(many(weak)) == "worse"
    assert verdict_of(many(weak, measures=2)) == "not shown"


def test_values_are_compared_less_their_chance():
    values = [0.5, 0.52, 0.48, 0.51, 0.49]
    assert verdict_of(many(values, built=0.9, chance={"theorem1": 0.8, "trained-fashion": 0.1})) == "better"


def test_runs_that_did_not_learn_count_in_no_row():
    results = many([0.9, 0.1, 0.9, 0.9, 0.9], dead=(1,))
    rows = compare(results, "fashion", 1)
    assert all(set(row.values[TRAINED]) == {0, 2, 3, 4} for row in rows)
    assert learnt(results, "fashion", 1)[TRAINED] == {0: True, 1: False, 2: True, 3: True, 4: True}


def test_equal_values_are_one_number():
    assert spread((0.25, 0.25)) == "0.25"
    assert spread((0.1 + 0.2, 0.3)) == "0.3"  # equal but for rounding
    assert spread((0.0, 1.0)) == "0.5 ± 0.7"
    assert spread((1200.0, 1300.0)) == "1,250 ± 71"
    assert network_name(entry("literal", {})) == "constructed: Theorem 1 as layers"
    assert network_name(entry("trained-fashion", {}, filters=1)) == "trained, 1 filter"
