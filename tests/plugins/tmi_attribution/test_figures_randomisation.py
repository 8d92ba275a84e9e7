"""The figure of probe ``randomisation``: what is drawn are the numbers of the results."""

import numpy as np
import pytest

import tmi
from tmi import statistics
from tmi.runtime.plotting import figure_style
from tmi_attribution.figures_randomisation import similarity_by_layer


def result(level, images=4):
    values = np.full((2, 2, 3, images), level)
    values[:, 1] /= 2
    metrics = {"similarity.chance": 0.1, "similarity.chance.low": 0.0, "similarity.chance.high": 0.3}
    return tmi.ProbeResult(
        metrics,
        {"similarity": (("scheme", "layer", "draw", "image"), values)},
        {"scheme": ["cascading", "independent"], "layer": ["logits", "conv"]},
    )


def test_a_line_for_each_method_and_intervals_over_seeds():
    import matplotlib.pyplot as plt

    levels = [0.2, 0.4, 0.9]
    refused = tmi.ProbeResult.not_applicable("refused")
    given = {"saliency": [result(level) for level in levels], "sobel": [result(0.5)], "lrp": [refused]}
    with figure_style():
        figure = similarity_by_layer(given)
        cascade, alone = figure.axes
        drawn = [line for line in cascade.lines if len(line.get_xdata()) == 3]
        assert drawn[0].get_ydata() == pytest.approx([1, 0.5, 0.25])
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["saliency", "sobel"]
        assert [tick.get_text() for tick in cascade.get_xticklabels()] == ["none", "logits", "conv", "maps of\nother images"]
        assert [tick.get_text() for tick in alone.get_xticklabels()] == ["logits", "conv"]
        bar = cascade.containers[0].lines[2][0].get_segments()[1][:, 1]
        expected = statistics.over_seeds(levels, low=-1, high=1)
        assert bar == pytest.approx([expected.low, expected.high])
        plt.close(figure)


def test_nothing_to_draw():
    with pytest.raises(tmi.InputError, match="no result has similarities"):
        similarity_by_layer({"lrp": [tmi.ProbeResult.not_applicable("refused")]})
