from __future__ import annotations

import pytest

from tmi import InputError, MetricInfo, ProbeResult, UnknownNameError
from tmi.cli.tables import all_metrics, infos, main_metrics, ordered, tables
from tmi.report.aggregate import Group
from tmi.runs.results import Entry, Results

INFO = {
    "size": MetricInfo("Size"),
    "good": MetricInfo("Good", "higher"),
    "cost": MetricInfo("Cost", "lower"),
    "skill": MetricInfo("Skill", "higher"),
}


def entry(network, seed=0, dataset="d", probe="p", status="ok", swept=None, **metrics):
    metrics = {name.replace("__", "."): value for name, value in metrics.items()}
    info = {name: INFO[name] for name in dict.fromkeys(name.partition(".")[0] for name in metrics) if name in INFO}
    result = ProbeResult(metrics, info=info)
    return Entry("cell", dataset, network, probe, seed, swept or {}, status, None, metrics=metrics, _result=result)


def shown(table):
    """Keys and texts of the rows: a mean, or why there is none."""
    return [
        (row.keys, {name: cell.mean if isinstance(cell, Group) else cell for name, cell in row.cells.items()})
        for row in table.rows
    ]


def main_of(*entries):
    results = Results(entries)
    return main_metrics(results, infos(results)).get("p")


def test_the_main_metric_is_the_first_with_a_direction():
    assert main_of(entry("n", size=1, good__chance=1, good=1, cost=1)) == ["good"]
    assert main_of(entry("n", size=1, cost=1, good=1)) == ["cost"]
    assert main_of(entry("n", size=1, other=2)) == ["size"]
    assert main_of(entry("n", chance=1)) == ["chance"]
    assert main_of(entry("n", status="failed")) is None


def test_without_its_file_a_metric_has_no_direction():
    """The numbers are in the index, so that they are shown all the same."""
    gone = entry("n", good=1)
    gone._result = None
    assert infos(Results([gone])) == {"p": {}}
    assert main_of(gone) == ["good"]


def test_a_summary_of_metrics_is_the_main_one():
    assert main_of(entry("n", size=1), entry("n", cost=1, skill__mass=1, skill__mean=1, skill__mean__low=0)) == ["skill.mean"]


def test_metrics_of_layers_cover_every_network():
    assert main_of(entry("one", good__hidden=1), entry("other", good__conv=1, good__hidden=1)) == ["good.hidden"]
    assert main_of(entry("one", good__hidden=1), entry("other", good__conv=1)) == ["good.hidden", "good.conv"]


def test_chosen_metrics():
    results = Results([entry("n", good=1, skill__mass=1, skill__mass__chance=0, skill__mean=1), entry("n", probe="q", cost=1)])
    assert all_metrics(results) == {"p": ["good", "skill.mass", "skill.mass.chance", "skill.mean"], "q": ["cost"]}
    assert all_metrics(results, ["good"]) == {"p": ["good"]}
    assert all_metrics(results, ["skill"]) == {"p": ["skill.mass", "skill.mean"]}
    assert all_metrics(results, ["*.mass*"]) == {"p": ["skill.mass", "skill.mass.chance"]}
    with pytest.raises(UnknownNameError, match="metric 'goood' is unknown; did you mean \"good\""):
        all_metrics(results, ["goood"])
    assert all_metrics(Results([]), ["good"]) == {}


def test_without_a_sweep_rows_are_metrics_or_data_sets():
    entries = [entry("a", 0, good=1, cost=2), entry("a", 1, good=3, cost=2), entry("b", good=5), entry("a", dataset="e", good=7)]
    results = Results(entries)
    first, second = tables(results, {"p": ["good", "cost"]})
    assert (first.dataset, first.metric, first.keys, first.networks) == ("d", None, ("metric",), ("a", "b"))
    assert shown(first) == [(("good",), {"a": 2.0, "b": 5.0}), (("cost",), {"a": 2.0, "b": "–"})]
    assert shown(second) == [(("good",), {"a": 7.0}), (("cost",), {"a": "–"})]
    (table,) = tables(results, {"p": ["good"]})
    assert table.keys == ("dataset",)
    assert shown(table) == [(("d",), {"a": 2.0, "b": 5.0}), (("e",), {"a": 7.0})]


def test_rows_are_swept_values():
    results = Results(
        [
            entry("a", swept={"k": 1, "l": 0, "m": None}, good=1),
            entry("a", swept={"k": 2, "l": 0, "m": None}, good=2),
            entry("b", swept={"k": 1, "l": 0, "m": 3}, good=3),
        ],
        columns={"k": "probe", "l": "dataset", "m": "network"},
    )
    (table,) = tables(results, {"p": ["good"]}, {"p": INFO})
    assert table.keys == ("k", "m")  # l has one value
    assert shown(table) == [((1, None), {"a": 1.0}), ((2, None), {"a": 2.0}), ((1, 3), {"b": 3.0})]
    assert table.title == "p: good on d, higher is better, 1 seed"


def test_of_chance_no_direction_is_better():
    (table,) = tables(Results([entry("a", good__chance=1)]), {"p": ["good.chance"]}, {"p": INFO})
    assert (table.better, table.title) == (None, "p: good.chance on d, 1 seed")


def test_why_there_is_no_value():
    status = {"a": "failed", "b": "not applicable", "c": "missing"}
    entries = [entry(name, status=what) for name, what in status.items()]
    (table,) = tables(Results([*entries, entry("d", good=1), entry("e", cost=1)]), {"p": ["good"]})
    assert shown(table) == [((), {"a": "failed", "b": "n/a", "c": "missing", "d": 1.0})]  # e has no such layer, so no column


def test_order():
    results = Results(
        [entry("a", swept={"k": k}, good=value) for k, value in ((10, 2.0), (9, 3.0), (1, 1.0))]
        + [entry("a", swept={"k": 5}, status="failed")],
        columns={"k": "probe"},
    )

    def order(column, better="higher"):
        (table,) = tables(results, {"p": ["good"]}, {"p": {"good": MetricInfo("", better)}})
        return [row.keys[0] for row in ordered(table, column).rows]

    assert order("a") == [9, 10, 1, 5]
    assert order("-a") == [1, 10, 9, 5]
    assert order("a", "lower") == [1, 10, 9, 5]
    assert order("a", None) == [9, 10, 1, 5]
    assert order("k") == [1, 5, 9, 10]
    assert order("-k") == [10, 9, 5, 1]
    with pytest.raises(InputError, match="there is no such column; known: a, k"):
        order("x")
