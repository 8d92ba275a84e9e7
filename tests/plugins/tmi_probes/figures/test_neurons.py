"""The figures of single neurons are drawn without a warning, a panel a layer or measure, in the colours of the origins."""

import pytest

from tmi.runtime.plotting import CONSTRUCTED, TRAINED
from tmi_probes.figures.neurons import firing_rates, measures_and_truth


@pytest.mark.parametrize(
    ("drawn", "panels"),
    [(("activation-sparsity", firing_rates), 3), (("selectivity", measures_and_truth), 5)],
    indirect=["drawn"],
)
def test_drawn_in_both_colours_and_labelled(drawn, panels, colors):
    figure, _ = drawn
    assert len(figure.axes) == panels
    assert all(axis.get_title() for axis in figure.axes)
    assert figure.axes[0].get_ylabel()
    assert {CONSTRUCTED, TRAINED} <= colors(figure)
