import pytest

import tmi

from ..toys import Phi, dataset, network


def test_is_that_of_the_network():
    data = tmi.generate("squares", seed=0, samples=1, test_samples=50)
    built = tmi.build("theorem1", data)
    result = tmi.probe("certificate", built, data, images=30)
    radius = built.certificate(data.test.images[:30], data.test.labels[:30]).numpy()
    assert (result.arrays["radius"].values == radius).all()
    assert result.metrics == {"certified": 1.0, "radius_mean": pytest.approx(radius.mean()), "radius_min": radius.min()}
    assert 0 < radius.min() < radius.max() == 0.5
    assert not result.notes


def test_a_trained_network_has_none():
    data = dataset(10)
    trained = network(Phi())
    assert trained.origin != "constructed"
    result = tmi.probe("certificate", trained, data)
    assert result.metrics == {"certified": 0.0}
    assert f"the network is {trained.origin}" in result.notes[0]
