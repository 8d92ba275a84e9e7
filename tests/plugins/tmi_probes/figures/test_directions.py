import numpy as np
import pandas as pd
import pytest

import tmi
from tmi_probes.figures.directions import atoms_and_directions, recovery_along, sparsity_frontier


def result(truth=2.0):
    names = ["mmcs", "recovered", "true_atoms", "mcc", "active", "explained"]
    table = np.zeros((6, 2, 3))
    table[4], table[5] = [[1.0] * 3, [4.0] * 3], [[0.5, 0.6, 0.7], [0.9] * 3]
    return tmi.ProbeResult(
        {"active.truth": truth},
        {
            "by_fit.top-k": (("measure", "strength.top-k", "fit.top-k"), table),
            "atoms.top-k": (("atom.top-k", "unit"), np.array([[0.0, 2], [1, 1], [1, 0]])),
            "directions": (("feature", "unit"), np.eye(2)),
        },
        {"measure": names},
    )


def test_a_line_a_method_and_a_panel_a_group():
    rows = [(m, x, x / 10, 0.0, 0.5) for m in ("top-k", "l1", "pca", "unheard-of") for x in (3, 1, 2)]
    figure = recovery_along(pd.DataFrame(rows, columns=["method", "x", "value", "low", "high"]))
    assert [axis.get_title() for axis in figure.axes] == ["sparse autoencoders", "controls"]
    first, second = figure.axes
    assert [line.get_label() for line in first.lines] == ["top-k", "L1"]
    assert first.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert first.lines[0].get_ydata().tolist() == [0.1, 0.2, 0.3]
    assert len(first.collections) == 2  # the intervals
    assert len(second.lines) == 1
    assert first.get_ylabel().startswith("share of directions")


def test_the_frontier_has_a_point_a_strength_and_the_truth():
    figure = sparsity_frontier({"one": result(), "two": result(3.0)})
    for axis, truth in zip(figure.axes, (2, 3), strict=True):
        points, line = axis.lines
        assert points.get_xdata().tolist() == [1, 4]
        assert points.get_ydata() == pytest.approx([0.6, 0.9])
        assert list(line.get_xdata()) == [truth, truth]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["top-k"]


def test_a_frontier_of_codes_against_features_has_no_truth_to_mark():
    names = ["mcc.tile", "active"]
    table = np.array([[[0.2], [0.4]], [[1.0], [4.0]]])
    of = tmi.ProbeResult({"mcc.tile.l1": 0.2}, {"by_fit.l1": (("measure", "strength.l1", "fit.l1"), table)}, {"measure": names})
    figure = sparsity_frontier({"cnn": of, "without": result()}, "mcc.tile")
    assert [axis.get_title() for axis in figure.axes] == ["cnn"]
    (line,) = figure.axes[0].lines
    assert line.get_ydata().tolist() == [0.2, 0.4]
    assert figure.axes[0].get_ylabel().endswith("(tile)")


def test_atoms_are_sorted_by_their_direction():
    figure = atoms_and_directions(result())
    (picture,) = figure.axes[0].get_images()
    half = np.sqrt(0.5)
    assert np.asarray(picture.get_array()) == pytest.approx(np.array([[1, 0, half], [0, 1, half]]))
    assert figure.axes[0].get_title() == "top-k\n100% recovered"
