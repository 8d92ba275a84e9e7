from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tests.tmi.cases import matching_cases, plain_distance, plain_phi, tasks
from tmi import FeatureTile, InputError, TemplateTask, TileClass


def task_of(*tiles, shape=(1, 4, 4)):
    return TemplateTask([TileClass(f"c{i}", [tile]) for i, tile in enumerate(tiles)], shape)


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
        near = FeatureTile(np.full((2, 2), 0.9), 0.1)  # 0.4 from black: within black's ε but not within its own
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

    def test_ink(self, squares):
        assert squares.ink
        assert not TemplateTask(squares.classes, squares.image_shape).ink
        with pytest.raises(tmi.InputError, match="ink: expected True or False, got 1"):
            TemplateTask(squares.classes, squares.image_shape, ink=1)

    def test_labels_none_one_several(self, squares):
        grey, black, white, both = torch.full((4, 1, 4, 4), 0.5)
        black[0, :2, :2], white[0, 2:, 2:] = 1, 0
        both[0, :2, :2], both[0, 2:, 2:] = 1, 0
        images = torch.stack([grey, black, white, both])
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
