"""Operations by name and argument, and no import of torch's compiler to see them."""

import subprocess
import sys

import pytest
import torch

from tmi_probes.pipeline.operations import OperationMode, arguments_of, name_of


class Names(OperationMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append((name_of(func), arguments_of(func, args, kwargs or {})))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("evaluate", [torch.relu, torch.nn.ReLU(), torch.relu_, torch.nn.ReLU(inplace=True), torch.Tensor.relu])
def test_all_forms_have_one_name(evaluate):
    with Names() as names:
        evaluate(torch.ones(2))
    assert "relu" in [name for name, _ in names.seen]


def test_arguments_have_their_defaults():
    x = torch.ones(2)
    with Names() as names:
        torch.nn.functional.leaky_relu(x)
        torch.clamp(x, max=3)
    (_, leaky), (_, clamp) = (pair for pair in names.seen if pair[0] in ("leaky_relu", "clamp", "clamp_max"))
    assert leaky["self"] is x
    assert leaky["negative_slope"] == 0.01
    assert clamp["max"] == 3


def test_the_compiler_is_not_imported():
    code = (
        "import sys, torch\nfrom tmi_probes.linear.pieces import Recording\n"
        "with Recording(): torch.relu(torch.ones(2))\nassert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
