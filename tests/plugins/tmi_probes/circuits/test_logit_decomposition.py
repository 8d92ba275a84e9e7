import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import tmi
from tmi_attribution.receptive import receptive_field
from tmi_probes.circuits.logit_decomposition import fewest, logit_decomposition, participation, rivals

from ...traces import state
from ..toys import TASK, Phi, Sums, cnn_network, dataset, network


def flat_cnn(task=TASK, seed=0):
    """The form of section 6.2: one convolution, and the logits right after it."""
    torch.manual_seed(seed)
    channels, m, n = task.image_shape
    module = nn.Sequential()
    module.add_module("conv", nn.Sequential(nn.Conv2d(channels, 3, 2), nn.ReLU()))
    module.add_module("flatten", nn.Flatten())
    module.add_module("logits", nn.Linear(3 * (m - 1) * (n - 1), len(task.classes)))
    return network(module, "conv", "logits", task=task)


terms = st.lists(st.floats(-5, 5, allow_nan=False).map(lambda v: round(v, 3)), min_size=1, max_size=9)


@given(terms)
def test_counts_by_trying(values):
    row = np.array([values])
    total = sum(v for v in values if v > 0)
    smallest = next(k for k in range(len(values) + 1) if sum(sorted(values, reverse=True)[:k]) >= 0.9 * total or k == len(values))
    assert fewest(row, 0.9)[0] == (smallest if total > 0 else 0)
    if any(values):
        assert participation(row)[0] == pytest.approx(sum(map(abs, values)) ** 2 / sum(v * v for v in values))
        assert 1 - 1e-9 <= participation(row)[0] <= np.count_nonzero(values) + 1e-9
    else:
        assert np.isnan(participation(row)[0])


def test_the_strongest_rival():
    logits = np.array([[3.0, 1, 2], [0, 5, 5], [7, 7, 7]])
    assert rivals(logits, np.array([0, 1, 2]), "margin").tolist() == [2, 2, 0]
    assert rivals(logits, np.array([0, 1, 2]), "logit").tolist() == [-1, -1, -1]
    assert rivals(logits[:, :1], np.array([0, 0, 0]), "margin").tolist() == [-1, -1, -1]


@pytest.mark.parametrize("baseline", ["zero", "background"])
@pytest.mark.parametrize("of", ["margin", "logit"])
def test_terms_by_an_independent_formula(of, baseline):
    net, data = flat_cnn(seed=1), dataset(12)
    result = logit_decomposition(net, data, seed=0, of=of, baseline=baseline, forms=12)
    scenes = data.test
    fields = receptive_field(net.module, "conv", np.arange(147), (1, 8, 8))
    conv = net.activations(scenes.images)["conv"].flatten(1).double()
    off = torch.zeros(147).double()
    if baseline == "background":
        off = net.activations(scenes.backgrounds)["conv"].flatten(1).double().mean(0)
    parts, pixels = [], []
    for i in range(12):
        logits = net.logits(scenes.images[[i]])[0].double()
        label = int(scenes.labels[i])
        rival = max((c for c in range(3) if c != label), key=lambda c: float(logits[c]))
        direction = torch.zeros(3).double()
        direction[label] = 1
        if of == "margin":
            direction[rival] = -1
        weight, bias = (direction @ value.detach().double() for value in (net.module.logits.weight, net.module.logits.bias))
        own = ((conv[i] - off) * weight).numpy()
        reads, alone = (fields & scenes.masks[i].numpy()).any((1, 2)), ~(fields & ~scenes.masks[i].numpy()).any((1, 2))
        sums = [own[alone].sum(), own[reads & ~alone].sum(), own[~reads].sum(), float(bias + off @ weight)]
        assert sum(sums) == pytest.approx(float(direction @ logits), abs=1e-5)
        parts.append([*sums, own])
        x = scenes.images[[i]].clone().requires_grad_()
        (direction.float() @ net.module(x)[0]).backward()
        through = (x.grad * x)[0, 0].detach().numpy()
        mask = scenes.masks[i].numpy()
        pixels.append([through[mask].sum(), through[~mask].sum(), float(direction @ logits) - through.sum()])
    sums = np.array([part[:4] for part in parts])
    assert result.arrays["parts"].values == pytest.approx(sums, abs=1e-9)
    assert result.metrics["reconstruction_error.units"] < 1e-5
    assert result.metrics["reconstruction_error.pixels"] < 1e-12
    assert result.arrays["pixel_parts"].values == pytest.approx(np.array(pixels), abs=1e-5)
    own = np.stack([part[4] for part in parts])
    assert result.metrics["participation"] == pytest.approx(np.mean(np.abs(own).sum(1) ** 2 / (own**2).sum(1)))
    assert result.metrics["total"] == pytest.approx(sums.sum(1).mean())
    if sums.sum() > 0:
        for name, share in zip(("inside", "border", "outside", "bias"), sums.sum(0) / sums.sum(), strict=True):
            assert result.metrics[name] == pytest.approx(share)
        assert result.metrics["inside.chance"] == pytest.approx(4 * 3 / 147)  # a 2×2 kernel lies in a 3×3 tile at four places
    else:
        assert "inside" not in result.metrics
    kept = [data.task.tile_name(int(tile)) for tile in scenes.tile]
    shown = [kept.index(name) for name in result.coords["kept"]]
    assert result.arrays["maps"].values.sum((1, 2)) == pytest.approx(sums[shown, :3].sum(1), abs=1e-6)


