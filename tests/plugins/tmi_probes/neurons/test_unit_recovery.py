import numpy as np
import pytest
import torch

import tmi
from tmi_probes.neurons.unit_recovery import unit_recovery

from ..toys import TASK, Phi, Sums, cnn_network, dataset, network


@pytest.mark.parametrize(("name", "k"), [("theorem1", 1), ("theorem1", 3), ("theorem2", 1)])
def test_constructed_networks_over_fashion_recover_what_their_layers_stand_for(name, k):
    data = tmi.generate("fashion", seed=0, tiles_per_class=k, samples=10, test_samples=300)
    result = tmi.probe("unit-recovery", tmi.build(name, data, realisation="fused"), data)
    assert dict(zip(result.coords["layer"], result.arrays["own_kind"].values, strict=True)) == {
        "hidden": "tile-place",
        "logits": "class",
    }
    for own in ("tile-place.hidden", "class.logits"):
        assert result.metrics[f"mcc.{own}"] == pytest.approx(1, abs=1e-12)
        assert result.metrics[f"uniqueness.{own}"] == 1
        assert result.metrics[f"f1.{own}"] == 1
        assert result.metrics[f"mcc.{own}.chance"] < 0.97
    # Where most features occur once, so do most units: many match by chance.
    assert result.metrics["mcc.tile-place.hidden.chance"] > 0.5
    assert any("occur once" in note for note in result.notes)
    assert result.metrics["mcc.class.logits.chance"] < 0.3
    # The units are exactly those that are known to stand for the features that occur.
    neurons = tmi.build(name, data, realisation="fused").neurons("hidden")
    unit = result.arrays["unit.tile-place.hidden"].values
    shown = zip(data.test.tile.tolist(), data.test.row.tolist(), data.test.col.tolist(), strict=True)
    assert [tuple(row) for row in neurons.loc[unit, ["tile", "row", "col"]].to_numpy().tolist()] == sorted(set(shown))
    # Another kind of feature is not the hidden layer's own.
    assert result.metrics["mcc.tile.hidden"] < 0.9


def test_logits_that_ignore_place_are_the_classes():
    result = unit_recovery(network(Phi()), dataset(60), seed=0, features=["class", "tile"])
    assert result.metrics["mcc.class.logits"] > 0.99  # two tiles of class 1 have other tolerances left
    assert result.metrics["f1.class.logits"] == result.metrics["uniqueness.class.logits"] == 1
    assert result.metrics["mcc.tile.logits.oracle"] == 3 / 4
    assert result.metrics["features.tile"] == 4
    assert set(result.coords) == {"feature.class", "feature.tile", "layer"}


def test_constant_units_are_left_out_and_counted():
    class Padded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.logits = torch.nn.Identity(), torch.nn.Identity()

        def forward(self, images):
            phi = TASK.phi(images)
            self.hidden(torch.cat([torch.zeros_like(phi[:, :1]), phi, torch.ones_like(phi[:, :1])], 1))
            return self.logits(phi)

    result = unit_recovery(network(Padded(), "hidden", "logits"), dataset(60), seed=0, features=["class"])
    plain = unit_recovery(network(Phi()), dataset(60), seed=0, features=["class"])
    assert result.metrics["varying.hidden"] == 3 / 5
    assert result.metrics["f1.class.hidden"] == plain.metrics["f1.class.logits"]
    assert result.arrays["f1.class.hidden"].values.tolist() == [0, 1, 1, 1, 0]
    assert result.arrays["best_feature.class.hidden"].values.tolist() == [-1, 0, 1, 2, -1]
    assert result.arrays["unit.class.hidden"].values.tolist() == [1, 2, 3]
    assert "2 of 5 examined units are constant" in result.notes[0]


def test_a_silent_layer_recovers_nothing():
    module = Sums()
    with torch.no_grad():
        module.hidden[1].weight.fill_(-1)
    result = unit_recovery(network(module, "hidden", "logits"), dataset(20), seed=0, features=["tile"])
    assert result.metrics["mcc.tile.hidden"] == result.metrics["mcc.tile.hidden.oracle"] == 0
    assert "uniqueness.tile.hidden" not in result.metrics
    assert "tile.hidden: no unit varies" in result.notes


def test_one_class_alone():
    one = dataset(40).test
    one = one[one.labels == 0]
    result = unit_recovery(cnn_network(), tmi.Dataset(TASK, one, one), seed=0, features=["class"])
    assert not [name for name in result.metrics if name.startswith(("mcc", "f1", "uniqueness"))]
    assert any("all samples show one class" in note for note in result.notes)


def test_batches_and_sampling(monkeypatch):
    net, data = cnn_network(), dataset(60)
    whole = unit_recovery(net, data, seed=0)
    monkeypatch.setattr("tmi_probes.pipeline.units._AT_ONCE", 500)
    assert unit_recovery(net, data, seed=0).metrics == pytest.approx(whole.metrics, abs=1e-5)
    some = unit_recovery(net, data, seed=0, neurons=20)
    assert len(some.arrays["neuron_index.conv"].values) == 20
    assert any("conv: 20 of 144 neurons examined" in note for note in some.notes)
    index = some.arrays["neuron_index.conv"].values
    assert some.arrays["f1.tile.conv"].values == pytest.approx(whole.arrays["f1.tile.conv"].values[index])
    assert np.isfinite(list(some.metrics.values())).all()


@pytest.mark.parametrize("kinds", [[], ["tile", "tile"]])
def test_kinds_are_checked(kinds):
    with pytest.raises(tmi.InputError, match="each once"):
        tmi.probe("unit-recovery", cnn_network(), dataset(5), features=kinds)
