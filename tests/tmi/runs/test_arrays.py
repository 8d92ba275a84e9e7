from __future__ import annotations

import numpy as np
import pytest

import tmi
from tmi.runs import arrays
from tmi.runs.results import Entry

pytest.importorskip("xarray")


def entry(network, probe, seed, k, metrics, result=None, **more):
    return Entry(f"{network} {probe} {seed} {k}", "d", network, probe, seed, {"k": k} | more, "ok", None, metrics, _result=result)


def info(text):
    return {"m": tmi.MetricInfo(text, "lower", 0, None, "pixels")}


def results(**columns):
    first = tmi.ProbeResult({"m.x": 1.0}, info=info("how far"))
    return tmi.Results(
        [
            entry("trained", "p", 0, 2, {"m.x": 1.0, "both": 5.0}, first),
            entry("trained", "p", 1, 2, {"m.x": 2.0, "both": 6.0}),
            entry("trained", "p", 0, 8, {"m.x": 3.0}),
            entry("constructed", "q", 0, None, {"both": 7.0}),
            Entry("failed", "e", "other", "p", 9, {"k": 99}, "failed", None, message="why"),
        ],
        name="s",
        columns={"k": "network"} | columns,
    )


def test_a_variable_for_each_metric():
    data = results().to_xarray()
    assert set(data.data_vars) == {"m.x", "p.both", "q.both"}
    assert data["m.x"].dims == ("dataset", "network", "k", "seed")
    assert data["m.x"].sel(network="trained", k=2).values.tolist() == [[1.0, 2.0]]
    assert data["m.x"].sel(network="trained", k=8, seed=0).item() == 3.0
    assert np.isnan(data["m.x"].sel(network="trained", k=8, seed=1).item())
    assert np.isnan(data["m.x"].sel(network="constructed").values).all()
    assert data["q.both"].sel(network="constructed", seed=0).values[0].tolist()[-1] == 7.0
    assert np.isnan(data["k"].values[-1])  # the network that does not sweep it
    assert data.attrs["suite"] == "s"


def test_attributes_say_meaning_and_unit():
    data = results().to_xarray()
    assert data["m.x"].attrs == {
        "probe": "p",
        "metric": "m.x",
        "long_name": "how far",
        "units": "pixels",
        "better": "lower",
        "low": 0,
    }
    assert data["q.both"].attrs == {"probe": "q", "metric": "both"}


def test_it_is_the_frame():
    """Every value of the table is in its place, and there are no others."""
    shown = results()
    data, frame = shown.to_xarray(), shown.to_frame().dropna(subset="value")
    assert sum(int(np.isfinite(variable.values).sum()) for variable in data.values()) == len(frame)


def test_swept_text_and_truth_values_are_text():
    shown = tmi.Results(
        [entry("n", "p", 0, 1, {"m": 1.0}, how=how) for how in ("a", None)], columns={"k": "network", "how": "probe"}
    )
    assert shown.to_xarray()["how"].values.tolist() == ["a", ""]


def test_nothing():
    assert dict(tmi.Results([]).to_xarray().data_vars) == {}


def test_too_many(monkeypatch):
    monkeypatch.setattr(arrays, "_MOST", 10)
    with pytest.raises(tmi.InputError, match="3 metrics of 1 × 2 × 3 × 2 cells are too many; choose some by sel"):
        results().to_xarray()
