import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tmi_probes.pipeline.scenes import in_float64, labelled, originals, pictures, spread_over

from ..toys import dataset


def test_only_labelled_scenes_count():
    scenes = dataset(6).test
    scenes = tmi.Scenes(scenes.task, scenes.backgrounds, [-1, 0, 1, -1, 2, 3], 0, 0)
    assert labelled(scenes).tile.tolist() == [0, 1, 2, 3]
    assert labelled(scenes, 2).tile.tolist() == [0, 1]
    with pytest.raises(tmi.InputError, match="shows a tile"):
        labelled(scenes.without_tiles())


def test_the_first_scenes_are_a_view():
    scenes = dataset(6).test
    rendered = scenes.backgrounds  # before they are rendered there is nothing to share
    assert labelled(scenes, 4).backgrounds.data_ptr() == rendered.data_ptr()
    apart = tmi.Scenes(scenes.task, scenes.backgrounds, [0, -1, 0, 0, -1, 0], 0, 0)
    assert torch.equal(labelled(apart, 2).images, apart.images[[0, 2]])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=12))
def test_equal_images_have_one_number(shown):
    scenes = dataset(12).test[: len(shown)].with_backgrounds(0.0)
    tile, row, col = zip(*shown, strict=True)
    scenes = tmi.Scenes(scenes.task, scenes.backgrounds, tile, row, col)
    found = pictures(scenes)
    for i in range(len(shown)):
        for j in range(len(shown)):
            assert (found[i] == found[j]) == torch.equal(scenes.images[i], scenes.images[j])
    assert set(found.tolist()) == set(range(len(set(shown))))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(1, 25))
def test_as_many_groups_as_possible(groups, count):
    chosen = spread_over(groups, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(groups))
    assert len({groups[i] for i in chosen}) == min(count, len(set(groups)))


def test_scenes_to_vary_are_of_new_classes_first_then_of_new_tiles():
    scenes = dataset(40).test
    for seed in range(5):
        chosen, notes = originals(scenes, 6, np.random.default_rng(seed))
        label, tile = scenes.labels[chosen].tolist(), scenes.tile[chosen].tolist()
        assert len(set(chosen)) == 6
        assert len(set(label[:3])) == 3
        assert len(set(tile[:4])) == 4
        assert not notes
    assert originals(scenes[:2], 3, np.random.default_rng(0))[1] == ["2 tiles instead of 3: the test set has no more scenes"]
    with pytest.raises(tmi.InputError, match="shows a tile"):
        originals(scenes.without_tiles(), 1, np.random.default_rng(0))


def test_in_float64_a_pasted_tile_has_its_exact_values():
    scenes = dataset(5).test
    images = in_float64(scenes).images
    assert images.dtype == torch.float64
    for image, tile, row, col in zip(images.numpy(), scenes.tile.tolist(), scenes.row.tolist(), scenes.col.tolist(), strict=True):
        assert (image[:, row : row + 3, col : col + 3] == scenes.task.tiles[tile].values).all()


def test_one_scene_of_every_tile():
    scenes = dataset(40).test
    chosen, notes = originals(scenes, "all", np.random.default_rng(0))
    assert scenes.tile[chosen].tolist() == [0, 1, 2, 3]
    assert not notes
    assert chosen == originals(scenes, "all", np.random.default_rng(0))[0]
    assert any(originals(scenes, "all", np.random.default_rng(seed))[0] != chosen for seed in range(5))
    three = scenes[scenes.tile != 1]
    assert three.tile[originals(three, "all", np.random.default_rng(0))[0]].tolist() == [0, 2, 3]
