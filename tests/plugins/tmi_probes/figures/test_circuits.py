"""The figures draw the numbers that the probes give."""

import numpy as np
import pytest

import tmi
from tmi.runtime.plotting import CONSTRUCTED, TRAINED, figure_style
from tmi_probes.figures.circuits import pruning, responsible

from ..toys import TASK, cnn_network, dataset


@pytest.fixture(scope="module")
def data():
    return dataset(40)


ORIGINS = {"theorem 1": "constructed", "cnn": "trained"}


@pytest.fixture(scope="module")
def networks():
    return {"theorem 1": tmi.build("theorem1", TASK), "cnn": cnn_network()}


def probed(name, networks, data, **settings):
    return {label: tmi.probe(name, net, data, **settings) for label, net in networks.items()}


def test_responsible_neurons(networks, data):
    results = probed("responsible-neurons", networks, data)
    with figure_style():
        figure = responsible(results, ORIGINS)
        figure.canvas.draw()
    assert [line.get_color() for line in figure.axes[0].lines] == [CONSTRUCTED, TRAINED]
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert list(lines) == ["theorem 1", "cnn"]
    count = results["cnn"].arrays["sufficient_logit"].values
    assert lines["cnn"][2] == np.mean(count <= 2)
    assert lines["theorem 1"][-1] == 1


def test_pruning(networks, data):
    results = probed("prunability", networks, data)
    with figure_style():
        figure = pruning(results, ORIGINS)
        figure.canvas.draw()
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert (lines["cnn, largest kept"] == results["cnn"].arrays["accuracy_kept"].values).all()
    assert "theorem 1, not pruned" in lines
    assert figure.axes[1].lines[0].get_ydata()[0] == results["theorem 1"].metrics["modularity.logits"]
