"""A counterfactual differs in one thing, belongs to one class, and the scenes of a pair belong to one task."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tmi
from tmi.errors import InputError
from tmi_probes.causes.pairs import Pairs, draw_pairs, same_task

from ..toys import TASK, dataset
from .brute import drawn


@given(seed=st.integers(0, 1000), change=st.sampled_from(["tile", "place", "background"]), paste=st.booleans())
@settings(max_examples=15, deadline=None)
def test_one_thing_changes(seed, change, paste):
    rng = np.random.default_rng(seed)
    tiles = [tmi.FeatureTile(rng.random(shape), 0.01) for shape in ((2, 3), (3, 2), (2, 2))]
    task = tmi.TemplateTask([tmi.TileClass("a", tiles[:1]), tmi.TileClass("b", tiles[1:])], (1, 4, 5))
    scenes = tmi.Scenes.draw(task, 8, rng=rng, paste="support" if paste else "rectangle")
    notes = []
    pairs = draw_pairs(scenes, change, rng, notes)
    assert (pairs is None or len(pairs) < 8) == bool(notes)
    if pairs is None:  # no tile of another class fits at any of the places
        assert change == "tile"
        return
    a, b = pairs.clean, pairs.counterfactual
    assert a.paste == b.paste == scenes.paste
    assert b.unambiguous().all()
    assert (a.images != b.images).flatten(1).any(1).all()
    same = {
        "tile": (a.tile == b.tile).numpy(),
        "place": ((a.row == b.row) & (a.col == b.col)).numpy(),
        "background": (a.backgrounds == b.backgrounds).flatten(1).all(1).numpy(),
    }
    for what, equal in same.items():
        assert (equal == (what != change)).all(), what
    if change == "tile":
        assert (a.labels != b.labels).all()


def test_what_is_measured():
    scenes = drawn(4)
    pairs = draw_pairs(scenes, "tile", np.random.default_rng(0), [])
    for i, weights in enumerate(pairs.measured()):
        assert weights[pairs.clean.labels[i]] == 1
        assert weights[pairs.counterfactual.labels[i]] == -1
        assert np.abs(weights).sum() == 2
    weights = draw_pairs(scenes, "place", np.random.default_rng(0), []).measured()
    assert weights.sum(1) == pytest.approx(0)
    assert np.sort(weights, axis=1) == pytest.approx(np.tile([-0.5, -0.5, 1], (4, 1)))


def test_scenes_of_different_tasks_and_numbers_are_no_pairs():
    other = tmi.TemplateTask([tmi.TileClass("a", [tmi.FeatureTile(np.full((2, 2), 0.3), 0.1)])], (1, 5, 5))
    wrong = tmi.Scenes.draw(other, 6, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match=r"another task than the clean ones.*; patch between scenes of one task") as error:
        Pairs(drawn(6), wrong, "tile")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="one for each of the 6 clean scenes, got 5"):
        Pairs(drawn(6), drawn(5), "tile")
    again = tmi.TemplateTask(TASK.classes, TASK.image_shape)
    assert same_task(TASK, again)
    looser = [tmi.TileClass(c.name, [t.with_epsilon(0.2) for t in c.tiles]) for c in TASK.classes]
    assert not same_task(TASK, tmi.TemplateTask(looser, TASK.image_shape))


def _with(*tiles):
    """The classes of the task with other tiles of "grey", but for its first."""
    dark, grey, light = TASK.classes
    return [dark, tmi.TileClass("grey", [grey.tiles[0], *tiles]), light]


@pytest.mark.parametrize("probe", ["activation-patching", "ablation"])
@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (TASK.classes[:2], "the network has 3 classes, the data 2"),
        (TASK.classes[::-1], "class 0 of the network is 'dark', of the data 'light'"),  # the old fault: a tpr of 0.3
        (_with(), "class 'grey' of the network has 2 tiles, of the data 1"),
        (_with(TASK.tiles[2].with_epsilon(0.25)), "tile grey/1 of the network has epsilon 0.3, of the data 0.25"),
        (_with(tmi.FeatureTile(np.eye(3) * 0.5 + 0.2, 0.3)), "tile grey/1 of the network has other pixels"),
    ],
)
def test_probes_refuse_data_of_another_task(probe, classes, words):
    net = tmi.build("theorem1", TASK)
    with pytest.raises(InputError, match=f"images of different tasks: {words}.*; give data of the network's task") as error:
        tmi.probe(probe, net, dataset(6, task=tmi.TemplateTask(classes, TASK.image_shape)))
    assert "\n" not in str(error.value)
    again = dataset(6, task=tmi.TemplateTask(TASK.classes, TASK.image_shape))
    assert tmi.probe(probe, net, again).applicable


def test_there_may_be_none():
    task = tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(np.full((2, 2), v), 0.1)]) for n, v in (("a", 0.2), ("b", 0.9))], (1, 2, 2)
    )
    scenes = tmi.Scenes.draw(task, 5, rng=np.random.default_rng(0))
    rng = np.random.default_rng(0)
    assert draw_pairs(scenes, "place", rng, []) is None
    assert draw_pairs(scenes, "background", rng, []) is None  # the tile covers it
    assert len(draw_pairs(scenes, "tile", rng, [])) == 5
    assert draw_pairs(scenes[:1], "background", rng, []) is None
