"""Suite ``monosemanticity``: its plan, the comparison by hand, and its report on a small copy."""

import tomllib
from importlib.resources import files

import numpy as np
import pytest

import tmi
from tests.plugins.tmi_paper.test_comparison import by_hand
from tmi_paper.comparison import MEASURES, compare
from tmi_paper.monosemanticity import headline, sections

APART = (
    *("attribution", "attribution-bench", "direction-recovery", "disguises", "ig-convergence", "randomisation", "examples"),
    *("confused-tiles", "feature-neurons", "logit-decomposition", "reference-error", "spectrum", "weight-sparsity"),
    *("attack", "kept-meaning", "activation-patching", "ablation"),
)
"""Probes of other questions: what a method says of a network, what the images look like; and those of other suites alone."""


def content():
    return tomllib.loads(files("tmi_paper").joinpath("monosemanticity.toml").read_text())


def test_the_plan_has_every_network_and_every_probe():
    suite = tmi.load_suite("monosemanticity")
    seen = {
        (c.dataset.label, c.dataset.swept.get("tiles_per_class"), c.network.label, c.network.swept.get("filters"))
        for c in suite.cells
    }
    for dataset, k in (("fashion", 1), ("fashion", 3), ("squares", None)):
        assert {(dataset, k, "theorem1", None), (dataset, k, "theorem2", None)} <= seen
        assert {(dataset, k, f"trained-{dataset}", f) for f in (4, 12, 48)} <= seen
    assert {c.seed for c in suite.cells} == {0, 1, 2, 3, 4}
    assert {c.probe.component.name for c in suite.cells} == set(tmi.names("probe")) - set(APART)
    assert {c.probe.label for c in suite.cells} >= {measure.probe for measure in MEASURES}


def test_the_picture_has_a_mark_for_every_network_and_a_row_for_every_share():
    import matplotlib.pyplot as plt

    from tmi.runtime.plotting import figure_style

    rows = compare(by_hand(), "fashion", 1)
    with figure_style():
        drawn = headline(rows)
        names = [text.get_text() for text in drawn.axes[0].get_yticklabels()]
        legend = [text.get_text() for text in drawn.legends[0].get_texts()]
        plt.close(drawn)
    assert names == ["accuracy ↑", "Hoyer sparsity "]
    assert legend == ["constructed: Theorem 1", "trained, 4 filters", "constructed: Theorem 2", "chance, of each network"]


def test_colours_follow_the_origin_and_not_the_name():
    import matplotlib.pyplot as plt
    from matplotlib.colors import to_hex

    from tmi.runtime.plotting import CONSTRUCTED, TRAINED

    entries = by_hand()
    renamed = {"theorem1": "trained-by-name-only", "theorem2": "literal", "trained-fashion": "theorem"}
    for old in entries:
        object.__setattr__(old, "network", renamed[old.network])
    rows = compare(entries, "fashion", 1)
    drawn = headline(rows)
    colours = {line.get_label(): to_hex(line.get_color()).upper() for line in drawn.axes[0].lines}
    plt.close(drawn)
    origins = {name: origin for row in rows for name, origin in row.origins.items()}
    assert len(origins) == 3
    for name, origin in origins.items():
        assert colours[name] == (CONSTRUCTED if origin == "constructed" else TRAINED)


def small():
    """The suite with one seed, fewer images, epochs and atoms, and the same tables."""
    suite = content()
    suite["seeds"] = [0]
    suite["datasets"]["squares"] |= {"samples": 60, "test_samples": 60}
    suite["datasets"]["fashion"] |= {"source": "sample", "samples": 200, "test_samples": 60, "sweep": {"tiles_per_class": [1]}}
    suite["networks"]["trained-squares"] |= {"epochs": 40, "sweep": {"filters": [4]}}
    suite["networks"]["trained-fashion"] |= {"epochs": 20, "batch_size": 20, "sweep": {"filters": [2, 4]}}
    suite["probes"]["dictionary"] |= {"atoms": 6, "images": 50, "train_images": 50}
    suite["probes"]["decodability"] |= {"images": 50, "folds": 2}
    suite["probes"]["local-linear-form"] |= {"images": 8, "tiles": 1}
    suite["probes"]["top-activating-scenes"]["images"] = 60
    suite["probes"]["activation-maximisation"] |= {"units": 2, "restarts": 2, "steps": 10}
    suite["skip"] = [rule for rule in suite["skip"] if "tiles_per_class" not in rule]
    return suite


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmi.run(small(), store=tmp_path_factory.mktemp("store"))


@pytest.mark.slow
def test_constructed_networks_are_what_the_theorems_promise(results):
    assert not results.failed, [(str(e), e.message) for e in results.failed]
    clothes = results.select(dataset="fashion", network="theorem1")
    assert set(clothes.select(probe="accuracy").values("accuracy")) == {1.0}
    assert set(clothes.values("active_per_image.hidden")) == {1.0}
    for probe in ("background-robustness", "translation-robustness"):
        assert set(clothes.select(probe=probe).values("logit_std")) == {0.0}
    assert max(clothes.values("reconstruction_error")) < 1e-6
    assert set(clothes.values("path_regions.background")) == {1.0}
    for kind in ("mcc", "uniqueness", "f1"):
        assert clothes.values(f"{kind}.tile-place.hidden") == [pytest.approx(1)]
    assert clothes.values("tpr.hidden") == [1]
    assert clothes.values("fpr.hidden") == [0]


@pytest.mark.slow
def test_every_measure_has_a_row_and_the_report_every_section(results):
    rows = compare(results, "fashion", 1)
    assert np.mean([len(row.values) for row in rows]) > 2.5
    found = {row.measure for row in (*rows, *compare(results, "squares"))}
    assert {measure.text for measure in MEASURES if measure not in found} <= {"variance over places / over backgrounds"}
    drawn = sections(results)
    assert [section.title for section in drawn] == [
        "",
        "Single neurons",
        "What is in a layer",
        "Representation",
        "Circuits",
        "Linear pieces",
        "Robustness",
    ]
    assert "<figure>" in drawn[0].html
    assert all("<figure>" in section.html for section in drawn)


@pytest.mark.slow
def test_parts_of_the_suite_make_a_report_too(results):
    assert sections(results.select(dataset="squares"))
    assert sections(results.select(probe="accuracy"))
    assert sections(results.select(dataset="nothing")) == []