def test_means_by_tile_and_by_class():
    result = logit_decomposition(flat_cnn(), dataset(30), seed=0)
    tile = result.arrays["tile_index"].values
    shown = result.arrays["by_tile"].values[result.coords["measure"].tolist().index("units_90")]
    assert shown == pytest.approx([result.arrays["units_90"].values[tile == k].mean() for k in range(4)])
    assert result.coords["shown_tile"].tolist() == [TASK.tile_name(k) for k in range(4)]
    label = result.arrays["label"].values
    inside = result.arrays["by_class"].values[0]
    assert inside == pytest.approx([result.arrays["parts"].values[label == k, 0].mean() for k in range(3)])


def test_one_unit_of_a_constructed_network_makes_the_logit():
    data = tmi.generate("fashion", seed=0, source="sample", samples=1, test_samples=30)
    result = tmi.probe("logit-decomposition", tmi.build("theorem1", data), data, forms=3, backgrounds=20)
    metrics = result.metrics
    assert metrics["participation"] == metrics["units_90"] == metrics["inside"] == 1
    assert metrics["border"] == metrics["outside"] == metrics["bias"] == metrics["reconstruction_error.units"] == 0
    assert metrics["pixel_background"] == 0
    assert metrics["pixel_tile"] + metrics["pixel_bias"] == pytest.approx(1)
    assert metrics["variance.backgrounds"] == metrics["variance.places"] == 0
    # The one unit's term lies where the tile's window begins.
    maps, shown = result.arrays["maps"].values, np.unravel_index(result.arrays["maps"].values.reshape(3, -1).argmax(1), (13, 13))
    assert (maps > 0).sum((1, 2)).tolist() == [1, 1, 1]
    masks = result.arrays["masks"].values
    assert [masks[k, row, col] and not masks[k, :row].any() for k, (row, col) in enumerate(zip(*shown, strict=True))] == [1, 1, 1]


def test_where_units_or_pixels_have_no_terms():
    alone = tmi.probe("logit-decomposition", network(Phi(), "logits"), dataset(5))
    assert not alone.applicable
    assert "no layer but the logits" in alone.notes[0]
    deep = logit_decomposition(cnn_network(), dataset(8), seed=0, layer="conv")
    assert "not linear in layer conv" in deep.notes[0]
    assert deep.metrics["reconstruction_error.pixels"] < 1e-12
    assert "reconstruction_error.units" not in deep.metrics
    hidden = logit_decomposition(cnn_network(), dataset(8), seed=0)
    assert "participation" in hidden.metrics
    assert "inside" not in hidden.metrics
    assert any("lie alike" in note for note in hidden.notes)
    with pytest.raises(tmi.InputError, match="gives the logits"):
        logit_decomposition(cnn_network(), dataset(8), seed=0, layer="logits")


def test_one_class_and_one_image_and_colour():
    tile = tmi.FeatureTile(np.random.default_rng(0).random((3, 1, 1)), 0.1)
    task = tmi.TemplateTask([tmi.TileClass("dot", [tile])], (3, 3, 3))
    data = dataset(1, task=task)
    result = tmi.probe("logit-decomposition", flat_cnn(task), data)
    assert result.arrays["rival"].values.tolist() == [-1]
    assert "participation.chance" not in result.metrics
    assert result.arrays["parts"].values.sum() == pytest.approx(float(flat_cnn(task).logits(data.test.images)[0, 0]), abs=1e-6)
    assert any("variances over backgrounds: not applicable" in note for note in result.notes)


def test_draws_and_traces():
    net, data = network(Sums(), "hidden", "logits"), dataset(6)
    before = state(net)
    weights = before.pop("weights")
    first = logit_decomposition(net, data, seed=3)
    after = state(net)
    assert all(torch.equal(value, weights[key]) for key, value in after.pop("weights").items())
    assert before == after
    assert first.metrics == logit_decomposition(net, data, seed=3).metrics
