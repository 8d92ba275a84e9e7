"""Suite ``pressure``: its plan, the verdicts by hand, and its report on a small copy."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

import tmi
from tests.plugins.tmi_paper.test_unit_measures import entry
from tmi_paper.pressure import KINDS, Effect, effects, scatter, sections, sentences
from tmi_paper.unit_measures import MONOSEMANTIC, Change

UP, DOWN, NONE = Change((0.2,), 0.1, 0.3), Change((-0.2,), -0.3, -0.1), Change((0.0,), -0.1, 0.1)


def content():
    return tomllib.loads(files("tmi_paper").joinpath("pressure.toml").read_text())


def test_each_network_differs_from_the_plain_one_in_one_setting_and_what_goes_with_it():
    networks = content()["networks"]
    for prefix in ("", "squares-"):
        plain = networks[f"{prefix}plain"]
        others = {name: table for name, table in networks.items() if name.startswith("squares-") == bool(prefix)}
        assert len(others) == 10
        for name, table in others.items():
            settings = table | {setting: values[0] for setting, values in table.get("sweep", {}).items()}
            changed = {setting for setting in settings if setting != "sweep" and settings[setting] != plain.get(setting)}
            if name.endswith(("momentum", "adam")):
                assert changed == {"optimizer", "lr"}
            else:
                assert len(changed) == (name != f"{prefix}plain")


def test_the_plan_pairs_every_pressure_with_plain_training_by_seed():
    suite = tmi.load_suite("pressure")
    seen = {(c.dataset.label, c.network.label, c.seed) for c in suite.cells}
    for dataset, prefix in (("fashion", ""), ("squares", "squares-")):
        labels = {label for name, label, _ in seen if name == dataset}
        assert f"{prefix}plain" in labels
        assert all(label.startswith("squares-") == bool(prefix) for label in labels)
        assert all((dataset, label, seed) in seen for label in labels for seed in range(5))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ([UP, UP], "more"),
        ([NONE, UP], "more"),
        ([UP], "more"),
        ([UP, DOWN], "mixed"),
        ([NONE, DOWN], "less"),
        ([NONE, NONE], "not shown"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_verdicts_by_hand(kind, changes, verdict):
    effect = Effect("dropout", DOWN, None, dict(zip(KINDS[kind], changes, strict=False)))
    assert {other: effect.verdict(other) for other in KINDS} == dict.fromkeys(KINDS, "not shown") | {kind: verdict}
    assert effect.cost == "accuracy falls"


def test_less_of_what_a_monosemantic_layer_has_little_of_is_toward_it():
    active = next(measure for measure in MONOSEMANTIC if measure.sign < 0)
    assert Effect("", None, None, {active: DOWN}).toward(active) == 1
    assert Effect("", None, None, {active: UP}).toward(active) == -1
    assert Effect("", None, None, {}).toward(active) == 0


def by_hand():
    entries = []
    for seed in range(3):
        for network, f1, accuracy, swept in (
            ("plain", 0.5, 0.9, {}),
            ("dropout", 0.7, 0.9, {}),
            ("weight-decay", 0.5, 0.6, {"weight_decay": 0.1}),
        ):
            metrics = {"f1.tile.conv": f1 + seed / 10 + seed**2 / 1000 * (network == "dropout"), "f1.tile.conv.chance": 0.2}
            metrics |= {f"mcc{name.removeprefix('f1')}": value for name, value in metrics.items()}
            entries.append(entry("unit-recovery", metrics, seed, network, **swept))
            entries.append(entry("accuracy", {"accuracy": accuracy + seed / 100}, seed, network, **swept))
    return tmi.Results(entries, columns={"weight_decay": "network"})


def test_effects_and_sentences_by_hand():
    rows = effects(by_hand(), "fashion")
    assert [(row.text, row.verdict("tiles"), row.cost) for row in rows] == [
        ("dropout", "more", "none shown"),
        ("weight decay 0.1", "not shown", "accuracy falls"),
    ]
    first, second = sentences(rows, "there")
    assert first == (
        "there: of 2 pressures, units are made monosemantic in tiles: more by dropout; in tiles at places: no change is shown."
    )
    assert second.startswith("there: accuracy falls under weight decay 0.1 -0.3 ")
    assert second.endswith(", and rises under none of them.")
    assert effects(by_hand(), "squares") == []


def test_the_picture_has_a_panel_for_each_measure_and_a_mark_for_each_pressure():
    import matplotlib.pyplot as plt

    from tmi.runtime.plotting import figure_style

    with figure_style():
        drawn = scatter({"fashion": effects(by_hand(), "fashion")})
        legend = [text.get_text() for text in drawn.legends[0].get_texts()]
        marks = [len(axis.containers) for axis in drawn.axes]
        plt.close(drawn)
    assert legend == ["dropout", "weight decay", "interval has 0"]
    assert marks == [2, 0, 0, 0]


@pytest.mark.slow
def test_report_of_a_small_copy(tmp_path):
    suite = content()
    suite["seeds"] = [0, 1]
    suite["datasets"]["squares"] |= {"samples": 60, "test_samples": 60}
    suite["datasets"]["fashion"] |= {"source": "sample", "samples": 60, "test_samples": 60}
    for table in suite["networks"].values():
        table["epochs"] = 2
        table["batch_size"] = 20
    results = tmi.run(suite, store=tmp_path)
    assert not results.failed, [(str(e), e.message) for e in results.failed]
    drawn = sections(results)
    assert [section.title for section in drawn] == ["", "The network of section 6.2", "The network of section 6.1"]
    assert "data:image/png" in drawn[0].html
    assert (len(effects(results, "fashion")), len(effects(results, "squares"))) == (12, 13)
    assert sections(results.select(dataset="nothing")) == []
