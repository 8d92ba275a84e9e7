import numpy as np
import pytest
import torch

import tmi
from tmi_probes.layers.decodability import decodability

from ..toys import TASK, Phi, Sums, cnn_network, dataset, network


def test_what_the_logits_hold_and_what_not():
    data = dataset(150)
    result = decodability(network(Phi()), data, seed=0)
    metrics = result.metrics
    assert metrics["decodability.class.logits"] == 1
    assert metrics["decodability.place.logits"] < 0.2
    assert metrics["decodability.class.logits.chance.low"] < metrics["decodability.class.logits.chance"] < 0.5
    assert all(metrics[f"decodability.{target}.logits.oracle"] == 1 for target in ("class", "tile", "row", "col", "place"))
    right = result.arrays["right.logits"]
    assert set(result.arrays) == {"right.pixels", "right.logits"}
    assert right.shape == (5, 150)
    assert result.coords["target"].tolist() == ["class", "tile", "row", "col", "place"]
    assert right.values[0].mean() == metrics["decodability.class.logits"]
    assert (right.values[4] == right.values[2] * right.values[3]).all()


@pytest.mark.slow
def test_from_a_silent_layer_the_commonest_class_is_predicted():
    module = Sums()
    with torch.no_grad():
        module.hidden[1].weight.fill_(-1)
    test = dataset(60).test
    test = test[np.r_[np.flatnonzero(test.labels == 1)[:15], np.flatnonzero(test.labels != 1)[:10]]]
    result = decodability(network(module, "hidden", "logits"), tmi.Dataset(TASK, test, test), seed=0)
    assert result.metrics["decodability.class.hidden"] == pytest.approx(15 / 25)
    assert "hidden: is the same on all images, so that nothing can be read from it" in result.notes


@pytest.mark.slow
def test_batches_do_not_matter_and_the_seed_does(monkeypatch):
    net, data = cnn_network(), dataset(60)
    whole = decodability(net, data, seed=0)
    monkeypatch.setattr("tmi_probes.pipeline.units._AT_ONCE", 500)
    assert decodability(net, data, seed=0).metrics == pytest.approx(whole.metrics, abs=1e-5)
    assert decodability(net, data, seed=1).metrics != whole.metrics


def test_too_few_images():
    with pytest.raises(tmi.InputError, match="5 of 3 labelled"):
        tmi.probe("decodability", cnn_network(), dataset(3))
    with pytest.raises(tmi.InputError, match="folds"):
        tmi.probe("decodability", cnn_network(), dataset(9), folds=1)


@pytest.mark.slow
def test_activations_that_are_not_numbers_are_left_out():
    module, data = Sums(), dataset(30)
    net = network(module, "hidden", "logits")
    net.check(data.test.images)  # NaN from the first image on would be refused
    with torch.no_grad():
        module.logits.weight.fill_(torch.nan)
    result = decodability(net, data, seed=0)
    assert "decodability.class.hidden" in result.metrics
    assert "decodability.class.logits" not in result.metrics
    assert any("logits: left out" in note for note in result.notes)


def test_an_untrained_network_stands_beside_the_trained_one():
    data = tmi.generate("squares", seed=0, samples=40, test_samples=60)
    net = tmi.build("cnn", data, seed=0, filters=3, kernel=2, epochs=5, batch_size=10)
    result, before = (decodability(which, data, seed=0, folds=3) for which in (net, net.untrained()))
    for layer in ("conv", "logits"):
        assert result.metrics[f"decodability.class.{layer}.untrained"] == before.metrics[f"decodability.class.{layer}"]
    assert "decodability.class.pixels.untrained" not in result.metrics  # the same for both


def test_a_place_is_right_where_row_and_column_are():
    data = dataset(60)
    moved = tmi.Dataset(TASK, data.train, data.test.moved(2, data.test.col))
    metrics = decodability(network(Phi()), moved, seed=0).metrics
    assert "decodability.row.pixels" not in metrics
    assert metrics["decodability.place.pixels"] == metrics["decodability.col.pixels"]
