"""Figures of linear pieces and robustness: what they write on themselves is what the results say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import tmi
from tests.plugins.tmi_probes.toys import Phi, cnn_network, dataset, network
from tmi.runtime.plotting import house_style
from tmi_probes.figures.linear import local_forms, pieces_on_paths
from tmi_probes.figures.robustness import background_kinds, deformations, worst_cases


@pytest.fixture(scope="module")
def networks():
    data = dataset(40)
    return data, {"constructed: Theorem 1": tmi.build("theorem1", data), "trained, 4 filters": cnn_network()}


def results_of(networks, probe, **settings):
    data, found = networks
    return {name: tmi.probe(probe, net, data, seed=0, **settings) for name, net in found.items()}


@pytest.fixture(autouse=True)
def _styled():
    with house_style():
        yield
        plt.close("all")


def test_local_forms_has_a_row_an_image_and_a_column_a_network(networks):
    drawn = local_forms(results_of(networks, "local-linear-form", images=5, tiles=1, backgrounds=2, places=2), images=3)
    assert len(drawn.axes) == 3 * 3
    assert [axis.get_title() for axis in drawn.axes[:3]] == ["image", "constructed:\nTheorem 1", "trained,\n4 filters"]


def test_pieces_on_paths_says_how_many(networks):
    results = results_of(networks, "linear-regions", images=10, paths=1)
    drawn = pieces_on_paths(results)
    titles = [axis.get_title().splitlines()[-1] for axis in drawn.axes]
    counts = [r.metrics[f"path_regions.{kind}"] for kind in ("background", "translation") for r in results.values()]
    assert titles == [f"{int(count):,} piece{'' if count == 1 else 's'}" for count in counts]


def test_background_kinds_draws_every_network_and_the_worst_of_a_trained_one(networks):
    results = results_of(networks, "background-kinds", tiles=2, backgrounds=3)
    drawn = background_kinds(results)
    shares, *worst = drawn.axes
    assert [text.get_text() for text in shares.get_legend().get_texts()] == list(results)
    kinds = [text.get_text() for text in shares.get_xticklabels()]
    for line, result in zip(shares.lines, results.values(), strict=True):
        expected = [result.metrics.get(f"correct.{kind}", np.nan) for kind in kinds]
        assert line.get_ydata() == pytest.approx(np.array(expected), nan_ok=True)
    assert len(worst) == len(kinds)


def test_deformations_has_a_panel_a_kind_and_one_oracle(networks):
    results = results_of(networks, "deformation", images=6)
    drawn = deformations(results)
    assert [axis.get_title() for axis in drawn.axes] == ["rotation", "scale", "blur", "occlusion", "noise", "texture"]
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert labels == [*results, "oracle φ"]
    few = results_of(networks, "deformation", images=6, kinds=["blur", "noise"])
    assert [axis.get_title() for axis in deformations(few).axes if axis.axison] == ["blur", "noise"]


@pytest.mark.parametrize("probe", ["background-robustness", "translation-robustness"])
def test_worst_cases_names_margins(networks, probe):
    results = results_of(networks, probe, tiles=2)
    drawn = worst_cases(results)
    assert len(drawn.axes) == 2 * 4
    margin = results["trained, 4 filters"].arrays["worst_margin"].values[1]
    assert drawn.axes[7].get_xlabel() == f"margin {margin:.2g}"


def test_colour_images_and_one_class_are_drawn_too():
    tile = tmi.FeatureTile(np.random.default_rng(0).random((3, 2, 2)), 0.2)
    task = tmi.TemplateTask([tmi.TileClass("only", [tile])], (3, 5, 5))
    data = dataset(8, task=task)
    result = tmi.probe("background-robustness", network(Phi(task), task=task), data, seed=0, tiles=1, backgrounds=3)
    assert len(worst_cases({"imported": result}).axes) == 2
