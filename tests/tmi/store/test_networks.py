"""The builder makes the module, the file holds the weights: the network is the same bit for bit, or the reason is given."""

from __future__ import annotations

import io
import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

import tmi
from tests.tmi.store.test_datasets import bits
from tmi.networks.train_once import Trained, recording, weights
from tmi.probing.result import LabelledArray
from tmi.stages import Stage
from tmi.store import networks
from tmi.store.hdf5 import from_bytes, to_bytes
from tmi.store.networks import difference, pack, trained_of, weights_of, why_not_kept


def through_file(network, trained=None):
    return from_bytes(to_bytes(Stage.NETWORK, *pack(network, trained)))


@pytest.fixture(scope="module")
def data():
    return tmi.generate("squares", samples=60, test_samples=20)


@pytest.fixture(scope="module")
def images(data):
    return data.test.images[:3]


def build_cnn(data):
    return tmi.build("cnn", data, seed=4, filters=3, kernel=2, hidden=5, epochs=2)


@pytest.fixture(scope="module")
def built(data):
    """A trained network, and its training."""
    with recording() as trained:
        network = build_cnn(data)
    return network, trained


def network_of(data, module=None, layers=("a",), origin="trained", **more):
    module = module or nn.Sequential(OrderedDict(flat=nn.Flatten(), a=nn.Linear(16, 2)))
    return tmi.Network(module, layers, origin, task=data.task, **more)


def equal(one: dict, other: dict) -> bool:
    return list(one) == list(other) and all(bits(one[name]) == bits(other[name]) for name in one)


class TestTrained:
    def test_it_comes_back_and_gives_the_same_network(self, data, images, built, monkeypatch):
        network, trained = built
        back = trained_of(*through_file(network, trained))
        assert equal(back.weights, trained.weights)
        assert equal(back.history, trained.history)
        monkeypatch.setattr(torch.optim.SGD, "step", None)
        with weights(back.weights, back.history):
            assert difference(network, build_cnn(data), data.test.images) == ""

    def test_what_is_also_in_the_network_is_stored_once(self, built):
        header, arrays = through_file(*built)
        assert not [name for name in arrays if name.startswith("trained.")]
        assert ["0.conv.0.weight", "weights.conv.0.weight"] in header["trained"]["weights"]
        assert header["trained"]["history"] == [["0.loss", "history.loss"], ["0.accuracy", "history.accuracy"]]

    def test_what_a_builder_changes_afterwards_is_stored_twice(self, data):
        module = nn.Sequential(OrderedDict(flat=nn.Flatten(), a=nn.Linear(16, 2)))
        with recording() as trained:
            tmi.train_once(module, lambda: {"loss": [2.0, 1.0]})
        with torch.no_grad():
            module.a.weight.zero_()
        header, arrays = through_file(network_of(data, module), trained)
        assert equal(trained_of(header, arrays).weights, trained.weights)
        assert equal(trained_of(header, arrays).history, trained.history)
        assert not weights_of(header, arrays)["a.weight"].any()

    @given(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=4).map("0.{}".format),
            hnp.arrays(
                st.sampled_from([np.float32, np.float64, np.int64, np.bool_, np.float16]),
                hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
            ),
            max_size=4,
        )
    )
    def test_any_weights_come_back(self, data, arrays):
        trained = Trained(arrays, {"0.loss": np.array([np.nan, -0.0, np.inf])}, calls=1)
        back = trained_of(*through_file(network_of(data), trained))
        assert {name: bits(values) for name, values in back.weights.items()} == {k: bits(v) for k, v in arrays.items()}
        assert equal(back.history, trained.history)

    def test_there_may_be_none(self, data):
        assert trained_of(*through_file(network_of(data))) is None

    @pytest.mark.parametrize(
        "change",
        [
            {"trained": 3},
            {"trained": {}},
            {"trained": {"weights": [["0.a", "weights.b"]], "history": []}},
            {"trained": {"weights": ["0.a"], "history": []}},
            {"trained": {"weights": [["0.a", ["weights.b"]]], "history": []}},
            {"weights": ["b"]},
            {"weights": 3},
        ],
        ids=str,
    )
    def test_a_damaged_header_is_an_error(self, built, change):
        header, arrays = through_file(*built)
        with pytest.raises((KeyError, TypeError, ValueError)):
            (trained_of(header | change, arrays), weights_of(header | change, arrays))


