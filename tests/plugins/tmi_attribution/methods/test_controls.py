import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from tests.plugins.tmi_probes.toys import dataset
from tmi.probing.attribution import method_info
from tmi_attribution.methods import controls

SCENES = dataset(20).test[:4]
GIVEN = (None, SCENES.images, SCENES.labels)


class Known:
    masks = SCENES.masks.numpy()


def test_constant_and_oracle():
    assert (controls.constant(*GIVEN) == np.ones((4, 8, 8))).all()
    assert (controls.oracle(*GIVEN, truth=Known) == Known.masks).all()
    assert controls.oracle(*GIVEN, truth=Known).dtype == np.float64


def test_random_is_uniform_and_decided_by_the_seed():
    found = controls.random(None, torch.zeros(1, 3, 200, 300), None, seed=3)
    assert found.shape == (1, 200, 300)
    assert 0 <= found.min() < found.max() < 1
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert found.var() == pytest.approx(1 / 12, abs=0.005)
    assert (found == controls.random(None, torch.zeros(1, 1, 200, 300), None, seed=3)).all()
    assert (found != controls.random(None, torch.zeros(1, 1, 200, 300), None, seed=4)).any()


def test_sobel_against_its_kernel():
    images = torch.rand(2, 3, 6, 7)
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    found = controls.sobel(None, images.requires_grad_(True), None)
    for i, c in np.ndindex(2, 3):
        pixels = images[i, c].detach().double().numpy()
        expected = np.sqrt(convolve(pixels, kernel) ** 2 + convolve(pixels, kernel.T) ** 2)
        assert found[i, c] == pytest.approx(expected)
    assert (controls.sobel(None, torch.full((1, 1, 5, 5), 0.4), None) == 0).all()


def test_laplace_against_its_kernel():
    images = torch.rand(2, 3, 6, 7)
    found = controls.laplace(None, images.requires_grad_(True), None)
    for i, c in np.ndindex(2, 3):
        pixels = images[i, c].detach().double().numpy()
        expected = np.abs(convolve(pixels, np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])))
        assert found[i, c] == pytest.approx(expected)
    assert (controls.laplace(None, torch.full((1, 1, 5, 5), 0.4), None) == 0).all()


def test_centre_prior_is_symmetric_and_highest_in_the_middle():
    (found,) = controls.centre_prior(None, torch.zeros(1, 1, 9, 15), None)
    assert found[4, 7] == found.max() == 1
    assert found == pytest.approx(found[::-1])
    assert found == pytest.approx(found[:, ::-1])
    assert found[4, 7 + 3] == pytest.approx(np.exp(-0.5 * (3 / (0.25 * 15)) ** 2))
    assert controls.centre_prior(None, torch.zeros(2, 1, 1, 1), None).tolist() == [[[1]], [[1]]]


def test_all_are_controls():
    for function in (
        controls.constant,
        controls.random,
        controls.sobel,
        controls.laplace,
        controls.centre_prior,
        controls.oracle,
    ):
        assert method_info(function).control
        assert not method_info(function).needs
