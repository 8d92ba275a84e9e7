from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tests.strategies import tiles
from tmi.tasks.separation import with_auto_epsilon


@st.composite
def groups(draw):
    """Two or three classes of tiles of different sizes, without a thought for ε."""
    levels = draw(st.sampled_from([4, 10]))
    channels = draw(st.sampled_from([1, 3]))
    one = st.lists(tiles(channels, 4, 4, levels=levels), min_size=1, max_size=3)
    return [tmi.TileClass(f"class {i}", draw(one)) for i in range(draw(st.integers(2, 3)))]


def plain(classes):
    """All pairs, all windows, one loop."""
    least = float("inf")
    for one in classes:
        for other in classes:
            for holder in one.tiles if one is not other else ():
                for tile in other.tiles:
                    _, k, l = tile.shape  # noqa: E741
                    for row in range(holder.shape[1] - k + 1):
                        for col in range(holder.shape[2] - l + 1):
                            least = min(least, tile.distance(holder.values[:, row : row + k, col : col + l]))
    return least


@given(groups())
def test_is_the_least_distance_to_the_last_bit(classes):
    found = tmi.separation(classes)
    assert found.epsilon == plain(classes)
    if found.holder:
        tile_of = {f"{one.name}/{i}": tile for one in classes for i, tile in enumerate(one.tiles)}
        holder, tile = tile_of[found.holder], tile_of[found.tile]
        window = holder.values[:, found.row : found.row + tile.shape[1], found.col : found.col + tile.shape[2]]
        assert tile.distance(window) == found.epsilon
        assert found.holder.split("/")[0] != found.tile.split("/")[0]


@given(groups())
def test_a_task_accepts_it_and_nothing_above(classes):
    def task(epsilon):
        return tmi.TemplateTask([tmi.TileClass(c.name, [t.with_epsilon(epsilon) for t in c.tiles]) for c in classes], shape)

    shape = (classes[0].tiles[0].shape[0], 4, 4)
    least = tmi.separation(classes).epsilon
    if least == float("inf"):
        assert task(1e6).separation().epsilon == least
        return
    if least > 0:
        accepted = task(least)
        assert accepted.separation() == tmi.separation(classes)
    with pytest.raises(tmi.InputError, match="told apart"):
        task(np.nextafter(least, np.inf) * (1 + 1e-12) if least else 1e-9)


def test_which_tile_holds_which_matters():
    # Over the one pixel of "dot" the tiles differ by 0.25; over all four of "square" by more.
    dot = tmi.FeatureTile([[0.5, 0.0], [0.0, 0.0]], 0.1)
    square = tmi.FeatureTile([[0.75, 1.0], [1.0, 1.0]], 0.1)
    found = tmi.separation([tmi.TileClass("dot", [dot]), tmi.TileClass("square", [square])])
    assert (found.epsilon, found.holder, found.tile) == (0.25, "square/0", "dot/0")
    assert str(found) == "epsilon at most 0.25: tile square/0 is that near to containing tile dot/0"


def test_every_window_of_a_larger_tile_counts():
    small = tmi.FeatureTile([[0.5]], 0.1)
    large = tmi.FeatureTile([[1.0, 0.25], [0.625, 1.0]], 0.1)
    found = tmi.separation([tmi.TileClass("small", [small]), tmi.TileClass("large", [large])])
    assert found == tmi.Separation(0.125, "large/0", "small/0", 1, 0)


def test_nothing_to_separate():
    one = tmi.TileClass("one", [tmi.FeatureTile([[0.5, 1.0]], 0.1)])
    other = tmi.TileClass("other", [tmi.FeatureTile([[0.5], [1.0]], 0.1)])
    for classes in ([one], [one, other]):
        found = tmi.separation(classes)
        assert found.epsilon == float("inf")
        assert "at any epsilon" in str(found)
        with pytest.raises(tmi.InputError, match='epsilon "auto": nothing limits it'):
            with_auto_epsilon(classes)
    with pytest.raises(tmi.InputError, match="at least one class"):
        tmi.separation([])
    with pytest.raises(tmi.InputError, match="channels"):
        tmi.separation([one, tmi.TileClass("colour", [tmi.FeatureTile(np.ones((3, 1, 1)), 0.1)])])


def test_auto(squares):
    classes = with_auto_epsilon(squares.classes)
    assert [tile.epsilon for one in classes for tile in one.tiles] == [2.0, 2.0]
    assert [one.name for one in classes] == ["black", "white"]
    same = tmi.FeatureTile([[0.5]], 0.1)
    with pytest.raises(tmi.InputError, match=r"tile a/0 contains tile b/0 of another class"):
        with_auto_epsilon([tmi.TileClass("a", [same]), tmi.TileClass("b", [same])])


def test_auto_within_classes():
    classes = [
        tmi.TileClass("dark", [tmi.FeatureTile([[0.125]], 1.0), tmi.FeatureTile([[0.25]], 1.0)]),
        tmi.TileClass("light", [tmi.FeatureTile([[1.0]], 1.0)]),
    ]
    assert tmi.separation(classes).epsilon == 0.75
    assert with_auto_epsilon(classes)[0].tiles[0].epsilon == 0.375
    assert with_auto_epsilon(classes, within=True)[0].tiles[0].epsilon == 0.125
    twins = [tmi.TileClass("dark", [classes[0].tiles[0]] * 2), classes[1]]
    with pytest.raises(tmi.InputError, match="contains another of its class"):
        with_auto_epsilon(twins, within=True)


def test_with_epsilon():
    tile = tmi.FeatureTile([[0.5, 0.0]], 0.1)
    other = tile.with_epsilon(2)
    assert other.epsilon == 2.0
    np.testing.assert_array_equal(other.values, tile.values)
    np.testing.assert_array_equal(other.support, tile.support)
    with pytest.raises(tmi.InputError, match="epsilon"):
        tile.with_epsilon(0)
