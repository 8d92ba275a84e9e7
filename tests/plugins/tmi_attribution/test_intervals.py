import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi_attribution.intervals import interval, mean_skill, skill, skill_of_means


def mean(values, axis=-1):
    return values.mean(axis)


def test_skill():
    assert skill(0.25, 0.25, 1.0) == 0
    assert skill(1.0, 0.25, 1.0) == 1
    assert skill(0.0, 0.25, 1.0) == pytest.approx(-1 / 3)
    assert skill(0.1, 0.8, 0.2) == pytest.approx(7 / 6)  # lower is better, and it is better than the oracle


def test_mean_skill_is_the_mean_of_the_skills_of_means():
    rng = np.random.default_rng(0)
    one, other = (rng.random((3, 10)) for _ in range(2))
    expected = (skill(one[0].mean(), one[1].mean(), one[2].mean()) + skill(other[0].mean(), other[1].mean(), other[2].mean())) / 2
    assert mean_skill(*one, *other) == pytest.approx(expected)
    stacked = np.stack([one, one[:, ::-1]], 1)  # resamples first, images last
    assert mean_skill(*stacked) == pytest.approx([skill_of_means(*one)] * 2)


@given(st.integers(2, 30), st.integers(0, 5))
def test_the_interval_holds_the_mean_and_follows_the_seed(count, seed):
    values = np.random.default_rng(count).random(count)
    low, high = interval((values,), mean, seed=seed, resamples=200)
    assert values.min() <= low <= values.mean() + 1e-9
    assert values.mean() - 1e-9 <= high <= values.max()
    assert (low, high) == interval((values,), mean, seed=seed, resamples=200)


def test_the_interval_is_that_of_a_plain_bootstrap():
    values = np.random.default_rng(0).random(50)
    rng = np.random.default_rng(1)
    plain = np.percentile([values[rng.integers(0, 50, 50)].mean() for _ in range(4000)], [2.5, 97.5])
    assert interval((values,), mean, seed=0, resamples=4000) == pytest.approx(plain, abs=0.005)


def test_an_image_is_drawn_with_all_that_is_known_of_it():
    scores = np.random.default_rng(0).random(40)
    low, high = interval((scores, scores - 0.5, scores + 0.5), skill_of_means, seed=0, resamples=300)
    assert (low, high) == pytest.approx((0.5, 0.5))


def test_equal_images_and_one_image():
    assert interval((np.ones(5),), mean, seed=0, resamples=10) == (1, 1)
    assert interval((np.ones(1),), mean, seed=0, resamples=10) is None
