"""The vector code is plain loops, to the last bit."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.plain_numba import below, turned
from tmi.tasks.matching import cpu
from tmi.tasks.matching.lanes import LANES, STEP, lanes_below, lanes_last


@numba.njit
def turn(rows, stride, planes, place):
    lanes_last(rows, stride, planes, place)


@pytest.mark.parametrize("stride", [LANES, LANES + 7])
def test_lanes_last_is_a_transpose(stride):
    rows = np.random.default_rng(1).integers(0, 256, LANES * stride).astype(np.uint8)
    planes = cpu._aligned(3 * LANES**2)
    planes[:] = 7
    turn(rows, stride, planes, LANES**2)
    square = rows.reshape(LANES, stride)[:, :LANES]
    np.testing.assert_array_equal(planes.reshape(3, LANES, LANES)[1], square.T)
    assert (planes.reshape(3, -1)[[0, 2]] == 7).all()


@numba.njit
def vector_below(*args):
    return lanes_below(*args)


@given(st.integers(0, 2**32 - 1))
def test_lanes_below_is_the_plain_loop(seed):
    rng = np.random.default_rng(seed)
    places, blocks = int(rng.integers(1, 9)), STEP * int(rng.integers(1, 6))
    planes = cpu._aligned((places + 3) * LANES)
    planes[:] = rng.integers(0, 256, len(planes))
    offset = rng.integers(0, places, blocks)
    low, high = np.sort(rng.integers(0, 256, (2, blocks)), axis=0).astype(np.uint32) * np.uint32(0x01010101)
    limit = np.uint8(rng.integers(1, 256))
    corner = int(rng.integers(0, 4))
    expected = below(planes, corner, offset, low, high, 0, blocks, limit)
    assert vector_below(planes, corner, offset, low, high, 0, blocks, limit) == expected
    x = planes.reshape(-1, LANES)[corner + offset].astype(int)
    bottom, top = ((part & 255).astype(int)[:, None] for part in (low, high))
    sums = np.maximum(0, np.maximum(x - top, bottom - x)).sum(0)
    assert expected == sum(1 << lane for lane in range(LANES) if sums[lane] < limit)


def test_lanes_last_is_the_plain_loop():
    rows = np.random.default_rng(2).integers(0, 256, LANES * (LANES + 5)).astype(np.uint8)
    one, other = cpu._aligned(LANES**2), cpu._aligned(LANES**2)
    turn(rows, LANES + 5, one, 0)
    turned(rows, LANES + 5, other, 0)
    np.testing.assert_array_equal(one, other)
