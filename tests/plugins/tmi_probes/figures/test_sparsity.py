"""The figures show the numbers of the results: accuracies by share, and the density of weight matrices."""

import warnings

import numpy as np
import pytest

import tmi
from tmi.runtime.plotting import figure_style
from tmi_probes.figures.sparsity import RESETS, tickets, zero_patterns

from ..toys import TASK, cnn_network, dataset


def accuracy(value):
    return tmi.ProbeResult({"accuracy": value, "chance": 0.25})


def draw(function, *arguments):
    from matplotlib import pyplot

    with figure_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = function(*arguments)
        figure.canvas.draw()
        pyplot.close(figure)
    return figure


def test_tickets():
    by_share = {0.5: [accuracy(0.9), accuracy(0.8)], 0.05: [accuracy(0.6), accuracy(0.5)]}
    pruned = tmi.ProbeResult(
        {"accuracy": 0.9}, {"accuracy_kept": ("share", np.array([0.9, 0.7, 0.3]))}, {"share": [1, 0.5, 0.01]}
    )
    whole = {name: [accuracy(0.95), accuracy(0.85)] for name in ("one", "two")}
    figure = draw(tickets, {"one": {"rewind": by_share}, "two": {"random": by_share}}, whole, {"one": [pruned]})
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert lines[RESETS["rewind"]].get_xdata().tolist() == [0.5, 0.05]
    assert lines[RESETS["rewind"]].get_ydata() == pytest.approx([0.85, 0.55])
    assert lines[RESETS["pruned"]].get_xdata().tolist() == [0.5]  # only shares that tickets have
    assert lines["all weights, mean over seeds"].get_ydata()[0] == pytest.approx(0.9)
    assert lines["commonest class"].get_ydata()[0] == 0.25
    seeds = [y for line in figure.axes[0].lines if line.get_linestyle() == "None" for y in line.get_ydata()]
    assert sorted(seeds) == sorted([0.9, 0.8, 0.6, 0.5, 0.7])
    assert [axis.get_title() for axis in figure.axes] == ["one", "two"]


def test_a_legend_names_every_curve_once():
    by_share = {0.5: [accuracy(0.9)]}
    figure = draw(
        tickets, {"one": {"rewind": by_share}, "two": {"random": by_share}}, {"one": [accuracy(1)], "two": [accuracy(1)]}
    )
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [RESETS["rewind"], "all weights, mean over seeds", "commonest class", RESETS["random"]]


def test_zero_patterns():
    data = dataset(8)
    results = {"theorem 1": tmi.probe("weight-sparsity", tmi.build("theorem1", TASK), data)}
    results["trained"] = tmi.probe("weight-sparsity", cnn_network(), data)
    figure = draw(zero_patterns, {name: (result, "logits") for name, result in results.items()})
    constructed, trained = (axis.images[0].get_array() for axis in figure.axes)
    assert ((constructed > 0).sum(0) == 1).all()  # one logit a neuron
    assert (trained == 1).all()
    assert [axis.get_title() for axis in figure.axes] == ["theorem 1\n67 % zeros", "trained\n0 % zeros"]
    assert [axis.get_xlabel() for axis in figure.axes] == ["144 inputs", "16 inputs"]
