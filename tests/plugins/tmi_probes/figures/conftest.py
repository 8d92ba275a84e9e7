"""Figures of two networks, drawn without a warning; what differs in colour differs by origin, not by name."""

import warnings
from functools import cache

import pytest

import tmi
from tmi.runtime.plotting import figure_style

from ..toys import cnn_network, dataset


@cache
def results_of(probe):
    """Return the results of a probe and the origins of the networks, computed once for all figures and tests."""
    data = dataset(40)
    networks = {"theorem 1": tmi.build("theorem1", data), "cnn": cnn_network()}
    results = {name: tmi.probe(probe, network, data) for name, network in networks.items()}
    return results, {name: network.origin for name, network in networks.items()}


@pytest.fixture
def drawn(request):
    """Yield the figure that ``request.param``, (probe, figure function), draws, and the results by network."""
    from matplotlib import pyplot

    probe, draw = request.param
    results, origins = results_of(probe)
    with figure_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(results, origins)
        figure.canvas.draw()
        yield figure, results
        pyplot.close(figure)


@pytest.fixture
def colors():
    """Return a function from a figure to the colours of its filled and outlined parts."""
    from matplotlib.colors import to_hex

    def of(figure):
        parts = [part for axis in figure.axes for part in (*axis.collections, *axis.patches)]
        found = set()
        for part in parts:
            for values in (part.get_facecolor(), part.get_edgecolor()):
                rows = values if getattr(values, "ndim", 1) == 2 else [values]
                found |= {to_hex(row).upper() for row in rows}
        return found

    return of
