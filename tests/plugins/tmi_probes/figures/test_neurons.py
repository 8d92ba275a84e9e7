"""The figures of the activation probes are drawn without a warning, and show what the results hold."""

import warnings

import pytest

import tmi
from tmi.runtime.plotting import CONSTRUCTED, TRAINED, house_style
from tmi_probes.figures.layers import decoding_scores, dimensionality, recovery_scores
from tmi_probes.figures.neurons import firing_rates
from tmi_probes.figures.panel import measures_and_truth

from ..toys import cnn_network, dataset

DRAWN = {
    "activation-sparsity": (firing_rates, 3),
    "selectivity": (measures_and_truth, 5),
    "unit-recovery": (recovery_scores, 3),
    "superposition": (dimensionality, 3),
    "decodability": (decoding_scores, 3),
}


@pytest.fixture
def figure(request):
    from matplotlib import pyplot

    data = dataset(40)
    networks = {"constructed": tmi.build("theorem1", data), "trained": cnn_network()}
    draw, panels = DRAWN[request.param]
    results = {name: tmi.probe(request.param, network, data) for name, network in networks.items()}
    with house_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = draw(results)
        drawn.canvas.draw()
        yield drawn, panels, results
        pyplot.close(drawn)


@pytest.mark.parametrize("figure", DRAWN, indirect=True)
def test_drawn_in_both_colours_and_labelled(figure):
    from matplotlib.colors import to_hex

    drawn, panels, _ = figure
    assert len(drawn.axes) == panels
    assert all(axis.get_title() for axis in drawn.axes)
    assert drawn.axes[0].get_ylabel() or drawn.axes[0].get_yticklabels()
    parts = [part for axis in drawn.axes for part in (*axis.collections, *axis.patches)]
    colors = set()
    for part in parts:
        for values in (part.get_facecolor(), part.get_edgecolor()):
            rows = values if getattr(values, "ndim", 1) == 2 else [values]
            colors |= {to_hex(row).upper() for row in rows}
    assert {CONSTRUCTED, TRAINED} <= colors


@pytest.mark.parametrize("figure", ["unit-recovery"], indirect=True)
def test_scores_stand_where_they_are(figure):
    drawn, _, results = figure
    rows = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert rows == ["constructed: hidden", "constructed: logits", "trained: conv", "trained: hidden", "trained: logits"]
    found = {(float(x), int(y)) for part in drawn.axes[0].collections for x, y in part.get_offsets().tolist()}
    for place, row in enumerate(rows):
        network, layer = row.split(": ")
        for suffix in ("", ".chance", ".oracle"):
            assert (results[network].metrics[f"mcc.tile.{layer}{suffix}"], place) in found


@pytest.mark.parametrize("figure", ["decodability"], indirect=True)
def test_pixels_are_drawn_once(figure):
    drawn, _, _ = figure
    assert [label.get_text() for label in drawn.axes[0].get_yticklabels()].count("pixels") == 1
