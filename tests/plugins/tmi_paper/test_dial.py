"""Verdicts on measures along the dial, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

import tmi
from tmi import statistics
from tmi.report.html import Section
from tmi.runs.results import Entry
from tmi_paper.dial import Curve, corrected, curves, readings, sentences, tiles_a_neuron
from tmi_paper.dial_directions import Found, answer, found_along, frame, sentence
from tmi_paper.dial_report import agreement, sections
from tmi_paper.unit_measures import Measure

MEASURE = Measure("a measure", "", "")
NOISE = (0.0, 0.01, -0.01, 0.005, -0.005)


def curve(*means, better="lower", trained=()):
    """Five seeds around each mean, at 1, 2, 3, … tiles a neuron."""
    values = {float(x): {seed: mean + NOISE[(seed + x) % 5] for seed in range(5)} for x, mean in enumerate(means, 1)}
    return Curve(MEASURE, better, values, dict(enumerate(trained)))


@pytest.mark.parametrize(
    ("means", "better", "verdict"),
    [
        ((1, 2, 3, 4), "lower", "follows"),
        ((4, 3, 2, 1), "higher", "follows"),
        ((1, 2, 2, 4), "lower", "in part"),  # a step of which nothing can be said
        ((1, 3, 2, 4), "lower", "in part"),  # a step back
        ((1, 2, 3, 4), "higher", "opposite"),
        ((1, 2, 3, 1), "lower", "undecided"),
    ],
)
def test_verdicts(means, better, verdict):
    assert curve(*means, better=better).verdict == verdict


def test_verdicts_are_corrected_for_the_number_of_measures():
    """Of twenty measures of noise one in twenty would be said to move; a clear one among them still follows."""
    rng = np.random.default_rng(0)
    noise = [Curve(MEASURE, "lower", {x: dict(enumerate(rng.normal(size=5))) for x in (1.0, 2.0, 3.0)}, {}) for _ in range(200)]
    assert any(one.direction for one in noise)
    clear = curve(1, 2, 3)
    *checked, last = corrected([*noise, clear])
    assert not any(one.direction for one in checked)
    assert (last.verdict, last.ends_factor, clear.ends_factor) == ("follows", 201, 1)
    assert clear.whole.low < clear.whole.value
    assert last.whole.low < clear.whole.low
    pairs = [(one.change(0, 1).p, one.change(1, 2).p) for one in (*noise, clear)]
    assert last.steps_factor == pytest.approx(statistics.holm([max(pair) for pair in pairs])[-1] / max(pairs[-1]))


def test_a_constant_measure_is_no_comparison():
    constant = Curve(MEASURE, "higher", {x: dict.fromkeys(range(5), 1.0) for x in (1.0, 2.0, 3.0)}, {})
    assert [one.ends_factor for one in corrected([constant, curve(1, 2, 3)])] == [1, 1]


def test_a_measure_that_is_the_same_everywhere_is_constant():
    values = {x: {seed: 0.1 * seed for seed in range(5)} for x in (1.0, 2.0, 3.0)}
    constant = Curve(MEASURE, "higher", values, {})
    assert constant.verdict == "constant"
    assert sentences(constant) == (
        "From 1 to 3 tiles a neuron it stays at 0.2.",
        "It is the same however many tiles share a neuron, and says nothing about that.",
    )


def test_the_change_is_paired_by_seed():
    values = {1.0: {0: 0.0, 1: 10.0, 2: 20.0}, 2.0: {0: 1.0, 1: 11.5, 2: 20.5, 3: 99.0}}
    found = Curve(MEASURE, "lower", values, {}).change(0, 1)
    expected = statistics.over_seeds([1.0, 1.5, 0.5])
    assert (found.value, found.low, found.high) == (1, expected.low, expected.high)


def test_sentences_say_what_the_numbers_say():
    first, second = sentences(curve(1, 2, 2, 4))
    assert first.startswith("From 1 to 4 tiles a neuron it goes from 1 to 4 (change 3, 95 % interval ")
    assert first.endswith("but not at 1 of the 3 steps.")
    assert "in between is no evidence" in second
    assert "must not be read as monosemanticity" in sentences(curve(1, 2, 3, better="higher"))[1]


def test_one_seed_shows_nothing():
    one = Curve(MEASURE, "lower", {x: {0: x} for x in (1.0, 2.0, 3.0)}, {})
    assert (one.direction, one.verdict) == (0, "undecided")
    found = Found("top-k", {1.0: {0: 1.0}}, {1.0: {0: 0.1}})
    assert (found.up_to, found.above_chance) == (None, [])
    assert list(frame([found])["low"]) == [1.0]


def test_undecided_measures_are_said_to_be_so():
    first, second = sentences(curve(1, 2, 3, 1))
    assert first.endswith(").")
    assert "not shown to differ" in second


def test_a_tiny_change_counts_as_none():
    values = {x: {seed: 1 + 0.004 * x + 1e-6 * seed for seed in range(5)} for x in (1.0, 2.0, 3.0)}
    assert Curve(MEASURE, "lower", values, {}).verdict == "undecided"
    assert (
        Curve(MEASURE, "lower", {x: {s: v + 0.01 * x for s, v in by.items()} for x, by in values.items()}, {}).verdict
        == "follows"
    )


def test_a_measure_that_follows_by_chance_alone_is_not_trusted():
    assert sentences(curve(1, 2, 3), curve(1, 2, 3))[1].startswith("It may be trusted")
    said = sentences(curve(1, 2, 3), curve(3, 2, 1))[1]
    assert (
        said == "Less its value on shuffled images it follows in the opposite direction: what moves it is how often neurons fire."
    )


def test_readings():
    follows = curve(1, 2, 3, 4, trained=(2.5, 3.5, 9.0))
    assert follows.reading(2.5) == pytest.approx(2.5, abs=0.02)
    assert np.isnan(follows.reading(9.0))
    (values,) = readings([follows, curve(1, 3, 2, 4, trained=(2.5,))]).values()
    assert values == pytest.approx((2.5, 3.5, np.nan), abs=0.02, nan_ok=True)
    assert readings([curve(1, 2, 3)]) == {}


def renamed(one, text):
    return Curve(Measure(text, "", ""), one.better, one.values, one.trained)


def test_what_may_be_concluded_about_the_trained_network():
    alike = curve(1, 2, 3, 4, trained=(2.4, 2.5, 2.6))
    other = renamed(curve(1, 2, 3, 4, trained=(1.4, 1.5, 1.6)), "another")
    beyond = renamed(curve(1, 2, 3, 4, trained=(1.4, 1.5, 9.0)), "a third")
    assert agreement([alike, renamed(alike, "the same")]).endswith("overlap: they are not shown to disagree.")
    assert "do not all overlap: no single number" in agreement([alike, other])
    assert "1 give the trained network, in some seed, a value that no network" in agreement([alike, beyond])
    assert agreement([beyond]).endswith("no number of tiles a neuron can be concluded.")


def results():
    entries = []
    for number, neurons in enumerate((None, 23, 7)):
        network, layer = ("theorem1", "hidden") if neurons is None else ("superposed", "mixed")
        for seed in range(5):
            for probe, metrics in (
                ("superposition", {f"features_per_neuron.{layer}": 1.0 + 4 * number}),
                ("selectivity", {f"class_selectivity.{layer}": 0.9 - 0.3 * number + NOISE[(seed + number) % 5]}),
                ("accuracy", {"accuracy": 1.0}),
            ):
                info = {name.partition(".")[0]: tmi.MetricInfo("", "higher") for name in metrics}
                result = tmi.ProbeResult(metrics, info=info)
                swept = {"neurons": neurons}
                entries.append(Entry("", "fashion", network, probe, seed, swept, "ok", None, metrics, _result=result))
    for seed in range(5):
        metrics = {"class_selectivity.conv": 0.5}
        entries.append(Entry("", "fashion", "trained", "selectivity", seed, {"neurons": None}, "ok", None, metrics))
    return tmi.Results(entries, columns={"neurons": "network"})


def test_curves_of_results():
    assert tiles_a_neuron(results()) == {"theorem1": 1.0, "superposed 23": 5.0, "superposed 7": 9.0}
    found = {one.measure.text: one for one in curves(results(), "fashion")}
    assert {text: one.verdict for text, one in found.items()} == {"accuracy": "constant", "class selectivity": "follows"}
    selectivity = found["class selectivity"]
    assert (selectivity.truth, selectivity.better) == ([1.0, 5.0, 9.0], "higher")
    assert selectivity.values[5.0][0] == pytest.approx(0.6 + NOISE[1])
    assert selectivity.trained == dict.fromkeys(range(5), 0.5)
    assert curves(results(), "digits") == []


def test_chance_is_taken_off():
    entries = list(results())
    for entry in entries:
        for name in [name for name in entry.metrics if name.startswith("class_selectivity")]:
            entry.metrics[f"{name}.chance"] = 0.25
    both = tmi.Results(entries, columns={"neurons": "network"})
    raw, less = (
        next(one for one in curves(both, "fashion", above_chance=above) if one.measure.text == "class selectivity")
        for above in (False, True)
    )
    assert less.values[5.0][0] == pytest.approx(raw.values[5.0][0] - 0.25)
    assert less.trained[0] == 0.25


def test_report():
    found = sections(results())
    assert all(isinstance(one, Section) for one in found)
    assert [one.title for one in found] == [
        "",
        "Thirty Fashion-MNIST tiles: which measures follow the truth",
        "Thirty Fashion-MNIST tiles: the trained network on the dial",
    ]
    assert "2 measures: 1 follows, 1 constant." in found[1].html
    assert sections(tmi.Results([])) == []


def recovered(*shares, chance=0.4):
    """A method that recovers these shares at 1, 2, 3, … tiles a neuron, in five seeds."""
    values = {float(x): {seed: share + NOISE[(seed + x) % 5] for seed in range(5)} for x, share in enumerate(shares, 1)}
    return Found("top-k", values, {x: dict.fromkeys(range(5), chance) for x in values})


@pytest.mark.parametrize(
    ("shares", "up_to", "above_chance"),
    [
        ((0.99, 0.95, 0.5, 0.99), 2.0, [1.0, 2.0, 3.0, 4.0]),  # what comes after a failure does not count
        ((0.95, 0.95), 2.0, [1.0, 2.0]),
        ((0.905, 0.95), None, [1.0, 2.0]),  # the interval reaches below 0.9
        ((0.95, 0.405, 0.3), 1.0, [1.0]),  # the interval contains what random directions score, or is below
    ],
)
def test_up_to_where_a_method_finds_the_directions(shares, up_to, above_chance):
    found = recovered(*shares)
    assert found.up_to == up_to
    assert found.above_chance == above_chance


def test_sentences_about_methods():
    assert sentence(recovered(0.99, 0.95, 0.5)) == (
        "top-k finds 90% of the directions up to 2 tiles a neuron; at 3 it finds 0.5 ± 0.008, more than random directions (0.4)."
    )
    assert "finds 90% of the directions at every place; at 2 " in sentence(recovered(0.99, 0.95))
    last = "is nowhere shown to find 90% of the directions; at 2 it finds 0.3 ± 0.008, not shown to be more than random"
    assert last in sentence(recovered(0.5, 0.3))


def test_answer():
    entries = list(results())
    for probe, autoencoder in (("directions-one", 0.95), ("directions-noise", 0.5)):
        for network, neurons, kmeans in (("theorem1", None, 1.0), ("superposed", 7, 0.8)):
            metrics = {"recovered.top-k": autoencoder, "recovered.k-means": kmeans}
            metrics |= {f"{name}.chance": 0.6 for name in list(metrics)}
            swept = {"neurons": neurons}
            entries += [Entry("", "fashion", network, probe, seed, swept, "ok", None, metrics) for seed in range(5)]
    said = answer(tmi.Results(entries, columns={"neurons": "network"}), "fashion")
    assert (
        "Of the sparse autoencoders, these find 90% of the directions in every way of making samples (tiles a neuron): none."
        in said
    )
    assert (
        "in every way: none; in no way: none. Of the other dictionaries" in said
    )  # above random directions in one of the two ways
    assert (
        "k-means up to 1. At 9 tiles a neuron, more than random directions find in every way: k-means; in no way: none." in said
    )
    assert answer(results(), "fashion") == ""


def test_found_along_results():
    entries = list(results())
    for network, neurons in (("theorem1", None), ("superposed", 7), ("trained", None)):
        metrics = {"recovered.top-k": 0.9, "recovered.top-k.chance": 0.1, "mmcs.pca": 0.3}
        entries.append(Entry("", "fashion", network, "directions-one", 0, {"neurons": neurons}, "ok", None, metrics))
    both = tmi.Results(entries, columns={"neurons": "network"})
    (found,) = found_along(both, "fashion", "directions-one")
    assert found.values == {1.0: {0: 0.9}, 9.0: {0: 0.9}}
    assert found.chance[9.0] == {0: 0.1}
    assert list(frame([found])["low"]) == [0.9, 0.9]
    assert found_along(both, "fashion", "directions-noise") == []
