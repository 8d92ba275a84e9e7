from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tests.tmi.cases import matching_cases, plain_distance, plain_phi, tasks
from tmi import FeatureTile, InputError, TemplateTask, TileClass

FULL = np.ones((2, 2), bool)


def task_of(*tiles, shape=(1, 4, 4)):
    return TemplateTask([TileClass(f"c{i}", [tile]) for i, tile in enumerate(tiles)], shape)


class TestFeatureTile:
    def test_distance_by_hand(self):
        tile = FeatureTile([[0.5, 0.0], [1.0, 0.25]], 1.0)
        assert tile.support.tolist() == [[[True, False], [True, True]]]
        # |0.25 − 0.5| + (pixel outside the support) + |0 − 1| + |0.5 − 0.25|
        assert tile.distance([[0.25, 0.9], [0.0, 0.5]]) == 0.25 + 1.0 + 0.25

    def test_full_support_counts_black_pixels(self):
        tile = FeatureTile([[0.5, 0.0], [1.0, 0.25]], 1.0, FULL)
        assert tile.distance([[0.5, 0.75], [1.0, 0.25]]) == 0.75

    def test_colour_sums_over_channels(self):
        tile = FeatureTile(np.full((3, 1, 2), 0.5), 1.0)
        assert tile.shape == (3, 1, 2)
        assert tile.distance(np.stack([np.full((1, 2), v) for v in (0.5, 0.75, 0.0)])) == 2 * (0 + 0.25 + 0.5)

    def test_support_of_one_channel_is_every_channels(self):
        tile = FeatureTile(np.full((3, 2, 2), 0.5), 1.0, np.eye(2, dtype=bool))
        assert (tile.support == np.eye(2, dtype=bool)).all()
        assert tile.support.shape == (3, 2, 2)

    def test_pasted_tile_has_distance_zero_in_float32(self):
        values = np.random.default_rng(0).random((7, 7))
        tile = FeatureTile(values, 1e-3)
        assert tile.distance(values.astype(np.float32)) == 0.0
        assert tile.distance(values) == 0.0

    def test_is_a_copy_and_cannot_be_changed(self):
        values = np.full((2, 2), 0.5)
        support = FULL.copy()
        tile = FeatureTile(values, 1.0, support)
        values[:], support[:] = 0, False
        assert (tile.values == 0.5).all()
        assert tile.support.all()
        with pytest.raises(ValueError, match="read-only"):
            tile.values[0] = 1
        with pytest.raises(ValueError, match="read-only"):
            tile.support[0] = False

    def test_takes_tensors_with_gradients(self):
        values = torch.full((2, 2), 0.5, requires_grad=True)
        assert FeatureTile(values, 1.0).distance(values) == 0.0

    @pytest.mark.parametrize("epsilon", [0, 0.0, -1, float("nan"), float("inf"), 10**400, True, "1", b"1", None, [1.0], 1j])
    def test_refuses_epsilon(self, epsilon):
        with pytest.raises(InputError, match="epsilon: expected a"):
            FeatureTile(np.ones((2, 2)), epsilon)

    @pytest.mark.parametrize("epsilon", [1, np.float32(0.5), np.int64(2), Fraction(1, 3)])
    def test_takes_any_real_epsilon(self, epsilon):
        assert FeatureTile(np.ones((2, 2)), epsilon).epsilon == float(epsilon)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ([[0.5, 1.5]], r"1 values are NaN or outside \[0, 1\], the first at \(0, 0, 1\): 1.5"),
            ([[-0.1, float("nan")]], r"2 values are NaN or outside"),
            ([0.5], "expected shape"),
            (np.ones((1, 1, 2, 2)), "expected shape"),
            (np.ones((0, 2)), "no empty side"),
            ([["0.5"]], "expected numbers"),
            ([[0.5j]], "expected numbers"),
            ([[None]], "expected numbers"),
            ([[0.5], [0.5, 0.5]], "expected numbers"),
        ],
    )
    def test_refuses_values(self, values, message):
        with pytest.raises(InputError, match=message):
            FeatureTile(values, 1.0)

    def test_empty_support_says_what_to_do(self):
        with pytest.raises(InputError, match=r"every image would contain the tile; pass support=numpy.ones"):
            FeatureTile(np.zeros((2, 2)), 1.0)
        with pytest.raises(InputError, match=r"every image would contain the tile$"):
            FeatureTile(np.ones((2, 2)), 1.0, ~FULL)

    @pytest.mark.parametrize("support", [np.ones((2, 2)), np.ones((3, 2), bool), np.ones(2, bool), True, [[True], [True, False]]])
    def test_refuses_support(self, support):
        with pytest.raises(InputError, match="support: expected"):
            FeatureTile(np.ones((2, 2)), 1.0, support)

    @pytest.mark.parametrize("patch", [np.ones((2, 3)), np.full((2, 2), np.nan), np.full((2, 2), 2.0), np.full((2, 2), "a")])
    def test_refuses_patch(self, patch):
        with pytest.raises(InputError, match="patch"):
            FeatureTile(np.ones((2, 2)), 1.0).distance(patch)

    def test_patch_without_channel_axis_only_where_there_is_one_channel(self):
        with pytest.raises(InputError, match="expected shape"):
            FeatureTile(np.ones((3, 2, 2)), 1.0).distance(np.ones((2, 2)))


