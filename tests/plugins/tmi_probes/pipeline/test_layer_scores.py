"""The program of probes that score layers, with a score that can be worked out by hand."""

import numpy as np
import pytest

import tmi
from tmi_probes.pipeline.features import features_of_kinds
from tmi_probes.pipeline.layer_scores import DRAWS, NO_UNTRAINED, LayerScore, Measured, add_untrained, score_layers
from tmi_probes.pipeline.result import ResultBuilder
from tmi_probes.pipeline.units import units_of_layers

from ..toys import cnn_network, dataset


class Between(LayerScore):
    """Share of the variance of the units' sum that lies between the features' means."""

    def __init__(self, values):
        self.values, self.calls = values, 0

    def measured(self, truth):
        of_images = (truth.members @ self.values / truth.counts)[truth.of_image]
        return Measured(
            {"between": of_images.var() / self.values.var(), "count": len(truth), "undefined": np.nan},
            {"between": 1.0},
            {"mean": ("image", of_images)},
            {"first": "all are first", "second": "all are first"},
        )

    def by_chance(self, shuffled):
        self.calls += 1
        return {"between": self.measured(shuffled).metrics["between"]}


def scored(network, data, *, draws=DRAWS, seed=0):
    result, made = ResultBuilder({}), []

    def read(examined, notes):
        return units_of_layers(examined, data.test, network.layers, 5, np.random.default_rng(seed), notes)

    def scoring(layer, units, collected):
        collected.add(f"units.{layer}", len(units.index))
        if layer == "logits":
            return None
        made.append((layer, units, Between(units.activations.sum(1, dtype=float))))
        return made[-1][2]

    score_layers(result, network, read, scoring, features_of_kinds(data.test, ["tile", "class"]), seed=seed, draws=draws)
    return result, made


def test_scores_stand_beside_chance_oracle_and_the_untrained_network():
    data = tmi.generate("squares", seed=0, samples=30, test_samples=50)
    network = tmi.build("cnn", data, seed=0, filters=3, kernel=2, hidden=4, epochs=3, batch_size=8)
    result, made = scored(network, data)
    (_, units, own), *_ = made
    label = data.test.labels.numpy()
    values = units.activations.sum(1, dtype=float)
    means = np.array([values[label == k].mean() for k in range(2)])[label]
    expected = means.var() / values.var()
    assert result.metrics["between.class.conv"] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(result.arrays["mean.class.conv"][1], means, rtol=1e-6)
    # The variance between two groups of random images of 50 is 1/49 of the whole, on average.
    assert result.metrics["between.class.conv.chance"] == pytest.approx(1 / 49, abs=0.02)
    low, high = (result.metrics[f"between.class.conv.chance.{end}"] for end in ("low", "high"))
    assert low < result.metrics["between.class.conv.chance"] < high
    assert result.metrics["between.class.conv.oracle"] == 1
    assert result.metrics["units.logits"] == 2
    assert own.calls == 2 * DRAWS  # two kinds
    assert "count.tile.conv.chance" not in result.metrics
    assert result.notes.count("first.tile.conv, second.tile.conv: not applicable, for all are first") == 1
    # The untrained network: the same units of another network, no shuffles, its notes dropped.
    alone, before = scored(network.untrained(), data)
    assert [layer for layer, *_ in made] == ["conv", "hidden"] * 2
    assert all((one.index == other.index).all() for (_, one, _), (_, other, _) in zip(made[2:], before[:2], strict=True))
    assert made[2][2].calls == 0
    for name in ("between.class.conv", "between.tile.hidden", "units.logits"):
        assert result.metrics[f"{name}.untrained"] == alone.metrics[name]
    assert result.metrics["between.class.conv.untrained"] != result.metrics["between.class.conv"]
    assert not [name for name in result.metrics if name.count(".untrained") and (".chance" in name or ".oracle" in name)]
    assert len([note for note in result.notes if "neurons examined" in note]) == 1
    assert "undefined.class.conv" not in result.result().metrics


def test_a_seed_decides_the_shuffles():
    data = dataset(30)
    one, again, other = (scored(cnn_network(), data, seed=seed)[0].metrics for seed in (0, 0, 1))
    assert str(one) == str(again)
    assert one["between.class.conv.chance"] != other["between.class.conv.chance"]


def test_without_shuffles_and_without_weights_from_before_training():
    result, _ = scored(cnn_network(), dataset(30), draws=0)
    assert not [name for name in result.metrics if ".chance" in name or ".untrained" in name]
    assert NO_UNTRAINED in result.notes
    added = ResultBuilder({})
    add_untrained(added, cnn_network(), lambda network, collected: pytest.fail("there is nothing to measure"))
    assert len(added.notes) == 1
