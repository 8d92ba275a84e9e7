import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmi_probes.measures.directions import code_recovery, cosines, direction_scores, stability


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_scores_are_those_of_the_formula(atoms, features, neurons, seed):
    rng = np.random.default_rng(seed)
    a, d = rng.integers(-2, 3, (atoms, neurons)).astype(float), rng.integers(1, 4, (features, neurons)).astype(float)
    table = [[x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) if y.any() else 0.0 for y in a] for x in d]
    assert cosines(d, a) == pytest.approx(np.array(table))
    best = [max(row) for row in table]
    of_atoms = [max(column) for column in zip(*table, strict=True)]
    scores = direction_scores(a, d)
    assert scores["mmcs"] == pytest.approx(sum(best) / features)
    assert scores["recovered"] == pytest.approx(sum(c > 0.9 for c in best) / features)
    assert scores["true_atoms"] == pytest.approx(sum(c > 0.9 for c in of_atoms) / atoms)
    both = direction_scores(-a, d, either_sign=True)
    assert both == direction_scores(a, d, either_sign=True)
    assert both["mmcs"] >= scores["mmcs"] - 1e-12


def test_an_atom_of_the_wrong_sign_is_no_direction():
    assert direction_scores(-np.eye(2), np.eye(2))["recovered"] == 0
    assert direction_scores(-np.eye(2), np.eye(2), either_sign=True)["recovered"] == 1
    assert direction_scores(np.empty((0, 2)), np.eye(2)) == {"mmcs": 0, "recovered": 0, "true_atoms": 0}


def test_stability():
    eye = np.eye(3)
    assert stability([eye, eye[::-1] * 2]) == pytest.approx(1)
    assert stability([eye[:1], eye]) == pytest.approx((1 + 1 / 3) / 2)  # both orders
    assert stability([eye[:1], eye[1:2]]) == 0
    assert np.isnan(stability([eye, eye[:0]]))


def test_codes_follow_amplitudes_one_to_one():
    rng = np.random.default_rng(0)
    amplitudes = rng.random((50, 3))
    assert code_recovery(amplitudes[:, [2, 0, 1]] * [1, -2, 3], amplitudes) == pytest.approx(1)
    assert code_recovery(np.ones((50, 2)), amplitudes) == 0
    one = code_recovery(amplitudes[:, :1], amplitudes)  # one code serves one feature
    assert one == pytest.approx(1 / 3)
    noisy = amplitudes + rng.random((50, 3))
    expected = np.abs(np.corrcoef(amplitudes.T, noisy.T)[:3, 3:])
    assert code_recovery(noisy, amplitudes) == pytest.approx(expected.diagonal().mean())
