"""The bounds of the elimination: never above the distance, and good for something."""

from __future__ import annotations

import numba
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tmi import FeatureTile
from tmi.tasks.matching import cpu
from tmi.tasks.matching.blocks import LEVELS, Blocks
from tmi.tasks.matching.lanes import LANES, STEP, lanes_below


@numba.njit
def below(*args):
    return lanes_below(*args)


def box_sums(images: np.ndarray, blocks: Blocks) -> np.ndarray:
    """Return the planes that the engine computes, shape (planes, places, LANES)."""
    count, channels, m, n = images.shape
    padded = -(-channels * m * n // LANES) * LANES
    byte, sums = np.zeros((len(blocks.side), LANES, padded), np.uint8), cpu._aligned(len(blocks.side) * padded * LANES)
    cpu.block_sums(images.reshape(count, -1), n, blocks.side, blocks.scale, byte, sums)
    return sums.reshape(len(blocks.side), padded, LANES)


@st.composite
def cases(draw):
    """Draw as many images as lanes, and a tile near windows of some of them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, m, n = draw(st.tuples(st.integers(1, 3), st.integers(1, 14), st.integers(1, 14)))
    k, l = draw(st.integers(1, m)), draw(st.integers(1, n))  # noqa: E741
    levels = draw(st.sampled_from([1, 3, 255, 10**6]))
    values = rng.integers(0, levels + 1, (channels, k, l)) / levels
    images = rng.random((LANES, channels, m, n))
    noise = 10.0 ** rng.uniform(-6, 0, LANES)
    images[:, :, :k, :l] = np.clip(values + noise[:, None, None, None] * rng.normal(size=(LANES, channels, k, l)), 0, 1)
    support = rng.random(values.shape) < draw(st.sampled_from([0.5, 0.95, 1.0]))
    support.flat[0] = True
    epsilon = draw(st.sampled_from([1e-9, 0.01, 0.5, 5.0, 50.0, 1e6]))
    return images.astype(draw(st.sampled_from([np.float32, np.float64]))), FeatureTile(values, epsilon, support)


@given(cases())
def test_no_lane_within_epsilon_is_ruled_out(case):
    images, tile = case
    blocks = Blocks([tile], images.shape[1:], images.dtype)
    planes = box_sums(images, blocks).reshape(-1)
    _, k, l = tile.shape  # noqa: E741
    exact = FeatureTile(tile.values.astype(images.dtype), tile.epsilon, tile.support)
    distance = np.array([exact.distance(image[:, :k, :l]) for image in images])
    for level in range(LEVELS):
        first, last = blocks.start[level], blocks.start[level + 1]
        assert (last - first) % STEP == 0
        if first == last:
            continue
        mask = int(below(planes, 0, blocks.offset, blocks.low, blocks.high, first, last, blocks.limit[level]))
        lost = [lane for lane in range(LANES) if distance[lane] < tile.epsilon and not mask >> lane & 1]
        assert not lost


@given(cases())
def test_planes_hold_rounded_down_block_sums(case):
    images, tile = case
    blocks = Blocks([tile], images.shape[1:], images.dtype)
    _, channels, m, n = images.shape
    planes = box_sums(images, blocks)
    for plane, side, scale in zip(planes, blocks.side, blocks.scale, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(images.astype(np.float64), (side, side), (2, 3)).sum((4, 5))
        found = plane[: channels * m * n].T.reshape(LANES, channels, m, n)[:, :, : m - side + 1, : n - side + 1]
        exact = windows * scale
        assert (found <= exact + 2.0**-10).all()
        assert (found > exact - 1 - 2.0**-10).all()


def test_nearly_every_strange_window_is_left():
    rng = np.random.default_rng(0)
    tile = FeatureTile(rng.random((28, 28)).round(), 5.0, np.ones((28, 28), bool))
    images = np.repeat(np.repeat(rng.random((LANES, 1, 7, 7)), 4, 2), 4, 3)
    images[5, 0] = tile.values[0]
    blocks = Blocks([tile], (1, 28, 28), images.dtype)
    planes = box_sums(images, blocks).reshape(-1)
    mask = below(planes, 0, blocks.offset, blocks.low, blocks.high, blocks.start[0], blocks.start[1], blocks.limit[0])
    assert mask == 1 << 5


def test_a_tolerance_out_of_reach_takes_no_blocks():
    blocks = Blocks([FeatureTile(np.ones((4, 4)), 100.0)], (1, 8, 8), np.float32)
    assert len(blocks.offset) == len(blocks.side) == 0
