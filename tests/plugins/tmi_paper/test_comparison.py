"""The comparison of constructed and trained networks, worked out by hand."""

from __future__ import annotations

import pytest

import tmi
from tmi.runs.results import Entry
from tmi_paper.comparison import Measure, Row, compare, network_name, spread
from tmi_paper.monosemanticity import comparison_table


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
        entry("trained-fashion", {"accuracy": 0.5, "accuracy.chance": 0.1, "offlabel_logit_max": -1.0}, filters=4),
        entry("trained-fashion", {"accuracy": 0.9, "accuracy.chance": 0.3}, seed=1, filters=4),
        entry("theorem2", {"hoyer.conv": 0.2}, probe="activation-sparsity"),
        entry("theorem1", {"hoyer.hidden": 0.7, "hoyer.conv": 0.1}, probe="activation-sparsity"),
    ]
    return tmi.Results(entries, columns={"tiles_per_class": "dataset", "filters": "network"})


def test_rows_by_hand():
    rows = {row.measure.text: row for row in compare(by_hand(), "fashion", 1)}
    accuracy = rows["accuracy"]
    assert accuracy.values == {"constructed: Theorem 1": (1.0, 1.0), "trained, 4 filters": (0.5, 0.9)}
    assert accuracy.best == ["constructed: Theorem 1"]
    assert accuracy.chance == {"trained, 4 filters": pytest.approx(0.2)}
    wrong = rows["largest logit of a wrong class"]
    assert (wrong.better, wrong.best) == ("lower", ["trained, 4 filters"])
    hoyer = rows["Hoyer sparsity"]
    assert hoyer.values == {"constructed: Theorem 2": (0.2,), "constructed: Theorem 1": (0.7,)}
    assert hoyer.best == []  # no direction, no winner
    assert compare(by_hand(), "squares") == []
    page = comparison_table(list(rows.values()))
    assert "1 ●" in page
    assert "0.7 ± 0.3" in page
    assert "<td" in page


def test_ties_are_shared_and_equal_values_are_one_number():
    row = Row(Measure("", "", "", ""), "higher", {"a": (1.0,), "b": (1.0, 1.0), "c": (0.9,)}, {}, {})
    assert row.best == ["a", "b"]
    assert spread((0.25, 0.25)) == "0.25"
    assert spread((0.0, 1.0)) == "0.5 ± 0.7"
    assert spread((1200.0, 1300.0)) == "1,250 ± 71"
    assert network_name(entry("literal", {})) == "constructed: Theorem 1 as layers"
    assert network_name(entry("trained-fashion", {}, filters=1)) == "trained, 1 filter"
