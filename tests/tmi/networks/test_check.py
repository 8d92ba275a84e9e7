"""A network that is not what every probe takes for granted is refused in one sentence; one that is gives the plain numbers."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tmi
from tests.network_forms import ANSWERS
from tmi import InputError, Network

IMAGES = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """conv → relu → fc, with changes: what happens to the map, and to the answer."""

    def __init__(self, answer=lambda y: y, middle=lambda z: z):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu, self.fc = nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Linear(8, 2)
        self.answer, self.middle = answer, middle

    def forward(self, x):
        z = self.middle(self.relu(self.conv(x)))
        return self.answer(self.fc(z.mean((2, 3))))


@pytest.fixture
def make(squares):
    def network(module, layers=("relu", "fc"), **options):
        return Network(module, layers, "trained", task=squares, **options)

    return network


@pytest.fixture
def plain(make):
    return make(Net()).logits(IMAGES)


@pytest.mark.parametrize("name", ANSWERS)
def test_an_option_says_where_the_logits_are(name, make, plain):
    answer, options = ANSWERS[name]
    network = make(Net(answer), **options)
    tolerance = 1e-6
    torch.testing.assert_close(network.logits(IMAGES), plain, rtol=tolerance, atol=tolerance)
    with torch.no_grad():
        torch.testing.assert_close(network.module(IMAGES), plain, rtol=tolerance, atol=tolerance)
    assert set(network.activations(IMAGES)) == {"relu", "fc"}
    assert list(network.module.state_dict()) == list(Net().state_dict())


@pytest.mark.parametrize("shape", [(-1, 1), (-1,), (-1, 1, 1, 1)])
def test_one_sigmoid_logit_becomes_two(shape, make, plain):
    network = make(Net(lambda y: (y[:, 1] - y[:, 0]).reshape(shape)), form="sigmoid")
    logits = network.logits(IMAGES)
    torch.testing.assert_close(logits.softmax(1), plain.softmax(1))
    assert (logits.sum(1) == 0).all()


REFUSED = {
    "(N, 1)": (lambda y: y[:, :1], 'form="sigmoid"'),
    "(N,)": (lambda y: y[:, 0], 'form="sigmoid"'),
    "(N, 1, 1, 1)": (lambda y: y[:, :1, None, None], 'form="sigmoid"'),
    "map": (lambda y: y[..., None, None].repeat(1, 1, 2, 3), 'form="mean" or form="max"'),
    "(N, 1, L)": (lambda y: y[:, None], 'form="squeeze"'),
    "one class more": (lambda y: torch.cat([y, y[:, :1]], 1), r"output=lambda y: y\[:, :2\]"),
    "one class less, of rank 3": (lambda y: y[:, :1, None].repeat(1, 1, 7), "output=…"),
    "tuple": (lambda y: (y, None), "a tuple of float32 .*, NoneType.*output=0"),
    "dict": (lambda y: {"logits": y}, "a dict of 'logits'.*output=\"logits\""),
    "None": (lambda y: None, "a NoneType.*give a function"),
    "NumPy": (lambda y: y.numpy(), "a ndarray.*give a function"),
    "classes, not logits": (lambda y: y.argmax(1), "int64 .*give logits"),
    "complex": (lambda y: y.to(torch.complex64), "complex64 .*give logits"),
    "no batch": (lambda y: y[0], "expected logits"),
    "transposed": (lambda y: torch.cat([y, y]).T, "expected logits"),
    "fails": (lambda y: y.reshape(7, 7), r"its module fails on images \(2, 1, 4, 4\) \(RuntimeError: shape"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_any_other_answer_is_refused_with_the_remedy(name, make):
    answer, remedy = REFUSED[name]
    network = make(Net(answer))
    for call in (network.logits, network.activations, network.check):
        with pytest.raises(InputError, match=f"^network: .*{remedy}"):
            call(IMAGES)


class Own:
    """A generator of its own, which no seed reaches."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __call__(self, z):
        return z * torch.from_numpy(self.rng.random(z.shape)).float()


class Counting:
    """A state that each evaluation changes."""

    def __init__(self):
        self.calls = 0

    def __call__(self, z):
        self.calls += 1
        return z + self.calls


RANDOM = {
    "dropout": lambda: lambda z: F.dropout(z, 0.5),
    "rare dropout": lambda: lambda z: F.dropout(z, 0.02),
    "noise": lambda: lambda z: z + 1e-3 * torch.randn_like(z),
    "numpy": lambda: lambda z: z * float(np.random.rand()),  # noqa: NPY002
    "python": lambda: lambda z: z * random.random(),
    "a generator of its own": Own,
    "a state": Counting,
}