class TestTileClass:
    def test_one_tile_or_several(self):
        tile = FeatureTile(np.ones((2, 2)), 1.0)
        assert TileClass("a", tile).tiles == TileClass("a", [tile]).tiles == TileClass("a", iter([tile])).tiles == (tile,)

    def test_refuses(self):
        for name in ("", None, 3):
            with pytest.raises(InputError, match="class name"):
                TileClass(name, [FeatureTile(np.ones((2, 2)), 1.0)])
        with pytest.raises(InputError, match="at least one tile"):
            TileClass("a", [])
        with pytest.raises(InputError, match="expected FeatureTile, got ndarray"):
            TileClass("a", [np.ones((2, 2))])


class TestTaskErrors:
    one = FeatureTile(np.ones((2, 2)), 0.5)

    def test_no_class(self):
        with pytest.raises(InputError, match="at least one class"):
            TemplateTask([], (1, 4, 4))

    def test_not_a_class(self):
        with pytest.raises(InputError, match="expected TileClass, got FeatureTile"):
            TemplateTask([self.one], (1, 4, 4))

    def test_duplicate_names(self):
        with pytest.raises(InputError, match="used more than once: a"):
            TemplateTask([TileClass("a", self.one), TileClass("a", FeatureTile(np.full((2, 2), 0.5), 0.5))], (1, 4, 4))

    @pytest.mark.parametrize("shape", [(1, 1, 4), (1, 4, 1)])
    def test_tile_larger_than_image(self, shape):
        with pytest.raises(InputError, match="tile c0/0: 2×2 is larger than the image"):
            task_of(self.one, shape=shape)

    def test_channels(self):
        with pytest.raises(InputError, match="tile c0/0: has 1 channels, the images of the task 3"):
            task_of(self.one, shape=(3, 4, 4))

    @pytest.mark.parametrize("shape", [(4, 4), (1, 0, 4), (1, 4.5, 4), "144", None, 4, (1, float("inf"), 4)])
    def test_image_shape(self, shape):
        with pytest.raises(InputError, match="image_shape"):
            task_of(self.one, shape=shape)

    def test_near_tiles_of_two_classes(self):
        near = FeatureTile(np.full((2, 2), 0.9), 0.1)  # 0.4 from white: within white's ε but not within its own
        with pytest.raises(
            InputError, match=r"tile c1/0 contains tile c0/0 .* \(distance 0.4 < epsilon 0.5\); use an epsilon of at"
        ):
            task_of(self.one, near)
        with pytest.raises(InputError, match=r"tile c0/0 contains tile c1/0"):
            task_of(near, self.one)

    def test_equal_tiles_offer_no_epsilon_of_zero(self):
        with pytest.raises(InputError, match=r"use other tiles$"):
            task_of(self.one, FeatureTile(np.ones((2, 2)), 0.5))

    def test_a_larger_tile_that_contains_a_smaller(self):
        large = FeatureTile(np.pad(np.ones((2, 2)), ((1, 0), (0, 1))), 0.5, np.ones((3, 3), bool))
        with pytest.raises(InputError, match="tile c1/0 contains tile c0/0"):
            task_of(self.one, large)

    @given(matching_cases(counts=(0,)))
    def test_apart_is_what_the_double_loop_says(self, case):
        images, tiles = case
        contained = [
            tile.epsilon > plain_distance(other.values, tile, row, col)
            for other in tiles
            for tile in tiles
            if tile is not other
            for row in range(other.shape[1] - tile.shape[1] + 1)
            for col in range(other.shape[2] - tile.shape[2] + 1)
        ]
        if any(contained):
            with pytest.raises(InputError, match="cannot be told apart"):
                task_of(*tiles, shape=images.shape[1:])
        else:
            assert task_of(*tiles, shape=images.shape[1:]).tiles == tuple(tiles)

    def test_same_class_tiles_may_be_near(self):
        task = TemplateTask([TileClass("a", [self.one, FeatureTile(np.full((2, 2), 0.9), 0.5)])], (1, 4, 4))
        assert task.tile_class.tolist() == [0, 0]

    def test_distance_equal_to_epsilon_is_apart(self):
        assert len(task_of(self.one, FeatureTile(np.full((2, 2), 0.875), 0.5)).tiles) == 2  # exactly 0.5 away


