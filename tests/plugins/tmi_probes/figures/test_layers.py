"""The figures of layers show the scores, chance and oracle that the results hold, in the colours of the origins."""

import pytest

import tmi
from tmi.runtime.plotting import CONSTRUCTED, TRAINED, figure_style
from tmi_probes.figures.layers import decoding_scores, dictionaries, dimensionality, recovery_scores

from ..toys import cnn_network, dataset

RECOVERY, DECODING = ("unit-recovery", recovery_scores), ("decodability", decoding_scores)


@pytest.mark.parametrize(
    "drawn", [RECOVERY, pytest.param(DECODING, marks=pytest.mark.slow), ("superposition", dimensionality)], indirect=True
)
def test_drawn_in_both_colours_and_labelled(drawn, colors):
    figure, _ = drawn
    assert len(figure.axes) == 3
    assert all(axis.get_title() for axis in figure.axes)
    assert figure.axes[0].get_yticklabels()
    assert {CONSTRUCTED, TRAINED} <= colors(figure)


@pytest.mark.parametrize("drawn", [RECOVERY], indirect=True)
def test_scores_are_drawn_at_their_values(drawn):
    figure, results = drawn
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == ["theorem 1: hidden", "theorem 1: logits", "cnn: conv", "cnn: hidden", "cnn: logits"]
    found = {(float(x), int(y)) for part in figure.axes[0].collections for x, y in part.get_offsets().tolist()}
    for place, row in enumerate(rows):
        network, layer = row.split(": ")
        for suffix in ("", ".chance", ".oracle"):
            assert (results[network].metrics[f"mcc.tile.{layer}{suffix}"], place) in found


def test_the_untrained_network_and_the_interval_of_chance_are_drawn_in_the_row_of_the_score():
    data = tmi.generate("squares", seed=0, samples=40, test_samples=40)
    network = tmi.build("cnn", data, seed=0, filters=3, kernel=2, epochs=1, batch_size=8)
    result = tmi.probe("unit-recovery", network, data, images=60)
    with figure_style():
        figure = recovery_scores({"cnn": result}, {"cnn": "trained"})
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["cnn: conv", "cnn: logits"]
    found = {(float(x), int(y)) for part in figure.axes[0].collections for x, y in part.get_offsets().tolist()}
    assert (result.metrics["mcc.tile.conv.untrained"], 0) in found
    ends = [result.metrics[f"mcc.tile.logits.chance.{end}"] for end in ("low", "high")]
    assert any(list(line.get_xdata()) == ends for line in figure.axes[0].lines)


@pytest.mark.parametrize("drawn", [DECODING], indirect=True)
def test_pixels_are_drawn_once(drawn):
    figure, _ = drawn
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()].count("pixels") == 1


@pytest.mark.parametrize("layers", [["hidden"], ["hidden", "conv"]])
def test_dictionaries(layers):
    network, data = cnn_network(), dataset(40)
    settings = {"methods": ["top-k", "random"], "steps": 20, "atoms": 5, "active": [2], "images": 60}
    results = {layer: tmi.probe("dictionary", network, data, layer=layer, **settings) for layer in layers}
    with figure_style():
        figure = dictionaries(results, dict.fromkeys(layers, network.origin))
        figure.canvas.draw()
    assert [axis.get_title() for axis in figure.axes[:3]] == ["tile", "tile at a place", "class"]
    codes = ("units", "top-k", "random", "projections", "supervised")
    for axis, kind in zip(figure.axes, ("tile", "tile-place", "class"), strict=False):
        widths = [bar.get_width() for bar in axis.patches]
        assert widths == pytest.approx([results["hidden"].metrics[f"mcc.{kind}.{name}"] for name in codes])
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert texts == ["not defined"] * (len(layers) - 1)
    of_fits = results["hidden"].arrays["by_fit.top-k"].values[0, 0]
    lines = [sorted(line.get_xdata()) for line in figure.axes[0].lines]
    assert pytest.approx([of_fits.min(), of_fits.max()]) in lines
    metrics = results["hidden"].metrics
    assert [metrics["mcc.tile.units.chance.low"], metrics["mcc.tile.units.chance.high"]] in lines
