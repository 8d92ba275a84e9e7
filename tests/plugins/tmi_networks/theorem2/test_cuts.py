from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tmi
from tests.strategies import tiles as drawn_tiles
from tmi_networks.theorem2 import theorem2


def test_sharing_counts_by_hand():
    shared = np.array([[1, 0.5], [0.25, 1]])
    one = np.block([[shared, shared], [np.zeros((2, 2)), shared.T]])
    two = np.block([[shared, 1 - shared / 2], [np.zeros((2, 2)), np.ones((2, 2))]])
    task = tmi.TemplateTask(
        [tmi.TileClass("one", [tmi.FeatureTile(one, 0.5)]), tmi.TileClass("two", [tmi.FeatureTile(two, 0.5)])], (1, 6, 6)
    )
    from tmi_networks.theorem2 import sharing

    table = sharing(task)
    assert list(table.columns) == ["side", "patches", "distinct", "shared"]
    # values: ¼, ½, 1 in one; also ¾, ⅞ in two. Patches: shared, its transpose; shared, the other, ones. Empty quarters are none.
    assert table.values.tolist() == [[1, 24, 5, 3], [2, 6, 4, 1], [4, 2, 2, 0]]
    level = theorem2(task).neurons("level1").drop_duplicates("patch")
    assert sorted(level["tiles"]) == [(0,), (0, 0, 1), (1,), (1,)]
    assert ((0, 0), (0, 2), (0, 0)) in list(level["places"])
    assert sharing(tmi.generate("squares", seed=0, samples=1, test_samples=1)).values.tolist() == [[1, 8, 2, 0], [2, 2, 2, 0]]


@settings(max_examples=60, deadline=None)
@given(st.lists(drawn_tiles(2, 6, 6), min_size=1, max_size=4))
def test_patches_put_together_again_are_the_tiles(tiles):
    from tmi_networks.theorem2.cuts import EMPTY, least_levels, patches_of

    r = least_levels(tiles)
    patches = patches_of(tiles, r)
    drawn = np.full((len(tiles), 2, 1 << r, 1 << r), -1.0)

    def draw(level, patch, tile, row, col, channel=0):
        if patch == EMPTY:
            return
        if level == 0:
            drawn[tile, patches.channel[patch], row, col] = patches.value[patch]
        for place, part in np.ndenumerate(patches.levels[level].parts[patch]):
            half = 1 << (level - 1)
            draw(level - 1, part, tile, row + place[1] * half, col + place[2] * half)

    top = patches.levels[-1]
    assert top.tile.tolist() == list(range(len(tiles)))
    for patch, tile in zip(top.patch, top.tile, strict=True):
        draw(r, patch, tile, 0, 0)
    for tile, got in zip(tiles, drawn, strict=True):
        expected = np.full(got.shape, -1.0)
        expected[:, : tile.shape[1], : tile.shape[2]] = np.where(tile.support, tile.values, -1)
        assert np.array_equal(got, expected)
