from __future__ import annotations

import pytest
import torch

import tmi
from tests import architectures
from tests.architectures import SMALL
from tests.network_forms import colour
from tmi_networks.architectures import mlp, resnet, vgg, vit

BUILDERS = {"mlp": mlp, "vgg": vgg, "resnet": resnet, "vit": vit}


@pytest.fixture(scope="module")
def data():
    return colour()


@pytest.fixture(scope="module")
def nets(data):
    return architectures.networks(data)


def weights(network):
    return torch.cat([value.detach().flatten().double() for value in network.module.state_dict().values()])


@pytest.mark.parametrize("name", BUILDERS)
def test_the_same_seed_gives_the_same_network_bit_for_bit(data, name):
    settings = SMALL[name] | {"epochs": 1}
    one = BUILDERS[name](data, seed=3, **settings)
    torch.rand(7)
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    try:
        two = tmi.build(name, data, seed=3, **settings)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(BUILDERS[name](data, seed=4, **settings)))
    assert not one.module.training
    assert list(one.history) == ["loss", "accuracy"]


@pytest.mark.slow
def test_each_learns_and_its_untrained_twin_has_not(data, nets):
    for name, network in nets.items():
        assert tmi.probe("accuracy", network, data).metrics["accuracy"] >= 0.85, name
        assert tmi.probe("accuracy", network.untrained(), data).metrics["accuracy"] <= 0.8, name


def test_layers_are_named_and_contain_their_non_linearity(data, nets):
    shapes = {
        name: {layer: tuple(values.shape[1:]) for layer, values in network.activations(data.test.images[:2]).items()}
        for name, network in nets.items()
    }
    maps = (8, 2, 3)
    hidden = (16, 2, 3)
    assert shapes == {
        "mlp": {"hidden": (12,), "hidden2": (8,), "logits": (2,)},
        "vgg": {"conv": (4, 12, 18), "conv2": (6, 6, 9), "logits": (2,)},
        "resnet": {"stem": (4, 12, 18), "block": (4, 12, 18), "block2": (6, 6, 9), "logits": (2,)},
        "vit": {
            "embedding": maps,
            "block.hidden": hidden,
            "block": maps,
            "block2.hidden": hidden,
            "block2": maps,
            "logits": (2,),
        },
    }
    for name in ("mlp", "vgg", "resnet"):
        for layer, values in nets[name].activations(data.test.images).items():
            assert layer == "logits" or values.min() >= 0, (name, layer)


@pytest.mark.parametrize("name", BUILDERS)
def test_with_stored_weights_it_is_not_trained_and_is_the_same(name, data, monkeypatch):
    from tmi.networks.train_once import recording
    from tmi.store.networks import why_not_kept

    def build():
        return tmi.build(name, data, seed=3, **SMALL[name] | {"epochs": 1, "optimizer": "sgd"})

    with recording() as training:
        network = build()
    assert training.calls == 1
    monkeypatch.setattr(torch.optim.SGD, "step", None)
    assert why_not_kept(network, training, build, data.test.images) == ""


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("vgg", {"channels": []}, r"vgg: channels: give one number a block, as in \[8, 16\]; the list is empty"),
        ("vgg", {"channels": [2] * 4}, "vgg: channels: images of 12×18 can be halved 3 times, not 4; give at most 3 blocks"),
        ("resnet", {"channels": []}, r"resnet: channels: give one number a stage, as in \[8, 16\]; the list is empty"),
        ("vit", {"patch": 4}, "vit: patch: 4 does not divide the images, 12×18; use 1, 2, 3 or 6"),
        ("vit", {"patch": 6, "width": 9}, "vit: heads: 4 does not divide the width, 9; use 1, 3 or 9"),
        ("vgg", {"channels": [2], "batch_size": 1}, "batches of 1 from 200 images leave one with a single image"),
        ("mlp", {"lr": 1e30, "optimizer": "sgd"}, r"training diverged in epoch 1 of 15: use a smaller lr than 1e\+30"),
        ("mlp", {"widths": [0]}, "widths"),
    ],
)
def test_errors_say_what_is_wrong(data, name, settings, message):
    with pytest.raises(tmi.InputError, match=message) as error:
        tmi.build(name, data, **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_bare_task_has_no_images_to_train_on(data, name):
    with pytest.raises(tmi.InputError, match=f"{name}: needs a Dataset with training images, got TemplateTask"):
        tmi.build(name, data.task)


def test_without_hidden_layers_it_is_a_linear_classifier(data):
    network = mlp(data, seed=0, widths=[], epochs=1)
    assert network.layers == ("logits",)


QUICK = ("accuracy", "weight-sparsity")


def test_a_few_probes_run_or_say_why_not(data, nets):
    rows = architectures.probe_rows(nets, data, QUICK)
    assert not any(refusal for cells in rows.values() for refusal in cells.values())
    rows = architectures.method_rows(nets, data, ("deeplift", "grad-cam"))
    refused = {(row, name) for row, cells in rows.items() for name, refusal in cells.items() if refusal}
    assert refused == {("deeplift", "vgg"), ("deeplift", "vit"), ("grad-cam", "mlp")}


@pytest.mark.slow
def test_the_tables_of_the_page():
    text = architectures.page_part()
    assert "RAW" not in text
    assert text in architectures.PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDERS)
def test_the_defaults_learn_the_clothes_of_section_6_2(name):
    data = tmi.generate("fashion", seed=0, source="sample")  # of seed 1 two tiles are nearly alike
    network = tmi.build(name, data, seed=1)
    assert tmi.probe("accuracy", network, data).metrics["accuracy"] >= 0.95
