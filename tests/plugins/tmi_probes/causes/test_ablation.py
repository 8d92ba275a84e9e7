"""Every ablation is that of a plain loop, and on constructed networks it finds the known circuit."""

import numpy as np
import pytest

import tmi
from tmi.errors import InputError, UnknownNameError
from tmi_probes.causes.ablation import ablation

from ..toys import TASK, Phi, Sums, dataset, network
from .brute import activations, around, built, convolution, drawn, fashion, groups, replaced


def partners(count, seed):
    order = np.random.default_rng(seed).permutation(count)
    partner = np.empty(count, int)
    partner[order] = np.roll(order, 1)
    return partner


def margins(logits, labels):
    """Return the label's logit less the largest other, (N, …, L) to (N, …)."""
    own = np.arange(logits.shape[-1]) == labels.reshape(-1, *[1] * (logits.ndim - 1))
    return np.where(own, logits, -np.inf).max(-1) - np.where(own, -np.inf, logits).max(-1)


@pytest.mark.parametrize("value", ["zero", "mean", "resample"])
@pytest.mark.parametrize(("make", "layer"), [(around, "hidden"), (convolution, "conv")])
def test_every_ablation_is_that_of_a_plain_loop(make, layer, value):
    net, rest = make()
    scenes = drawn(4)
    labels = scenes.labels.numpy()
    result = ablation(net, tmi.Dataset(TASK, scenes, scenes), seed=2, layer=layer, ablation=value)
    values, images = activations(net, layer, scenes)
    shape = net.activations(scenes.images[:1], layer)[layer].shape[1:]
    reference = {"zero": 0 * values, "mean": 0 * values + values.mean(0), "resample": values[partners(4, 2)]}[value]
    whole = np.concatenate([rest(values[i][None], images[i : i + 1]) for i in range(4)])
    right = (whole.argmax(1) == labels).astype(float)
    for by in ("unit", *(["place"] if len(shape) == 3 else [])):
        sites = groups(shape, by)
        logits = np.stack([replaced(rest, values[i], reference[i], images[i : i + 1], sites) for i in range(4)])
        falls = whole[:, None] - logits
        of_label = falls[np.arange(4), :, labels]
        correct = logits.argmax(-1) == labels[:, None]
        size = np.sort(np.abs(of_label), axis=1)[:, ::-1]
        expected = {
            "logit_fall": of_label.max(1).clip(0).mean(),
            "margin_fall": (margins(whole, labels)[:, None] - margins(logits, labels)).max(1).clip(0).mean(),
            "accuracy_fall": right.mean() - correct.mean(0).min(),
            "top_share": (size[:, 0] / size.sum(1)).mean(),
            "logit_share": np.abs(falls).mean(0).max(1).sum() / np.abs(falls).mean(0).sum(),
        }
        if right.any():
            expected["made_wrong"] = (~correct[right == 1]).any(1).mean()
        for name, number in expected.items():
            assert result.metrics[f"{name}.{by}.{layer}"] == pytest.approx(number, rel=1e-6, abs=1e-9), name
        assert result.arrays[f"path.{by}"].values.reshape(len(sites), 3) == pytest.approx(np.abs(falls).mean(0), abs=1e-6)
        assert result.arrays[f"label_fall.{by}"].values.reshape(-1) == pytest.approx(of_label.mean(0), abs=1e-6)
        assert result.arrays[f"accuracy.{by}"].values.reshape(-1) == pytest.approx(correct.mean(0))


@pytest.mark.parametrize("value", ["zero", "mean", "resample"])
@pytest.mark.parametrize(
    ("builder", "settings", "layer"),
    [
        ("theorem1", {}, "hidden"),
        ("theorem2", {"realisation": "literal"}, "hidden"),
        ("superposed", {}, "decoded"),
    ],
)
def test_the_known_circuit_is_found_and_nothing_else(builder, settings, layer, value):
    result = ablation(built(builder, **settings), dataset(5, seed=4), seed=1, ablation=value)
    for by in ("unit", "place"):
        assert result.metrics[f"tpr.{by}.{layer}"] == 1
        assert result.metrics[f"fpr.{by}.{layer}"] == 0
        assert result.metrics[f"auc.{by}.{layer}"] == pytest.approx(1)
        assert result.metrics[f"tpr.{by}.{layer}.chance.high"] < 1
    assert result.metrics[f"logit_share.unit.{layer}"] == pytest.approx(1)  # every neuron belongs to one logit


