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
