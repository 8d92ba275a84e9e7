"""Probe ``cka``: its numbers by the trace formula, controls, and wide layers in parts."""

from __future__ import annotations

import numpy as np
import pytest

import tmi
from tests.plugins.tmi_probes.measures.test_alignment import by_traces
from tmi_probes.representation import cka as module

from ..toys import TASK, Sums, cnn_network, dataset, network

DATA = dataset(40)


def flat(of, layer):
    return of.activations(DATA.test.images, layer)[layer].flatten(1).double().numpy()


def test_values_are_those_of_the_trace_formula():
    own, other = cnn_network(), tmi.build("theorem1", DATA)
    result = tmi.probe("cka", own, DATA)
    for a, b in (("conv", "hidden"), ("conv", "logits"), ("hidden", "logits")):
        assert result.metrics[f"cka.{a}.{b}"] == pytest.approx(by_traces(flat(own, a), flat(own, b)), abs=1e-9)
    for a in own.layers:
        for b in other.layers:
            assert result.metrics[f"cka_other.{a}.{b}"] == pytest.approx(by_traces(flat(own, a), flat(other, b)), abs=1e-9)
    assert result.arrays["cka"].values.shape == (3, 5)
    assert np.allclose(np.diag(result.arrays["cka"].values), 1)


def test_a_network_is_like_itself_and_permuted_images_are_not():
    result = tmi.probe("cka", tmi.build("theorem1", DATA), DATA)
    assert result.metrics["cka_other.hidden.hidden"] == pytest.approx(1)
    assert result.metrics["cka_other.hidden.hidden.oracle"] == pytest.approx(1)
    assert result.metrics["cka_other.logits.logits.chance.low"] < 0 < result.metrics["cka_other.logits.logits.chance.high"] < 0.5
    assert "cka.hidden.logits.untrained" not in result.metrics


@pytest.mark.slow
def test_the_untrained_control_is_the_network_before_training_beside_the_same_other():
    data = tmi.generate("squares", seed=0, samples=40, test_samples=40)
    settings = {"filters": 3, "kernel": 2, "hidden": 6, "batch_size": 10, "lr": 0.1}
    trained, initial = (tmi.build("cnn", data, seed=0, epochs=epochs, **settings) for epochs in (5, 0))
    before = tmi.probe("cka", initial, data).metrics
    found = tmi.probe("cka", trained, data).metrics
    names = [name for name in before if name.count(".") == 2 and name.startswith("cka")]
    assert len(names) == 9
    for name in names:
        assert found[f"{name}.untrained"] == pytest.approx(before[name], abs=1e-9)
    assert any(abs(found[name] - before[name]) > 0.01 for name in names)


def test_a_wide_layer_is_taken_in_parts(monkeypatch):
    own = cnn_network()
    whole = tmi.probe("cka", own, DATA).metrics
    monkeypatch.setattr(module, "_AT_ONCE", 40 * 17)  # conv has 4·36 units: nine parts
    parts = tmi.probe("cka", own, DATA).metrics
    assert parts == pytest.approx(whole, abs=1e-12)


def test_another_builder_can_be_named_and_is_built_on_the_same_data():
    result = tmi.probe("cka", cnn_network(), DATA, other="cnn(filters=2, kernel=3, epochs=1, batch_size=20)", seed=3)
    assert list(result.coords["with"][3:]) == ["cnn: conv", "cnn: logits"]
    with pytest.raises(tmi.UnknownNameError, match="theorem1"):
        tmi.probe("cka", cnn_network(), DATA, other="theorm1")


def test_layers_that_tell_no_images_apart_are_left_out_and_few_images_do_not_apply():
    own = network(Sums(), "hidden", "logits", task=TASK)
    own.module.hidden[1].weight.data.zero_()
    result = tmi.probe("cka", own, DATA)
    assert "cka.hidden.logits" not in result.metrics
    assert any("does not tell the images apart" in note for note in result.notes)
    assert not tmi.probe("cka", cnn_network(), tmi.Dataset(TASK, DATA.train, DATA.test[:3])).applicable
