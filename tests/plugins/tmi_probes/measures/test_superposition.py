import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi_probes.measures.superposition import (
    dimensionality_of_products,
    dimensions_per_feature,
    feature_dimensionality,
    most_dimensionality,
)


def regular(corners):
    angle = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angle), np.sin(angle)])


TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).T / np.sqrt(3)
GEOMETRIES = {
    "pair": (np.array([[1.0, -1.0]]), 1 / 2),
    "triangle": (regular(3), 2 / 3),
    "tetrahedron": (TETRAHEDRON, 3 / 4),
    "pentagon": (regular(5), 2 / 5),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_geometries_of_the_toy_models(name):
    directions, expected = GEOMETRIES[name]
    features = directions.shape[1]
    assert feature_dimensionality(directions) == pytest.approx(np.full(features, expected), abs=1e-12)
    assert dimensions_per_feature(directions) == pytest.approx(expected)
    # The same geometry, turned and embedded in more dimensions, far from the origin, at any scale.
    rng = np.random.default_rng(0)
    turned = np.linalg.qr(rng.normal(size=(7, 7)))[0][:, : len(directions)] @ directions
    for scale in (1, 1e-120, 1e120):
        assert feature_dimensionality(scale * turned) == pytest.approx(np.full(features, expected), abs=1e-12)
    moved = turned + 5 * rng.normal(size=(7, 1))
    assert feature_dimensionality(moved) == pytest.approx(np.full(features, expected), abs=1e-11)
    assert dimensionality_of_products(moved.T @ moved) == pytest.approx(np.full(features, expected), abs=1e-10)


@pytest.mark.parametrize("features", [3, 4, 10])
def test_one_neuron_each_is_a_simplex_and_scores_the_most_that_is_possible(features):
    found = feature_dimensionality(np.eye(features))
    assert found == pytest.approx(np.full(features, 1 - 1 / features), abs=1e-12)
    assert found.mean() == pytest.approx(most_dimensionality(features, features))
    assert dimensions_per_feature(np.eye(features)) == 1


def test_a_shared_direction_does_not_count():
    """The old fault: without centring, a layer scores by what all features have in common."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(40, 10))
    shared = 3 * rng.normal(size=(40, 1))
    gram = (own + shared).T @ (own + shared)
    uncentred = (np.diag(gram) ** 2 / np.square(gram).sum(0)).mean()
    assert uncentred < 0.2
    assert feature_dimensionality(own + shared).mean() == pytest.approx(feature_dimensionality(own).mean(), abs=1e-9)
    assert feature_dimensionality(own).mean() > 0.6


def test_equal_directions_represent_nothing():
    assert feature_dimensionality(np.full((6, 4), 0.1) * np.arange(1, 7)[:, None]).tolist() == [0] * 4


@pytest.mark.parametrize("share", [1e-12, 1e-9, 3e-8, 1e-5, 1e-3])
def test_what_differs_by_rounding_is_nothing_from_the_directions_and_from_their_products(share):
    """The old fault: from the products, which are rounded, some directions had 0 and others 0.5."""
    rng = np.random.default_rng(0)
    for dimensions, features in ((6, 6), (200, 6), (50, 30)):
        directions = rng.normal(size=(dimensions, 1)) + share * rng.normal(size=(dimensions, features))
        found = feature_dimensionality(directions)
        assert dimensionality_of_products(directions.T @ directions) == pytest.approx(found, abs=1e-4)
        assert (found > 0).all() if share > 1e-6 else not found.any()


def test_a_feature_that_is_not_there():
    directions = np.zeros((3, 6))
    directions[:1, :2], directions[1:, 2:5] = [[1, -1]], regular(3)
    expected = [1 / 2, 1 / 2, 2 / 3, 2 / 3, 2 / 3, 0]
    assert feature_dimensionality(directions) == pytest.approx(expected)
    assert dimensionality_of_products(directions.T @ directions) == pytest.approx(expected)
    assert dimensions_per_feature(directions) == pytest.approx(3 / 5)
    # One that is not there does not move the mean of the others.
    assert feature_dimensionality(np.c_[np.eye(3), np.zeros(3)]) == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0])


def plainly(directions):
    """The definition, feature by feature."""
    directions = directions - directions.mean(1, keepdims=True)
    lengths = np.linalg.norm(directions, axis=0)
    return [
        w @ w / sum((w / length @ other) ** 2 for other in directions.T) for w, length in zip(directions.T, lengths, strict=True)
    ]


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 6))
def test_is_the_definition_and_its_sum_at_most_the_rank(seed, dimensions, features):
    directions = np.random.default_rng(seed).normal(size=(dimensions, features))
    found = feature_dimensionality(directions)
    assert found == pytest.approx(plainly(directions), abs=1e-9)
    assert dimensionality_of_products(directions.T @ directions) == pytest.approx(found, abs=1e-6)
    assert found.mean() <= most_dimensionality(dimensions, features) + 1e-9
    assert ((found > 0) & (found <= 1 + 1e-12)).all()


def test_nothing_is_defined():
    assert feature_dimensionality(np.zeros((3, 2))).tolist() == [0, 0]
    assert dimensionality_of_products(np.zeros((2, 2))).tolist() == [0, 0]
    assert np.isnan(dimensions_per_feature(np.zeros((3, 2))))
    assert feature_dimensionality(np.empty((0, 2))).tolist() == [0, 0]
    assert feature_dimensionality(np.ones((3, 1))).tolist() == [0]
