"""A change puts one site at its other value and leaves the rest."""

import numpy as np
import pytest

import tmi
from tmi.errors import InputError
from tmi_probes.causes.sites import DirectionSites, Places, Together, Units, axes, feature_names, sites_of

from ..toys import TASK
from .brute import built, drawn


def test_units_and_places():
    rng = np.random.default_rng(0)
    values, others = rng.random(12), rng.random(12)
    others[[3, 7, 11]] = values[[3, 7, 11]]
    sites, changes = Units(12).changes(values, others)
    assert sites.tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    for site, row in zip(sites, changes.toarray(), strict=True):
        expected = values.copy()
        expected[site] = others[site]
        assert values + row == pytest.approx(expected)
    places = Places(np.tile(np.arange(4), 3), (2, 2))  # three channels
    sites, changes = places.changes(values, others)
    assert sites.tolist() == [0, 1, 2]
    assert (values + changes.toarray()[1])[1::4] == pytest.approx(others[1::4])
    assert np.delete(changes.toarray()[1], [1, 5, 9]).any() == np.False_


@pytest.mark.parametrize("by_place", [False, True])
@pytest.mark.parametrize("features", [3, 6])
def test_the_coefficient_of_one_direction_is_replaced(features, by_place):
    """Fewer directions than neurons, and more: then as long as few are active, which their mutual coherence bounds."""
    rng = np.random.default_rng(1)
    matrix = (
        np.linalg.qr(rng.normal(size=(4, 4)))[0][:3]
        if features == 3
        else np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]], float)
    )
    table = {"tile": np.arange(features), "class": ["x"] * features}
    sites = DirectionSites(tmi.Directions(matrix, table, by_place), (4, 2, 3) if by_place else (4,))
    shape = (features, 6) if by_place else (features, 1)
    assert len(sites) == np.prod(shape)
    a, b = np.zeros(shape), np.zeros(shape)
    a[1, 0], b[2, 0] = 0.7, 0.4
    own, other = ((matrix.T @ one).reshape(-1) for one in (a, b))
    assert sites.values(own) == pytest.approx(a.reshape(-1), abs=1e-12)
    index, changes = sites.changes(sites.values(own), sites.values(other))
    assert index.tolist() == [1 * shape[1], 2 * shape[1]]
    assert own + changes.toarray()[0] == pytest.approx(0, abs=1e-12)
    assert own + changes.toarray()[1] == pytest.approx(own + other)
    assert own + changes.toarray().sum(0) == pytest.approx(other)


def test_what_directions_do_not_explain_stays():
    sites = DirectionSites(tmi.Directions([[1.0, 0, 0], [0, 1, 0]], {"class": ["a", "b"]}), (3,))
    index, changes = sites.changes(sites.values(np.array([1.0, 2, 3])), sites.values(np.array([5.0, 2, 9])))
    assert index.tolist() == [0]
    assert changes.toarray() == pytest.approx(np.array([[4.0, 0, 0]]))


def test_together():
    site = Together(np.array([0, 2]), 4)
    index, changes = site.changes(np.array([1.0, 2, 3, 4]), np.zeros(4))
    assert index.tolist() == [0]
    assert changes.toarray().tolist() == [[-1, 0, -3, 0]]
    index, changes = site.changes(np.zeros(4), np.zeros(4))
    assert (len(index), changes.shape) == (0, (0, 4))


def test_the_kinds_that_a_layer_has():
    every = ["unit", "place", "direction"]
    one = built("theorem1")
    assert [sites.by for sites in sites_of(one, "hidden", (144,), every, None, [])] == ["unit", "place"]
    superposed = built("superposed")
    shape = tuple(superposed.activations(drawn(1).images, "mixed")["mixed"].shape[1:])
    found = sites_of(superposed, "mixed", shape, every, None, [])
    assert [axes(sites, "mixed") for sites in found] == [
        ("unit.mixed",),
        ("row.mixed", "col.mixed"),
        ("direction.mixed", "row.mixed", "col.mixed"),
    ]
    assert [sites.shape for sites in found] == [(np.prod(shape),), shape[1:], (4, *shape[1:])]
    with pytest.raises(InputError, match="by: expected at least one, each once"):
        sites_of(one, "hidden", (144,), [], None, [])


def test_names():
    table = {"tile": [0, 2], "class": ["dark", "grey"]}
    assert feature_names(table, TASK) == ["dark/0", "grey/1"]
    assert feature_names(table | {"row": [1, 2], "col": [3, 4]}, TASK) == ["dark/0 (1, 3)", "grey/1 (2, 4)"]
    assert feature_names({"class": ["dark", "grey"]}, TASK) == ["dark", "grey"]
