from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array, eye_array
from torch import nn

import tmi
from tmi import Directions, InputError, Network, UnknownNameError


def test_dense_and_sparse_agree():
    matrix = np.array([[1.0, 0, 2], [0, 3, 0]])
    one, other = Directions(matrix, {"tile": [0, 1]}), Directions(csr_array(matrix), {"tile": [0, 1]}, by_place=True)
    np.testing.assert_array_equal(one.matrix, matrix)
    np.testing.assert_array_equal(other.matrix, matrix)
    assert len(one) == 2
    assert one.features["tile"].tolist() == [0, 1]
    assert one.features.index.name == "feature"
    assert (one.by_place, other.by_place) == (False, True)
    assert repr(other) == "Directions(2 features in 3 neurons at every place)"


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1, 0, 0], [0, 0, 2]], True),
        ([[1, 1, 0], [0, 0, 1]], False),  # a feature in two neurons
        ([[1, 0], [1, 0]], False),  # a neuron of two features
    ],
)
def test_one_neuron_each(matrix, expected):
    assert Directions(matrix, {"tile": range(len(matrix))}).one_neuron_each is expected


@pytest.mark.parametrize(
    ("matrix", "features", "message"),
    [
        ([1.0, 2], {"tile": [0, 1]}, "expected a matrix"),
        ([[1.0], [2]], {"tile": [0]}, "2 rows and what 1 features are"),
        ([[1.0], [np.nan]], {"tile": [0, 1]}, "NaN"),
        ([[1.0], [np.inf]], {"tile": [0, 1]}, "infinite"),
        ([[1.0, 2], [0, 0]], {"tile": [0, 1]}, "feature 1 is 0"),
    ],
)
def test_refused(matrix, features, message):
    with pytest.raises(InputError, match=message):
        Directions(matrix, features)


def test_dense_matrix_that_is_too_large():
    directions = Directions(eye_array(12_000, format="csr"), {"tile": range(12_000)})
    with pytest.raises(InputError, match="more than 1 GB; use the attribute sparse"):
        _ = directions.matrix


def test_of_a_network(squares):
    def network(**known):
        module = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Flatten(), nn.Linear(27, 2))
        return Network(module, ["0", "2"], "imported", task=squares, **known)

    given = Directions([[1.0, 1, 0], [0, 1, 1]], {"tile": [0, 1]}, by_place=True)
    assert network(directions={"0": given}).directions("0") is given
    assert network(directions={"0": lambda: given}).directions("0") is given
    assert network().directions("0") is None
    with pytest.raises(UnknownNameError, match="layer '1'"):
        network().directions("1")
    with pytest.raises(UnknownNameError, match="directions '1': not among the layers"):
        network(directions={"1": given})


def test_a_meaning_for_each_neuron_is_the_identity(squares):
    network = tmi.build("theorem1", squares)
    directions = network.directions("hidden")
    assert directions.one_neuron_each
    assert not directions.by_place
    np.testing.assert_array_equal(directions.matrix, np.eye(18))
    assert directions.features.equals(network.neurons("hidden").rename_axis("feature"))
