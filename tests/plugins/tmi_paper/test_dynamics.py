"""Suite ``dynamics``: its plan, curves and sentences by hand, and its report on a small copy."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import numpy as np
import pytest

import tmi
from tests.plugins.tmi_paper.test_unit_measures import entry
from tmi import statistics
from tmi.runs.results import Entry
from tmi_paper.dynamics import LAYERS, curve, epochs_of, sections, sentences, settled
from tmi_paper.unit_measures import DEAD, MONOSEMANTIC

CONV = LAYERS[1]


def content():
    return tomllib.loads(files("tmi_paper").joinpath("dynamics.toml").read_text())


def test_every_training_is_measured_before_it_begins_and_has_every_probe():
    suite = tmi.load_suite("dynamics")
    for layer in LAYERS:
        cells = [c for c in suite.cells if (c.dataset.label, c.network.label) == (layer.dataset, layer.network)]
        epochs = {c.network.swept["epochs"] for c in cells}
        assert min(epochs) == 0
        assert max(epochs) >= 30
        assert {c.probe.label for c in cells} == set(content()["probes"])
        assert {c.seed for c in cells} == {0, 1, 2, 3, 4}
    assert len(suite.cells) == 5 * 7 * (10 + 9 + 9)


def watched(dead, f1):
    """Results of layer CONV by epochs: dead units and F1 of three seeds."""
    entries = []
    for epochs in dead:
        for seed in range(3):
            sparsity = {"dead_share.conv": dead[epochs] + seed / 100 * (epochs > 0), "active_share.conv": 0.5}
            entries.append(entry("activation-sparsity", sparsity, seed, "conv", epochs=epochs))
            metrics = {"f1.tile.conv": f1[epochs] + seed / 100 * (epochs > 1), "f1.tile.conv.chance": 0.2}
            entries.append(entry("unit-recovery", metrics, seed, "conv", epochs=epochs))
    return tmi.Results(entries, columns={"epochs": "network"})


def test_curves_and_sentences_by_hand():
    results = watched({0: 0.0, 1: 0.01, 5: 0.3}, {0: 0.3, 1: 0.3, 5: 0.6})
    assert epochs_of(results, CONV) == [0, 1, 5]
    assert curve(results, CONV, DEAD)[5] == {0: 0.3, 1: 0.31, 2: 0.32}
    assert curve(results, CONV, MONOSEMANTIC[0])[0] == {seed: pytest.approx(0.1) for seed in range(3)}
    assert curve(results, LAYERS[2], DEAD) == {}
    died, became = sentences(results, CONV)
    assert "within 5 epochs the share of dead units rises by +0.31 " in died
    assert died.endswith("0.0% of them are dead in the initial network and 31.0% after 5 epochs.")
    assert "1 of 2 measures say that units become more monosemantic (tile: F1 above chance +0.31 " in became
    assert became.endswith("0 say less, and for 1 no change is shown.")


def test_sentences_where_nothing_dies():
    died, became = sentences(watched({0: 0.1, 5: 0.09}, {0: 0.3, 5: 0.1}), CONV)
    assert died.startswith("No death of units is shown after any number of epochs (change after 5 epochs ")
    assert "0 of 2 measures say that units become more monosemantic, 1 say less (tile: F1" in became


def test_death_is_shown_in_spite_of_the_other_looks_or_not():
    early, late = [0.1, 0.13, 0.16], [-0.1, 0, 0.1]
    assert 0.05 / 2 > statistics.over_seeds(early).p > 0.05 / 3

    def died(*others):
        dead = {0: [0, 0, 0], 1: early} | dict.fromkeys(others, late)
        entries = [
            entry("activation-sparsity", {"dead_share.conv": value}, seed, "conv", epochs=number)
            for number, values in dead.items()
            for seed, value in enumerate(values)
        ]
        return sentences(tmi.Results(entries, columns={"epochs": "network"}), CONV)[0]

    assert died(2).startswith("Units die: within 1 epoch the share of dead units rises by +0.13 ")
    assert died(2, 5).startswith("No death of units is shown")


def test_units_with_their_last_tile_by_hand():
    entries = []
    for epochs, tiles in {0: [0, 1, 2, -1, 2], 3: [0, 2, 2, 1, -1]}.items():
        arrays = {"best_feature.tile.conv": ("unit", np.array(tiles))}
        result = tmi.ProbeResult({"features.tile": 3.0}, arrays)
        swept = {"epochs": epochs}
        entries.append(
            Entry("", "fashion", "conv", "unit-recovery", 0, swept, "ok", None, dict(result.metrics), record={}, _result=result)
        )
    same, shuffled = settled(tmi.Results(entries, columns={"epochs": "network"}), CONV)
    # Units 0 to 2 vary at both: 0, 1, 2 against 0, 2, 2.
    assert same == {0: {0: pytest.approx(2 / 3)}, 3: {0: 1.0}}
    assert shuffled[0] == {0: pytest.approx(1 / 3 * 1 / 3 + 1 / 3 * 0 + 1 / 3 * 2 / 3)}


@pytest.mark.slow
def test_report_of_a_small_copy(tmp_path):
    suite = content()
    suite["seeds"] = [0, 1]
    suite["datasets"]["squares"] |= {"samples": 60, "test_samples": 60}
    suite["datasets"]["fashion"] |= {"source": "sample", "samples": 60, "test_samples": 60}
    for table in suite["networks"].values():
        table["sweep"]["epochs"] = [0, 2, 4]
    suite["probes"]["decodability"] |= {"images": 50, "folds": 2}
    results = tmi.run(suite, store=tmp_path)
    assert not results.failed, [(str(e), e.message) for e in results.failed]
    drawn = sections(results)
    assert len(drawn) == 3
    assert all("<figure>" in section.html for section in drawn[:2])
    assert sections(results.select(dataset="nothing")) == []
