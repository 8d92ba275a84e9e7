"""A change of what a probe was given is seen, whatever the dtype and layout of the tensor."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import tmi
from tmi.probing.mutation import first_change, state_of

DTYPES = sorted(
    {
        dtype
        for dtype in vars(torch).values()
        if isinstance(dtype, torch.dtype) and not str(dtype).startswith(("torch.q", "torch.bit"))
    },
    key=str,
)


def filled(dtype: torch.dtype, value: int) -> torch.Tensor:
    """Return six elements of any dtype, each of these bytes."""
    size = torch.empty((), dtype=dtype).element_size()
    return torch.full((6 * size,), value, dtype=torch.uint8).view(dtype).reshape(3, 2)


def quantized(value: float) -> torch.Tensor:
    return torch.quantize_per_tensor(torch.full((3, 2), value), 0.1, 0, torch.quint8)


def by_channel(value: float) -> torch.Tensor:
    return torch.quantize_per_channel(torch.full((3, 2), value), torch.full((3,), 0.1), torch.zeros(3), 0, torch.qint8)


LAYOUTS = {
    "scalar": torch.tensor,
    "complex scalar": lambda value: torch.tensor(complex(value, 1), dtype=torch.complex128),
    "conjugate": lambda value: torch.full((3,), complex(value, 1)).conj(),
    "negative view": lambda value: torch.full((3,), complex(1, value)).conj().imag,
    "expanded": lambda value: torch.tensor([value]).expand(5),
    "transposed": lambda value: torch.tensor([[value, 1.0], [2.0, 3.0]]).T,
    "quantized": quantized,
    "quantized by channel": by_channel,
    "sparse_coo": lambda value: (value * torch.eye(4)).to_sparse(),
    "sparse_csr": lambda value: (value * torch.eye(4)).to_sparse_csr(),
    "sparse_csc": lambda value: (value * torch.eye(4)).to_sparse_csc(),
    "sparse_bsr": lambda value: (value * torch.eye(4)).to_sparse_bsr((2, 2)),
    "sparse_bsc": lambda value: (value * torch.eye(4)).to_sparse_bsc((2, 2)),
    "mkldnn": lambda value: torch.full((3, 3), value).to_mkldnn(),
    "nested": lambda value: torch.nested.nested_tensor([torch.full((2,), value), torch.ones(3)]),
    "jagged": lambda value: torch.nested.nested_tensor([torch.full((2,), value), torch.ones(3)], layout=torch.jagged),
}


@pytest.fixture(scope="module")
def data():
    return tmi.generate("squares", samples=2, test_samples=2)


def seen(data, one: torch.Tensor, other: torch.Tensor) -> str:
    """Name what changes when a network's buffer is replaced."""

    class Held(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("buffer", one)
            self.out = nn.Linear(16, 2)

        def forward(self, x):
            return self.out(x.flatten(1))

    module = Held()
    network = tmi.Network(module, ["out"], "imported", task=data.task)
    network.module.buffer = one  # of low precision it would be a copy, in float32
    before = state_of(data, network)
    assert first_change(before, state_of(data, network)) == ""
    network.module.buffer = other
    return first_change(before, state_of(data, network))


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of experimental dtypes and layouts
        yield


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_change_in_any_dtype_is_seen(data, dtype):
    assert seen(data, filled(dtype, 1), filled(dtype, 0)) == "network's buffer"
    assert seen(data, filled(dtype, 1), filled(dtype, 1)) == ""
    assert seen(data, filled(dtype, 1)[:0], filled(dtype, 1)[:0]) == ""


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_change_in_any_layout_is_seen(data, name):
    make = LAYOUTS[name]
    assert seen(data, make(1.0), make(2.0)) == "network's buffer"
    assert seen(data, make(1.0), make(1.0)) == ""


def test_without_values_the_writes_are_counted(data):
    class Held(nn.Linear):
        def __init__(self):
            super().__init__(16, 2)
            self.register_buffer("empty", torch.zeros(3, device="meta"))

    network = tmi.Network(nn.Sequential(nn.Flatten(), Held()), ["1"], "imported", task=data.task)
    before = state_of(data, network)
    assert first_change(before, state_of(data, network)) == ""
    network.module[1].empty.add_(1)
    assert first_change(before, state_of(data, network)) == "network's 1.empty"
