import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from tmi_probes.measures import decoding
from tmi_probes.measures.decoding import ALPHAS, coordinates, decode

RNG = np.random.default_rng(0)
LABEL = np.arange(60) % 3
FOLDS = RNG.permutation(60) % 4


def test_coordinates_keep_all_distances(monkeypatch):
    values = RNG.normal(size=(30, 200)).astype(np.float32)
    points = coordinates(values)
    assert points.shape == (30, 30)
    centred = values.astype(float) - values.mean(0, dtype=float)
    gram = centred @ centred.T
    assert points @ points.T == pytest.approx(gram * 30 / np.trace(gram), abs=1e-8)
    monkeypatch.setattr(decoding, "_UNITS", 7)
    assert coordinates(values) @ coordinates(values).T == pytest.approx(points @ points.T, abs=1e-9)


def test_few_units_are_their_own_coordinates():
    values = np.c_[RNG.normal(size=(30, 4)), np.ones(30)]
    centred = values[:, :4] - values[:, :4].mean(0)
    assert coordinates(values) == pytest.approx(centred * np.sqrt(30 / np.square(centred).sum()))
    assert coordinates(values[:1]).shape == (1, 0)


def test_a_ridge_regression_on_them_predicts_what_one_on_all_units_does():
    values = RNG.normal(size=(60, 300)) + 3 * np.eye(3)[LABEL] @ RNG.normal(size=(3, 300))
    centred = values - values.mean(0)
    scale = np.sqrt(60 / np.square(centred).sum())
    wanted, fitted = np.eye(3)[LABEL], FOLDS != 0
    plain = RidgeCV(alphas=ALPHAS, alpha_per_target=True).fit(values[fitted] * scale, wanted[fitted])
    short = RidgeCV(alphas=ALPHAS, alpha_per_target=True).fit(coordinates(values)[fitted], wanted[fitted])
    assert short.predict(coordinates(values)[~fitted]) == pytest.approx(plain.predict(values[~fitted] * scale), abs=1e-5)


def test_labels_that_are_there_are_read_and_others_are_not():
    values = np.eye(3)[LABEL] + 0.01 * RNG.normal(size=(60, 3))
    other = RNG.permutation(LABEL)
    found = decode(coordinates(values), {"true": LABEL, "other": other}, FOLDS)
    assert found["true"].tolist() == [1] * 60
    assert found["other"].mean() < 0.6


def test_nothing_to_read_ties_with_the_commonest_label():
    label = np.array([0, 0, 0, 1, 1, 2])
    points = coordinates(np.ones((6, 4)))
    assert points.shape == (6, 0)
    found = decode(points, {"label": label}, np.array([0, 1, 2, 0, 1, 2]))["label"]
    # Of the four images fitted in folds 0 and 1: two of class 0, one each of the others; in fold 2: two of 0, two of 1.
    assert found.tolist() == [1, 1, 0.5, 0, 0, 0]


def test_a_layer_of_noise_below_rounding_is_no_layer():
    values = (np.ones((50, 20)) * (1 + 1e-16 * RNG.normal(size=(50, 20)))).astype(np.float32)
    assert coordinates(values).shape == (50, 0)


def test_fitted_on_one_image_its_label_is_predicted():
    found = decode(coordinates(np.array([[0.0], [1.0]])), {"label": np.array([0, 1]), "same": np.array([1, 1])}, np.array([0, 1]))
    assert found["label"].tolist() == [0, 0]
    assert found["same"].tolist() == [1, 1]
