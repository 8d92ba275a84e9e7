"""The layer of the logits of modules with several heads; test_wrap.py tests the other choices of layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tmi
from tmi.errors import InputError

from .test_wrap import task_of


class TwoHeads(nn.Module):
    """A main and an auxiliary classifier, as in GoogLeNet; either may run first."""

    def __init__(self, answer, aux_first=False):
        super().__init__()
        torch.manual_seed(0)
        self.answer, self.aux_first = answer, aux_first
        self.stem, self.relu1 = nn.Conv2d(1, 4, 3), nn.ReLU()
        self.aux = nn.Sequential(nn.Flatten(), nn.Linear(80, 2))
        self.conv, self.relu2, self.fc = nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Linear(24, 2)

    def forward(self, x):
        x = self.relu1(self.stem(x))
        heads = {"aux": self.aux, "main": lambda x: self.fc(self.relu2(self.conv(x)).flatten(1))}
        results = {name: heads[name](x) for name in sorted(heads, reverse=not self.aux_first)}
        return self.answer(results["main"], results["aux"])


@pytest.mark.parametrize("aux_first", [False, True])
@pytest.mark.parametrize("layers", [None, "relu"])
@pytest.mark.parametrize(
    ("answer", "output", "last"),
    [
        (lambda main, aux: (main, aux), 0, "fc"),
        (lambda main, aux: (main, aux), 1, "aux.1"),
        (lambda main, aux: {"logits": main.log_softmax(1), "aux": aux}, "logits", "fc"),
        (lambda main, aux: {"logits": main, "aux": aux}, lambda y: y["aux"], "aux.1"),
        (lambda main, _aux: main, None, "fc"),  # the other is computed and left out
        (lambda main, aux: (main.detach(), aux), 0, "fc"),  # without a gradient the values say it
    ],
)
def test_the_layer_of_the_logits_is_that_of_the_output(answer, output, last, aux_first, layers):
    network = tmi.wrap(TwoHeads(answer, aux_first), task_of(), layers, output=output)
    assert network.layers[-1] == last
    images = torch.rand(3, 1, 6, 7)
    logits = network.activations(images)[last]
    torch.testing.assert_close(logits.log_softmax(1), network.logits(images).log_softmax(1))


@pytest.mark.parametrize(
    "answer", [lambda main, aux: main + aux, lambda main, aux: main * aux.sigmoid(), lambda main, _aux: main.detach() * 2]
)
def test_the_layer_of_the_logits_must_be_certain(answer):
    with pytest.raises(InputError, match=r"^layers: no part of the module gives the logits alone, .* name all layers, with that"):
        tmi.wrap(TwoHeads(answer), task_of())
    assert tmi.wrap(TwoHeads(answer), task_of(), ["relu2", "fc"]).layers == ("relu2", "fc")


def test_a_module_that_changes_its_input_leaves_the_images_as_they_are():
    class InPlace(nn.Sequential):
        def forward(self, x):
            x -= 0.5
            return super().forward(x)

    data = tmi.generate("squares", samples=1, test_samples=4)
    images = data.test.images.clone()
    with pytest.raises(InputError, match="differ from one evaluation of the same images to the next"):
        tmi.wrap(InPlace(nn.Flatten(), nn.Linear(16, 2)), data)
    assert torch.equal(data.test.images, images)


class Foreign(nn.Module):
    """Runs without gradients alone: NumPy takes no tensor that has one."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.fc, self.aux = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Linear(80, 2), nn.Linear(80, 2)

    def forward(self, x):
        x = self.relu(self.conv(torch.from_numpy(x.numpy() * 2))).flatten(1)
        return self.fc(x), self.aux(x)


def test_a_module_that_runs_without_gradients_alone():
    assert tmi.wrap(Foreign(), task_of(), output=0).layers == ("relu", "fc")