@pytest.mark.parametrize("kind", RANDOM)
def test_a_random_forward_pass_is_refused(kind, make):
    network = make(Net(middle=RANDOM[kind]()))  # which sets a seed
    before = torch.get_rng_state(), random.getstate()
    with pytest.raises(InputError, match="differ from one evaluation of the same images to the next; draw nothing at random"):
        network.check(IMAGES)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


def test_random_numbers_that_change_nothing_are_accepted(make, plain):
    torch.testing.assert_close(make(Net(middle=lambda z: F.dropout(z, 0.0))).logits(IMAGES), plain)


def test_a_layer_that_is_random_is_refused_even_if_the_logits_are_not(make):
    class Side(Net):
        def __init__(self):
            super().__init__()
            self.side = nn.Identity()

        def forward(self, x):
            self.side(torch.rand(len(x), 3))
            return super().forward(x)

    make(Side()).check(IMAGES)
    with pytest.raises(InputError, match="the activations of layer 'side' differ"):
        make(Side(), ["side", "fc"]).check(IMAGES)


NEIGHBOURS = {
    "batch statistics": lambda z: F.batch_norm(z, None, None, training=True),
    "minus the mean": lambda z: z - z.mean(0),
    "the largest of the batch": lambda z: z / z.amax(),
    "a little": lambda z: z + 1e-2 * z.roll(1, 0),
    "softmax over the batch": lambda z: z.softmax(0),
}


@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_an_answer_that_depends_on_the_batch_is_refused(kind, make):
    with pytest.raises(InputError, match="depend on the other images of its batch; normalise by running statistics"):
        make(Net(middle=NEIGHBOURS[kind])).check(IMAGES)


class Large(Net):
    """A large layer beside one that only cancelling terms, or the batch, make other than 0."""

    def __init__(self, last):
        super().__init__()
        self.large, self.fc, self.last = nn.Linear(16, 8), nn.Linear(8, 2), last
        with torch.no_grad():
            self.large.weight.mul_(1e6)

    def forward(self, x):
        return self.last(self.fc, self.large(x.flatten(1)))


def cancelling(fc, z):
    """A sum minus itself, where only the order of its terms depends on the batch."""
    total = sum((z if len(z) > 1 else z.flip(1)).unbind(1))
    return fc((total - sum(z.unbind(1)))[:, None].repeat(1, 8) * 10)


def by_the_batch(fc, z):
    return fc(torch.tanh((z - z.mean(0)) / 1e6))


def cancelling_in_float32(fc, z):
    return cancelling(fc, z.float())


def test_a_large_layer_hides_no_influence_of_the_batch(make):
    """In float32 it is as large as the rounding of sums of such activations; in float64 it is not."""
    with pytest.raises(InputError, match="the logits on an image depend on the other images of its batch"):
        make(Large(by_the_batch), ["large", "fc"]).check(IMAGES)
    dtypes = []
    make(Large(lambda fc, z: dtypes.append(z.dtype) or cancelling(fc, z)), ["large", "fc"]).check(IMAGES)
    assert dtypes == [torch.float32] * 4 + [torch.float64] * 3
    with pytest.raises(InputError, match=r"a copy in float64 could tell; it fails .*; let it answer after module.double\(\)"):
        make(Large(cancelling_in_float32), ["large", "fc"]).check(IMAGES)


class Layered(nn.Module):
    """A layer that returns something else than a map, and the logits from it."""

    def __init__(self, output, back=lambda z: z):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.layer, self.fc = nn.Conv2d(1, 8, 3, padding=1), Returning(output), nn.Linear(8, 2)
        self.back = back

    def forward(self, x):
        return self.fc(self.back(self.layer(self.conv(x).mean((2, 3)))))


class Returning(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, z):
        return self.output(z)


