from __future__ import annotations

import json

import pandas as pd
import pytest

from tmi import ProbeResult, Store, UnknownNameError
from tmi.runs.results import Entry, Results

KEY = "a" * 64


def entry(dataset="d", network="n", seed=0, status="ok", k=None, flat=None, **more):
    metrics = {"a": 1.0, "b.c": 2.5} if status == "ok" else {}
    cell = f"{dataset}[k={k}]/{network}/p seed {seed}"
    return Entry(cell, dataset, network, "p", seed, {"k": k, "flat": flat}, status, KEY, **({"metrics": metrics} | more))


@pytest.fixture
def results():
    return Results(
        [
            entry(k=1, flat=True),
            entry(k=3, seed=1, flat=False),
            entry("e", metrics={"a": 7.0}),
            entry("e", "m", status="failed", message="ValueError: ü"),
            entry("e", "o", status="ok", metrics={}),
            entry("e", "q", status="not applicable", message="a trained network has no certificate"),
        ],
        name="s",
        columns={"k": "dataset", "flat": "network"},
    )


COLUMNS = ["dataset", "network", "probe", "seed", "k", "flat", "metric", "value", "status", "key", "message"]


def test_rows(results):
    rows = results.rows()
    assert all(list(row) == COLUMNS for row in rows)
    assert [(r["dataset"], r["network"], r["k"], r["flat"], r["metric"], r["value"], r["status"]) for r in rows] == [
        ("d", "n", 1, True, "a", 1.0, "ok"),
        ("d", "n", 1, True, "b.c", 2.5, "ok"),
        ("d", "n", 3, False, "a", 1.0, "ok"),
        ("d", "n", 3, False, "b.c", 2.5, "ok"),
        ("e", "n", None, None, "a", 7.0, "ok"),
        ("e", "m", None, None, None, None, "failed"),
        ("e", "o", None, None, None, None, "ok"),
        ("e", "q", None, None, None, None, "not applicable"),
    ]
    assert [row["message"] for row in rows[-3:]] == ["ValueError: ü", "", "a trained network has no certificate"]
    assert [entry.network for entry in results.not_applicable] == ["q"]


def cells(results):
    return [str(entry) for entry in results]


def test_sel(results):
    assert cells(results.sel(dataset="d", seed=1)) == ["d[k=3]/n/p seed 1"]
    assert len(results.sel(k=[1, 3])) == 2
    assert len(results.sel(k=None)) == 4
    assert len(results.sel(network=["n", "m"], status="*")) == 4
    assert len(results.sel()) == 6
    chosen = results.sel(metric="b.*")
    assert [entry.metrics for entry in chosen] == [{"b.c": 2.5}] * 2
    assert [list(entry.metrics) for entry in results.sel(metric=["a", "b.c"], seed=0, dataset="d")] == [["a", "b.c"]]
    assert results.entries[0].metrics == {"a": 1.0, "b.c": 2.5}  # the whole results are as they were
    assert (chosen.name, chosen.columns) == (results.name, results.columns)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"network": "nn"}, "network: no result has 'nn'"),
        ({"metric": "bb"}, "metric: no result has 'bb'"),
        ({"metric": ["a", "b.d"]}, "no result has 'b.d'; did you mean \"b.c\""),
        ({"seed": 7}, "seed: no result has 7; known: 0, 1"),
        ({"seed": "1"}, r"seed: no result has '1'; did you mean 1\?"),
        ({"netwrok": "n"}, "column 'netwrok' is unknown; did you mean \"network\""),
    ],
)
def test_sel_names_what_it_does_not_find(results, wanted, message):
    with pytest.raises(UnknownNameError, match=message):
        results.sel(**wanted)


def test_a_name_with_brackets_is_chosen_by_itself():
    results = Results([entry("d[1]"), entry("d1")])
    assert len(results.sel(dataset="d[1]")) == 1
    assert len(results.sel(dataset="d*")) == 2


