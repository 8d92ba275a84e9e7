"""Plain weights: every way in which a weight is computed is folded in, and the module computes what it did."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import tmi
from tmi.networks.plain import copied, plain

IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's, about the old form of weight norm


def module_of(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5), nn.ReLU(), nn.Linear(5, 2)
    ).eval()


def raw(layer: nn.Module) -> None:
    """Move a layer's weight to a parameter of another name, as authors of hooks do."""
    layer.raw = nn.Parameter(layer.weight.detach().clone())
    del layer._parameters["weight"]


def own_hook(layer: nn.Module) -> None:
    raw(layer)
    layer.register_forward_pre_hook(lambda part, _inputs: setattr(part, "weight", 2 * part.raw.tanh()))


def own_hook_with_kwargs(layer: nn.Module) -> None:
    raw(layer)
    layer.register_forward_pre_hook(lambda part, _args, _kwargs: setattr(part, "weight", part.raw + 1), with_kwargs=True)


def hook_that_writes_into_the_parameter(layer: nn.Module) -> None:
    layer.real = nn.Parameter(layer.weight.detach().clone())

    def binarize(part, _inputs):
        part.weight.data = part.real.data.sign() / 8

    layer.register_forward_pre_hook(binarize)


class Doubled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


def two_parametrisations(layer: nn.Module) -> None:
    parametrize.register_parametrization(layer, "weight", Doubled())
    parametrize.register_parametrization(layer, "weight", Doubled())
    parametrize.register_parametrization(layer, "bias", Doubled())


WAYS = {
    "old weight norm": nn.utils.weight_norm,
    "weight norm": parametrizations.weight_norm,
    "old spectral norm": nn.utils.spectral_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "pruned twice": lambda layer: [prune.random_unstructured(layer, name, 0.5) for name in ("weight", "bias")],
    "two parametrisations": two_parametrisations,
    "own hook": own_hook,
    "own hook with kwargs": own_hook_with_kwargs,
    "a hook that writes into the parameter": hook_that_writes_into_the_parameter,
}


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from([0, 3, 5]), st.sampled_from(sorted(WAYS)), min_size=1), st.integers(0, 9))
def test_all_ways_are_folded_in(ways, seed):
    module = module_of(seed)
    for layer, way in ways.items():
        WAYS[way](module[layer])
    before, names = module(IMAGES), [name for name, _ in module.named_parameters()]
    values = [p.detach().clone() for p in module.parameters()]
    result = plain(module, IMAGES)
    assert torch.equal(result(IMAGES), before)
    assert sorted(name for name, _ in result.named_parameters()) == sorted(name for name, _ in module_of().named_parameters())
    assert all(type(part) is type(same) for part, same in zip(result.modules(), module_of().modules(), strict=True))
    assert not any(part._forward_pre_hooks for part in result.modules())
    for layer in ways:  # the weight is what the layer computes with
        assert isinstance(result[layer].weight, nn.Parameter)
        assert torch.equal(result[layer].weight, module[layer].weight)
    assert [name for name, _ in module.named_parameters()] == names
    assert all(torch.equal(p, value) for p, value in zip(module.parameters(), values, strict=True))
    assert torch.equal(module(IMAGES), before)
    copy.deepcopy(result)


def test_a_module_with_plain_weights_is_returned_itself():
    module = module_of()
    assert plain(module, IMAGES) is module
    module[3].register_forward_pre_hook(lambda part, inputs: setattr(part, "seen", inputs[0]))
    module(IMAGES)
    assert plain(module, IMAGES) is module  # what a hook records is no weight


def test_a_weight_that_depends_on_the_image_is_none():
    module = module_of()
    raw(module[3])
    module[3].register_forward_pre_hook(lambda part, inputs: setattr(part, "weight", part.raw * inputs[0].mean()))
    assert plain(module, IMAGES) is module


def test_a_hook_on_the_whole_module():
    module = module_of()
    raw(module[3])
    module.register_forward_pre_hook(lambda part, _inputs: setattr(part[3], "weight", part[3].raw.abs()))
    before = module(IMAGES)
    result = plain(module, IMAGES)
    assert torch.equal(result(IMAGES), before)
    assert "3.raw" not in dict(result.named_parameters())


@pytest.mark.parametrize("way", ["none", "one", "both"])
def test_shared_weights_stay_shared(way):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.Linear(64, 2)).eval()
    module[3].weight = module[1].weight
    parametrizations.weight_norm(module[4])
    if way != "none":
        parametrize.register_parametrization(module[1], "weight", Doubled(), unsafe=True)
    if way == "both":
        parametrize.register_parametrization(module[3], "weight", Doubled(), unsafe=True)
        module[3].parametrizations.weight.original = module[1].parametrizations.weight.original
    before = module(IMAGES)
    result = plain(module, IMAGES)
    assert torch.equal(result(IMAGES), before)
    assert (result[1].weight is result[3].weight) == (way != "one")  # one of the two is doubled, the other is not


def test_a_hook_that_does_more_than_set_a_weight_is_refused():
    module = module_of()
    raw(module[3])

    def hook(part, inputs):
        part.weight = part.raw.clone()
        return (inputs[0] + 1,)

    module[3].register_forward_pre_hook(hook)
    with pytest.raises(tmi.InputError, match=r"3\.weight as plain parameters"):
        plain(module, IMAGES)


def test_modes_are_restored_and_low_precision_is_no_matter():
    module = module_of()
    parametrizations.weight_norm(module[0])
    module.train()
    result = plain(module, IMAGES)
    assert module.training
    assert not result.training
    double = module_of().double()
    nn.utils.weight_norm(double[3])
    assert plain(double, IMAGES.double())[3].weight.dtype == torch.float64


def test_a_computed_tensor_is_copied_without_its_history():
    module = module_of()
    nn.utils.weight_norm(module[3])
    module.cache = {"sum": [module[3].weight.sum()]}
    module(IMAGES)
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(module)
    result = copied(module)
    assert torch.equal(result.cache["sum"][0], module.cache["sum"][0])
    assert result.cache["sum"][0].is_leaf
    assert torch.equal(result(IMAGES), module(IMAGES))


def test_the_method_of_a_network(squares):
    task = squares
    torch.manual_seed(0)
    _, m, n = task.image_shape
    module = nn.Sequential(nn.Flatten(), nn.Linear(task.image_shape[0] * m * n, len(task.classes)))
    network = tmi.Network(module, ["1"], "imported", task=task)
    assert network.plain() is network
    parametrizations.weight_norm(module[1])
    images = torch.rand(3, *task.image_shape)
    folded = network.plain()
    assert folded is not network
    assert folded.layers == network.layers
    assert torch.equal(folded.logits(images), network.logits(images))
    with torch.no_grad():  # nothing stale is kept
        module[1].parametrizations.weight.original0 += 1
    assert torch.equal(network.plain().logits(images), network.logits(images))
