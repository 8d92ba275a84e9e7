"""The figures of decompositions draw the numbers that the probes give."""

import warnings

import numpy as np
import pytest

import tmi
from tmi.runtime.plotting import figure_style
from tmi_probes.figures.decomposition import contributions, feature_overlap, shares, variance_split

from ..circuits.test_logit_decomposition import flat_cnn
from ..toys import TASK, cnn_network, dataset

ORIGINS = {"theorem 1": "constructed", "cnn": "trained", "with a hidden layer": "trained"}


@pytest.fixture(scope="module")
def data():
    return dataset(40)


@pytest.fixture(scope="module")
def networks():
    # In the last one every unit reads the whole image: it has neither places nor shares.
    return {"theorem 1": tmi.build("theorem1", TASK), "cnn": flat_cnn(seed=1), "with a hidden layer": cnn_network()}


def probed(name, networks, data, **settings):
    return {label: tmi.probe(name, net, data, **settings) for label, net in networks.items()}


def drawn(draw, *arguments):
    with figure_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(*arguments)
        figure.canvas.draw()
    return figure


def test_maps_shares_and_variances(networks, data):
    results = probed("logit-decomposition", networks, data, baseline="background", backgrounds=8, forms=3)
    figure = drawn(contributions, results, ORIGINS)
    maps = [axis.images[0].get_array() for axis in figure.axes if axis.images and axis.get_xlabel()]
    expected = [of_image for name in ("theorem 1", "cnn") for of_image in results[name].arrays["maps"].values]
    assert all(np.allclose(one, other) for one, other in zip(maps, expected, strict=True))
    with_shares = {name: result for name, result in results.items() if "inside" in result.metrics}
    assert "with a hidden layer" not in with_shares
    (axis,) = drawn(shares, results).axes
    widths = [bar.get_width() for bar in axis.patches]
    parts = ("inside", "border", "outside", "bias")
    assert widths == [result.metrics[part] for part in parts for result in with_shares.values()]
    panels = drawn(variance_split, results).axes
    assert [panel.get_title() for panel in panels] == ["theorem 1", "cnn"]
    assert panels[1].patches[-1].get_height() == results["cnn"].metrics["variance.places"]


def test_overlap_of_sets(networks, data):
    results = probed("feature-neurons", networks, data, share=0.9)
    applicable = {name: result for name, result in results.items() if result.applicable}
    figure = drawn(feature_overlap, results)
    shown = [axis.images[0].get_array().filled(np.nan) for axis in figure.axes if axis.images]
    for matrix, result in zip(shown, applicable.values(), strict=True):
        assert np.allclose(matrix, result.arrays["jaccard"].values, equal_nan=True)
