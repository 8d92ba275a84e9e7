import numpy as np
import pytest
import torch

import tmi
from tmi_probes.neurons.unit_recovery import unit_recovery
from tmi_probes.pipeline.layer_scores import NO_UNTRAINED

from ..toys import TASK, Phi, Sums, cnn_network, dataset, network


@pytest.mark.parametrize(("name", "k"), [("theorem1", 1), ("theorem1", 3), ("theorem2", 1)])
def test_constructed_networks_over_fashion_recover_what_their_layers_stand_for(name, k):
    data = tmi.generate("fashion", seed=0, tiles_per_class=k, samples=10, test_samples=300)
    result = tmi.probe("unit-recovery", tmi.build(name, data, realisation="fused"), data, images=300)
    assert dict(zip(result.coords["layer"], result.arrays["own_kind"].values, strict=True)) == {
        "hidden": "tile-place",
        "logits": "class",
    }
    for own in ("tile-place.hidden", "class.logits"):
        assert result.metrics[f"mcc.{own}"] == pytest.approx(1, abs=1e-12)
        assert result.metrics[f"uniqueness.{own}"] == 1
        assert result.metrics[f"f1.{own}"] == 1
        assert result.metrics[f"mcc.{own}.chance.high"] < 0.5
        assert result.metrics[f"f1.{own}.chance.high"] < 0.5
    assert NO_UNTRAINED in result.notes
    # The units are exactly those that are known to stand for the features that occur.
    neurons = tmi.build(name, data, realisation="fused").neurons("hidden")
    unit = result.arrays["unit.tile-place.hidden"].values
    found = neurons.loc[unit, ["tile", "row", "col"]]
    names = [f"{data.task.tile_name(tile)} ({row}, {col})" for tile, row, col in found.to_numpy().tolist()]
    assert names == list(result.coords["feature.tile-place"])
    assert result.metrics["features.tile-place"] == 30 if k == 1 else 60
    # Another kind of feature is not the hidden layer's own.
    assert result.metrics["mcc.tile.hidden"] < 0.9


def test_scenes_by_design_give_a_tile_at_a_place_resolution():
    """On the first 300 test scenes most features occur once: so do units, and nearly any of them matches by chance."""
    data = tmi.generate("fashion", seed=0, samples=10, test_samples=300)
    network = tmi.build("theorem1", data)
    old = unit_recovery(network, data, seed=0, features=["tile-place"], sample="test", images=300)
    new = unit_recovery(network, data, seed=0, features=["tile-place"], images=300)
    assert old.metrics["f1.tile-place.hidden"] == new.metrics["f1.tile-place.hidden"] == 1
    assert old.metrics["f1.tile-place.hidden.chance"] > 0.9
    assert any("occur once" in note for note in old.notes)
    assert new.metrics["f1.tile-place.hidden.chance"] < 0.3
    assert new.notes[0] == "300 images by design: 30 tiles at places, each on 10 backgrounds of the test scenes"
    # An independent formula: each unit is active on ten images, and the best of 30 features shares m of them, F1 = m/10; or it
    # is active on all at least, where naming one feature has an F1 of 20/310.
    rng = np.random.default_rng(0)
    most = [np.bincount(rng.permutation(np.repeat(np.arange(30), 10))[:10]).max() / 10 for _ in range(2000)]
    assert new.metrics["f1.tile-place.hidden.chance"] == pytest.approx(np.mean(most), abs=0.03)


def test_the_units_known_to_stand_for_the_features_are_examined_first():
    data = tmi.generate("fashion", seed=0, samples=10, test_samples=50)
    result = unit_recovery(tmi.build("theorem1", data), data, seed=0, features=["tile-place"], images=200, neurons=25)
    assert result.metrics["mcc.tile-place.hidden"] == pytest.approx(1, abs=1e-12)  # 20 features, of 1,690 neurons
    assert any("25 of 1690" in note for note in result.notes)


def test_the_untrained_network_stands_beside_the_trained_one():
    data = tmi.generate("squares", seed=0, samples=60, test_samples=60)
    network = tmi.build("cnn", data, seed=0, filters=3, kernel=2, hidden=4, epochs=3, batch_size=8)
    result = unit_recovery(network, data, seed=0, images=90)
    before = unit_recovery(network.untrained(), data, seed=0, images=90)
    for name in ("mcc.tile.conv", "f1.class.logits", "varying.hidden"):
        assert result.metrics[f"{name}.untrained"] == before.metrics[name]
    assert result.metrics["f1.class.logits.untrained"] != result.metrics["f1.class.logits"]


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
    assert any("2 of 5 examined units are constant" in note for note in result.notes)


def test_a_silent_layer_recovers_nothing():
    module = Sums()
    with torch.no_grad():
        module.hidden[1].weight.fill_(-1)
    result = unit_recovery(network(module, "hidden", "logits"), dataset(20), seed=0, features=["tile"])
    assert result.metrics["mcc.tile.hidden"] == result.metrics["mcc.tile.hidden.oracle"] == 0
    assert "uniqueness.tile.hidden" not in result.metrics
    assert "hidden: no unit varies" in result.notes


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
