"""Tests of the network demo-name."""

import pytest

import tmi


@pytest.mark.tmi("tmi_demo_name")
def test_what_tmi_asks_of_every_plug_in(tmi_check):
    tmi_check()


def test_it_learns():
    data = tmi.generate("squares", seed=0, samples=200, test_samples=100)
    network = tmi.build("demo-name", data, seed=0, kernel=2, epochs=30)
    assert network.history["loss"][-1] < network.history["loss"][0]
    assert tmi.probe("accuracy", network, data).metrics["accuracy"] > 0.7


def test_its_layers_have_the_shapes_that_its_settings_say():
    data = tmi.generate("squares", seed=0, samples=20, test_samples=5)
    activations = tmi.build("demo-name", data, filters=3, kernel=2, epochs=1).activations(data.test.images)
    assert {name: tuple(values.shape) for name, values in activations.items()} == {"relu": (5, 3, 3, 3), "logits": (5, 2)}
