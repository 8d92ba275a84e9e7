"""The figures draw the numbers that the probes give."""

import numpy as np
import pytest

import tmi
from tmi.runtime.plotting import house_style
from tmi_probes.figures.circuits import dictionaries, pruning, responsible

from ..toys import TASK, cnn_network, dataset


@pytest.fixture(scope="module")
def data():
    return dataset(40)


@pytest.fixture(scope="module")
def networks():
    return {"constructed": tmi.build("theorem1", TASK), "trained": cnn_network()}


def probed(name, networks, data, **settings):
    return {label: tmi.probe(name, net, data, **settings) for label, net in networks.items()}


def test_responsible_neurons(networks, data):
    results = probed("responsible-neurons", networks, data)
    with house_style():
        figure = responsible(results)
        figure.canvas.draw()
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert list(lines) == ["constructed", "trained"]
    count = results["trained"].arrays["sufficient_logit"].values
    assert lines["trained"][2] == np.mean(count <= 2)
    assert lines["constructed"][-1] == 1


def test_pruning(networks, data):
    results = probed("prunability", networks, data)
    with house_style():
        figure = pruning(results)
        figure.canvas.draw()
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert (lines["trained, largest kept"] == results["trained"].arrays["accuracy_kept"].values).all()
    assert "constructed, not pruned" in lines
    assert figure.axes[1].lines[0].get_ydata()[0] == results["constructed"].metrics["modularity.logits"]


@pytest.mark.parametrize("layers", [["hidden"], ["hidden", "conv"]])
def test_dictionaries(networks, data, layers):
    settings = {"methods": ["sparse-autoencoder"], "steps": 20, "atoms": 5}
    results = {layer: tmi.probe("dictionary", networks["trained"], data, layer=layer, **settings) for layer in layers}
    with house_style():
        figure = dictionaries(results)
        figure.canvas.draw()
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    found = results["hidden"].metrics
    codes = ("units", "sparse-autoencoder", "random", "supervised")
    assert widths == pytest.approx([found[f"mcc.class.{name}"] for name in codes])
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert texts == ["not defined"] * (len(layers) - 1)
