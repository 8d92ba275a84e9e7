"""Suite ``pressure``: its plan, the verdicts by hand, and its report on a small copy."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

import tmi
from tests.plugins.tmi_paper.test_unit_measures import entry
from tmi import statistics
from tmi_paper.pressure import KINDS, Effect, effects, scatter, sections, sentences
from tmi_paper.unit_measures import ACCURACY, ACTIVE, MONOSEMANTIC, sign

UP, DOWN, NONE = (statistics.over_seeds(values) for values in ((0.15, 0.25, 0.2), (-0.15, -0.25, -0.2), (-0.1, 0.0, 0.1)))


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
    both = dict(zip(KINDS[kind], changes, strict=False)) | {ACCURACY: DOWN}
    effect = Effect("dropout", both, {measure: sign(found) for measure, found in both.items() if sign(found)})
    assert {other: effect.verdict(other) for other in KINDS} == dict.fromkeys(KINDS, "not shown") | {kind: verdict}
    assert effect.cost == "accuracy falls"


def test_a_change_that_is_not_shown_is_no_verdict():
    effect = Effect("dropout", dict.fromkeys((ACCURACY, *MONOSEMANTIC), UP), {})
    assert {effect.verdict(kind) for kind in KINDS} == {"not shown"}
    assert effect.cost == "none shown"
    assert Effect("dropout", {}, {}).cost == "unknown"


def test_changes_are_corrected_for_the_number_of_pressures():
    changes = {"plain": [0, 0, 0], "dropout": [0.1, 0.13, 0.16], "adam": [-0.1, 0, 0.1], "momentum": [-0.1, 0, 0.1]}
    assert 0.05 / 2 > statistics.over_seeds(changes["dropout"]).p > 0.05 / 3

    def verdicts(*networks):
        entries = [
            entry("unit-recovery", {"f1.tile.conv": value, "f1.tile.conv.chance": 0.0}, seed, network)
            for network in ("plain", *networks)
            for seed, value in enumerate(changes[network])
        ]
        return [row.verdict("tiles") for row in effects(tmi.Results(entries), "fashion")]

    assert verdicts("dropout", "adam") == ["more", "not shown"]
    assert verdicts("dropout", "adam", "momentum") == ["not shown"] * 3


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
            right = accuracy + seed / 100 + seed / 1000 * (network == "weight-decay")  # of three equal changes none is shown
            entries.append(entry("accuracy", {"accuracy": right}, seed, network, **swept))
    return tmi.Results(entries, columns={"weight_decay": "network"})


def test_effects_and_sentences_by_hand():
    rows = effects(by_hand(), "fashion")
    assert [(row.text, row.verdict("tiles"), row.cost) for row in rows] == [
        ("dropout", "more", "none shown"),
        ("weight decay 0.1", "not shown", "accuracy falls"),
    ]
    first, second = sentences(rows, "there")
    assert first == (
        "there, 2 pressures: in tiles units become more monosemantic under dropout; in tiles at places no change is shown."
    )
    assert second.startswith("there: accuracy falls under weight decay 0.1 -0.299 (")
    assert second.endswith(", and rises under none of them.")
    assert effects(by_hand(), "squares") == []


def test_what_goes_with_fewer_active_units():
    down, up = {MONOSEMANTIC[1]: -1}, {MONOSEMANTIC[3]: 1}
    shown = {"L1": {ACTIVE: -1} | up, "dropout": {ACTIVE: -1} | down | up, "batch norm": down | up, "adam": {ACTIVE: 1}}
    rows = [Effect(text, {}, directions) for text, directions in shown.items()]
    assert sentences(rows, "there")[2] == (
        "there: fewer units are active on an image under L1 and dropout; of these, MCC for tiles at places rises under L1 and "
        "dropout, and MCC for tiles falls under dropout."
    )
    assert len(sentences(rows[2:], "there")) == 2


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
    assert "<figure>" in drawn[0].html
    assert (len(effects(results, "fashion")), len(effects(results, "squares"))) == (12, 13)
    assert sections(results.select(dataset="nothing")) == []
