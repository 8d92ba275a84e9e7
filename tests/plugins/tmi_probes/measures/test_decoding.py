"""Cross-validated logistic regression against scikit-learn's own, and against the regression on one-hot labels it replaced."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tmi_probes.layers.decodability import Decoding, Labels
from tmi_probes.measures import decoding
from tmi_probes.measures.decoding import coordinates, folds_of, predictions

RNG = np.random.default_rng(0)
LABEL = np.arange(90) % 3


def values(units, images=90, apart=1.0):
    """Activations whose classes overlap, in units of very different sizes."""
    means = apart * RNG.normal(size=(3, units)) / np.sqrt(units / 10)
    return ((RNG.normal(size=(images, units)) + means[LABEL[:images]]) * RNG.uniform(0.01, 100, units)).astype(np.float32)


def read(activations, label=LABEL, folds=5, seed=0, strength=1.0):
    splits = folds_of(label, folds, seed)
    return Decoding(activations, splits, strength, {}).measured(Labels({"class": label})).arrays["right"][1][0]


@pytest.mark.parametrize("units", [1, 6, 71, 72, 73, 400])
@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_scores_are_those_of_scikit_learn(units, strength, monkeypatch):
    # In other coordinates a solver that stops early stops elsewhere, so that both go on to the minimum.
    monkeypatch.setattr("tmi_probes.layers.decodability.TOLERANCE", 1e-9)
    activations = values(units)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000, tol=1e-9))
    splits = StratifiedKFold(5, shuffle=True, random_state=0)
    right = read(activations, strength=strength)
    theirs = cross_val_score(pipeline, activations.astype(float), LABEL, cv=splits)
    ours = [right[held].mean() for _, held in folds_of(LABEL, 5, 0)]
    assert ours == pytest.approx(theirs, abs=1e-12)
    assert (right == (cross_val_predict(pipeline, activations.astype(float), LABEL, cv=splits) == LABEL)).all()
    assert 0.3 < theirs.mean() <= 1


def test_classes_in_a_row_are_not_masked():
    """Five classes along a line: a linear model tells all apart; a regression on one-hot labels never names some of them."""
    label = np.arange(200) % 5
    points = np.c_[label + 0.15 * RNG.normal(size=200), RNG.normal(size=200)]
    masked = cross_val_score(RidgeClassifierCV(np.logspace(-3, 1, 5)), points, label, cv=5).mean()
    assert masked < 0.7
    assert read(points, label, strength=100.0).mean() > 0.95


def test_coordinates_keep_all_distances_of_standardised_units(monkeypatch):
    activations, fitted = values(200, 40), np.arange(40) % 5 > 0
    fitted, held = np.flatnonzero(fitted), np.flatnonzero(~fitted)
    scaled = StandardScaler().fit(activations[fitted].astype(float)).transform(activations.astype(float))
    points = coordinates(activations, fitted)
    assert points.shape == (40, 31)  # 32 centred images span 31 dimensions
    expected = scaled @ scaled[fitted].T
    assert points @ points[fitted].T == pytest.approx(expected, abs=1e-8)
    # What a held-out image has outside the span of the fitted ones, no model on them can see.
    assert (np.square(points[held]).sum(1) <= np.square(scaled[held]).sum(1)).all()
    monkeypatch.setattr(decoding, "_UNITS", 7)
    again = coordinates(activations, fitted)
    assert again @ again[fitted].T == pytest.approx(expected, abs=1e-8)


def test_neither_order_nor_size_of_units_matters():
    activations = values(30)
    order = RNG.permutation(30)
    changed = activations[:, order].astype(float) * RNG.uniform(0.1, 10, 30)
    assert (read(changed) == read(activations)).all()


def test_a_unit_that_does_not_vary_adds_nothing():
    activations = values(6)
    assert (read(np.c_[activations, np.ones(90, np.float32)]) == read(activations)).all()
    assert coordinates(np.ones((6, 4)), np.arange(3)).tolist() == [[0.0]] * 6
    noise = (np.ones((50, 20)) * (1 + 1e-16 * RNG.normal(size=(50, 20)))).astype(np.float32)
    assert not coordinates(noise, np.arange(25)).any()


def test_nothing_to_read_gives_the_commonest_label():
    label = np.array([0] * 5 + [1] * 3 + [2])
    fitted, held = np.arange(9) % 3 > 0, np.arange(9) % 3 == 0
    points = coordinates(np.ones((9, 4)), np.flatnonzero(fitted))
    assert predictions(points, label, np.flatnonzero(fitted), np.flatnonzero(held), 1.0, 1e-4).tolist() == [0] * 3


def test_fitted_on_one_label_that_is_predicted():
    label = np.array([1, 1, 2])
    assert predictions(np.zeros((3, 1)), label, np.array([0, 1]), np.array([2]), 1.0, 1e-4).tolist() == [1]


def test_folds_have_a_share_of_every_label():
    for fitted, held in folds_of(LABEL, 5, 3):
        assert np.bincount(LABEL[held]).tolist() == [6, 6, 6]
        assert not set(fitted) & set(held)
    assert len(folds_of(np.arange(4), 2, 0)) == 2  # no label has two images


def test_shuffled_labels_are_read_by_chance_alone():
    activations = values(40, apart=4.0)
    layer, labels = Decoding(activations, folds_of(LABEL, 5, 0), 1.0, {}), Labels({"class": LABEL})
    drawn = [layer.by_chance(labels.shuffled(np.random.default_rng(i)))["decodability.class"] for i in range(20)]
    assert abs(np.mean(drawn) - 1 / 3) < 0.12
    assert layer.measured(labels).metrics["decodability.class"] > 0.9
