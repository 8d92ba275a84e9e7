"""The modules compute what torch's own layers compute, or the formula of the paper that they are from."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tmi_networks.architecture_modules import (
    EncoderBlock,
    PatchEmbedding,
    ResidualBlock,
    SelfAttention,
    multilayer_perceptron,
    resnet_like,
    vgg_like,
    vision_transformer,
)


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def tokens(maps):
    return maps.flatten(2).transpose(1, 2)


def attention_like(ours: SelfAttention, width: int, heads: int) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(width, heads, batch_first=True)
    with torch.no_grad():
        parts = ours.query, ours.key, ours.value
        theirs.in_proj_weight.copy_(torch.cat([part.weight.flatten(1) for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.weight.copy_(ours.output.weight.flatten(1))
        theirs.out_proj.bias.copy_(ours.output.bias)
    return theirs


def test_attention_is_that_of_torch_and_hooks_see_it():
    maps, ours = torch.randn(3, 6, 2, 5), SelfAttention(6, 2)
    seen = []
    ours.softmax.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    expected, weights = attention_like(ours, 6, 2)(*[tokens(maps)] * 3, average_attn_weights=False)
    torch.testing.assert_close(tokens(ours(maps)), expected)
    torch.testing.assert_close(seen[0], weights)
    assert seen[0].shape == (3, 2, 10, 10)


def test_a_block_of_the_transformer_is_that_of_torch():
    maps, ours = torch.randn(2, 6, 3, 3), EncoderBlock(6, 3)
    theirs = nn.TransformerEncoderLayer(6, 3, 12, dropout=0, activation="gelu", batch_first=True, norm_first=True)
    theirs.self_attn = attention_like(ours.attention, 6, 3)
    with torch.no_grad():
        for norm in (ours.norm, ours.norm2):
            norm.weight.uniform_()
            norm.bias.uniform_()
        for mine, other in ((ours.norm, theirs.norm1), (ours.norm2, theirs.norm2), (ours.output, theirs.linear2)):
            other.load_state_dict({name: value.squeeze() for name, value in mine.state_dict().items()})
        theirs.linear1.load_state_dict({name: value.squeeze() for name, value in ours.hidden[0].state_dict().items()})
    torch.testing.assert_close(tokens(ours(maps)), theirs.train()(tokens(maps)))


def test_an_embedding_is_a_linear_map_of_each_patch():
    ours, images = PatchEmbedding((2, 4, 6), 2, 5), torch.randn(3, 2, 4, 6)
    found = ours(images)
    assert found.shape == (3, 5, 2, 3)
    patch = images[1, :, 2:4, 4:6].flatten()
    expected = ours.patches.weight.flatten(1) @ patch + ours.patches.bias + ours.positions[:, 1, 2]
    torch.testing.assert_close(found[1, :, 1, 2], expected)
    assert 0.005 < ours.positions.std() < 0.05


@pytest.mark.parametrize(("before", "stride"), [(4, 1), (3, 1), (4, 2)])
def test_a_residual_block_adds_its_input(before, stride):
    ours, maps = ResidualBlock(before, 4, stride).eval(), torch.randn(2, before, 6, 5)
    for norm in (part for part in ours.modules() if isinstance(part, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight)
        norm.running_mean.uniform_()

    def normalised(x, norm):
        mean, scale = norm.running_mean, norm.weight / (norm.running_var + norm.eps).sqrt()
        return (x - mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]

    inner = F.relu(normalised(F.conv2d(maps, ours.conv.weight, stride=stride, padding=1), ours.norm))
    change = normalised(F.conv2d(inner, ours.conv2.weight, padding=1), ours.norm2)
    shortcut = maps
    if (before, stride) == (4, 1):
        assert type(ours.shortcut) is nn.Identity
    else:
        shortcut = normalised(F.conv2d(maps, ours.shortcut[0].weight, stride=stride), ours.shortcut[1])
    torch.testing.assert_close(ours(maps), F.relu(change + shortcut))


MAKERS = {
    "mlp": lambda shape: multilayer_perceptron(shape, 3, [5, 4]),
    "vgg": lambda shape: vgg_like(shape, 3, [2, 4], 2),
    "resnet": lambda shape: resnet_like(shape, 3, [2, 4], 2),
    "vit": lambda shape: vision_transformer(shape, 3, 4, 4, 2, 2),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 8, 12)])
def test_every_relu_is_used_once_and_not_in_place(name, shape):
    module = MAKERS[name](shape).eval()
    uses: dict[int, int] = {}
    relus = [part for part in module.modules() if isinstance(part, nn.ReLU)]
    for part in relus:
        part.register_forward_hook(lambda module, _inputs, _output: uses.update({id(module): uses.get(id(module), 0) + 1}))
    assert module(torch.rand(2, *shape)).shape == (2, 3)
    assert not any(part.inplace for part in relus)
    assert len(relus) == len(uses) == {"mlp": 2, "vgg": 4, "resnet": 9, "vit": 0}[name]
    assert set(uses.values()) <= {1}
