"""The figures of the attribution bench draw the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from tests.plugins.tmi_attribution.boards import board, converging
from tmi.runtime.plotting import CONSTRUCTED, PALETTE, TRAINED, figure_style
from tmi_attribution.comparisons import trust, truth_free
from tmi_attribution.figures import convergence, cost, leaderboard, trust_scatter
from tmi_attribution.leaderboard import MethodScores, method_scores

NETWORKS = {"theorem1": "constructed: Theorem 1", "cnn": "trained: CNN"}
SKILLS = {
    "theorem1": {"saliency": 0.9, "deeplift": None, "occlusion": 0.2, "sobel": 0.3},
    "cnn": {"saliency": 0.1, "deeplift": 0.6, "occlusion": 0.5, "sobel": 0.3},
}
METHODS = ["saliency", "deeplift", "occlusion"]


@pytest.fixture(autouse=True)
def _styled():
    with figure_style():
        yield
        plt.close("all")


@pytest.fixture(scope="module")
def results():
    return board(SKILLS)


@pytest.fixture(scope="module")
def rows(results):
    return method_scores(results, ["methods"], NETWORKS)


def texts(axis):
    return [text.get_text() for text in axis.texts]


def covered(names):
    """Pairs of names of which one covers the other; their lines may cross."""
    boxes = [(name.get_text(), Text.get_window_extent(name)) for name in names]
    return [(one, other) for i, (one, box) in enumerate(boxes) for other, behind in boxes[:i] if box.overlaps(behind)]


def marks(axis):
    """Skill to whether its mark is filled, of the points alone."""
    return {
        round(float(line.get_xdata()[0]), 6): line.get_markerfacecolor() != "white"
        for line in axis.lines
        if line.get_linestyle() == "None"
    }


def test_leaderboard_has_a_panel_a_network_and_marks_what_is_below_sobel(rows):
    figure = leaderboard(rows)
    figure.canvas.draw()
    assert [axis.get_title() for axis in figure.axes] == ["constructed:\nTheorem 1", "trained:\nCNN"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["deeplift", "saliency", "occlusion", "sobel"]
    assert marks(figure.axes[0]) == {0.9: True, 0.2: False, 0.3: True}
    assert marks(figure.axes[1]) == {0.1: False, 0.6: True, 0.5: True, 0.3: True}
    assert texts(figure.axes[0]) == ["refused"]
    assert texts(figure.axes[1]) == []


def test_colours_follow_the_origin_and_not_the_name():
    """A network may be called anything, and come from elsewhere."""
    colours = {"constructed": CONSTRUCTED, "trained": TRAINED, "imported": PALETTE[2]}
    names = {"constructed": "trained by name", "trained": "constructed by name", "imported": "constructed too, by name"}
    rows = [MethodScores(names[origin], "saliency", origin, skills=np.array([0.5, 0.4]), evaluations=3.0) for origin in colours]
    for figure in (leaderboard(rows), cost(rows)):
        figure.canvas.draw()
        drawn = {axis.get_title().replace("\n", " "): axis.title.get_color() for axis in figure.axes if axis.get_title()}
        assert drawn == {names[origin]: colour for origin, colour in colours.items()}
    shown = [text.get_text() for text in leaderboard(rows).legends[0].get_texts()]
    assert shown == ["constructed", "trained", "imported", "shown to be worse than Sobel", "Sobel"]
    assert leaderboard(rows[1:2]).legends[0].get_texts()[0].get_text() == "trained"


def test_a_skill_far_below_chance_stays_in_the_picture():
    figure = leaderboard(method_scores(board({"cnn": {"a": -7.0, "b": 0.5}}), ["methods"], NETWORKS))
    (axis,) = figure.axes
    assert axis.get_xlim()[0] > -1.2
    assert marks(axis) == {-1.0: True, 0.5: True}
    assert [line.get_marker() for line in axis.lines if line.get_linestyle() == "None"] == ["<", "o"]


def test_trust_scatter_has_a_point_a_method_and_says_tau():
    results = board({"cnn": {f"m{i}": i / 10 for i in range(5)} | {"sobel": 0.2}}, seeds=range(3), noise=1e-4)
    rows = method_scores(results, ["methods"], NETWORKS)
    measures = truth_free(results, ["methods"])
    figure = trust_scatter(rows, trust(rows, measures))
    assert [axis.get_title().splitlines() for axis in figure.axes] == [
        ["deletion ↓", "τ = 1.00 [−0.62, 1.00]"],  # of five methods, corrected for three measures
        ["insertion ↑", "τ = 1.00 [−0.62, 1.00]"],
        ["infidelity ↓", "τ = −1.00 [−1.00, 0.62]"],
    ]
    control, methods = figure.axes[1].collections
    assert sorted(methods.get_offsets()[:, 1]) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4], abs=1e-9)
    assert sorted(methods.get_offsets()[:, 0]) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4], abs=1e-9)
    assert len(control.get_offsets()) == 1


def test_cost_names_every_method_once_and_no_name_covers_another(rows):
    figure = cost(rows)
    figure.canvas.draw()
    names = [[t for t in texts(axis) if t != "sobel"] for axis in figure.axes]
    assert [sorted(of) for of in names] == [["occlusion", "saliency"], ["deeplift", "occlusion", "saliency"]]
    assert all(axis.get_xscale() == "log" for axis in figure.axes)
    for axis in figure.axes:
        assert not covered([text for text in axis.texts if text.get_text() != "sobel"])


def test_thirty_methods_of_equal_skill_can_be_told_apart():
    rows = method_scores(board({"cnn": {f"method-{i:02d}": 0.5 + i / 1000 for i in range(30)}}), ["methods"], NETWORKS)
    figure = cost(rows)
    figure.canvas.draw()
    assert len(figure.axes[0].texts) == 30
    assert not covered(figure.axes[0].texts)


def test_convergence_draws_the_median_and_what_1_over_steps_would_be():
    result = converging()
    figure = convergence({"constructed: Theorem 1": result})
    line, guide = figure.axes[0].lines
    assert line.get_xdata().tolist() == [4, 16, 64, 256]
    assert line.get_ydata() == pytest.approx(np.median(result.arrays["error"].values, 1))
    x, y = guide.get_xdata(), guide.get_ydata()
    assert y[0] / y[1] == pytest.approx(x[1] / x[0])
    assert (figure.axes[0].get_xscale(), figure.axes[0].get_yscale()) == ("log", "log")
