"""CKA against Song's trace formula and the U-statistic itself, and what it must not depend on."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import ortho_group

from tmi_probes.measures.alignment import centred, cka


def by_traces(x, y):
    """Equation 5 of Song et al. 2012, and equation 3 of Nguyen et al. 2021."""

    def hsic(gram, other):
        n = len(gram)
        gram, other = (part - np.diag(np.diag(part)) for part in (gram, other))
        one = np.ones(n)
        middle = (one @ gram @ one) * (one @ other @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ gram @ other @ one)
        return (np.trace(gram @ other) + middle) / (n * (n - 3))

    gram, other = x @ x.T, y @ y.T
    return hsic(gram, other) / np.sqrt(hsic(gram, gram) * hsic(other, other))


def by_tuples(gram, other):
    """The U-statistic: the mean of its kernel over all ordered quadruples of different images."""
    quadruples = permutations(range(len(gram)), 4)
    return np.mean(
        [gram[i, j] * other[i, j] + gram[i, j] * other[q, r] - 2 * gram[i, j] * other[i, q] for i, j, q, r in quadruples]
    )


def layers(seed=0, images=7):
    rng = np.random.default_rng(seed)
    x = rng.random((images, 5))
    return x, x[:, :2] @ rng.normal(size=(2, 9)) + rng.random((images, 9))


def of(x, y):
    return cka(centred(x @ x.T), centred(y @ y.T))


def test_it_is_the_unbiased_estimator_by_two_other_formulas():
    x, y = layers()
    assert of(x, y) == pytest.approx(by_traces(x, y), abs=1e-12)
    gram, other = x @ x.T, y @ y.T
    assert of(x, y) == pytest.approx(by_tuples(gram, other) / np.sqrt(by_tuples(gram, gram) * by_tuples(other, other)), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_rotation_scale_and_shift_change_nothing_and_other_maps_do(seed):
    x, y = layers(seed, 20)
    value = of(x, y)
    rotated = x @ ortho_group.rvs(5, random_state=seed)
    assert of(rotated, y) == pytest.approx(value, abs=1e-12)
    assert of(7.5 * x, 0.01 * y) == pytest.approx(value, abs=1e-12)
    assert of(x + np.arange(5) * 10, y - 3) == pytest.approx(value, abs=1e-9)
    assert abs(of(x * np.arange(1, 6), y) - value) > 1e-3
    assert of(x, x) == pytest.approx(1, abs=1e-12)
    assert -1 <= value <= 1


def test_unrelated_layers_have_none_however_wide_where_the_biased_estimator_has_much():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 40, 3000))
    centring = np.eye(40) - 1 / 40
    gram, other = (centring @ part @ part.T @ centring for part in (x, y))
    biased = (gram * other).sum() / np.linalg.norm(gram) / np.linalg.norm(other)
    assert biased > 0.9
    assert abs(of(x, y)) < 0.1


def test_a_layer_that_tells_no_images_apart_has_no_value():
    x, y = layers()
    same = np.repeat(1000 + y[:1], len(y), 0)
    assert np.isnan(of(x, same))
    rounded = (same * (1 + 1e-8 * np.random.default_rng(0).random(same.shape))).astype(np.float32).astype(float)
    assert np.isnan(of(x, rounded))
