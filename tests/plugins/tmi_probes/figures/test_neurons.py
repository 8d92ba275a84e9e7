"""The figures of single neurons are drawn without a warning, a panel a layer or measure, in the colours of the origins."""

import pytest
from matplotlib.colors import to_hex

from tmi.runtime.plotting import CONSTRUCTED, TRAINED
from tmi_probes.figures.neurons import firing_curves, firing_rates


@pytest.mark.parametrize(
    ("drawn", "panels"),
    [(("activation-sparsity", firing_rates), 3), (("selectivity", firing_curves), 2)],
    indirect=["drawn"],
)
def test_drawn_in_both_colours_and_labelled(drawn, panels, colors):
    figure, _ = drawn
    assert len(figure.axes) == panels
    assert all(axis.get_title() for axis in figure.axes)
    assert figure.axes[0].get_ylabel()
    lines = {to_hex(line.get_color()).upper() for axis in figure.axes for line in axis.lines}
    assert {CONSTRUCTED, TRAINED} <= colors(figure) | lines


@pytest.mark.parametrize("drawn", [("selectivity", firing_curves)], indirect=True)
def test_firing_curves_are_drawn_at_their_values_with_chance(drawn):
    figure, results = drawn
    drawn_lines = [line.get_ydata() for line in figure.axes[0].lines]
    for height, row in ((0.0, 0), (0.5, 5), (0.8, 8)):
        assert results["theorem 1"].coords["height"][row] == pytest.approx(height)
        for array in ("firing_curve.hidden", "firing_curve_chance.hidden"):
            values = results["theorem 1"].arrays[array].values[row]
            assert any(len(line) == len(values) and (line == values).all() for line in drawn_lines)
