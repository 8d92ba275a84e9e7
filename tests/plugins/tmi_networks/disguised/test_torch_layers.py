"""Networks in torch's own dense layers compute what they computed before, within the memory that they may take."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi.errors import InputError
from tmi_networks.disguised import DISGUISES, check_logits, disguise
from tmi_networks.disguised.torch_layers import Budget, leaves, torch_layers

from .nets import network


def task_of(*sizes, shape=(1, 4, 5), epsilon=0.02):
    rng = np.random.default_rng(0)
    tiles = [tmi.FeatureTile(rng.random((shape[0], *size)), epsilon) for size in sizes]
    middle = len(tiles) // 2
    return tmi.TemplateTask([tmi.TileClass("a", tiles[:middle]), tmi.TileClass("b", tiles[middle:])], shape)


@pytest.mark.parametrize(
    ("of", "settings"),
    [
        ("theorem1", {"realisation": "literal"}),
        ("theorem2", {}),
        ("theorem2", {"levels": 3}),
        ("superposed", {"realisation": "literal", "neurons": 4, "weight": 2, "approximate": True}),
        ("superposed", {"realisation": "literal", "neurons": 4, "code": "dense", "approximate": True}),
        ("superposed", {"realisation": "literal", "neurons": 15, "scope": "layer"}),
    ],
)
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 3, 3)])
@pytest.mark.filterwarnings("ignore:superposed")
def test_the_constructions(of, settings, shape):
    task = task_of((2, 2), (1, 3), (3, 3), (2, 3), (1, 1), shape=shape)
    original = tmi.build(of, task, **settings)
    images = tmi.Scenes.draw(task, 9, rng=np.random.default_rng(1)).images.double()
    other, _ = disguise(original, [], seed=0)
    for layer, wanted in original.activations(images).items():
        found = other.activations(images, layer)[layer]
        assert found.shape == wanted.shape
        assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)
    disguises = ["permutation", "split", "cancelling", "basis"]
    changed, mixing = disguise(original, disguises, seed=0)
    assert check_logits(original, changed, images) < 1e-9
    assert set(mixing) == set(original.layers[:-1])
    if of == "superposed":  # its directions are those of the old neurons, carried over
        before, after = original.directions("mixed"), changed.directions("mixed")
        assert after.by_place == before.by_place
        assert np.allclose(after.matrix, before.matrix @ mixing["mixed"].T)
        values = changed.activations(images, "mixed")["mixed"]
        values = values.movedim(1, -1).numpy() if after.by_place else values.numpy()
        old = original.activations(images, "mixed")["mixed"]
        old = old.movedim(1, -1).numpy() if before.by_place else old.numpy()
        assert np.allclose(values @ np.linalg.pinv(mixing["mixed"]).T, old, atol=1e-10)


def test_the_same_sizes_need_no_choice_of_windows():
    task = task_of((2, 2), (2, 2))
    module = torch_layers(tmi.build("theorem2", task).module, task.image_shape, Budget(1))
    assert [type(part).__name__ for part in module.threshold] == ["Conv2d", "Flatten"]
    other = torch_layers(tmi.build("theorem2", task_of((2, 2), (2, 3))).module, task.image_shape, Budget(1))
    assert [type(part).__name__ for part in other.threshold] == ["Conv2d", "Flatten", "Linear"]


def test_layers_of_signals():
    task = task_of((2, 2), (2, 2), shape=(2, 4, 4))
    parts = [
        ("flat", nn.Flatten(2)),
        ("conv", nn.Sequential(nn.Conv1d(2, 3, 3, stride=2), nn.BatchNorm1d(3), nn.ReLU())),
        ("pool", nn.AdaptiveMaxPool1d(3)),
        ("second", nn.Sequential(nn.Conv1d(3, 1, 1), nn.ReLU())),
        ("average", nn.AvgPool1d(3)),
        ("flatten", nn.Flatten()),
        ("logits", nn.Linear(1, 2)),
    ]
    original = network(parts, task, ["conv", "second", "logits"])
    images = torch.rand(4, *task.image_shape, dtype=torch.float64)
    for name in DISGUISES:
        other, mixing = disguise(original, [name], seed=0)
        assert check_logits(original, other, images) < 1e-13
        assert set(mixing) == {"conv", "second"}


NOT_BY_CHANNEL = {
    "neurons": [("hidden", nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU())), ("pool", nn.MaxPool1d(3, 1, 1))],
    "a mean of neurons": [("hidden", nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU())), ("pool", nn.AvgPool1d(2))],
    "channels": [
        ("hidden", nn.Sequential(nn.Flatten(2), nn.Conv1d(1, 3, 15), nn.ReLU())),
        ("pool", nn.Sequential(nn.MaxPool2d(1, 1), nn.Flatten())),
    ],
}


@pytest.mark.parametrize("over", NOT_BY_CHANNEL)
def test_a_pool_over_neurons_or_channels_is_refused(over):
    task = task_of((2, 2), (2, 2), shape=(1, 4, 4))
    original = network([*NOT_BY_CHANNEL[over], ("logits", nn.Linear(6, 2))], task, ["hidden", "logits"])
    for name in DISGUISES:
        with pytest.raises(InputError, match=r"Pool.d that combines different neurons, for its input has [23] axes; "):
            disguise(original, [name], seed=1)


def test_channels_that_are_formed_of_others_are_left_as_they_are():
    task = task_of((2, 2), (2, 2), shape=(1, 4, 4))
    first = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU())
    formed = [("maps", nn.Unflatten(1, (2, 3, 1))), ("flat", nn.Flatten()), ("others", nn.Unflatten(1, (3, 2, 1)))]
    parts = [
        ("hidden", first),
        *formed,
        ("conv", nn.Conv2d(3, 4, (2, 1))),
        ("flatten", nn.Flatten()),
        ("logits", nn.Linear(4, 2)),
    ]
    original = network(parts, task, ["hidden", "conv", "logits"])
    images = torch.rand(4, *task.image_shape, dtype=torch.float64)
    for name in DISGUISES:
        other, mixing = disguise(original, [name], seed=1)
        assert check_logits(original, other, images) < 1e-13
        assert set(mixing) == {"conv"}


def test_no_random_number_is_drawn():
    task = task_of((2, 2), (2, 2))
    original = tmi.build("theorem2", task)
    before = torch.get_rng_state()
    disguise(original, [*DISGUISES], seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_memory_is_counted_before_it_is_taken():
    budget = Budget(1e-6)
    budget.take(10, 10)
    with pytest.raises(InputError, match=r"at least 1\.6e-06 GB, more than memory = 1e-06"):
        budget.take(100)
    task = task_of((2, 2), (2, 2))
    original = tmi.build("theorem1", task, realisation="literal")
    module = torch_layers(original.module, task.image_shape, Budget(1))
    needed = 8e-9 * sum(part.weight.numel() for _, part in leaves(module) if hasattr(part, "weight"))
    torch_layers(original.module, task.image_shape, Budget(1.001 * needed))
    with pytest.raises(InputError, match="more than memory"):
        torch_layers(original.module, task.image_shape, Budget(0.999 * needed))


def test_the_original_is_left_as_it_is():
    task = task_of((2, 2), (2, 2))
    parts = [
        ("conv", nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(inplace=True))),
        ("flatten", nn.Flatten()),
        ("logits", nn.Linear(24, 2)),
    ]
    original = network(parts, task, ["conv", "logits"])
    before = {name: value.clone() for name, value in original.module.state_dict().items()}
    other, _ = disguise(original, ["basis", "rescaling"], seed=0)
    assert all(torch.equal(value, before[name]) for name, value in original.module.state_dict().items())
    assert original.module.conv[1].inplace
    assert not any(getattr(part, "inplace", False) for part in other.module.modules())
