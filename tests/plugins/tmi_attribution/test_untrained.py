"""The untrained network's truth is about the same images, and is shared by all methods."""

import pytest

import tmi
from tmi_attribution.build_truth import truth_of
from tmi_attribution.untrained import untrained


def test_the_same_images_with_the_weights_before_training(data):
    trained = tmi.build("cnn", data, filters=2, kernel=3, hidden=0, epochs=1)
    truth = truth_of(trained, data, 4, "black")
    before, about = untrained(trained, truth)
    assert untrained(trained, truth)[1] is about
    assert about.images is truth.images
    expected = before.logits(data.test.images[:4]).numpy()[range(4), truth.targets.numpy()]
    assert about.logit(about.images) == pytest.approx(expected, abs=1e-6)
    assert truth.logit(truth.images) != pytest.approx(expected, abs=1e-5)
    assert untrained(tmi.build("theorem1", data), truth_of(tmi.build("theorem1", data), data, 4, "black")) is None
