"""Continuous paths of tiles: each deformation by hand, what lies between knots, and which pixels count."""

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tmi
from tmi_datasets.tile_paths import LIMITS, STEPS, TilePath, deformed, moved, rotated, tile_path

KINDS = list(STEPS)


def tile(values, epsilon=1.0, support=None):
    return tmi.FeatureTile(np.asarray(values, float), epsilon, support)


def smooth(side=12):
    """A bright disc that fades, with a bright border at the left."""
    row, col = np.mgrid[:side, :side] - (side - 1) / 2
    return tile((np.exp(-((row / 3) ** 2 + (col / 4) ** 2)) + (col < 2 - side / 2)).clip(0, 1))


@pytest.mark.parametrize("degrees", [0, 5, -33.3, 90, 180])
@pytest.mark.parametrize("outside", ["constant", "grid-constant"])
def test_rotation_is_scipys_to_the_last_bit(degrees, outside):
    values = np.random.default_rng(0).random((2, 5, 6))
    expected = scipy.ndimage.rotate(values, degrees, axes=(1, 2), reshape=False, order=1, mode=outside) if degrees else values
    assert np.array_equal(rotated(values, degrees, outside), expected.clip(0, 1))


def test_every_kind_by_hand():
    values = np.arange(1, 10).reshape(3, 3) / 10
    turned = deformed(tile(values), "rotation", 90)[0]
    assert turned == pytest.approx(np.rot90(values), abs=1e-12)
    # Half a column for each row from the centre: the middle row stays, the last one is taken from half a column further right.
    slanted = deformed(tile(values), "shear", 0.5)[0]
    assert slanted[1] == pytest.approx(values[1])
    assert slanted[2] == pytest.approx([0.75, 0.85, 0.45])
    assert slanted[0] == pytest.approx([0.05, 0.15, 0.25])
    # Half as large: the corners lie one pixel outside, where it is black.
    small = deformed(tile(values), "scale", -0.5)[0]
    assert small == pytest.approx(np.array([[0, 0, 0], [0, 0.5, 0], [0, 0, 0]]))
    grey = deformed(tile(values, support=values > 0.4), "grey", 0.15)[0]
    assert grey == pytest.approx(np.where(values > 0.4, np.minimum(values + 0.15, 1), values))


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_goes_through_the_tile_and_is_straight_between_knots(kind):
    of, step = smooth(), STEPS[kind]
    path = tile_path(of, kind, 3.5 * step)
    assert path.strengths == pytest.approx(np.array([-3.5, -3, -2, -1, 0, 1, 2, 3, 3.5]) * step)
    members, supports = path.at([0, step, 1.25 * step, 3.5 * step])
    assert np.array_equal(members[0], of.values)
    assert np.array_equal(supports[0], of.support)
    knots = [deformed(of, kind, k * step) for k in range(5)]
    assert np.array_equal(members[1], knots[1])
    assert members[2] == pytest.approx(0.75 * knots[1] + 0.25 * knots[2])
    assert members[3] == pytest.approx((knots[3] + knots[4]) / 2)
    back = path.mirrored().at([-1.25 * step])
    assert back[0][0] == pytest.approx(members[2])
    assert np.array_equal(back[1][0], supports[2])


@pytest.mark.parametrize("kind", KINDS)
def test_a_shorter_path_is_a_part_of_a_longer_one(kind):
    long, short = (tile_path(smooth(), kind, extent * STEPS[kind]) for extent in (7, 2.3))
    for ours, theirs in zip(short.at(short.strengths), long.at(short.strengths), strict=True):
        assert ours == pytest.approx(theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_members_between_knots_are_near_the_deformed_tile(kind):
    of, step = smooth(), STEPS[kind]
    path = tile_path(of, kind, 20 * step)
    between = (np.arange(-20, 20) + 0.5) * step
    away = [np.abs(member - deformed(of, kind, s)).sum() for s, member in zip(between, path.at(between)[0], strict=True)]
    assert max(away) < 0.05
    steps = np.diff(path.lengths)
    assert steps.min() > 0
    assert steps.max() < 2  # a border that turned black from one pixel to the next would be a jump of up to 12


def test_length_is_the_summed_change():
    of = tile([[0.5, 0.2, 0.0]])
    path = tile_path(of, "grey", 102 / 255)
    # Two pixels, of which one is cut off at 0 on the way down.
    assert path.length(102 / 255) == pytest.approx(102 / 255 * 3 + 0.2)
    assert path.length(0.1) == pytest.approx(0.4)
    fine = np.linspace(-8, 8, 641)
    path = tile_path(smooth(), "rotation", 8)
    assert path.length(8) == pytest.approx(np.abs(np.diff(path.at(fine)[0], axis=0)).sum())


@pytest.mark.parametrize("kind", ["rotation", "scale", "shear"])
def test_the_pixels_above_0_count_and_a_support_of_its_own_moves_alike(kind):
    values = np.zeros((7, 7))
    values[2:5, 1:4] = 0.5
    path = tile_path(tile(values), kind, 30 * STEPS[kind])
    assert np.array_equal(path.supports, path.values != 0)
    # The same tile, light and dark exchanged: by its values alone another support would follow.
    other = tile_path(tile(1 - values, support=values != 0), kind, 30 * STEPS[kind])
    assert np.array_equal(other.supports, path.supports)
    assert not np.array_equal(other.supports, other.values != 0)


def test_a_shift_of_grey_keeps_the_support():
    path = tile_path(tile([[0.1, 0.9, 0.0]]), "grey", 0.4)
    assert path.values[0, 0, 0] == pytest.approx([0, 0.5, 0])
    assert path.values[-1, 0, 0] == pytest.approx([0.5, 1, 0])
    assert (path.supports == [True, True, False]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_too_large_an_extent_is_an_error(kind):
    with pytest.raises(tmi.InputError, match=f"extent: {kind} goes to {LIMITS[kind]:g}"):
        tile_path(smooth(), kind, LIMITS[kind] * 1.01)


def test_a_tile_that_leaves_its_rectangle_is_an_error():
    corner = np.zeros((9, 9))
    corner[0, 0] = 1
    # The corner is 4 pixels from the centre: at 4/3 of its size it is one pixel outside.
    with pytest.raises(tmi.InputError, match=r"no pixel of the tile is left at 0\.335; use an extent below that"):
        tile_path(tile(corner), "scale", 0.5)
    tile_path(tile(corner), "scale", 0.33)


def test_the_identity_returns_the_values_themselves():
    values = np.random.default_rng(0).random((1, 3, 3))
    assert moved(values, np.ones(2)) is values
    assert moved(values, np.eye(2)) is values


@given(
    values=hnp.arrays(np.float64, (3, 1, 2, 2), elements=st.integers(0, 4).map(lambda k: k / 4)),
    template=hnp.arrays(np.float64, (1, 2, 2), elements=st.integers(0, 4).map(lambda k: k / 4)),
    share=st.floats(0, 1),
)
def test_distances_are_convex_on_a_straight_piece(values, template, share):
    path = TilePath(np.arange(3.0), values, values != 0)
    for start in (0, 1):
        before, between, after = np.abs(path.at([start, start + share, start + 1])[0] - template).sum((1, 2, 3))
        assert between <= (1 - share) * before + share * after + 1e-12
