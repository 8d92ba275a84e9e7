"""Data set spectrum: every member of a class's spectrum has its class, at the cost of many templates."""

import numpy as np
import pytest
import torch

import tmi
from tmi_datasets.tile_paths import tile_path

SMALL = {"samples": 40, "test_samples": 20, "source": "sample"}


def generate(seed=0, **given):
    return tmi.generate("spectrum", seed=seed, **(SMALL | given))


@pytest.fixture(scope="module")
def data():
    return generate(extent=3.0)


def starts(data):
    """The tile that each class starts from, and where its templates begin in the task."""
    first = np.searchsorted(data.task.tile_class, np.arange(10))
    return [data.task.tiles[i] for i in first]


def test_the_first_tile_of_a_class_is_that_of_fashion(data):
    fashion = tmi.generate("fashion", seed=0, samples=1, test_samples=1, source="sample")
    assert data.task.class_names == fashion.task.class_names
    for ours, theirs in zip(starts(data), fashion.task.tiles, strict=True):
        assert np.array_equal(ours.values, theirs.values)
        assert np.array_equal(ours.support, theirs.support)
        assert ours.epsilon == 5
    assert data.notes["source"] == "sample"
    assert data.notes["tile_images"] == fashion.notes["tile_images"]


def test_labels_are_exact_and_the_theorem_has_no_error(data):
    for scenes in (data.train, data.test):
        assert torch.equal(data.task.labels(scenes.images), scenes.labels)
    assert data.train.images.dtype == torch.float32
    right(tmi.build("theorem1", data).logits(data.test.images), data.test.labels)


def test_theorem_2_has_no_error(data):
    right(tmi.build("theorem2", data, realisation="fused").logits(data.test.images), data.test.labels)


@pytest.mark.slow
def test_theorem_2_layer_by_layer_has_no_error(data):
    right(tmi.build("theorem2", data).logits(data.test.images), data.test.labels)


def right(logits, labels):
    own = torch.nn.functional.one_hot(labels, 10).bool()
    assert (logits[own] > 0).all()
    assert (logits[~own] == 0).all()


@pytest.mark.parametrize(("kind", "extent"), [("rotation", 3.0), ("scale", 0.04), ("shear", 0.05), ("grey", 0.05)])
def test_every_member_pasted_anywhere_has_its_class(kind, extent):
    data = generate(seed=1, kind=kind, extent=extent)
    rng = np.random.default_rng(2)
    images, labels, alone = [], [], []
    for label, tile in enumerate(starts(data)):
        s = np.append(rng.uniform(-extent, extent, 4), [-extent, extent])
        for member in tile_path(tile, kind, extent).at(s)[0]:
            image = rng.random((1, 40, 40), dtype=np.float32)
            row, col = rng.integers(0, 13, 2)
            image[:, row : row + 28, col : col + 28] = member
            images.append(image)
            alone.append(member)
            labels.append(label)
    members = data.task.memberships(np.stack(images)).numpy()
    assert members[np.arange(len(labels)), labels].all()
    assert torch.equal(data.task.labels(np.stack(images)), torch.tensor(labels))
    # Most are contained in no template of another extent: the tile alone would not do.
    nearest = tmi.match(np.stack(alone), starts(data))
    assert len(nearest) < len(alone) / 2
    # At the place of the tile no template of another class is contained.
    found = tmi.match(np.stack(alone), data.task.tiles)
    assert (data.task.tile_class[found.tile.numpy()] == np.array(labels)[found.image.numpy()]).all()


def test_notes_name_the_templates(data):
    assert data.notes["extent"] == 3
    sizes = np.bincount(data.task.tile_class)
    for name, size, tile in zip(data.task.class_names, sizes, starts(data), strict=True):
        strengths = data.notes["templates"][name]
        path = tile_path(tile, "rotation", 3.0)
        assert len(strengths) == size
        assert strengths[0] == 0
        assert data.notes["lengths"][name] == pytest.approx(path.length(3), abs=1e-3)
        # About ℓ/(2ε) of them.
        assert path.length(3) / 10 - 1 <= size <= path.length(3) / 10 * 1.07 + 3
        assert {tile.epsilon for tile in data.task.tiles} == {5}


def test_a_smaller_epsilon_or_a_larger_extent_needs_more():
    number = {(e, x): len(generate(epsilon=e, extent=x).task.tiles) for e, x in ((5.0, 2.0), (2.5, 2.0), (5.0, 4.0))}
    assert number[2.5, 2.0] > 1.5 * number[5.0, 2.0]
    assert number[5.0, 4.0] > 1.5 * number[5.0, 2.0]


def test_seed_and_sizes(data):
    again, other = generate(extent=3.0), generate(extent=3.0, seed=3)
    assert torch.equal(data.test.images, again.test.images)
    assert data.notes == again.notes
    assert data.notes["templates"] != other.notes["templates"]
    larger = generate(extent=3.0, samples=60)
    assert torch.equal(data.test.images, larger.test.images)


def test_the_default_extent_is_that_of_the_kind():
    assert generate(kind="grey").notes["extent"] == 0.1


def test_classes_that_meet_are_refused_with_an_extent_that_does():
    with pytest.raises(tmi.InputError) as refused:
        generate(kind="grey", extent=0.3, epsilon=40.0)
    assert str(refused.value) == (
        "classes cannot be told apart under grey up to 0.3: Coat at 0.2824 is within epsilon = 40 of Trouser at 0.2863; "
        "use an extent of at most 0.282353, or a smaller epsilon"
    )
    assert len(generate(kind="grey", extent=0.282353, epsilon=40.0).task.tiles) > 10


def test_too_large_an_extent_is_refused():
    with pytest.raises(tmi.InputError, match="extent: shear goes to 1"):
        generate(kind="shear", extent=1.5)
