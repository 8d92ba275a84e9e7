"""Dictionaries on samples whose directions are known."""

import numpy as np
import pytest

from tmi_probes.layers.dictionary_methods import (
    dictionary_learning,
    ica,
    k_means,
    nmf,
    pca,
    random_directions,
    sparse_codes,
)
from tmi_probes.measures.directions import direction_scores

from .test_sparse_autoencoders import sparse_sums

# Five directions in four dimensions, each neuron part of two or three.
SHARED = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1]], float) / np.sqrt(2)
ALONE = sparse_sums(SHARED, 300, together=1)


def test_k_means_finds_all_directions_where_one_is_shown_at_a_time():
    found = k_means(ALONE, ALONE, 20, 0)
    assert len(found.atoms) == 5
    assert direction_scores(found.atoms, SHARED)["recovered"] == 1
    assert ((found.codes != 0).sum(1) == 1).all()
    assert found.restored == pytest.approx(ALONE, abs=1e-5)


@pytest.mark.parametrize("fit", [pca, ica])
def test_linear_methods_have_as_many_atoms_as_dimensions(fit):
    found = fit(ALONE, ALONE, 20, 0)
    assert len(found.atoms) == 4 < len(SHARED)
    assert found.restored == pytest.approx(ALONE, abs=1e-3)
    assert direction_scores(found.atoms, SHARED, either_sign=True)["recovered"] < 1


def test_components_are_orthogonal():
    atoms = pca(ALONE, ALONE, 20, 0).atoms
    assert atoms @ atoms.T == pytest.approx(np.eye(4), abs=1e-5)


def test_ica_separates_independent_sources():
    rng = np.random.default_rng(0)
    mixing = np.array([[1.0, 0.5], [0.3, 1.0]])
    samples = (rng.laplace(size=(2000, 2)) @ mixing).astype(np.float32)
    assert direction_scores(ica(samples, samples, 2, 0).atoms, mixing, either_sign=True)["mmcs"] > 0.99
    assert direction_scores(pca(samples, samples, 2, 0).atoms, mixing, either_sign=True)["mmcs"] < 0.98


def test_ica_of_one_dimension():
    line = np.outer(np.arange(20), [1, 2]).astype(np.float32)
    assert len(ica(line, line, 3, 0).atoms) == 1


def test_sparse_factorisations_beat_random_directions():
    samples = sparse_sums(SHARED, 400)
    chance = direction_scores(random_directions(4, 10, 0, True), SHARED)["mmcs"]
    learned = dictionary_learning(samples, samples, 10, 0.2, 0)
    assert (learned.codes >= 0).all()
    assert direction_scores(learned.atoms, SHARED)["mmcs"] > max(0.9, chance)
    orthogonal = sparse_sums(np.eye(4), 400)
    assert direction_scores(nmf(orthogonal, orthogonal, 4, 0).atoms, np.eye(4))["recovered"] == 1


def test_random_directions():
    atoms = random_directions(3, 50, 0, False)
    assert np.linalg.norm(atoms, axis=1) == pytest.approx(np.ones(50))
    assert (atoms < 0).any()
    assert (random_directions(3, 50, 0, True) == np.abs(atoms)).all()


def test_matching_pursuit_with_the_true_directions_restores_the_samples():
    found = sparse_codes(ALONE, SHARED.astype(np.float32) * 3, 1)
    assert ((found.codes != 0).sum(1) == 1).all()
    assert found.restored == pytest.approx(ALONE, abs=1e-5)
    assert sparse_codes(ALONE, np.eye(4, dtype=np.float32), 9).restored == pytest.approx(ALONE, abs=1e-5)
