"""Data set hierarchy: strings of a random grammar as tiles, and what Theorem 2's levels are of it."""

import hashlib
import itertools

import numpy as np
import pytest
import torch

import tmi
from tmi_datasets.hierarchy import feature_maps, feature_recovery

SMALL = {"samples": 20, "test_samples": 12, "tiles_per_class": 3, "margin": 1}


def generate(seed=0, **given):
    return tmi.generate("hierarchy", seed=seed, **(SMALL | given))


@pytest.fixture(scope="module")
def data():
    return generate(margin=0, test_samples=200, tiles_per_class=32)


@pytest.fixture(scope="module")
def network(data):
    return tmi.build("theorem2", data)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"margin": 0, "tiles_per_class": 5},
        {"levels": 1, "features": 2, "synonyms": 3},
        {"levels": 3, "tiles_per_class": 2},
        {"levels": 1, "side": 3, "features": 5, "classes": 3},
        {"epsilon": 2.0, "features": 3},
    ],
)
def test_labels_are_exact(given):
    data = generate(**given)
    for scenes in (data.train, data.test):
        assert torch.equal(data.task.labels(scenes.images), scenes.labels)
        assert (scenes.masks.sum((1, 2)) == data.task.tiles[0].values.size).all()
    assert np.array_equal(feature_maps(data)[-1].ravel(), data.task.tile_class)


@pytest.mark.parametrize("realisation", ["fused", "literal"])
@pytest.mark.parametrize("theorem", ["theorem1", "theorem2"])
def test_both_theorems_make_no_error(theorem, realisation):
    data = generate()
    network = tmi.build(theorem, data, realisation=realisation)
    images = data.test.images.double()
    logits = network.logits(images)
    torch.testing.assert_close(logits, data.task.phi(images), rtol=0, atol=1e-12)
    assert torch.equal(logits > 0, torch.nn.functional.one_hot(data.test.labels, 4).bool())


def test_tiles_are_all_strings_of_the_grammar(data):
    """Against a plain enumeration: every production of every feature, in every place."""

    def strings(level, feature):
        if level == len(rules):
            yield ((feature,),)
            return
        for production in rules[level][feature]:
            for parts in itertools.product(*(list(strings(level + 1, part)) for part in production)):
                above, below = (tuple(a + b for a, b in zip(*parts[k : k + 2], strict=True)) for k in (0, 2))
                yield above + below

    rules = data.notes["rules"]
    lowest = feature_maps(data)[0]
    for label in range(4):
        ours = [tuple(map(tuple, text)) for text in lowest[data.task.tile_class == label].tolist()]
        assert len(ours) == 32
        assert set(ours) == set(strings(0, label))


def test_productions_belong_to_one_feature():
    for rule in generate(features=3, synonyms=20).notes["rules"]:
        productions = [tuple(production) for synonyms in rule for production in synonyms]
        assert len(productions) == 60 == len(set(productions))


def test_features_are_pictures_of_one_white_pixel(data):
    pixels = np.stack([tile.values[0] for tile in data.task.tiles]).reshape(-1, 4, 2, 4, 2).swapaxes(2, 3)
    assert (pixels.sum((3, 4)) == 1).all()
    assert np.array_equal(pixels.reshape(-1, 4, 4, 4).argmax(3), feature_maps(data)[0])


def test_units_of_theorem_2_are_features_then_productions_then_strings(data, network):
    """Level 1 has a unit for each feature, level 2 one for each production, of a feature alone; level 3 has the strings."""
    units = {f"level{k}": network.neurons(f"level{k}").groupby("patch").first() for k in (1, 2, 3)}
    assert [len(table) for table in units.values()] == [4, 4 * 2, 4 * 32]
    for level, table in enumerate(units.values()):
        features = feature_maps(data)[level]
        shown = [
            {int(features[tile, row >> level + 1, col >> level + 1]) for tile, (row, col) in zip(*pair, strict=True)}
            for pair in zip(table["tiles"], table["places"], strict=True)
        ]
        assert all(len(one) == 1 for one in shown)
        assert np.bincount([min(one) for one in shown]).tolist() == [len(table) // 4] * 4


def test_feature_recovery(data, network):
    table = feature_recovery(network, data)
    assert table.feature["level1", 0] == 1
    assert table.production["level2", 1] == 1
    assert table.feature["level2", 1] < 0.97  # a unit has one of two synonyms
    assert table.feature["logits", 2] == 1
    assert table.chance.max() < 0.75
    # Of one layer and one level by the plain definition.
    units = network.activations(data.test.images, ["logits"])["logits"].double().numpy()
    shown = feature_maps(data)[1][data.test.tile.numpy()]
    best = []
    for row, col, feature in itertools.product(range(2), range(2), range(4)):
        there = shown[:, row, col] == feature
        if there.all() or not there.any():
            continue
        high, low = units[there][:, None], units[~there][None]
        area = ((high > low) + 0.5 * (high == low)).mean((0, 1))
        best.append(max(abs(area - 0.5)) + 0.5)
    assert table.feature["logits", 1] == pytest.approx(np.mean(best))


def test_feature_recovery_refuses():
    with pytest.raises(tmi.InputError, match="margin = 0"):
        feature_recovery(tmi.build("theorem1", generate()), generate())


def test_images_are_the_same_on_every_machine():
    assert hashlib.sha256(generate().train.images[:8].numpy().tobytes()).hexdigest()[:16] == "02da728b011b39ba"


def test_seed():
    one, same, other = generate(1), generate(1), generate(2)
    assert torch.equal(one.train.images, same.train.images)
    assert one.notes["rules"] == same.notes["rules"] != other.notes["rules"]
    assert torch.equal(generate(samples=10).test.images, generate(samples=40).test.images)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"synonyms": 65}, "synonyms: 4 features of 65 synonyms each need 260 productions, .* make only 256"),
        ({"levels": 1, "classes": 200}, "synonyms: 200 features of 2 synonyms each"),
        ({"levels": 6}, r"levels: a tile has 2\^6·2 = 128 pixels a side, more than 64; use fewer levels"),
        ({"epsilon": 33.0}, "classes cannot be told apart"),
        ({"features": 1}, "features"),
        ({"side": 1}, "side"),
        ({"classes": 1}, "classes"),
        ({"margin": -1}, "margin"),
        ({"tiles_per_class": 0}, "tiles_per_class"),
        ({"sinonyms": 2}, 'did you mean "synonyms"'),
    ],
)
def test_bad_settings(given, what):
    with pytest.raises(tmi.InputError, match=what) as caught:
        generate(**given)
    assert "\n" not in str(caught.value)
