import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import linprog

from tmi_attribution.measures.transport import earth_mover

from .cases import maps_and_masks, masked


def plain(values, mask):
    """The linear programme of transport, every pixel to every pixel."""
    places = np.argwhere(np.ones(values.shape))
    cost = np.linalg.norm(places[:, None] - places, axis=2)
    values = values if values.any() else np.ones(values.shape)
    size = values.size
    leaves, comes = np.kron(np.eye(size), np.ones(size)), np.kron(np.ones(size), np.eye(size))
    wanted = np.concatenate([(values / values.sum()).ravel(), (mask / mask.sum()).ravel()])
    least = linprog(cost.ravel(), A_eq=np.concatenate([leaves, comes])[1:], b_eq=wanted[1:]).fun
    return 1 - least / np.hypot(*np.subtract(values.shape, 1)) if size > 1 else 1


@settings(max_examples=30, deadline=None)
@given(maps_and_masks(images=1))
def test_against_the_linear_programme(case):
    maps, masks = case
    found = earth_mover(maps, masked(masks))
    if masks.any() and masks.size > 1:
        assert found == pytest.approx([plain(maps[0], masks[0])], abs=1e-6)
    else:
        assert np.isnan(found).all()


def test_by_hand():
    maps, masks = np.zeros((1, 4, 7)), np.zeros((1, 4, 7), bool)
    maps[0, 0, 0], masks[0, 3, 6] = 5, True
    assert earth_mover(maps, masked(masks)).tolist() == [0]  # from corner to corner
    maps[0, 3, 6] = 5
    assert earth_mover(maps, masked(masks)) == pytest.approx([0.5])


def test_the_mask_itself_scores_one_and_zeros_score_as_a_constant_map():
    masks = np.random.default_rng(0).random((4, 9, 5)) < 0.3
    assert earth_mover(masks * 0.2, masked(masks)) == pytest.approx([1] * 4)
    zeros, constant = (earth_mover(np.full(masks.shape, v), masked(masks)) for v in (0.0, 0.7))
    assert zeros.tolist() == constant.tolist()
    assert (constant < 1).all()


@pytest.mark.parametrize("shape", [(24, 24), (13, 21)])
@pytest.mark.parametrize("resolution", [4, 5, 12])
def test_pooling_stays_within_its_bound(shape, resolution):
    rng = np.random.default_rng(0)
    maps, masks = rng.random((4, *shape)) ** 8, np.zeros((4, *shape), bool)
    masks[:, 3:9, 5:11] = True
    block = -(-max(shape) // resolution)
    bound = np.sqrt(2) * (block - 1) / np.hypot(*np.subtract(shape, 1))
    exact = earth_mover(maps, masked(masks), resolution=24)
    pooled = earth_mover(maps, masked(masks), resolution=resolution)
    assert 0 < np.abs(pooled - exact).max() <= bound + 1e-9


def test_in_one_cell_there_is_nowhere_to_move():
    masks = np.random.default_rng(0).random((4, 9, 5)) < 0.3
    assert np.isnan(earth_mover(np.random.default_rng(1).random(masks.shape), masked(masks), resolution=1)).all()


def test_images_do_not_matter_to_each_other():
    rng = np.random.default_rng(0)
    maps, masks = rng.random((5, 8, 8)), rng.random((5, 8, 8)) < 0.2
    whole = earth_mover(maps, masked(masks))
    assert [earth_mover(maps[[i]], masked(masks[[i]]))[0] for i in range(5)] == whole.tolist()
    assert earth_mover(maps * 1e-300, masked(masks)) == pytest.approx(whole)
