"""Covers: every member is contained, no choice of templates is smaller, and the number follows the length of the path."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tmi
from tmi_datasets.cover import PARTS, candidates, cover, stretches
from tmi_datasets.tile_paths import TilePath, tile_path


@st.composite
def paths(draw, most=4):
    """Paths through random tiles of a few pixels, with any pixels counting, at uneven strengths around 0."""
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    sides = draw(st.integers(1, most)), draw(st.integers(1, most))
    count = sum(sides) + 1
    values = draw(hnp.arrays(np.float64, (count, *shape), elements=st.integers(0, 4).map(lambda k: k / 4)))
    supports = values != 0
    if draw(st.booleans()):
        supports = draw(hnp.arrays(np.bool_, values.shape))
    assume(supports.any((1, 2, 3)).all())
    gaps = np.array(draw(st.lists(st.sampled_from([0.5, 1.0, 1.5]), min_size=count - 1, max_size=count - 1)))
    strengths = np.concatenate([[0.0], np.cumsum(gaps)])
    return TilePath(strengths - strengths[sides[0]], values, supports)


epsilons = st.sampled_from([0.1, 0.26, 0.5, 1.0, 2.3])


def distances(path, template, members):
    """t(s) by Definition 3.3, one member at a time."""
    values, support = (part[0] for part in path.at([template]))
    tile = tmi.FeatureTile(values, 1.0, support)
    return np.array([tile.distance(member) for member in path.at(members)[0]])


def dense(path):
    return np.linspace(path.strengths[0], path.strengths[-1], 101)


@given(path=paths(), epsilon=epsilons)
def test_every_member_up_to_every_extent_is_contained_in_a_template(path, epsilon):
    chosen = cover(path, epsilon)
    members = dense(path)
    contained = np.array([distances(path, s, members) < epsilon for s in chosen.strengths])
    assert chosen.strengths[0] == 0
    for extent in np.linspace(0, np.abs(path.strengths[[0, -1]]).max(), 7):
        used = np.concatenate([[True], chosen.needed[1:] < extent])
        assert used.sum() == chosen.count(extent)
        assert contained[used][:, np.abs(members) <= extent].any(0).all()
    assert chosen.count(np.inf) == len(chosen)


@given(path=paths(), epsilon=epsilons)
def test_a_stretch_ends_where_the_distance_reaches_epsilon(path, epsilon):
    place, low, high = stretches(path, epsilon)
    members = dense(path)
    for c in range(0, len(place), 3):
        inside = (members >= low[c]) & (members <= high[c])
        assert (distances(path, place[c], members[inside]) < epsilon).all()
        for end, beyond in ((low[c], place[place < low[c] - 1e-12][-1:]), (high[c], place[place > high[c] + 1e-12][:1])):
            assert low[c] <= place[c] <= high[c]
            assert len(beyond) or end == pytest.approx(place[0 if end <= place[c] and end == low[c] else -1])
            assert (distances(path, place[c], beyond) >= epsilon - 1e-6).all()


@settings(max_examples=40)
@given(path=paths(most=2), epsilon=st.sampled_from([0.5, 1.0, 2.3]))
def test_no_choice_of_stretches_covers_a_side_with_fewer(path, epsilon):
    """All sets of stretches beside the tile's own, by brute force."""
    place, low, high = stretches(path, epsilon)
    first = int(np.flatnonzero(place == 0)[0])
    chosen = cover(path, epsilon)
    upwards = 0
    for low, high, first in ((low, high, first), (-high[::-1], -low[::-1], len(place) - 1 - first)):  # noqa: B020
        end = high.max()

        def reached(group, low=low, high=high, first=first):
            until = high[first]
            for c in sorted(group, key=lambda c: low[c]):
                until = max(until, high[c]) if low[c] <= until else until
            return until

        sizes = range(3)
        least = next((n for n in sizes if any(reached(g) >= end for g in combinations(range(len(place)), n))), None)
        assume(least is not None)
        upwards += least
    assert len(chosen) == 1 + upwards


