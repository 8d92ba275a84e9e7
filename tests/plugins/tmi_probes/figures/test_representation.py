"""The figures of representation show the numbers and pictures that the results hold."""

import warnings

import numpy as np
import pytest

import tmi
from tmi.runtime.plotting import figure_style
from tmi_probes.figures.representation import layer_similarity, preferred_pictures, top_scenes

from ..toys import cnn_network, dataset

DATA = dataset(40)
NETWORKS = {"theorem 1": tmi.build("theorem1", DATA), "cnn": cnn_network()}
ORIGINS = {name: network.origin for name, network in NETWORKS.items()}
LAYERS = {"theorem 1": "hidden", "cnn": "conv"}


def drawn(draw, probe, *more, **settings):
    results = {name: tmi.probe(probe, network, DATA, **settings) for name, network in NETWORKS.items()}
    with figure_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(results, ORIGINS, *more)
        figure.canvas.draw()
    return figure, results


def test_similarity_writes_every_value_into_its_cell():
    figure, results = drawn(layer_similarity, "cka", draws=20)
    for axis, result in zip(figure.axes, results.values(), strict=False):
        texts = [text.get_text() for text in axis.texts]
        assert texts == [f"{value:.2f}" for value in result.arrays["cka"].values.ravel()]
        assert [label.get_text() for label in axis.get_yticklabels()] == list(result.coords["layer"])


def test_top_scenes_have_a_row_a_unit_and_their_activations():
    figure, results = drawn(top_scenes, "top-activating-scenes", LAYERS, top=3, draws=20, shown=2)
    rows = [axis.get_ylabel() for part in figure.subfigs for axis in part.axes if axis.get_ylabel()]
    assert rows == [f"unit {unit}" for name in results for unit in results[name].arrays[f"shown.{LAYERS[name]}"].values]
    for part, name in zip(figure.subfigs, results, strict=True):
        unit = results[name].arrays[f"shown.{LAYERS[name]}"].values[0]
        value = results[name].arrays[f"activation.{LAYERS[name]}"].values[unit, 0]
        assert part.axes[0].get_xlabel() == f"{value:.2g}"


def test_preferred_pictures_are_drawn_above_their_tiles():
    figure, results = drawn(preferred_pictures, "activation-maximisation", LAYERS, units=2, steps=20, restarts=2)
    for part, (name, result) in zip(figure.subfigs, results.items(), strict=True):
        fits = result.arrays[f"correlation.{LAYERS[name]}"].values
        labels = [axis.get_xlabel() for axis in part.axes if axis.get_xlabel()]
        assert labels == [f"correlation {fit:.2f}" if np.isfinite(fit) else "none fits" for fit in fits]
        picture = result.arrays[f"picture.{LAYERS[name]}"].values[0]
        shown = part.axes[0].images[0].get_array()
        assert np.asarray(shown).ravel() == pytest.approx(picture[np.isfinite(picture)], abs=1e-6)
