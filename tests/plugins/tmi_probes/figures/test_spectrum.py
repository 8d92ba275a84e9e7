"""Figures of spectra: lines show what the results say, and every kind has its panel."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import tmi
from tmi.runtime.plotting import CONSTRUCTED, TRAINED, figure_style
from tmi_probes.figures.spectrum import accuracy_on_members, templates_needed

from ..toys import Phi, cnn_network, dataset, network


@pytest.fixture(autouse=True)
def _styled():
    with figure_style():
        yield
        plt.close("all")


def measured(of, kinds, seed=0):
    return tmi.probe("spectrum", of, dataset(40), seed=seed, kinds=kinds)


def test_templates_needed_draws_counts_and_length_for_each_tolerance():
    result = measured(network(Phi()), ["rotation", "grey"])
    drawn = templates_needed(result)
    panels = [axis for axis in drawn.axes if axis.lines]
    assert len(panels) == 2
    assert len(drawn.axes) == 2 + 2 * 5
    for axis, kind in zip(panels, ("rotation", "grey"), strict=True):
        counts = result.arrays[f"templates.{kind}"].values.mean(1)[:, 1:]
        lengths = result.arrays[f"length.{kind}"].values.mean(0)[1:]
        for f, factor in enumerate((1, 2, 4)):
            assert axis.lines[2 * f].get_ydata() == pytest.approx(counts[f])
            assert axis.lines[2 * f + 1].get_ydata() == pytest.approx(np.maximum(1, lengths / (2 * 0.3 * factor)))
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert labels == ["tolerance ε", "tolerance 2ε", "tolerance 4ε", "L1 length over twice the tolerance"]


def test_accuracy_on_members_draws_the_mean_over_seeds_where_a_network_has_the_kind():
    phi = [measured(network(Phi()), ["rotation", "grey"], seed) for seed in (0, 1)]
    results = {"constructed": phi, "trained": [measured(cnn_network(), ["grey"])]}
    drawn = accuracy_on_members(results, {"constructed": "constructed", "trained": "trained"})
    assert [axis.get_title() for axis in drawn.axes] == ["rotation", "grey"]
    rotation, grey = drawn.axes
    assert [line.get_color() for line in rotation.lines[:-1]] == [CONSTRUCTED]
    assert [line.get_color() for line in grey.lines[:-1]] == [CONSTRUCTED, TRAINED]
    expected = np.mean([result.arrays["accuracy.rotation"].values[1:] for result in phi], axis=0)
    assert rotation.lines[0].get_ydata() == pytest.approx(expected)
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["constructed", "trained", "chance"]
