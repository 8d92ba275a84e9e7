from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from tmi_probes.measures import recovery as module
from tmi_probes.measures.recovery import best_f1, correlations, match, recovery, varies
from tmi_probes.pipeline.features import Features


def of(*label):
    identity, of_image = np.unique(label, return_inverse=True)
    return Features("tile", of_image, identity[:, None])


def onehot(features):
    return features.members.toarray().T


def random_case(seed, units=4, ties=True):
    rng = np.random.default_rng(seed)
    features = of(*rng.integers(0, 4, 15), 0, 1)
    values = rng.normal(size=(17, units))
    return np.round(np.maximum(values, 0), 1) if ties else values, features


@given(st.integers(0, 10_000))
def test_correlations_are_pearsons(seed):
    values, features = random_case(seed)
    found = correlations(values, features)
    for f, row in enumerate(found):
        for unit, value in enumerate(row):
            constant = np.ptp(values[:, unit]) == 0
            expected = 0 if constant else np.corrcoef(values[:, unit], features.of_image == f)[0, 1]
            assert value == pytest.approx(expected, abs=1e-9)


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_f1_is_the_best_over_all_thresholds_and_features(seed):
    values, features = random_case(seed)
    found, feature = best_f1(values, features)
    for unit, column in enumerate(values.T):
        every = [[f1_score(features.of_image == f, column >= theta) for theta in np.unique(column)] for f in range(len(features))]
        assert found[unit] == pytest.approx(np.max(every), abs=1e-12)
        assert feature[unit] == np.argmax(np.round(np.max(every, axis=1), 12))


@given(st.integers(0, 10_000), st.sampled_from([(3, 3), (2, 4), (4, 2), (2, 9)]))
def test_the_matching_is_the_best_of_all(seed, shape):
    size = np.random.default_rng(seed).random(shape)
    feature, unit = match(size)
    few, many = min(shape), max(shape)
    tall = size if shape[0] <= shape[1] else size.T
    best = max(sum(tall[i, j] for i, j in enumerate(chosen)) for chosen in permutations(range(many), few))
    assert size[feature, unit].sum() == pytest.approx(best)
    assert len(set(unit)) == len(set(feature)) == few


def test_exact_units_score_one_in_any_order_and_scale():
    features = of(0, 0, 1, 2, 2, 2, 3)
    values = onehot(features)[:, [2, 0, 3, 1]] * [5, 1e-30, 1e30, -2]
    scored = recovery(values, features)
    assert scored.mcc == pytest.approx(1, abs=1e-12)
    assert scored.uniqueness == 1
    assert scored.matched_unit.tolist() == [1, 3, 0, 2]
    assert scored.best_feature.tolist() == [2, 0, 3, 1]
    assert scored.f1[:3].tolist() == [1, 1, 1]  # the fourth is least, not greatest, where its feature is
    assert scored.f1[3] < 1


def test_units_that_repeat_a_feature_are_not_unique():
    features = of(0, 0, 1, 2)
    values = onehot(features)[:, [0, 0, 0]]
    scored = recovery(values, features)
    assert scored.uniqueness == pytest.approx(1 / 3)
    assert scored.mcc < 1
    assert scored.f1.tolist() == [1, 1, 1]


def test_features_without_a_unit_count_zero():
    features = of(0, 0, 1, 2)
    scored = recovery(onehot(features)[:, :1], features)
    assert scored.mcc == pytest.approx(1 / 3)
    assert scored.matched_unit.tolist() == [0, -1, -1]
    none = recovery(np.empty((4, 0)), features)
    assert none.mcc == 0
    assert np.isnan(none.uniqueness)


def test_one_feature_alone_cannot_be_recovered():
    scored = recovery(np.arange(4.0)[:, None], of(0, 0, 0, 0))
    assert np.isnan(scored.mcc)
    assert scored.best_feature.tolist() == [-1]


def test_what_varies():
    values = np.array([[1, 0, 1 / 3, 0, 1, np.nan], [1, 0, 1 / 3 * (1 + 3e-7), 1e-30, 2, 0]], np.float32)
    assert varies(values).tolist() == [False, False, False, True, True, False]
    assert varies(np.empty((0, 2))).tolist() == [False, False]


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_parts_do_not_matter(seed):
    values, features = random_case(seed, units=7)
    whole = best_f1(values, features)
    numbers, module._AT_ONCE = module._AT_ONCE, 40
    try:
        parts = best_f1(values, features)
    finally:
        module._AT_ONCE = numbers
    assert (whole[0] == parts[0]).all()
    assert (whole[1] == parts[1]).all()
