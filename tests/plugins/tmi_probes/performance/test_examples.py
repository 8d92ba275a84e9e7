import numpy as np

import tmi

from ..toys import TASK, Phi, dataset, network


def test_the_first_scenes_of_each_class():
    data = dataset(40)
    result = tmi.probe("examples", network(Phi()), data, per_class=3)
    arrays = {name: array.values for name, array in result.arrays.items()}
    assert arrays["label"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    first = [i for label in range(3) for i in np.flatnonzero(data.test.labels.numpy() == label)[:3]]
    assert (arrays["images"] == data.test.images[first].numpy()).all()
    assert (arrays["tile_row"] == data.test.row[first].numpy()).all()
    assert (arrays["masks"].sum((1, 2)) == 9).all()
    assert (arrays["prediction"] == arrays["label"]).all()
    assert result.metrics == {"correct": 1.0}
    assert not result.notes


def test_a_class_with_too_few_scenes_is_named():
    scenes = dataset(40).test
    scenes = scenes[scenes.labels != 1][:6]
    result = tmi.probe("examples", network(Phi()), tmi.Dataset(TASK, scenes, scenes), per_class=1)
    assert result.arrays["label"].values.tolist() == [0, 2]
    assert result.notes == ("fewer than 1 test images: grey",)


def test_the_templates_of_each_class():
    """Tiles of different sizes, in colour, with an irregular support: padded, in the order of the classes."""
    rng = np.random.default_rng(0)
    tiles = [tmi.FeatureTile(rng.random((3, *shape)), 0.2, rng.random(shape) < 0.8) for shape in ((2, 3), (3, 3), (4, 2), (3, 4))]
    task = tmi.TemplateTask([tmi.TileClass("a", tiles[:3]), tmi.TileClass("b", tiles[3:])], (3, 5, 6))
    result = tmi.probe("examples", network(Phi(task), task=task), dataset(20, task=task), per_class=2)
    shown = [tiles[i] for i in (0, 1, 3)]
    assert result.arrays["template_label"].values.tolist() == [0, 0, 1]
    assert result.arrays["template_size"].values.tolist() == [list(tile.shape[1:]) for tile in shown]
    for k, tile in enumerate(shown):
        _, rows, cols = tile.shape
        padding = ((0, 0), (0, 5 - rows), (0, 6 - cols))
        np.testing.assert_array_equal(result.arrays["templates"].values[k], np.pad(tile.values.astype(np.float32), padding))
        np.testing.assert_array_equal(result.arrays["template_support"].values[k], np.pad(tile.support, padding))
    result.to_xarray()
