import numpy as np
import pytest
import torch

import tmi
from tests.plugins.tmi_probes.toys import TASK, dataset, small_cnn
from tmi_attribution.measures.counterfactual import _patches, background_invariance, contrast, null_patch_invariance

from .cases import asked, colour, contributions, gradient, sums

RNG = np.random.default_rng(0)


def constant(truth):
    return np.ones((len(truth), 1, *truth.masks.shape[1:]))


def nothing(truth):
    return np.zeros(truth.images.shape)


def inside(values, truth, i):
    return np.abs(values[i])[:, truth.masks[i]].sum()


@pytest.mark.parametrize("data", [None, "colour"])
def test_contrast_by_the_plain_formula(data):
    truth = asked(images=5, data=data and colour())
    bare = truth.on(truth.scenes.without_tiles().images)
    with_tile, without = gradient(truth), gradient(bare)
    found = contrast(with_tile, truth, attribute=gradient)
    for i in range(5):
        a, b = inside(with_tile, truth, i), inside(without, truth, i)
        assert found[i] == pytest.approx((a - b) / (a + b), abs=1e-9)


def test_contributions_against_the_background_are_gone_with_the_tile():
    truth = asked(sums(), images=5, baseline="background")
    assert contrast(contributions(truth), truth, attribute=contributions).tolist() == [1] * 5
    for method in (constant, nothing):
        assert contrast(method(truth), truth, attribute=method).tolist() == [0] * 5


def test_background_invariance_by_the_plain_formula():
    truth = asked(images=5)
    maps, rng = gradient(truth), np.random.default_rng(4)
    each = []
    for _ in range(2):
        scenes = truth.scenes.with_backgrounds(torch.from_numpy(rng.random((1, 8, 8))).float())
        other = gradient(truth.on(scenes.images))
        each.append([])
        for i in range(5):
            apart = inside(maps - other, truth, i)
            score = 1 - apart / (inside(maps, truth, i) + inside(other, truth, i))
            each[-1].append(score if scenes.unambiguous()[i] else np.nan)
    found = background_invariance(maps, truth, seed=4, attribute=gradient, backgrounds=2)
    assert found == pytest.approx(np.nanmean(each, axis=0), abs=1e-9)


def test_baselines_that_are_the_background_change_with_it():
    truth = asked(sums(), images=5, baseline="background")
    seen = []

    def attribute(other):
        seen.append((other.images - other.baselines).flatten(1).count_nonzero(1).max())
        return contributions(other)

    scores = background_invariance(contributions(truth), truth, seed=0, attribute=attribute)
    assert ((scores > 0) & (scores < 1)).all()  # of x − b, b is another
    null_patch_invariance(contributions(truth), truth, seed=0, attribute=attribute)
    assert max(seen) <= 9  # the tile's pixels alone differ from the baseline
    black = asked(sums(), images=5)
    assert background_invariance(contributions(black), black, seed=0, attribute=contributions) == pytest.approx([1] * 5)


def test_invariance_of_what_does_not_look_and_of_nothing():
    truth = asked(images=4)
    for measure in (background_invariance, null_patch_invariance):
        assert measure(constant(truth), truth, seed=0, attribute=constant).tolist() == [1] * 4
        assert np.isnan(measure(nothing(truth), truth, seed=0, attribute=nothing)).all()


def test_a_patch_outside_the_tile():
    truth = asked(images=6)
    changed = []

    def attribute(other):
        changed.append((other.images != truth.images)[:, 0].numpy())
        return gradient(other)

    maps = gradient(truth)
    found = null_patch_invariance(maps, truth, seed=1, attribute=attribute, side=0.25)
    assert changed[0].sum((1, 2)).tolist() == [4] * 6
    assert not (changed[0] & truth.masks).any()
    other = gradient(truth.on(torch.where(torch.from_numpy(changed[0])[:, None], _pixels(1), truth.images)))
    for i in range(6):
        apart = inside(maps - other, truth, i)
        assert found[i] == pytest.approx(1 - apart / (inside(maps, truth, i) + inside(other, truth, i)), abs=1e-6)


def _pixels(seed):
    rng = np.random.default_rng(seed)
    rng.permutation(49)  # the places of a patch of 2×2 come first
    return torch.from_numpy(rng.random((1, 8, 8))).float()


def test_the_patch_lies_in_the_null_region_where_that_is_known():
    null = np.zeros((3, 8, 8), bool)
    null[:, :, 7] = True
    truth = asked(images=3, null=null)
    seen = []

    def attribute(other):
        seen.append((other.images != truth.images)[:, 0].numpy())
        return gradient(other)

    found = null_patch_invariance(gradient(truth), truth, seed=0, attribute=attribute)
    assert (seen[0] & ~null).sum() == 0
    assert np.isnan(found).all()  # the network looks there all the same: this null region is none
    blind = asked(sums(), images=3, null=null)
    with torch.no_grad():
        blind.module.hidden[1].weight.view(8, 8)[:, 7] = 0
    assert null_patch_invariance(gradient(blind), blind, seed=0, attribute=gradient).tolist() == [1] * 3


def test_no_room_no_score():
    task = tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(np.full((8, 8), v), 1.0)]) for n, v in zip("abc", (0.2, 0.8, 0.5), strict=True)],
        (1, 8, 8),
    )
    truth = asked(small_cnn(task), 3, data=dataset(5, task=task))
    assert np.isnan(null_patch_invariance(gradient(truth), truth, seed=0, attribute=gradient)).all()
    # The tile covers the image: no other background changes it, so that nothing can vary.
    assert np.isnan(background_invariance(gradient(truth), truth, seed=0, attribute=gradient)).all()


def test_patches_are_squares_of_free_pixels():
    free = RNG.random((40, 6, 9)) < 0.7
    found = _patches(free, 2, np.random.default_rng(0))
    for some, one in zip(free, found, strict=True):
        places = [(r, c) for r in range(5) for c in range(8) if some[r : r + 2, c : c + 2].all()]
        assert one.sum() == (4 if places else 0)
        if places:
            assert tuple(np.argwhere(one)[0]) in places
            assert not (one & ~some).any()


def test_neighbours_change_nothing():
    truth = asked(small_cnn(TASK), 6, dtype=torch.float64)
    maps = gradient(truth)
    for measure, given in ((contrast, {}), (background_invariance, {"seed": 0}), (null_patch_invariance, {"seed": 0})):
        whole = measure(maps, truth, attribute=gradient, **given)
        alone = measure(maps[4:5], truth[4:5], attribute=gradient, **given)
        assert alone == pytest.approx(whole[4:5], abs=1e-12, nan_ok=True)
