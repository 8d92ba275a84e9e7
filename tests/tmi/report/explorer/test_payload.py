"""What a page holds: arrays with the least type, scenes of each class, and networks as long as there is room."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

import tmi
from tests.tmi.report.explorer.answers import six_tiles
from tmi.errors import InputError
from tmi.report.explorer.payload import SCENES, pack, size, world

TYPES = {"u1": "u1", "u2": "<u2", "i4": "<i4", "f4": "<f4"}


@pytest.fixture(scope="module")
def squares():
    return tmi.generate("squares", seed=0, samples=10, test_samples=30)


def unpacked(packed):
    values = np.frombuffer(base64.b64decode(packed["data"]), TYPES[packed["type"]])
    return values / packed["scale"] if packed.get("scale") else values


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 255], "u1"),
        ([0.0, 1.0, 3.0], "u1"),
        ([True, False], "u1"),
        ([0, 256], "u2"),
        ([0, 65536], "i4"),
        ([-1, 3], "i4"),
        (np.arange(256) / 255, "u1"),
        ([0.5, 0.25], "f4"),
        ([2.5, -1e9], "f4"),
        ([np.nan, 1], "f4"),
        ([], "u1"),
        ([3e10], "f4"),
    ],
)
def test_arrays_have_the_least_type_that_holds_them(values, kind):
    packed = pack(np.array(values))
    assert packed["type"] == kind
    np.testing.assert_allclose(unpacked(packed), np.array(values, float).astype(np.float32), rtol=1e-7)


def test_a_world_is_json_with_a_scene_of_each_class(squares):
    made = json.loads(json.dumps(world(squares, {"built": tmi.build("theorem1", squares)}, 10**6)))
    assert len(made["scenes"]) == SCENES
    assert {made["tiles"][scene["tile"]]["class"] for scene in made["scenes"][:2]} == {0, 1}
    assert [tile["name"] for tile in made["tiles"]] == ["black/0", "white/0"]
    (network,) = made["networks"]
    hidden = network["layers"][0]
    table = squares.task.windows[0][0] * squares.task.windows[0][1]
    assert hidden["shape"] == [2 * table]
    assert unpacked(hidden["neurons"]["tile"]["index"]).tolist() == [0] * table + [1] * table
    assert hidden["neurons"]["class"]["names"] == ["black", "white"]
    assert "neurons" not in network["layers"][-1]


def test_directions_of_shared_neurons_are_there():
    data = six_tiles()
    network = tmi.build("superposed", data, seed=0, weight=2)
    layers = world(data, {"superposed": network}, 10**7)["networks"][0]["layers"]
    known = next(layer for layer in layers if layer["name"] == "mixed")["directions"]
    matrix = network.directions("mixed").sparse
    assert known["by_place"]
    np.testing.assert_array_equal(unpacked(known["columns"]), matrix.indices)
    np.testing.assert_array_equal(unpacked(known["features"]["tile"]["index"]), np.arange(len(data.task.tiles)))


def test_a_construction_whose_layers_have_no_room_is_written_as_its_formula(squares):
    literal = tmi.build("theorem1", squares, realisation="literal")
    (whole,) = world(squares, {"literal": literal}, 10**6)["networks"]
    (small,) = world(squares, {"literal": literal}, size(world(squares, {}, 10**6)) + 2000)["networks"]
    assert [layer["name"] for layer in whole["layers"]] == ["conv", "hidden", "logits"]
    assert [layer["name"] for layer in small["layers"]] == ["hidden", "logits"]
    assert not whole["note"]
    assert "the layers conv are not shown" in small["note"]


def test_what_has_no_room_is_left_out_with_the_reason(squares):
    networks = {"one": tmi.build("theorem1", squares), "large": tmi.build("mlp", squares, epochs=0)}
    room = size(world(squares, {}, 10**6)) + 2000
    made = world(squares, networks, room, [("broken", "why")])
    assert [one["name"] for one in made["networks"]] == ["one"]
    assert made["left_out"][0] == {"name": "broken", "why": "why"}
    assert "the page has room for" in made["left_out"][1]["why"]


def test_a_network_that_is_computed_like_another_is_left_out(squares):
    networks = {"one": tmi.build("theorem1", squares), "again": tmi.build("theorem1", squares)}
    made = world(squares, networks, 10**6)
    assert made["left_out"] == [{"name": "again", "why": "the page computes it by the same operations as one"}]


def test_data_without_tiles_or_room_are_refused(squares):
    with pytest.raises(InputError, match="2 tiles of data set 'squares' are too large"):
        world(squares, {}, 100)
    bare = tmi.Dataset(squares.task, squares.train.without_tiles(), squares.test.without_tiles())
    with pytest.raises(InputError, match="no scene of the data set shows a tile"):
        world(bare, {}, 10**6)


def test_the_size_is_about_that_of_the_json(squares):
    made = world(squares, {"built": tmi.build("theorem1", squares)}, 10**6)
    assert size(made) == pytest.approx(len(json.dumps(made)), rel=0.3)
