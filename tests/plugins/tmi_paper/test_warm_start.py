"""Suite ``warm-start``: its plan, the sentences by hand, and its report on a small copy."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import numpy as np
import pytest

import tmi
from tmi import statistics
from tmi.runs.results import Entry
from tmi_paper.warm_start import ACCURACY, SEPARABLE, STARTS, curve, sections, sentences, starts_of, verdict

CONSTRUCTION, RANDOM = STARTS[0], STARTS[-1]


def interval(values):
    """Return the interval for one of three starts."""
    found = statistics.over_seeds(values).widened(3)
    return found.low, found.high


def content():
    return tomllib.loads(files("tmi_paper").joinpath("warm-start.toml").read_text())


def test_every_start_is_measured_before_and_along_training():
    suite = tmi.load_suite("warm-start")
    seen = {(c.dataset.label, c.network.label, c.network.swept.get("noise")) for c in suite.cells}
    for dataset in ("squares", "digits"):
        expected = {
            (dataset, start.network, start.noise) for start in STARTS if (dataset, start.network) != ("squares", "superposed")
        }
        assert {one for one in seen if one[0] == dataset} == expected
    for cell in suite.cells:
        assert 0 in (epochs := content()["networks"][cell.network.label]["sweep"]["epochs"])
        assert epochs == sorted(epochs)
    assert {c.seed for c in suite.cells} == {0, 1, 2, 3, 4}


def entry(probe, metrics, seed, epochs, network="construction", noise=None):
    swept = {"epochs": epochs} | ({} if noise is None else {"noise": noise})
    return Entry("", "digits", network, probe, seed, swept, "ok", None, metrics)


def by_hand():
    entries = []
    for seed, (right, separable, alone) in enumerate([(0.9, 0.96, 0.1), (0.95, 0.98, 0.2), (0.94, 0.97, 0.3)]):
        for epochs, values in ((0, (1.0, 1.0, 1.0)), (5, (right, separable, alone))):
            entries.append(entry("accuracy", {"accuracy": values[0]}, seed, epochs))
            entries.append(entry("kept-meaning", {"separable.hidden": values[1], "alone.hidden": values[2]}, seed, epochs))
            entries.append(entry("accuracy", {"accuracy": 0.1 + (epochs > 0) * (0.2 + seed / 1000)}, seed, epochs, "noise", 0.3))
            entries.append(
                entry("kept-meaning", {"separable.hidden": 0.2 * (epochs > 0), "alone.hidden": 0.0}, seed, epochs, "noise", 0.3)
            )
            matched = {"matched.hidden": 0.25 + (epochs > 0) * seed / 1000, "matched.hidden.chance": 0.2}
            entries.append(entry("kept-meaning", matched, seed, epochs, "random"))
            entries.append(entry("accuracy", {"accuracy": 0.1 + (epochs > 0) * (0.5 + seed / 10)}, seed, epochs, "random"))
    return tmi.Results(entries, columns={"epochs": "network", "noise": "network"})


def test_sentences_by_hand():
    results = by_hand()
    assert [start.text for start in starts_of(results, "digits")] == [
        "construction",
        "construction, noise 0.3",
        "random, lr 0.03",
    ]
    assert starts_of(results, "squares") == []
    assert curve(results, "digits", CONSTRUCTION, SEPARABLE) == {0: {0: 1, 1: 1, 2: 1}, 5: {0: 0.96, 1: 0.98, 2: 0.97}}
    first, second = sentences(results, "digits", CONSTRUCTION)
    low, high = interval([0.96, 0.98, 0.97])
    assert first == (
        f"The units keep their meaning: 100% are separable before training and 97% after 5 epochs ({low:.0%} to "
        f"{min(high, 1):.0%}), when 20% are active for their own tile and place alone."
    )
    low, high = interval([-0.1, -0.05, -0.06])
    assert second == f"The accuracy is not shown to change, from 1.000 to 0.930: -0.07 ({low:+.3g} to {high:+.3g})."
    noisy = sentences(results, "digits", STARTS[4])
    assert (
        "The units do not regain their meaning: 0% are separable before training and 20% after 5 epochs (20% to 20%)" in noisy[0]
    )
    low, high = interval([0.2, 0.201, 0.202])
    assert noisy[1] == f"The accuracy rises, from 0.100 to 0.301: +0.201 ({low:+.3g} to {high:+.3g})."
    same = [one for one in results if one.metrics.get("accuracy") != 1]  # without those of epoch 0
    same += [entry("accuracy", {"accuracy": 1.0}, seed, epochs) for seed in range(2) for epochs in (0, 7)]
    same += [entry("kept-meaning", {"separable.hidden": 1.0, "alone.hidden": 1.0}, seed, 7) for seed in range(2)]
    same = tmi.Results(same, columns={"epochs": "network", "noise": "network"})
    assert sentences(same, "digits", CONSTRUCTION)[1] == "The accuracy stays 1.000 in every seed."
    scratch = sentences(results, "digits", RANDOM)
    assert "match Theorem 1's neurons +0.051 (" in scratch[0]
    assert scratch[0].endswith("the units are not shown to come nearer to the construction's.")
    assert sentences(results.select(probe="accuracy"), "digits", CONSTRUCTION) == ("", "")


@pytest.mark.parametrize(
    ("before", "low", "high", "word"),
    [
        (1.0, 0.91, 1.0, "keep their meaning"),
        (1.0, 0.89, 1.0, "keep their meaning in part"),
        (1.0, 0.49, 0.95, "are shown neither to keep nor to lose their meaning"),
        (1.0, 0.1, 0.49, "lose their meaning"),
        (1.0, -np.inf, np.inf, "are shown neither to keep nor to lose their meaning"),
        (0.2, 0.95, 0.97, "regain their meaning"),
        (0.2, 0.5, 0.8, "regain it in part"),
        (0.2, 0.4, 0.8, "are not shown to regain it"),
        (0.2, 0.0, 0.3, "do not regain their meaning"),
    ],
)
def test_the_verdict_follows_from_the_interval(before, low, high, word):
    assert verdict(before, low, high) == word


def test_the_report_of_results_by_hand():
    drawn = sections(by_hand())
    assert [section.title for section in drawn] == ["", "Digits of 8×8", "From the start to the last epoch"]
    assert "<figure>" in drawn[0].html
    assert drawn[1].html.count("<li>") == 3
    assert "-0.07 (" in drawn[2].html
    assert sections(by_hand().select(dataset="nothing")) == []


@pytest.mark.slow
def test_a_small_copy_of_the_suite(tmp_path):
    suite = content() | {"seeds": [0, 1]}
    suite["datasets"]["squares"] |= {"samples": 60, "test_samples": 60}
    suite["datasets"]["digits"] |= {"samples": 40, "test_samples": 60, "image_size": 9}
    for network in suite["networks"].values():
        network["sweep"]["epochs"] = [0, 1]
    results = tmi.run(suite, store=tmp_path)
    assert not results.failed, [(str(e), e.message) for e in results.failed]
    for dataset in ("squares", "digits"):
        start = results.select(dataset=dataset, network="construction", epochs=0)
        assert (
            set(start.values("accuracy")) == set(start.values("separable.hidden")) == set(start.values("alone.hidden")) == {1.0}
        )
        assert set(start.values("drift.hidden")) == {0.0}
        assert len(curve(results, dataset, CONSTRUCTION, ACCURACY)) == 2
    drawn = sections(results)
    assert [section.title for section in drawn] == [
        "",
        "Squares of section 6.1",
        "Digits of 8×8",
        "From the start to the last epoch",
    ]
