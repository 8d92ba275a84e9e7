"""Scenes by design: every tile at each of a set of places on several backgrounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tmi
from tmi_probes.pipeline.designs import OFTEN, crossed, designed, sampled

from ..toys import TASK, dataset


def shown_by(scenes):
    return np.stack([scenes.tile.numpy(), scenes.row.numpy(), scenes.col.numpy()], axis=1)


def random_task(rng):
    """Tiles of random sizes, one pixel to the whole image, grey or in colour."""
    channels, side = int(rng.integers(1, 3)), 5
    tiles = [
        tmi.FeatureTile(rng.random((channels, *rng.integers(1, side + 1, 2))), 0.05 if k else 0.01)
        for k in range(rng.integers(2, 5))
    ]
    return tmi.TemplateTask([tmi.TileClass(str(k), [tile]) for k, tile in enumerate(tiles)], (channels, side, side))


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 150))
def test_every_tile_is_shown_at_places_on_the_same_backgrounds(seed, images):
    rng = np.random.default_rng(seed)
    data = dataset(15, seed=seed, task=random_task(rng))
    scenes = designed(data.test, images, seed)
    assert 1 <= len(scenes) <= max(images, 2)
    assert scenes.unambiguous().all()
    again = designed(data.test, images, seed)
    assert (shown_by(again) == shown_by(scenes)).all()
    assert bool((again.backgrounds == scenes.backgrounds).all())
    tiles = np.unique(data.test.tile.numpy())
    assert set(scenes.tile.tolist()) <= set(tiles.tolist())
    windows = np.array(data.task.windows)
    # A bound by hand: ten images for each of two places a tile.
    if images >= 2 * OFTEN * len(tiles):
        feature, count = np.unique(shown_by(scenes), axis=0, return_counts=True)
        for tile in tiles:
            own = feature[:, 0] == tile
            assert own.sum() >= min(2, windows[tile].prod()) or count[own].max() < OFTEN  # but for ambiguous images
        assert count.max() >= OFTEN
        # Two tiles of one size share their places.
        for one in tiles:
            for other in tiles:
                if (windows[one] == windows[other]).all() and len(scenes) == len(np.unique(feature, axis=0)) * count[0]:
                    assert (feature[feature[:, 0] == one, 1:] == feature[feature[:, 0] == other, 1:]).all()


def test_few_places_are_all_taken_and_many_are_drawn():
    data = dataset(60)
    every = int(np.prod(TASK.windows, axis=1).sum())
    whole = designed(data.test, 10 * every, 0)
    assert len(np.unique(shown_by(whole), axis=0)) == every
    assert len(designed(data.test, 20 * every, 0)) > 1.9 * len(whole)  # more backgrounds instead
    part = designed(data.test, 200, 0)
    feature, count = np.unique(shown_by(part), axis=0, return_counts=True)
    assert len(feature) == 200 // OFTEN
    assert set(count.tolist()) == {OFTEN}
    assert not (shown_by(designed(data.test, 200, 1)) == shown_by(part)).all()
    few = designed(data.test, 30, 0)  # two places a tile, on as many backgrounds as there are images for
    assert len(np.unique(shown_by(few), axis=0)) == 2 * len(TASK.tiles)
    assert len(few) == 24


def test_crossed_scenes_have_all_pairs():
    data = dataset(4)
    scenes = crossed(data.test, np.array([3, 1]), np.array([[0, 0, 0], [2, 4, 5]]))
    assert shown_by(scenes).tolist() == [[0, 0, 0], [2, 4, 5]] * 2
    assert bool((scenes.backgrounds == data.test.backgrounds[[3, 3, 1, 1]]).all())


def test_the_sample_is_by_design_or_the_first_test_scenes():
    data, notes = dataset(50), []
    assert bool((sampled(data.test, "test", 7, 0, notes).images == data.test[:7].images).all())
    assert not notes
    assert len(sampled(data.test, "design", 80, 0, notes)) == 80
    assert notes == ["80 images by design: 8 tiles at places, each on 10 backgrounds of the test scenes"]


def test_without_a_clear_image_there_is_no_design():
    data = dataset(3)
    with pytest.raises(tmi.InputError, match="none of the scenes shows a tile"):
        designed(data.test.without_tiles(), 10, 0)
    black, grey = tmi.FeatureTile(np.zeros((1, 1)), 0.1, np.ones((1, 1), bool)), tmi.FeatureTile(np.full((2, 2), 0.5), 0.2)
    task = tmi.TemplateTask([tmi.TileClass("black", [black]), tmi.TileClass("grey", [grey])], (1, 4, 4))
    alike = tmi.Scenes(task, np.zeros((4, 1, 4, 4), np.float32), 1, 0, 0)  # each shows both classes
    with pytest.raises(tmi.InputError, match='use "test"'):
        designed(alike, 10, 0)
