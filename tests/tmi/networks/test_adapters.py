from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from torch import nn

from tmi import InputError, Network, UnknownNameError
from tmi.networks.adapters import in_full_precision, name_without_wrappers, part_of, with_part, without_wrappers


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 2))


def compiled(module):
    return torch.compile(module, backend="eager")


def compiled_in_place(module):
    module.compile(backend="eager")
    return module


def inside(module):
    """Wrap a part of the module."""
    module[1] = nn.DataParallel(module[1])
    module[0] = torch.compile(module[0], backend="eager")
    return module


WRAPPERS = {
    "DataParallel": (nn.DataParallel, "module."),
    "compile": (compiled, "_orig_mod."),
    "compile in place": (compiled_in_place, ""),
    "both": (lambda module: nn.DataParallel(compiled(module)), "module._orig_mod."),
    "a part": (inside, ""),
}


@pytest.fixture
def images():
    return torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_are_seen_through(name, squares, images):
    wrap, prefix = WRAPPERS[name]
    expected = Network(net(), ["1", "3"], "trained", task=squares).activations(images)
    wrapped = wrap(net())
    network = Network(wrapped, [f"{prefix}1", f"{prefix}3"], "trained", task=squares, meanings={f"{prefix}1": {"tile": [0] * 27}})
    assert network.layers == ("1", "3")
    assert len(network.neurons("1")) == 27
    for layer, values in network.activations(images).items():
        assert torch.equal(values, expected[layer]), layer
    kinds = {type(part).__name__ for part in network.module.modules()}
    assert kinds == {"Sequential", "Conv2d", "ReLU", "Flatten", "Linear"}
    assert all(part._compiled_call_impl is None for part in network.module.modules())
    assert list(network.module.state_dict()) == list(net().state_dict())
    with torch.no_grad():  # the wrapped module is as it was, and shares its weights
        next(wrapped.parameters()).fill_(0)
        torch.testing.assert_close(wrapped(images), network.logits(images))


def test_names_of_modules_that_only_look_like_wrappers():
    module = nn.Sequential()
    module.add_module("module", net())
    assert name_without_wrappers(module, "module.1") == "module.1"
    assert without_wrappers(module) is module


def test_a_part_of_an_inner_wrapper_has_its_short_name(squares, images):
    module = inside(net())
    network = Network(module, ["1.module", "3"], "trained", task=squares)
    assert network.layers == ("1", "3")
    assert network.activations(images)["1"].min() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_widened_and_exact(dtype, squares, images):
    low = net().to(dtype)
    network = Network(low, ["1", "3"], "trained", task=squares)
    plain = net()
    plain.load_state_dict({name: value.float() for name, value in low.state_dict().items()})
    assert torch.equal(network.logits(images), plain(images))
    assert {value.dtype for value in low.parameters()} == {dtype}
    assert network.activations(images)["1"].dtype == torch.float32


def test_full_precision_is_left_alone():
    module = net()
    module.register_buffer("phase", torch.ones(2, dtype=torch.complex128))
    module.register_buffer("count", torch.ones(2, dtype=torch.int8))
    assert in_full_precision(module) is module
    module.register_buffer("small", torch.ones(2, dtype=torch.float16))
    copied = in_full_precision(module)
    assert [copied.phase.dtype, copied.count.dtype, copied.small.dtype] == [torch.complex128, torch.int8, torch.float32]


def test_mixed_dtypes_have_a_sentence(squares, images):
    module = net()
    module[3].double()
    with pytest.raises(InputError, match=r"fails on images .*give it weights of one dtype \(module.float\(\)\)"):
        Network(module, ["1"], "trained", task=squares).logits(images)


Named = namedtuple("Named", ["logits", "rest"])


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ((1, 2), 0),
        ([0, 1], -1),
        ({"a": 1, "b": 2}, "a"),
        (Named(1, 2), "logits"),
        (Named(1, 2), 0),
        ((0, [1]), lambda y: y[1][0]),
    ],
)
def test_parts(answer, part):
    assert part_of(answer, part) == 1


@pytest.mark.parametrize(
    ("answer", "part", "message"),
    [
        ((1, 2), 2, "2 is not a part of a tuple of int, int"),
        ({"logits": 1}, "logit", "not a part of a dict of 'logits'; did you mean \"logits\""),
        ({"logits": 1}, 0, "0 is not a part of a dict"),
        (torch.zeros(2, 3), "x", r"not a part of float32 \(2, 3\)"),
    ],
)
def test_a_part_that_is_not_there(answer, part, message):
    with pytest.raises(InputError, match=message):
        part_of(answer, part)


@pytest.mark.parametrize(
    ("answer", "part", "expected"),
    [
        ((1, 2), 0, (9, 2)),
        ([0, 1], -1, [0, 9]),
        ({"a": 1, "b": 2}, "a", {"a": 9, "b": 2}),
        (Named(1, 2), "logits", Named(9, 2)),
        (Named(1, 2), 1, Named(1, 9)),
    ],
)
def test_a_part_is_replaced_in_a_copy(answer, part, expected):
    before = type(answer)(*answer) if isinstance(answer, Named) else type(answer)(answer)
    assert with_part(answer, part, 9) == expected
    assert type(with_part(answer, part, 9)) is type(answer)
    assert answer == before


def test_a_part_given_by_a_function_is_not_replaced():
    with pytest.raises(InputError, match=r"its part is given by a function.*give its position or name"):
        with_part((1, 2), lambda y: y[0], 9)


def test_options_are_checked(squares):
    with pytest.raises(InputError, match=r"form: expected one of .* got 'maen'; did you mean \"mean\""):
        Network(net(), ["1"], "trained", task=squares, form="maen")
    with pytest.raises(UnknownNameError, match="parts '2': not among the layers"):
        Network(net(), ["1"], "trained", task=squares, parts={"2": 0})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (torch.jit.script, "runs in TorchScript"),
        (lambda module: torch.jit.trace(module, torch.rand(2, 1, 4, 4)), "runs in TorchScript"),
        (lambda module: torch.export.export(module, (torch.rand(2, 1, 4, 4),)).module(), "has no evaluation mode"),
    ],
)
def test_a_program_without_layers_is_refused(change, reason, squares):
    for options in ({}, {"form": "squeeze"}):
        with pytest.raises(InputError, match=f"module: {reason} .*give the original module".replace(" .*", ".*")):
            Network(change(net()), ["1", "3"], "imported", task=squares, **options)
