from __future__ import annotations

import hashlib
import time
from itertools import combinations
from math import comb

import numpy as np
import pytest

import tmi
from tmi_networks.superposed import codes
from tmi_networks.superposed.codes import binary_code, default_code, dense_code, least_neurons


@pytest.mark.parametrize(
    ("features", "neurons", "weight", "shared"),
    [
        *[(100, 76, 3, 1), (100, 26, 3, 1), (100, 25, 3, 1), (30, 12, 3, 2), (10, 7, 3, 2), (10, 5, 3, 2), (7, 7, 3, 1)],
        *[(6, 4, 2, 1), (13, 13, 4, 1), (9, 5, 2, 1), (4, 4, 1, 0)],
    ],
)
def test_binary_codes_have_the_least_overlap_and_use_neurons_equally(features, neurons, weight, shared):
    code = binary_code(features, neurons, weight, seed=0)
    matrix = code.matrix.toarray()
    assert matrix.shape == (features, neurons)
    assert set(np.unique(matrix)) <= {0.0, 1.0}
    assert (matrix.sum(1) == weight).all()
    assert np.ptp(matrix.sum(0)) <= 1
    most = max(one @ other for one, other in combinations(matrix, 2))
    assert most == shared == round(code.overlap * weight)
    assert (code.size == weight).all()
    # With one shared neuron less there would be more sets of shared neurons in the words than there are.
    assert shared == 0 or features * comb(weight, shared) > comb(neurons, shared)
    assert code.shared.max() == code.overlap


def test_codes_follow_from_the_seed():
    for make in (lambda seed: binary_code(30, 17, 3, seed), lambda seed: dense_code(30, 17, seed)):
        one, again, other = (make(seed).matrix.toarray() for seed in (0, 0, 1))
        assert (one == again).all()
        assert (one != other).any()


@pytest.mark.parametrize(("features", "neurons"), [(100, 26), (10, 7), (3, 2)])
def test_dense_codes_are_unit_vectors_of_weights_above_zero(features, neurons):
    code = dense_code(features, neurons, seed=0)
    matrix = code.matrix.toarray()
    assert (matrix > 0).all()
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, rtol=1e-3)
    largest = max(one @ other for one, other in combinations(matrix, 2))
    assert code.overlap == pytest.approx(largest, rel=1e-3)
    assert code.overlap == code.shared.max()
    assert (matrix * 2**12 % 1 == 0).all()
    drawn = np.random.default_rng(0).exponential(size=(features, neurons)) ** 2
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    assert largest < max(one @ other for one, other in combinations(drawn, 2))


def test_what_no_code_exists_for_names_the_least_number_of_neurons():
    with pytest.raises(tmi.InputError, match=r"no 100 different sets of 3 of 9 neurons; take at least 10 neurons$"):
        binary_code(100, 9, 3, seed=0)
    with pytest.raises(tmi.InputError, match=r'4 different sets of 3 of 3 neurons; take code = "dense"$'):
        binary_code(4, 3, 3, seed=0)
    with pytest.raises(tmi.InputError, match=r'5 different sets of 3 of 4 neurons; take weight = 2, or code = "dense"$'):
        binary_code(5, 4, 3, seed=0)
    assert binary_code(5, 4, 2, seed=0).overlap == 1 / 2
    assert all(comb(neurons, weight) <= neurons for neurons in (1, 2, 3) for weight in range(1, neurons + 1))
    with pytest.raises(tmi.InputError, match="at least 2 neurons"):
        dense_code(3, 1, seed=0)
    assert binary_code(100, 10, 3, seed=0).overlap == pytest.approx(2 / 3)


@pytest.mark.parametrize(("features", "weight", "least"), [(100, 3, 25), (7, 3, 5), (10, 3, 9), (16900, 3, 319)])
def test_by_default_codes_share_one_neuron_at_most_where_that_takes_fewer_neurons_than_features(features, weight, least):
    assert least_neurons(features, weight) == least


@pytest.mark.parametrize(
    ("features", "weight", "neurons", "shared"),
    [(18, 3, 12, 1), (45, 3, 18, 1), (26, 3, 13, 1), (30, 3, 15, 1), (8, 3, 5, 2), (30, 8, 10, 7), (9, 4, 6, 3)],
)
def test_the_default_is_the_least_number_from_the_bound_upwards_for_which_codes_share_one_neuron(
    features, weight, neurons, shared
):
    """The bound for 11 and 17 neurons is 18 and 45, but there are 17 and 44 triples of which two share one (Spencer 1968)."""
    code = default_code(features, weight, seed=0)
    assert code.matrix.shape == (features, neurons)
    assert round(code.overlap * weight) == shared
    same = binary_code(features, neurons, weight, seed=0)
    assert (code.matrix != same.matrix).nnz == 0


def test_where_no_number_of_neurons_below_the_features_will_do_the_default_is_the_bound(monkeypatch):
    tried = []

    def words(features, neurons, weight, shared, seed):
        tried.append((neurons, shared))
        return None if shared < 2 else found(features, neurons, weight, shared, seed)

    found = codes._words
    monkeypatch.setattr(codes, "_words", words)
    code = default_code(18, 3, seed=0)
    assert code.matrix.shape == (18, 11)
    assert round(code.overlap * 3) == 2
    assert tried[:7] == [(neurons, 1) for neurons in range(11, 18)]


def test_codes_stay_those_of_the_documented_results():
    """Neurons of the words of the settings that docs and suites use, as a sum of hashes."""
    found = hashlib.sha256()
    for features, several in ((100, (76, 52, 37, 26)), (30, (23, 17, 12, 9, 7)), (10, (8, 7))):
        for neurons in several:
            found.update(binary_code(features, neurons, 3, seed=0).matrix.indices.astype("<i8").tobytes())
    assert found.hexdigest() == "1482b4b447e635a6e98c58681d350f5213b009c8f21cc09c4daf11cfc21a5e33"


def test_the_time_for_a_code_does_not_grow_with_the_number_of_sets_in_a_word():
    """Words of 12 neurons have 924 sets of 6: looked at one by one, they took this search 20 times as long."""
    start = time.process_time()
    assert binary_code(4, 18, 12, seed=0).overlap == pytest.approx(7 / 12)
    assert time.process_time() - start < 4