class TestWhyNotKept:
    def test_nothing_was_trained(self, data, images):
        for origin in ("constructed", "imported"):
            assert why_not_kept(network_of(data, origin=origin), Trained(), None, images) == ""

    def test_the_builder_trains_by_itself(self, data, images):
        """The reason names the remedy."""
        reason = why_not_kept(network_of(data), Trained(), None, images)
        assert reason == "its builder trains without tmi.train_once: history = tmi.train_once(module, fit) keeps it"

    def test_what_train_once_found(self, data, images):
        assert why_not_kept(network_of(data), Trained(problem="weight 'a': is sparse", calls=1), None, images) == (
            "weight 'a': is sparse"
        )

    def test_the_same_network(self, data, images, built):
        network, trained = built
        assert why_not_kept(network, trained, lambda: build_cnn(data), images) == ""

    def test_a_builder_that_makes_another_network(self, data, images, built):
        network, trained = built
        other = {"conv": {"a": [1] * 27}}

        def with_meanings():
            again = build_cnn(data)
            return tmi.Network(
                again.module, again.layers, "trained", task=data.task, name=again.name, seed=4,
                params=again.params, history=again.history, meanings=other,
            )  # fmt: skip

        assert why_not_kept(network, trained, with_meanings, images) == (
            "its builder makes another network with the weights: meaning of 'conv' is different"
        )

    def test_a_builder_that_draws_by_the_clock(self, data, images):
        def build():
            module = nn.Sequential(OrderedDict(flat=nn.Flatten(), a=nn.Linear(16, 2), b=nn.Linear(2, 2)))
            tmi.train_once(module.a, dict)
            return network_of(data, module, ["b"])

        with recording() as trained:
            network = build()
        torch.randn(3)
        assert "weight 'b.weight' is different" in why_not_kept(network, trained, build, images)

    def test_a_network_that_answers_otherwise_each_time(self, data, images, built, monkeypatch):
        network, trained = built
        plain = nn.Linear.forward
        monkeypatch.setattr(nn.Linear, "forward", lambda self, x: plain(self, x) + torch.rand(()))
        assert "the logits differ from one evaluation" in why_not_kept(network, trained, lambda: build_cnn(data), images)

    @pytest.mark.parametrize("error", [ZeroDivisionError("no"), tmi.InputError("no"), SystemError("no")])
    def test_a_builder_that_fails(self, images, built, error):
        def build():
            raise error

        assert why_not_kept(*built, build, images) == "it cannot be built with the weights: no"

    def test_a_builder_that_trains_another_module(self, data, images, built):
        network, trained = built
        reason = why_not_kept(network, trained, lambda: tmi.build("cnn", data, filters=2, kernel=2, epochs=1), images)
        assert "is float32 (3, 1, 2, 2), the module's float32 (2, 1, 2, 2)" in reason


