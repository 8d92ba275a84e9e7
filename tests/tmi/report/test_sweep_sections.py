from __future__ import annotations

import re

import pytest

import tmi
from tests.tmi.report.pages import Page
from tmi import statistics
from tmi.report.aggregate import groups
from tmi.report.sweep_figures import Sweep, along, maps
from tmi.report.sweep_sections import sweeps
from tmi.runs.results import Entry, Results
from tmi.runtime.plotting import figure_style

pytestmark = pytest.mark.usefixtures("quick_figures")

INFO = {"m": tmi.MetricInfo("m", "higher", 0, 1, "logit")}


def entry(network, seed=0, swept=None, dataset="d", probe="p", **metrics):
    swept = {"k": None, "j": None, "i": None, **(swept or {})}
    found = tmi.ProbeResult(metrics, info=INFO if "m" in metrics else {})
    return Entry("", dataset, network, probe, seed, swept, "ok", None, metrics, _result=found)


def results(*entries):
    return Results(entries, columns={"k": "network", "j": "network", "i": "network"})


def captions(results, **options):
    """Return what is said of each figure, and the page."""
    page = "".join(section.html for section in sweeps(results, **options))
    return [re.sub("<.*?>", "", one).strip() for one in re.findall("<figcaption>(.*?)</figcaption>", page)], page


def lines(seeds=3, values=(1, 2, 10)):
    return [entry("a", s, {"k": k}, m=k / 20 + s / 100, same=1.0, n=float(k)) for k in values for s in range(seeds)]


def test_nothing_is_drawn_where_nothing_is_swept():
    assert sweeps(results(entry("a", m=1.0), entry("b", m=2.0))) == []
    assert sweeps(results(entry("a", swept={"k": 1}, m=1.0), entry("b", swept={"k": 2}, m=2.0))) == [], "two networks"
    assert sweeps(results(*lines()), without={"p"}) == []


def test_a_line_a_network_and_what_has_no_such_setting():
    said, page = captions(results(*lines(), entry("b", m=0.7), entry("c", swept={"k": 4}, m=0.7)))
    assert said == [
        "Probe p on d: m and n against k; 3 seeds. A line, or a column of points, for each network. "
        "Dashed: networks without this setting (b and c). Other metrics of the probe (1) are in the table under All metrics."
    ]
    assert Page(page).problems == []
    assert page.count("<source") == 1, "a phone has a drawing of its own"


def test_one_seed_has_no_interval_and_says_so():
    (said,), _ = captions(results(*lines(seeds=1)))
    assert "; one seed, so that there is no interval." in said
    (said,), _ = captions(results(*lines(seeds=2), entry("a", 2, {"k": 1}, m=0.0)))
    assert "; 2 to 3 seeds." in said


def test_two_settings_are_a_map_and_three_are_not_drawn():
    two = [entry("a", s, {"k": k, "j": j}, m=k * j / 10 + s / 100) for k in (1, 2) for j in (1, 2) for s in (0, 1)]
    three = [entry("b", 0, {"k": k, "j": j, "i": i}, m=0.1) for k in (1, 2) for j in (1, 2) for i in (1, 2)]
    said, page = captions(results(*two, *three))
    assert said == [
        "Probe p on d, network a: m by k and j; 2 seeds. "
        "Each field is a pair of values, yellow where the metric is greatest and blue where it is least."
    ]
    assert "<li>p on d, b: k, j, i</li>" in page


def test_what_the_setting_does_not_change_is_not_drawn():
    """A count that differs between seeds and not along the setting was the first panel."""
    found = [entry("a", s, {"k": k}, level=float(s), m=k / 10) for k in (1, 2) for s in (0, 1)]
    (said,), _ = captions(results(*found))
    assert "m against k" in said
    (said,), _ = captions(results(*[entry("a", s, {"k": k}, level=float(s)) for k in (1, 2) for s in (0, 1)]))
    assert "level against k" in said, "but one metric is"


def test_at_most_four_metrics_and_the_first_of_each_measure():
    found = [entry("a", 0, {"k": k}, **{"a.x": 1.0 * k, "a.y": 2.0 * k, "b": k, "c": k, "d": k, "a.chance": k}) for k in (1, 2)]
    (said,), _ = captions(results(*found))
    assert "a.x, b, c and d against k" in said
    assert "Other metrics of the probe (2)" in said


def sweep(entries, *settings, fixed=()):
    found = groups(results(*entries))
    return Sweep(settings, found, groups(results(*fixed)), list(dict.fromkeys(g.metric for g in found)), 0, INFO)


def test_the_line_is_the_mean_and_the_band_students_interval():
    with figure_style():
        axis = along(sweep([e for e in lines() if e.metrics.pop("same") and e.metrics.pop("n")], "k")).axes[0]
    line = axis.get_lines()[0]
    assert line.get_xdata().tolist() == [1, 2, 10]
    assert line.get_ydata() == pytest.approx([k / 20 + 0.01 for k in (1, 2, 10)])
    band = axis.collections[0].get_paths()[0].vertices
    expected = statistics.over_seeds([0.05, 0.06, 0.07], low=0, high=1)
    at_one = sorted({round(y, 9) for x, y in band if x == 1})
    assert at_one[0] == pytest.approx(expected.low)
    assert at_one[-1] == pytest.approx(expected.high)
    assert axis.get_ylabel() == "logit"
    assert axis.get_title("left") == "m ↑"


def test_a_wide_range_is_logarithmic_and_text_is_not_joined():
    with figure_style():
        assert along(sweep(lines(values=(1, 10, 100)), "k")).axes[0].get_xscale() == "log"
        assert along(sweep(lines(values=(0, 10, 100)), "k")).axes[0].get_xscale() == "linear"
        words = along(
            sweep([entry("a", s, {"k": k}, m=s / 9) for k in ("sgd", "adam") for s in (0, 1)], "k", fixed=[entry("b", m=1.0)])
        )
    axis = words.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["sgd", "adam"]
    assert axis.get_lines()[0].get_linestyle() == "None"
    assert [text.get_text() for text in words.legends[0].get_texts()] == ["a", "b"]


def test_true_and_lists_are_text():
    with figure_style():
        axis = along(sweep([entry("a", 0, {"k": k}, m=0.5) for k in (True, False, [1, 2])], "k")).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["true", "false", "[1, 2]"]


def test_a_map_has_its_numbers_in_the_fields():
    found = [entry("a", s, {"k": k, "j": j}, m=k / 10 + s / 100) for k in (1, 2) for j in ("x", "y", "z") for s in (0, 1)]
    with figure_style():
        axis = maps(sweep(found, "k", "j")).axes[0]
        many = maps(sweep([entry("a", 0, {"k": k, "j": j}, m=k / 100) for k in range(9) for j in range(8)], "k", "j"))
    assert axis.get_images()[0].get_array().ravel().tolist() == pytest.approx([0.105] * 3 + [0.205] * 3)
    half = (statistics.over_seeds([0.1, 0.11], low=0, high=1).high - statistics.over_seeds([0.1, 0.11], low=0, high=1).low) / 2
    assert axis.texts[0].get_text() == f"0.105\n± {half:.2g}"
    assert axis.get_ylabel() == "k"
    assert list(many.axes[0].texts) == []
    assert len(many.axes) == 2, "a scale of colours in place of the numbers"
