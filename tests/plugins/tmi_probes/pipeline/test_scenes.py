import pytest
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tmi_probes.pipeline.scenes import labelled, spread_over

from ..toys import dataset


def test_only_labelled_scenes_count():
    scenes = dataset(6).test
    scenes = tmi.Scenes(scenes.task, scenes.backgrounds, [-1, 0, 1, -1, 2, 3], 0, 0)
    assert labelled(scenes).tile.tolist() == [0, 1, 2, 3]
    assert labelled(scenes, 2).tile.tolist() == [0, 1]
    with pytest.raises(tmi.InputError, match="shows a tile"):
        labelled(scenes.without_tiles())


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(1, 25))
def test_as_many_groups_as_possible(groups, count):
    chosen = spread_over(groups, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(groups))
    assert len({groups[i] for i in chosen}) == min(count, len(set(groups)))
