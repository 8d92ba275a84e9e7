from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from tmi import FeatureTile, InputError, TileClass

FULL = np.ones((2, 2), bool)


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
