"""Every effect is that of a plain loop, and on constructed networks that of the known circuit."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import tmi
from tmi.errors import InputError, UnknownNameError
from tmi_probes.causes.activation_patching import PATHS, activation_patching
from tmi_probes.causes.pairs import draw_pairs

from ..toys import TASK, Phi, dataset, network
from .brute import activations, around, built, convolution, drawn, fashion, groups, measure, replaced

CHANGES = ("tile", "place", "background")


def rates(result):
    """Return the rates by the rest of their names, without controls and those of the estimate."""
    names = ("tpr", "fpr", "auc")
    return {name: value for name, value in result.metrics.items() if name.split(".")[0] in names and name.count(".") == 3}


@pytest.mark.parametrize(("make", "layer"), [(around, "hidden"), (convolution, "conv")])
@pytest.mark.parametrize("change", CHANGES)
def test_every_effect_is_that_of_a_plain_loop(make, layer, change):
    net, rest = make()
    scenes = drawn(4)
    result = activation_patching(net, tmi.Dataset(TASK, scenes, scenes), seed=3, layer=layer, change=change, keep=6)
    pairs = draw_pairs(scenes, change, np.random.default_rng(3), [])
    assert len(pairs) == 4
    shape = net.activations(scenes.images[:1], layer)[layer].shape[1:]
    values, images = zip(*(activations(net, layer, part) for part in (pairs.clean, pairs.counterfactual)), strict=True)
    metrics = {}
    for by in ("unit", *(["place"] if len(shape) == 3 else [])):
        sites = groups(shape, by)
        for own, way in enumerate(("noising", "denoising")):
            other, sign = 1 - own, -1 if way == "noising" else 1
            for i in range(len(pairs)):
                m = measure(pairs, i)
                runs = [rest(values[k][i][None], images[k][i : i + 1])[0] for k in (0, 1)]
                scale = m(runs[0]) - m(runs[1]) if change == "tile" else abs(m(runs[0]))
                image = images[own][i : i + 1]
                logits = replaced(rest, values[own][i], values[other][i], image, sites)
                effects = sign * (m(logits) - m(runs[own])) / scale
                found = result.arrays[f"pair_effect.{way}.{by}"].values[i].reshape(-1)
                assert found == pytest.approx(effects, abs=1e-5 * max(1, np.abs(effects).max()))
                assert (found[(values[0][i] == values[1][i])[sites].all(1)] == 0).all()
                joint = sign * (m(rest(values[other][i][None], image)[0]) - m(runs[own])) / scale
                size = np.sort(np.abs(effects))[::-1]
                reached = int(np.argmax(np.cumsum(size) >= 0.9 * size.sum() - 1e-12)) + 1
                expected = {
                    "joint": joint,
                    "interaction": abs(effects.sum() - joint) / (size.sum() + abs(joint)),
                    "top_share": size[0] / size.sum(),
                    "sites_90": reached,
                }
                for name, value in expected.items():
                    metrics.setdefault(f"{name}.{way}.{by}.{layer}", []).append(value)
                strongest = np.argsort(-np.abs(effects), kind="stable")[: min(3, PATHS)]
                assert result.arrays[f"path_site.{way}.{by}"].values[i][0] == strongest[0]
                path = sign * (logits[strongest[0]] - runs[own]) / scale
                assert result.arrays[f"path.{way}.{by}"].values[i][0] == pytest.approx(path, abs=1e-6)
    for name, each in metrics.items():
        assert result.metrics[name] == pytest.approx(np.mean(each), rel=1e-6), name
    if make is convolution:  # the whole layer holds everything that the logits read
        if change == "tile":
            assert result.metrics["joint.noising.unit.conv"] == pytest.approx(1)
    else:
        assert abs(result.metrics["joint.noising.unit.hidden"] - 1) > 1e-3


@pytest.mark.parametrize(("make", "layer"), [(around, "hidden"), (convolution, "conv")])
def test_the_estimate_is_change_times_gradient(make, layer):
    net, rest = make()
    scenes = drawn(4)
    result = activation_patching(net, tmi.Dataset(TASK, scenes, scenes), seed=3, layer=layer, keep=6)
    pairs = draw_pairs(scenes, "tile", np.random.default_rng(3), [])
    (clean, image), (other, _) = (activations(net, layer, part) for part in (pairs.clean, pairs.counterfactual))
    errors = []
    for i in range(len(pairs)):
        m, step = measure(pairs, i), 1e-7
        base = m(rest(clean[i][None], image[i : i + 1])[0])
        scale = base - m(result_logits(net, pairs.counterfactual[i : i + 1]))
        change = other[i] - clean[i]
        slopes = [  # by differences: the gradient of a ReLU network, but at a kink
            (m(rest((clean[i] + step * np.eye(len(change))[u])[None], image[i : i + 1])[0]) - base) / step
            for u in range(len(change))
        ]
        estimate = -change * np.array(slopes) / scale
        found, exact = (result.arrays[f"{name}.noising.unit"].values[i].reshape(-1) for name in ("pair_estimate", "pair_effect"))
        assert found == pytest.approx(estimate, abs=1e-4 * max(1, np.abs(estimate).max()))
        errors.append(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    assert result.metrics[f"estimate_error.noising.unit.{layer}"] == pytest.approx(np.mean(errors), rel=1e-4)


def result_logits(net, scenes):
    return net.logits(scenes.images).double().numpy()[0]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("builder", "settings", "layers"),
    [
        ("theorem1", {}, ["hidden"]),
        ("theorem1", {"realisation": "literal"}, ["hidden"]),
        ("theorem2", {"realisation": "literal"}, ["hidden"]),
        ("superposed", {}, ["hidden", "mixed", "decoded"]),
    ],
)
def test_the_known_circuit_is_found_and_nothing_else(builder, settings, layers, change):
    """On Theorem 1, Theorem 2 and superposed: by unit, by place and, where units are shared, by direction."""
    data, net = dataset(4, seed=4), built(builder, **settings)
    for layer in layers:
        result = activation_patching(net, data, seed=1, layer=layer, change=change, keep=0)
        shared = layer == "mixed"
        found = {name: value for name, value in rates(result).items() if not (shared and ".unit." in name)}
        assert {name.split(".")[2] for name in found} == {"place", "direction" if shared else "unit"}
        for name, value in found.items():
            assert value == pytest.approx(0.0 if name.startswith("fpr") else 1.0), (name, layer)
            assert result.metrics[f"{name}.oracle"] == value
            assert name.startswith("fpr") or result.metrics[f"{name}.chance.high"] < 1


def test_single_neurons_of_a_superposed_layer_miss_what_its_directions_show():
    """No neuron of an absent tile brings its output above the threshold, though its direction does."""
    data, net = fashion()
    result = activation_patching(net, data, seed=0, layer="mixed", change="place", keep=0)
    for way in ("noising", "denoising"):
        for by in ("direction", "place"):
            assert [result.metrics[f"{name}.{way}.{by}.mixed"] for name in ("tpr", "fpr", "auc")] == [1, 0, 1]
    assert result.metrics["tpr.noising.unit.mixed"] == 0.5
    assert result.metrics["fpr.noising.unit.mixed"] == 0
    assert result.metrics["estimate_tpr.noising.direction.mixed"] == 0.5  # no gradient passes the neuron of an absent tile


def test_a_wrong_circuit_is_detected():
    data, right = dataset(5, seed=4), built("theorem1")

    class Past(nn.Module):
        """Computes the same logits, most of them on a path around the layer."""

        def __init__(self):
            super().__init__()
            self.hidden, self.logits = right.module.hidden, nn.Identity()

        def forward(self, images):
            return self.logits(0.01 * right.module.logits(self.hidden(images)) + 0.99 * TASK.phi(images))

    known = {"meanings": {"hidden": right.meanings["hidden"]}}
    wrong = tmi.Network(Past(), ["hidden", "logits"], "constructed", task=TASK, **known)
    tables = [rates(activation_patching(net, data, seed=0, keep=0)) for net in (right, wrong)]
    assert [table["tpr.noising.unit.hidden"] for table in tables] == [1, 0]


def test_units_with_one_weight_for_all_have_no_effect_on_a_difference():
    """Both logits of a pair rise alike: patching by the label's logit alone would call every unit a cause."""
    net, _ = convolution()
    with torch.no_grad():
        net.module.logits.weight.copy_(net.module.logits.weight[:1].expand(3, -1).clone())
    data = dataset(6)
    assert not activation_patching(net, data, seed=0).applicable
    other = activation_patching(net, data, seed=0, change="background")
    assert other.metrics["differ.noising.unit.hidden"] > 0
    assert "top_share.noising.unit.hidden" not in other.metrics
    assert np.abs(other.arrays["effect.noising.unit"].values).max() < 1e-5