def test_an_entry_is_one_line(results):
    assert repr(results.entries[0]) == "Entry(d[k=1]/n/p seed 0: ok; a=1, b.c=2.5)"
    assert repr(results.entries[3]) == "Entry(e[k=None]/m/p seed 0: failed; ValueError: ü)"
    assert len(repr(entry(metrics={f"m{i}": i for i in range(1000)}))) < 100


def test_json_is_the_rows(results, tmp_path):
    results.to_json(tmp_path / "rows.json")
    text = (tmp_path / "rows.json").read_text(encoding="utf-8")
    assert json.loads(text) == results.rows()
    assert "ü" in text
    types = dict.fromkeys(("dataset", "network", "probe", "status", "message"), str)
    types |= {"seed": int, "metric": str | None, "value": float | None, "key": str | None}
    for row in json.loads(text):
        assert all(isinstance(row[name], kind) for name, kind in types.items())


def test_frame(results):
    frame = results.to_frame()
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 8
    assert frame["k"].dtype == "Int64"
    assert frame["k"].tolist()[:4] == [1, 1, 3, 3]
    assert frame["k"].isna().tolist() == [False] * 4 + [True] * 4
    assert frame["flat"].tolist()[:4] == [True, True, False, False]
    assert all(isinstance(value, bool) for value in frame["flat"][:4]), "a truth value is no whole number"
    assert frame["value"].dtype == float
    assert pd.isna(frame["value"].iloc[-1])
    assert frame[frame.metric == "a"].groupby("dataset")["value"].mean().to_dict() == {"d": 1.0, "e": 7.0}


def test_the_frame_of_nothing():
    assert list(Results([]).to_frame().columns) == [c for c in COLUMNS if c not in ("k", "flat")]
    assert Results([], columns={"k": "dataset"}).to_frame().empty


def test_swept_lists_words_and_floats():
    results = Results([entry(k=[1, 2], flat="x"), entry(k=[3], flat=2.5)], columns={"k": "dataset", "flat": "network"})
    frame = results.to_frame()
    assert frame["k"].tolist() == [[1, 2]] * 2 + [[3]] * 2
    assert frame["flat"].tolist() == ["x", "x", 2.5, 2.5]
    assert len(results.select(k=[1, 2])) == 1


def test_select(results):
    assert len(results.select()) == 6
    assert len(results.select(dataset="d")) == 2
    assert results.select(k=1, dataset="d").entries == results.entries[:1]
    assert len(results.select(flat=None)) == 4
    assert results.select(status="failed").entries == results.failed == [results.entries[3]]
    assert results.missing == []
    assert results.select(seed=9).entries == []
    chosen = results.select(network="n")
    assert (chosen.name, chosen.columns) == ("s", results.columns)
    with pytest.raises(UnknownNameError, match="column 'datset' is unknown; did you mean \"dataset\""):
        results.select(datset="d")
    with pytest.raises(UnknownNameError, match="column 'metric' is unknown"):
        results.select(metric="a")


def test_values(results):
    assert results.values("a") == [1.0, 1.0, 7.0]
    assert results.values("b.c") == [2.5, 2.5]
    assert results.values("nosuch") == []


def test_load(results, tmp_path):
    store = Store(tmp_path)
    results.store = store
    with pytest.raises(UnknownNameError, match=r"d\[k=1\]/n/p seed 0: there is no result \(its file is gone"):
        results.load(results.entries[0])
    store.write(KEY, ProbeResult({"a": 1.0}), {})
    assert results.load(results.entries[0]).metrics == {"a": 1.0}
    held = ProbeResult({"z": 1})
    assert results.load(entry(_result=held)) is held
    with pytest.raises(UnknownNameError, match="no result"):
        Results([]).load(entry())


def test_text(results):
    assert repr(results) == "Results(s: 6 cells, 1 failed)"
    assert repr(Results([entry(status="missing")], name="s")) == "Results(s: 1 cell, 0 failed, 1 missing)"
    assert "1 cell: 1 ok" in Results([entry()])._repr_html_()
    assert [str(e) for e in results][:3] == ["d[k=1]/n/p seed 0", "d[k=3]/n/p seed 1", "e[k=None]/n/p seed 0"]
