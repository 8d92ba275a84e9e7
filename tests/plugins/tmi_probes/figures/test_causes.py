"""The figures draw the numbers that the probes give."""

import numpy as np
import pytest

import tmi
from tmi.runtime.plotting import PALETTE, figure_style
from tmi_probes.figures.causes import patching, paths, unit_names

from ..toys import TASK, cnn_network, dataset

LAYERS = {"theorem 1": None, "cnn, conv": "conv", "cnn, hidden": "hidden"}


@pytest.fixture(scope="module")
def data():
    return dataset(6)


def probed(name, data):
    networks = {"theorem 1": tmi.build("theorem1", TASK), "cnn, conv": cnn_network(), "cnn, hidden": cnn_network()}
    return {label: tmi.probe(name, net, data, images=4, layer=LAYERS[label]) for label, net in networks.items()}


def test_patching(data):
    import matplotlib.pyplot as plt
    from matplotlib.colors import to_hex

    results = probed("activation-patching", data)
    with figure_style():
        effects = results["theorem 1"].arrays["pair_effect.noising.unit"].values
        pair = int(np.argmax(np.count_nonzero(effects, axis=1) == 2))  # one window in either scene
        figure = patching(results, TASK, pair)
        figure.canvas.draw()
    maps = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    expected = results["cnn, conv"].arrays["pair_effect.noising.place"].values[pair]
    assert maps[0].shape == (8, 8)
    assert any((m == expected).all() for m in maps if m.shape == (6, 6))
    assert "the layer\nhas no places" in [text.get_text() for axis in figure.axes for text in axis.texts]
    bars = next(axis for axis in figure.axes if len(axis.patches) == 2)  # Theorem 1: the neurons of both tiles
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([0.5, 0.5])
    assert {to_hex(bar.get_facecolor()).upper() for bar in bars.patches} == set(PALETTE[:2])
    plt.close(figure)


def test_paths(data):
    import matplotlib.pyplot as plt

    results = probed("ablation", data)
    with figure_style():
        figure = paths(results, units=5)
        figure.canvas.draw()
    rows = [axis.images[0].get_array() for axis in figure.axes[:3]]
    assert all(row.shape[1] == 3 and len(row) <= 5 for row in rows)
    assert all(np.asarray(row.sum(1)) == pytest.approx(1) for row in rows)
    assert set(np.unique(rows[0])) == {0, 1}  # a neuron of Theorem 1 reaches one logit
    plt.close(figure)


def test_names_of_units():
    assert unit_names(np.array([0, 13]), np.array([2, 3, 4])) == ["channel 0 at (0, 0)", "channel 1 at (0, 1)"]
    assert unit_names(np.array([5]), np.array([9])) == ["unit 5"]
