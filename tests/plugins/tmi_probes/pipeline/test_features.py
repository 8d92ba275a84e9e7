import numpy as np
import pytest

import tmi
from tmi_probes.pipeline.features import KINDS, feature_of_neurons, features, own_kind

from ..toys import TASK, dataset


def shown(tile, row, col):
    return tmi.Scenes(TASK, np.zeros((len(tile), 1, 8, 8), np.float32), tile, row, col)


def test_by_hand():
    scenes = shown([2, 0, 2, 1], [1, 0, 1, 3], [4, 0, 5, 2])
    tile, place, label = (features(scenes, kind) for kind in KINDS)
    assert (tile.of_image.tolist(), tile.identity.tolist()) == ([2, 0, 2, 1], [[0], [1], [2]])
    assert (place.of_image.tolist(), len(place)) == ([2, 0, 3, 1], 4)
    assert place.identity.tolist() == [[0, 0, 0], [1, 3, 2], [2, 1, 4], [2, 1, 5]]
    assert label.of_image.tolist() == [1, 0, 1, 1]  # tiles 1 and 2 are of class 1
    assert tile.counts.tolist() == [1, 1, 2]
    assert place.names(TASK)[3] == f"{TASK.tile_name(2)} (1, 5)"
    assert label.names(TASK) == ["dark", "grey"]
    assert (tile.members @ np.arange(4.0)).tolist() == [1, 3, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_indicators_are_those_of_the_scenes(kind):
    scenes = dataset(30).test
    found = features(scenes, kind)
    dense = found.members.toarray()
    assert (dense.sum(0) == 1).all()
    assert (dense.sum(1) == found.counts).all()
    assert (dense.argmax(0) == found.of_image).all()
    assert (found.counts >= 1).all()


def test_kinds_of_layers():
    data = tmi.generate("squares", seed=0, samples=1, test_samples=5)
    literal = tmi.build("theorem1", data, realisation="literal")
    kinds = [own_kind(literal.neurons(layer)) for layer in literal.layers]
    assert dict(zip(literal.layers, kinds, strict=True)) == {"conv": None, "hidden": "tile-place", "logits": "class"}
    assert own_kind({"tile": [0], "class": ["dark"]}) == "tile"
    assert own_kind(None) is None


def test_neurons_and_features():
    scenes = shown([2, 0, 2], [1, 0, 1], [4, 0, 5])
    table = {"tile": [0, 2, 2, 3], "class": ["dark", "grey", "grey", "light"], "row": [0, 1, 1, 0], "col": [0, 5, 3, 0]}
    assert feature_of_neurons(table, features(scenes, "tile-place"), TASK).tolist() == [0, 2, -1, -1]
    assert feature_of_neurons(table, features(scenes, "tile"), TASK).tolist() == [0, 1, 1, -1]
    assert feature_of_neurons(table, features(scenes, "class"), TASK).tolist() == [0, 1, 1, -1]
