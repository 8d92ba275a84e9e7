"""Figures of robustness: what they write on themselves is what the results say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import tmi
from tmi.runtime.plotting import CONSTRUCTED, TRAINED, figure_style
from tmi_probes.figures.robustness import background_kinds, deformations, radii, worst_cases

from ..toys import Phi, cnn_network, dataset, network


@pytest.fixture(scope="module")
def networks():
    data = dataset(40)
    return data, {"theorem 1: fused": tmi.build("theorem1", data), "cnn, 4 filters": cnn_network()}


def results_of(networks, probe, **settings):
    """Results and origins by network: the two arguments that every figure takes."""
    data, by_name = networks
    results = {name: tmi.probe(probe, net, data, seed=0, **settings) for name, net in by_name.items()}
    return results, {name: net.origin for name, net in by_name.items()}


@pytest.fixture(autouse=True)
def _styled():
    with figure_style():
        yield
        plt.close("all")


def test_background_kinds_draws_every_network_and_the_worst_of_a_trained_one(networks):
    results, origins = results_of(networks, "background-kinds", tiles=2, backgrounds=3)
    drawn = background_kinds(results, origins)
    shares, *worst = drawn.axes
    assert [text.get_text() for text in shares.get_legend().get_texts()] == list(results)
    assert [line.get_color() for line in shares.lines] == [CONSTRUCTED, TRAINED]
    assert worst[0].get_ylabel() == "worst for\ncnn,\n4 filters"
    kinds = [text.get_text() for text in shares.get_xticklabels()]
    for line, result in zip(shares.lines, results.values(), strict=True):
        expected = [result.metrics.get(f"correct.{kind}", np.nan) for kind in kinds]
        assert line.get_ydata() == pytest.approx(np.array(expected), nan_ok=True)
    assert len(worst) == len(kinds)


def test_deformations_has_a_panel_a_kind_and_one_oracle(networks):
    results, origins = results_of(networks, "deformation", images=6)
    drawn = deformations(results, origins)
    assert [axis.get_title() for axis in drawn.axes] == ["rotation", "scale", "blur", "occlusion", "noise", "texture"]
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert labels == [*results, "oracle φ"]
    few = results_of(networks, "deformation", images=6, kinds=["blur", "noise"])
    assert [axis.get_title() for axis in deformations(*few).axes if axis.axison] == ["blur", "noise"]


@pytest.mark.parametrize("probe", ["background-robustness", "translation-robustness"])
def test_worst_cases_names_margins(networks, probe):
    results, origins = results_of(networks, probe, tiles=2)
    drawn = worst_cases(results, origins)
    assert len(drawn.axes) == 2 * 4
    margin = results["cnn, 4 filters"].arrays["worst_margin"].values[1]
    assert drawn.axes[7].get_xlabel() == f"margin {margin:.2g}"


def test_colour_images_and_one_class_are_drawn_too():
    tile = tmi.FeatureTile(np.random.default_rng(0).random((3, 2, 2)), 0.2)
    task = tmi.TemplateTask([tmi.TileClass("only", [tile])], (3, 5, 5))
    data = dataset(8, task=task)
    result = tmi.probe("background-robustness", network(Phi(task), task=task), data, seed=0, tiles=1, backgrounds=3)
    assert len(worst_cases({"mine": result}, {"mine": "imported"}).axes) == 2


def test_radii_draws_both_bounds_of_every_network(networks):
    results, origins = results_of(networks, "attack", images=6, steps=4)
    figure = radii(results, origins)
    for axis, norm in zip(figure.axes, ("l1", "linf"), strict=True):
        marks = {line.get_marker(): line for line in axis.lines if line.get_marker() in "<>" and line.get_color() == CONSTRUCTED}
        drawn = {marker: float(line.get_xdata()[0]) for marker, line in marks.items()}
        metrics = results["theorem 1: fused"].metrics
        assert drawn == pytest.approx({">": metrics[f"radius_lower.{norm}"], "<": metrics[f"radius_upper.{norm}"]})
    assert next(label.get_text() for label in figure.axes[0].get_yticklabels()).startswith("theorem 1")
