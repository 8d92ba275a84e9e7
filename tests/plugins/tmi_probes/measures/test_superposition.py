import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi_probes.measures.superposition import dimensions_per_feature, feature_dimensionality


def regular(corners):
    angle = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angle), np.sin(angle)])


TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).T / np.sqrt(3)
GEOMETRIES = {
    "pair": (np.array([[1.0, -1.0]]), 1 / 2),
    "triangle": (regular(3), 2 / 3),
    "tetrahedron": (TETRAHEDRON, 3 / 4),
    "pentagon": (regular(5), 2 / 5),
    "orthogonal": (np.eye(4), 1),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_geometries_of_the_toy_models(name):
    directions, expected = GEOMETRIES[name]
    assert feature_dimensionality(directions) == pytest.approx(np.full(directions.shape[1], expected), abs=1e-12)
    assert dimensions_per_feature(directions) == pytest.approx(expected)
    # The same geometry, turned and embedded in more dimensions, at any scale.
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 7)))[0][:, : len(directions)] @ directions
    for scale in (1, 1e-120, 1e120):
        assert feature_dimensionality(scale * turned) == pytest.approx(np.full(directions.shape[1], expected), abs=1e-12)


def test_two_geometries_side_by_side_and_a_feature_that_is_not_there():
    directions = np.zeros((3, 6))
    directions[:1, :2], directions[1:, 2:5] = [[1, -1]], regular(3)
    assert feature_dimensionality(directions) == pytest.approx([1 / 2, 1 / 2, 2 / 3, 2 / 3, 2 / 3, 0])
    assert dimensions_per_feature(directions) == pytest.approx(3 / 5)


def plainly(directions):
    """The definition, feature by feature."""
    lengths = np.linalg.norm(directions, axis=0)
    return [
        w @ w / sum((w / length @ other) ** 2 for other in directions.T) for w, length in zip(directions.T, lengths, strict=True)
    ]


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_is_the_definition_and_its_sum_at_most_the_rank(seed, dimensions, features):
    directions = np.random.default_rng(seed).normal(size=(dimensions, features))
    found = feature_dimensionality(directions)
    assert found == pytest.approx(plainly(directions), abs=1e-9)
    assert found.sum() <= min(dimensions, features) + 1e-9
    assert ((found > 0) & (found <= 1 + 1e-12)).all()


def test_nothing_is_defined():
    assert feature_dimensionality(np.zeros((3, 2))).tolist() == [0, 0]
    assert np.isnan(dimensions_per_feature(np.zeros((3, 2))))
    assert feature_dimensionality(np.empty((0, 2))).tolist() == [0, 0]