@given(path=paths(), epsilon=epsilons)
def test_the_number_is_bounded_by_the_length(path, epsilon):
    """From either end of the tile's own stretch, a template covers at least 2ε less one step of the candidates."""
    limit = epsilon - path.values[0].size * 2.0**-24
    origin = float(np.interp(0, path.strengths, path.lengths))
    sides = np.array([origin, path.lengths[-1] - origin])
    further = np.ceil((sides - limit).clip(0) / (2 * limit - epsilon / PARTS))
    assert len(cover(path, epsilon)) <= 1 + further.sum()


def test_on_a_straight_path_the_number_is_known():
    # 40 pixels move alike: ±0.3 is 12 each way, of which 0.5 is the tile's own, and 1 or nearly so each further template's.
    tile = tmi.FeatureTile(np.full((5, 8), 0.5), 0.5)
    path = tile_path(tile, "grey", 0.3)
    assert path.length(0.3) == pytest.approx(24)
    for extent, sides in ((0.0124, 0), (0.0126, 1), (0.3, 12)):
        number = int(cover(tile_path(tile, "grey", extent), 0.5).count(extent))
        assert 1 + 2 * sides <= number <= 1 + 2 * np.ceil(1.07 * sides)
    counts = cover(path, 0.5).count([0.0124, 0.0126, 0.05, 0.3])
    assert counts[0] == 1
    assert counts[1] == 3
    assert (np.diff(counts) > 0).all()


def test_what_does_not_change_needs_one_template():
    values = np.full((3, 1, 2, 2), 0.5)
    assert len(cover(TilePath(np.arange(-1.0, 2), values, values != 0), 0.1)) == 1


def test_members_are_contained_in_float32_too():
    """At the ends of a stretch, where ε is nearly reached, in an image whose values are rounded."""
    tile = tmi.FeatureTile(np.random.default_rng(0).random((6, 6)), 0.7)
    path = tile_path(tile, "rotation", 4)
    place, low, high = stretches(path, tile.epsilon)
    for c in range(0, len(place), 5):
        values, support = (part[0] for part in path.at(place[[c]]))
        members = path.at([low[c], high[c]])[0].astype(np.float32)
        assert len(tmi.match(members, tmi.FeatureTile(values, tile.epsilon, support))) == 2


def test_candidates_are_near_each_other_and_contain_the_knots():
    path = tile_path(tmi.FeatureTile(np.random.default_rng(1).random((6, 6)), 1.0), "shear", 0.031)
    place = candidates(path, 0.05)
    assert np.isin(path.strengths, place).all()
    assert np.diff(np.interp(place, path.strengths, path.lengths)).max() <= 0.05 + 1e-12
    assert (np.diff(place) > 0).all()


def test_epsilon_must_be_above_rounding():
    tile = tmi.FeatureTile(np.full((5, 8), 0.5), 1.0)
    with pytest.raises(tmi.InputError, match="too small beside rounding"):
        cover(tile_path(tile, "grey", 0.1), 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rotation", "scale", "shear", "grey"])
def test_on_fashion_each_point_beyond_a_template_needs_another_one(kind):
    """On a side of the tile no template contains two such points, whatever it contains beside its stretch: none can be spared.

    With one hundredth of ε less, for the ends are on chords.
    """
    for tile in tmi.generate("fashion", seed=0, samples=1, test_samples=1, source="sample").task.tiles:
        extent = {"rotation": 32}.get(kind, 0.4)
        path = tile_path(tile, kind, extent)
        chosen = cover(path, tile.epsilon)
        place = candidates(path, tile.epsilon / PARTS)
        for sign in (1, -1):
            ends = chosen.needed[1:][np.sign(chosen.strengths[1:]) == sign]
            assert len(ends) > 3
            points = path.at(sign * (ends + 1e-6 * extent))[0]
            for part in np.array_split(place, 40):
                for template, support in zip(*path.at(part), strict=True):
                    assert (np.abs(points - template)[:, support].sum(1) < 0.99 * tile.epsilon).sum() <= 1