def test_linear_layers_need_no_estimate():
    net, _ = convolution()
    result = activation_patching(net, dataset(6), seed=0, layer="hidden")
    assert any("linear" in note for note in result.notes)
    kinds = {name.split(".")[0] for name in result.metrics}
    assert kinds == {"differ", "joint", "top_share", "sites_90"}
    effect, estimate = (result.arrays[f"{name}.noising.unit"].values for name in ("pair_effect", "pair_estimate"))
    assert estimate == pytest.approx(effect, abs=1e-6)


def test_one_direction_alone_and_names_that_are_not_there():
    data = dataset(8)
    net = built("superposed")
    result = activation_patching(net, data, seed=0, layer="mixed", direction="grey/1", keep=8)
    effects = result.arrays["pair_effect.noising.direction"].values
    assert list(result.coords["direction.mixed"]) == ["dark/0", "grey/0", "grey/1", "light/0"]
    assert (effects[:, [0, 1, 3]] == 0).all()
    assert effects[:, 2].any()
    with pytest.raises(UnknownNameError, match=r"'grey/2'.*did you mean \"grey/1\""):
        activation_patching(net, data, seed=0, layer="mixed", direction="grey/2")
    with pytest.raises(UnknownNameError, match=r"'mixes'.*did you mean \"mixed\""):
        activation_patching(net, data, seed=0, layer="mixes")
    with pytest.raises(InputError, match="no directions are known"):
        activation_patching(convolution()[0], data, seed=0, direction="grey/1")
    with pytest.raises(InputError, match='add "direction"'):
        activation_patching(net, data, seed=0, layer="mixed", direction="grey/1", by=["unit"])
    with pytest.raises(InputError, match="gives the logits"):
        activation_patching(net, data, seed=0, layer="logits")
    one = built("theorem1")
    name = f"grey/1 ({int(data.test.row[0])}, {int(data.test.col[0])})"
    alone = activation_patching(one, data, seed=0, direction=name).arrays["effect.noising.direction"].values
    assert np.count_nonzero(alone) <= 1