LAYERS = {
    "tuple": (lambda z: (z, None), lambda y: y[0], 0, "a tuple of float32 .*parts={'layer': 0}"),
    "dict": (lambda z: {"a": z}, lambda y: y["a"], "a", "a dict of 'a'.*parts={'layer': 'a'}"),
    "images along the second axis": (lambda z: z.T, lambda y: y.T, lambda y: y.T, "one entry an image along its first axis"),
    "places and images in one axis": (
        lambda z: z.reshape(-1, 4),
        lambda y: y.reshape(-1, 8),
        lambda y: y.reshape(-1, 8),
        "one entry an image",
    ),
    "sparse": (lambda z: z.to_sparse(), lambda y: y.to_dense(), lambda y: y.to_dense(), "an array of real numbers"),
    "complex": (lambda z: z.to(torch.complex64), lambda y: y.real, lambda y: y.real, "an array of real numbers"),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_that_is_no_tensor_of_one_entry_an_image(kind, make):
    output, back, part, remedy = LAYERS[kind]
    with pytest.raises(InputError, match=f"layer 'layer' gives .*{remedy}"):
        make(Layered(output, back), ["layer", "fc"]).activations(IMAGES)
    network = make(Layered(output, back), ["layer", "fc"], parts={"layer": part})
    plain = make(Layered(lambda z: z), ["layer", "fc"])
    torch.testing.assert_close(network.activations(IMAGES)["layer"], plain.activations(IMAGES)["layer"])


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float16, torch.bfloat16])
def test_activations_of_other_dtypes_become_float32(dtype, make):
    network = make(Layered(lambda z: (z > 0).to(dtype), lambda y: y.float()), ["layer", "fc"])
    values = network.activations(IMAGES)["layer"]
    assert values.dtype == torch.float32
    assert set(values.unique().tolist()) <= {0.0, 1.0}


def test_a_layer_that_is_used_twice_or_never(make):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.relu, self.fc = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Linear(8, 2)
            self.other_name, self.never = self.relu, nn.Identity()

        def forward(self, x):
            return self.fc(self.relu(self.b(self.relu(self.a(x)))).mean((2, 3)))

    make(Twice(), ["a", "fc"]).check(IMAGES)
    for name in ("relu", "other_name"):
        with pytest.raises(InputError, match=f"layer '{name}' is used 2 times in one pass; give each use a module of its own"):
            make(Twice(), [name, "fc"]).check(IMAGES)
    with pytest.raises(InputError, match="layer 'never': the module did not use it"):
        make(Twice(), ["never", "fc"]).check(IMAGES)


def test_it_is_done_once_and_remembered(make):
    calls = []
    network = make(Net(middle=lambda z: calls.append(len(z)) or z))
    network.check(IMAGES[:0])
    assert calls == []
    network.check(IMAGES)
    assert calls == [2, 2, 1, 1]
    network.logits(IMAGES)
    network.activations(IMAGES)
    network.with_module(network.module).check(IMAGES)
    assert calls == [2, 2, 1, 1, 6, 6]


def test_a_module_that_takes_one_image_at_a_time_gets_one(make):
    calls = []
    module = Net(middle=lambda z: calls.append(len(z)) or z)
    module.images_at_once = 1
    make(module).check(IMAGES)
    assert calls == [1, 1]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_not_finite_are_refused(value, make):
    for answer in (lambda y: y * value, lambda y: torch.cat([y[:, :1], y[:, 1:] + value], 1)):
        with pytest.raises(InputError, match="logits are NaN or infinite"):
            make(Net(answer)).check(IMAGES)


def test_a_random_forward_pass_stays_refused(make):
    class Rarely(Net):
        def __init__(self):
            super().__init__()
            self.generator, self.calls = torch.Generator().manual_seed(0), 0

        def forward(self, x):
            return super().forward(x) * (2 if torch.rand((), generator=self.generator) < 0.2 else 1)

    network = make(Rarely())
    for _ in range(5):
        with pytest.raises(InputError, match="differ from one evaluation"):
            network.check(IMAGES)


def test_weights_without_a_shape(make):
    with pytest.raises(InputError, match="send a batch of images through it first"):
        make(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), ["1"])


def test_every_probe_checks(squares):
    data = tmi.generate("squares", samples=6, test_samples=6)
    network = Network(Net(lambda y: (y, y)), ["relu", "fc"], "trained", task=data.task)
    for name in tmi.names("probe"):
        with pytest.raises(InputError, match="output=0"):
            tmi.probe(name, network, data, **({"method": "saliency"} if name == "attribution-bench" else {}))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(ANSWERS)),
    st.sampled_from([lambda m: m, nn.DataParallel, lambda m: torch.compile(m, backend="eager"), lambda m: m.double()]),
)
def test_any_answer_in_any_wrapper_is_the_plain_network(name, wrap):
    task = tmi.generate("squares", samples=1, test_samples=1).task
    answer, options = ANSWERS[name]
    expected = Network(Net(), ["relu", "fc"], "trained", task=task)
    network = Network(wrap(Net(answer)), ["relu", "fc"], "trained", task=task, **options)
    tolerance = 1e-5
    torch.testing.assert_close(network.logits(IMAGES).float(), expected.logits(IMAGES), rtol=tolerance, atol=tolerance)
    for layer, values in network.activations(IMAGES).items():
        torch.testing.assert_close(values.float(), expected.activations(IMAGES)[layer], rtol=1e-5, atol=1e-6)