def test_the_known_circuit_of_shared_neurons_is_found_by_direction():
    data, net = fashion()
    for value in ("zero", "resample"):
        result = ablation(net, data, seed=0, layer="mixed", ablation=value)
        assert [result.metrics[f"{name}.direction.mixed"] for name in ("tpr", "fpr", "auc")] == [1, 0, 1]
        assert result.metrics["fpr.unit.mixed"] == 0


def test_zero_ablation_by_hand():
    """Theorem 1: without its neuron an image has no logit above 0."""
    data, _ = fashion()
    result = ablation(tmi.build("theorem1", data), data, seed=0, ablation="zero")
    assert result.metrics["logit_fall.unit.hidden"] == pytest.approx(data.task.tiles[0].epsilon)
    assert result.metrics["made_wrong.unit.hidden"] == 1
    assert result.metrics["top_share.unit.hidden"] == 1
    assert result.metrics["sites_90.unit.hidden"] == 1


def test_a_resampled_unit_tells_what_a_mean_hides():
    """Two values far apart: their mean is on neither image, and a unit that carries the answer falls by half as much."""
    data, net = dataset(8), built("theorem1")
    falls = {v: ablation(net, data, seed=0, ablation=v).metrics["logit_fall.unit.hidden"] for v in ("zero", "mean", "resample")}
    assert falls["mean"] < falls["zero"]


def test_a_set_of_units():
    net, rest = convolution()
    scenes = drawn(5)
    data = tmi.Dataset(TASK, scenes, scenes)
    result = ablation(net, data, seed=0, layer="conv", ablation="zero", units=[3, 50, 3])
    values, images = activations(net, "conv", scenes)
    without = values.copy()
    without[:, [3, 50]] = 0
    falls = [rest(values[i][None], images[i : i + 1])[0] - rest(without[i][None], images[i : i + 1])[0] for i in range(5)]
    label = scenes.labels.numpy()
    assert result.arrays["label_fall.set"].values == pytest.approx(np.mean([f[k] for f, k in zip(falls, label, strict=True)]))
    assert set(result.metrics) == {f"{name}.set.conv" for name in ("logit_fall", "margin_fall", "accuracy_fall")}


def test_refusals_in_one_line():
    data = dataset(4)
    net, _ = convolution()
    for units, words in (
        (list(range(16)), "units: an ablation of everything: these are all 16 units of layer 'hidden'; leave some out"),
        ([16], "units: layer 'hidden' has the units 0 to 15, got 16"),
        ([], "units: an empty list ablates nothing"),
    ):
        with pytest.raises(InputError, match=words):
            ablation(net, data, seed=0, units=units)
    with pytest.raises(UnknownNameError, match=r"'hiden'.*did you mean \"hidden\""):
        ablation(net, data, seed=0, layer="hiden")
    with pytest.raises(InputError, match=r"units beside direction 'nope/0': .*; leave one out"):
        ablation(net, data, seed=0, units=[1], direction="nope/0")
    superposed = built("superposed")
    with pytest.raises(UnknownNameError, match=r"'lihgt/0'.*did you mean \"light/0\""):
        ablation(superposed, data, seed=0, layer="mixed", direction="lihgt/0")
    assert "is to ablate everything" in ablation(network(Sums(), "hidden", "logits"), data, seed=0).notes[0]
    assert not ablation(network(Phi()), data, seed=0).applicable
    one = tmi.Dataset(TASK, data.train, data.test[:1])
    assert "one image only" in ablation(net, one, seed=0).notes[0]
    assert ablation(net, one, seed=0, ablation="zero").metrics


def test_an_untrained_control(monkeypatch):
    data, (net, _), (before, _) = dataset(5), convolution(0), convolution(1)
    monkeypatch.setattr(tmi.Network, "untrained", lambda network: before if network is net else None)
    result, control = ablation(net, data, seed=0), ablation(before, data, seed=0)
    assert len(control.metrics) == 7
    for name, value in control.metrics.items():
        assert result.metrics[f"{name}.untrained"] == value