def test_not_applicable():
    data = dataset(3)
    assert not activation_patching(network(Phi()), data, seed=0).applicable
    single = tmi.TemplateTask(TASK.classes[:1], TASK.image_shape)
    scenes = tmi.Scenes.draw(single, 3, rng=np.random.default_rng(0))
    net = tmi.build("theorem1", single)
    assert "one class" in activation_patching(net, tmi.Dataset(single, scenes, scenes), seed=0).notes[0]
    moved = activation_patching(net, tmi.Dataset(single, scenes, scenes), seed=0, change="place")
    assert moved.metrics["tpr.noising.unit.hidden"] == 1


def test_parts_do_not_matter(monkeypatch):
    net, _ = convolution()
    data = dataset(5)
    whole = activation_patching(net, data, seed=1, layer="conv")
    monkeypatch.setattr("tmi_probes.causes.downstream._AT_ONCE", 1500)
    monkeypatch.setattr("tmi_probes.pipeline.units._AT_ONCE", 300)
    again = activation_patching(net, data, seed=1, layer="conv")
    assert again.metrics == pytest.approx(whole.metrics, rel=1e-9)


@pytest.mark.slow
@given(
    seed=st.integers(0, 10_000),
    change=st.sampled_from(CHANGES),
    channels=st.sampled_from([1, 3]),
    side=st.sampled_from([1, 2, 4]),
    builder=st.sampled_from(["theorem1", "theorem2", "literal"]),
)
@settings(max_examples=60, deadline=None)
def test_on_random_tasks_every_site_of_the_circuit_is_found(seed, change, channels, side, builder):
    """Colour, one-pixel tiles, tiles as large as the image, tiles that several windows match, and one scene."""
    rng = np.random.default_rng(seed)
    tiles = [
        tmi.FeatureTile(rng.random((channels, side, side)), 0.1 * side, np.ones((channels, side, side), bool)) for _ in "abc"
    ]
    try:
        task = tmi.TemplateTask([tmi.TileClass("one", tiles[:2]), tmi.TileClass("two", tiles[2:])], (channels, 4, 4))
        scenes = tmi.Scenes.draw(task, int(rng.integers(1, 6)), rng=rng)
    except InputError:  # tiles that cannot be told apart
        assume(False)
    literal = {"realisation": "literal"} if builder == "literal" else {}
    net = tmi.build("theorem1" if builder == "literal" else builder, task, **literal)
    result = activation_patching(net, tmi.Dataset(task, scenes, scenes), seed=seed, layer="hidden", change=change)
    for name, value in rates(result).items():
        assert value == pytest.approx(0.0 if name.startswith("fpr") else 1.0), name
