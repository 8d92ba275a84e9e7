"""The toy is what it says, and a few images of each class are taken."""

from __future__ import annotations

import torch

import tmi
from tmi.testing import few, tiny_data, tiny_network


def test_the_toy_is_always_the_same():
    one, other = tiny_data(), tiny_data()
    assert torch.equal(one.test.images, other.test.images)
    assert torch.equal(one.task.labels(one.train.images), one.train.labels)
    assert (len(one.train), len(one.test), one.task.class_names) == (8, 8, ("white", "black"))
    networks = [tiny_network(), tiny_network(one)]
    assert torch.equal(*(network.logits(one.test.images) for network in networks))
    assert networks[0].activations(one.test.images, "relu")["relu"].shape == (8, 2, 5, 5)


def test_a_few_images_of_each_class():
    data = tmi.generate("squares", seed=0, samples=40, test_samples=3)
    small = few(data, 2)
    assert sorted(small.train.labels.tolist()) == [0, 0, 1, 1]
    assert [int(label) for label in small.test.labels] == data.test.labels[: len(small.test)].tolist() or len(small.test) < 3
    assert torch.equal(small.train.images[0], data.train.images[0])
    assert small.name == data.name


def test_images_without_tiles():
    images = tmi.LabelledImages(tmi.LabelledTask(["a", "b"], (1, 2, 2)), torch.rand(6, 1, 2, 2), [0, 0, 0, 1, 0, 1])
    assert few(tmi.Dataset(images.task, images, images), 2).test.labels.tolist() == [0, 0, 1, 1]