class TestCopy:
    """What someone sees who has the file alone."""

    @pytest.fixture
    def network(self, data):
        module = nn.Sequential(OrderedDict(flat=nn.Flatten(), a=nn.Linear(16, 2), norm=nn.BatchNorm1d(2)))
        return network_of(data, module, history={"loss": [1, 2]})

    def test_weights_and_history(self, network):
        header, arrays = through_file(network)
        assert equal(weights_of(header, arrays), {name: values.numpy() for name, values in network.module.state_dict().items()})
        assert arrays["history.loss"].values.tolist() == [1, 2]
        assert (header["origin"], header["layers"]) == ("trained", ["a"])

    def test_of_a_construction_too(self, data):
        network = tmi.build("theorem1", data, realisation="literal")
        assert equal(
            weights_of(*through_file(network)), {name: values.numpy() for name, values in network.module.state_dict().items()}
        )

    def test_unless_they_are_large(self, network, monkeypatch):
        monkeypatch.setattr(networks, "LARGEST_COPY", 10)
        assert weights_of(*through_file(network)) == {}
        assert weights_of(*through_file(network, Trained(calls=1)))  # its training has them anyway
        assert weights_of(*through_file(network, Trained())) == {}  # it trains nothing

    @pytest.mark.parametrize(
        "buffer",
        [
            torch.eye(2).to_sparse(),
            torch.zeros(2, dtype=torch.bfloat16),
            torch.zeros(2, dtype=torch.complex64),
            torch.zeros(2, dtype=torch.float8_e4m3fn),
        ],
        ids=lambda b: f"{b.dtype} {b.layout}",
    )
    def test_unless_they_are_no_plain_arrays(self, network, buffer):
        network.module.register_buffer("other", buffer)
        header, arrays = through_file(network)
        assert weights_of(header, arrays) == {}
        assert "history.loss" in arrays

    @pytest.mark.parametrize("name", ["x/y", "x\0y", "\udc80"])
    def test_a_name_that_hdf5_lacks_is_left_out(self, data, name):
        network = network_of(data, nn.Sequential(OrderedDict({"a": nn.Flatten(), name: nn.Linear(16, 2)})), history={name: [1]})
        header, arrays = through_file(network)
        assert weights_of(header, arrays) == {}
        assert not [name for name in arrays if name.startswith("history")]

    def test_packing_leaves_everything_alone(self, data, built):
        network, trained = built
        before = {name: value.clone() for name, value in network.module.state_dict().items()}
        modes = [part.training for part in network.module.modules()]
        states = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
        _, arrays = pack(network, trained)
        assert random.getstate() == states[0]
        assert np.random.get_state()[1].tobytes() == states[1]  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), states[2])
        arrays["weights.conv.0.weight"].values[:] = 0
        assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
        assert modes == [part.training for part in network.module.modules()]

    def test_xarray_opens_it(self, built):
        xarray = pytest.importorskip("xarray", reason="needs the extra xarray")
        network, trained = built
        file = io.BytesIO(to_bytes(Stage.NETWORK, *pack(network, trained)))
        with xarray.open_dataset(file, engine="h5netcdf") as opened:
            assert opened["weights.conv.0.weight"].dims == ("out.conv.0", "in.conv.0", "row.conv.0", "col.conv.0")
            assert opened["weights.logits.bias"].dims == ("out.logits",)
            assert opened["history.loss"].dims == ("epoch",)
            assert bits(opened["weights.hidden.0.weight"].values) == bits(network.module.hidden[0].weight.detach())

    def test_arrays_may_be_anything_that_numpy_has(self, network):
        network.module.register_buffer("count", torch.tensor(3))
        network.module.register_buffer("mask", torch.tensor([[True, False]]))
        network.module.register_buffer("none", torch.zeros(0, 2, dtype=torch.float64))
        header, arrays = through_file(network)
        assert equal(weights_of(header, arrays), {name: values.numpy() for name, values in network.module.state_dict().items()})
        assert isinstance(arrays["weights.none"], LabelledArray)


def attribute(thing, name, value):
    setattr(thing, name, value)


def add_one(network):
    with torch.no_grad():
        network.module.logits.bias[0] += 1


class OtherReLU(nn.ReLU):
    pass


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda n: None, ""),
        (add_one, "weight 'logits.bias'"),
        (lambda n: n.module.logits.bias.data.copy_(n.module.logits.bias.data.abs() * -0.0), "weight 'logits.bias'"),
        (lambda n: n.module.double(), "weight 'conv.0.weight'"),
        (lambda n: attribute(n, "seed", 9), "seed"),
        (lambda n: attribute(n, "name", "other"), "name"),
        (lambda n: attribute(n, "params", {}), "params"),
        (lambda n: attribute(n, "origin", "imported"), "origin"),
        (lambda n: attribute(n, "layers", ("conv",)), "layers"),
        (lambda n: attribute(n, "task", tmi.generate("squares", samples=1, test_samples=1, epsilon=0.25).task), "task"),
        (lambda n: attribute(n, "task", tmi.generate("squares", samples=1, test_samples=1).task), ""),
        (lambda n: n.module.logits.bias.requires_grad_(False), "what requires a gradient"),
        (lambda n: n.module.train(), "a mode"),
        (lambda n: n.history.pop("loss"), "history"),
        (lambda n: attribute(n, "history", {**n.history, "loss": n.history["loss"] + 1}), "history"),
        (lambda n: n.meanings.update(conv={"a": [1]}), "meaning of 'conv'"),
        (lambda n: n.meanings.update(conv=lambda: {"a": [1]}), "meaning of 'conv'"),
        (lambda n: n.module.register_buffer("more", torch.zeros(1)), "a name of a weight"),
        (lambda n: n.module.conv.__setitem__(1, OtherReLU()), "a class"),
        (lambda n: n.module.conv[0].register_forward_hook(lambda *a: a[2] + 1), "a logit"),
    ],
)
def test_difference_says_what(data, images, built, change, expected):
    one, trained = built
    with weights(trained.weights, trained.history):
        other = build_cnn(data)
    change(other)
    assert difference(one, other, images) == expected


def test_classes_that_a_builder_defines_are_the_same(data, images):
    def build():
        class Own(nn.Linear):
            pass

        with torch.random.fork_rng():
            torch.manual_seed(0)
            return network_of(data, nn.Sequential(OrderedDict(flat=nn.Flatten(), a=Own(16, 2))))

    assert difference(build(), build(), images) == ""
