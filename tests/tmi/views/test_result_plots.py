from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats

import tmi
from tmi.runs.results import Entry
from tmi.runtime.plotting import CONSTRUCTED, TRAINED
from tmi.views.result_plots import _colours

mpl.use("agg")


@pytest.fixture(autouse=True)
def _closed():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


VALUES = {(2, 0): 0.3, (2, 1): 0.5, (8, 0): 0.6, (8, 1): 0.9, (None, 0): 1.0, (None, 1): 1.0}


def results():
    entries = [
        Entry("c", "d", "trained" if k else "constructed", "p", seed, {"k": k}, "ok", None, {"a": value, "b": 7.0})
        for (k, seed), value in VALUES.items()
    ]
    return tmi.Results(entries, name="s", columns={"k": "network"})


def test_points_are_means_over_seeds_with_intervals_of_student():
    axes = results().plot("a")
    assert axes.get_xlabel() == "k"
    assert axes.get_ylabel() == "a"
    (bars,) = axes.containers
    line, _, (segments,) = bars.lines
    np.testing.assert_array_equal(line.get_xdata(), [2, 8])
    for place, middle, ((_, low), (_, high)) in zip((2, 8), line.get_ydata(), segments.get_segments(), strict=True):
        values = [VALUES[place, 0], VALUES[place, 1]]
        half = stats.t.ppf(0.975, 1) * np.std(values, ddof=1) / np.sqrt(2)
        np.testing.assert_allclose((middle, low, high), (np.mean(values), np.mean(values) - half, np.mean(values) + half))
    dashed = [one for one in axes.lines if one.get_linestyle() == "--"]
    assert [list(one.get_ydata()) for one in dashed] == [[1.0, 1.0]]  # the network without the setting
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"trained", "constructed"}


def test_along_a_column_of_names():
    axes = results().plot(x="network")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["trained", "constructed"]
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"k=2", "k=8", "not swept"}


def test_colours_follow_the_origin_of_the_network():
    origins = {"a": "trained", "b": "imported", "c": "constructed", "d": "trained", "e": ""}
    colours = _colours(origins)
    assert (colours["a"], colours["c"]) == (TRAINED, CONSTRUCTED)
    assert len(set(colours.values())) == 5
    many = _colours({str(i): "trained" for i in range(20)})
    assert list(many.values()).count(TRAINED) == 1


def test_wrong_names_are_answered():
    with pytest.raises(tmi.UnknownNameError, match="no result has a metric 'aa'"):
        results().plot("aa")
    with pytest.raises(tmi.UnknownNameError, match='did you mean "network"'):
        results().plot(x="netwrok")
    with pytest.raises(tmi.InputError, match="has no metric"):
        tmi.Results([]).plot()


def probed():
    metrics = {"m.x": 0.5, "m.x.low": 0.25, "m.x.high": 0.75, "m.x.chance": 0.125, "m.y": 1.0, "other": 30.0}
    arrays = {
        "one": ("unit", [1.0, 2.0, 4.0]),
        "signed": (("true", "unit"), [[-1.0, 2, 0], [0, 0, 3]]),
        "pictures": (("pair", "channel", "row", "col"), np.arange(24.0).reshape(2, 1, 3, 4)),
        "cube": (("a", "b", "c"), np.zeros((2, 2, 2))),
        "words": ("unit", ["x", "y", "z"]),
        "empty": (("none",), np.zeros(0)),
    }
    return tmi.ProbeResult(metrics, arrays, {"true": ["p", "q"]}, {"m": tmi.MetricInfo("a share", "higher", 0, 1)})


def test_metrics_of_one_range_with_intervals_and_controls():
    axes = probed().plot()
    assert [text.get_text() for text in axes.get_yticklabels()] == ["m.x", "m.y"]
    drawn = {line.get_label(): line.get_xdata() for line in axes.lines}
    assert list(drawn["value"]) == [0.5, 1.0]
    assert list(drawn["chance"]) == [0.125]
    assert [0.25, 0.75] in [list(line.get_xdata()) for line in axes.lines]
    assert "1 with another unit" in axes.get_title(loc="left")
    low, high = axes.get_xlim()
    assert low < 0 < 1 < high < 1.1


def test_arrays_by_their_axes():
    result = probed()
    np.testing.assert_array_equal(result.plot("one").lines[0].get_ydata(), [1, 2, 4])
    shown = result.plot("signed").images[0]
    np.testing.assert_array_equal(shown.get_array(), result["signed"].values)
    assert shown.get_clim() == (-3, 3)
    assert len(result.plot("pictures").images) == 2
    assert list(result.plot("m.y").lines[-1].get_xdata()) == [1.0]
    for name, why in (("cube", r"3 axes \(a, b, c\)"), ("words", "holds text"), ("empty", "is empty")):
        with pytest.raises(tmi.InputError, match=why):
            result.plot(name)
    with pytest.raises(tmi.UnknownNameError, match='did you mean "pictures"'):
        result.plot("picture")