class TestTask:
    def test_names_and_windows(self):
        small = FeatureTile(np.full((1, 3), 0.5), 0.1)
        task = TemplateTask([TileClass("a", [FeatureTile(np.ones((2, 2)), 0.1)]), TileClass("b", [small, small])], (1, 4, 5))
        assert [task.tile_name(i) for i in range(3)] == ["a/0", "b/0", "b/1"]
        assert task.windows == ((3, 4), (4, 3), (4, 3))
        assert task.tile_class.tolist() == [0, 1, 1]

    def test_contained_means_strictly_below_epsilon(self):
        task = task_of(FeatureTile(np.ones((1, 1)), 0.25), shape=(1, 1, 1))
        images = torch.tensor([0.75, 0.7500001, 0.5, 1.0]).view(4, 1, 1, 1)
        assert task.memberships(images).flatten().tolist() == [False, True, False, True]
        assert task.labels(images).tolist() == [-1, 0, -1, 0]

    def test_labels_none_one_several(self, squares):
        grey, white, black, both = torch.full((4, 1, 4, 4), 0.5)
        white[0, :2, :2], black[0, 2:, 2:] = 1, 0
        both[0, :2, :2], both[0, 2:, 2:] = 1, 0
        images = torch.stack([grey, white, black, both])
        assert squares.labels(images).tolist() == [-1, 0, 1, -1]
        assert squares.labels(images).dtype == torch.int64
        assert squares.memberships(images).dtype == torch.bool

    def test_no_images(self, squares):
        none = torch.zeros(0, 1, 4, 4)
        assert squares.phi(none).shape == squares.memberships(none).shape == (0, 2)
        assert squares.labels(none).shape == (0,)

    def test_wrong_images(self, squares):
        for bad in (torch.zeros(1, 1, 5, 5), torch.zeros(4, 4), torch.full((1, 1, 4, 4), 2.0), torch.zeros(1, 1, 4, 4).half()):
            with pytest.raises(InputError, match="images"):
                squares.phi(bad)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("epsilon", [1e-30, 1e-46, 1e-300])
    def test_membership_survives_a_slack_too_small_for_the_dtype(self, epsilon, dtype):
        task = task_of(FeatureTile(np.ones((2, 2)), epsilon))
        image = torch.ones(1, 1, 4, 4, dtype=dtype)
        assert task.memberships(image).all()
        assert task.labels(image).tolist() == [0]
        assert (tmi.match(image, task.tiles).slack > 0).all()

    @given(matching_cases(counts=(0, 1, 3)))
    def test_phi_is_proposition_1(self, case):
        images, tiles = case
        task = TemplateTask([TileClass("all", tiles)], images.shape[1:])
        phi = task.phi(images)
        assert phi.dtype == images.dtype
        expected = np.array([plain_phi(image, task) for image in images.numpy()]).reshape(len(images), 1)
        with np.errstate(over="ignore"):
            expected = expected.astype(phi.numpy().dtype)
        rtol = 1e-6 if images.dtype == torch.float32 else 1e-12
        np.testing.assert_allclose(phi.numpy(), expected, rtol=rtol, atol=rtol * 100)
        assert ((phi > 0) == task.memberships(images)).all()

    @given(tasks(), st.integers(0, 99))
    def test_phi_separates_classes(self, task, seed):
        images = torch.rand(3, *task.image_shape, generator=torch.Generator().manual_seed(seed))
        for label, tile in enumerate(task.tiles):
            _, k, l = tile.shape  # noqa: E741
            images[:, :, :k, :l] = torch.tensor(tile.values).float()
            assert task.memberships(images)[:, label].all()
            expected = np.array([plain_phi(image, task) for image in images.numpy()])
            np.testing.assert_allclose(task.phi(images).numpy(), expected, rtol=1e-5, atol=1e-5)
