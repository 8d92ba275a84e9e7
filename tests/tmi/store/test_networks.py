from __future__ import annotations

import io
import random
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tmi
from tests.tmi.store.test_architecture import HOSTILE, MyReLU, stacks
from tests.tmi.store.test_datasets import bits
from tmi import DamagedFileError
from tmi.networks.train_once import Trained
from tmi.probing.result import LabelledArray
from tmi.stages import Stage
from tmi.store import networks
from tmi.store.hdf5 import from_bytes, to_bytes
from tmi.store.networks import difference, pack, trained_of, unpack, weights_of


def by_file(network, images):
    return from_bytes(to_bytes(Stage("network"), *pack(network, images)))


def round_trip(network, images):
    return unpack(*by_file(network, images), network.task)


@pytest.fixture(scope="module")
def data():
    return tmi.generate("squares", samples=60, test_samples=20)


@pytest.fixture(scope="module")
def cnn(data):
    return tmi.build("cnn", data, seed=4, filters=3, kernel=2, hidden=5, epochs=2)


def network_of(data, module=None, layers=("a",), origin="trained", **more):
    module = module or nn.Sequential(OrderedDict(flat=nn.Flatten(), a=nn.Linear(16, 2)))
    return tmi.Network(module, layers, origin, task=data.task, **more)


def check_same(one, other, images):
    assert other.task is one.task
    assert type(other) is tmi.Network
    assert (one.layers, one.origin, one.name, one.seed, one.params) == (
        other.layers,
        other.origin,
        other.name,
        other.seed,
        other.params,
    )
    assert repr(one.module) == repr(other.module)
    states = one.module.state_dict(), other.module.state_dict()
    assert list(states[0]) == list(states[1])
    assert all(bits(states[0][name]) == bits(states[1][name]) for name in states[0])
    for a, b in zip(one.module.modules(), other.module.modules(), strict=True):
        assert (type(a), a.training, vars(a).keys()) == (type(b), b.training, vars(b).keys())
    for (name, a), (_, b) in zip(one.module.named_parameters(), other.module.named_parameters(), strict=True):
        assert type(b) is nn.Parameter
        assert (a.requires_grad, b.grad, b.is_leaf) == (b.requires_grad, None, True), name
    assert list(one.history) == list(other.history)
    assert all(bits(one.history[name]) == bits(other.history[name]) for name in one.history)
    assert bits(one.logits(images)) == bits(other.logits(images))
    for layer, found in one.activations(images).items():
        assert bits(found) == bits(other.activations(images, layer)[layer])
    for layer in one.layers:
        a, b = one.neurons(layer), other.neurons(layer)
        assert a is b is None or not pd.testing.assert_frame_equal(a, b)
    assert difference(one, other, images) == ""


class TestCnn:
    def test_comes_back(self, data, cnn):
        back = round_trip(cnn, data.test.images[:3])
        check_same(cnn, back, data.test.images)
        assert list(back.history) == ["loss", "accuracy"]

    @pytest.mark.parametrize("hidden", [0, 1])
    def test_without_a_hidden_layer(self, data, hidden):
        network = tmi.build("cnn", data, filters=1, kernel=4, hidden=hidden, epochs=1)
        check_same(network, round_trip(network, data.test.images[:3]), data.test.images)

    def test_nothing_is_trained_or_drawn(self, data, cnn, monkeypatch):
        found = by_file(cnn, data.test.images[:3])
        monkeypatch.setattr(torch.optim.SGD, "step", None)
        states = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
        unpack(*found, data.task)
        assert random.getstate() == states[0]
        assert np.random.get_state()[1].tobytes() == states[1]  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), states[2])

    def test_packing_leaves_the_network_alone(self, data, cnn):
        before = {name: value.clone() for name, value in cnn.module.state_dict().items()}
        modes = [part.training for part in cnn.module.modules()]
        states = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
        header, arrays = pack(cnn, data.test.images[:3])
        assert random.getstate() == states[0]
        assert np.random.get_state()[1].tobytes() == states[1]  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), states[2])
        arrays["weights.conv.0.weight"].values[:] = 0
        assert all(torch.equal(value, before[name]) for name, value in cnn.module.state_dict().items())
        assert modes == [part.training for part in cnn.module.modules()]
        assert header["restored_by"] == "file"

    def test_what_can_be_asked_is_answered_alike(self, data, cnn):
        back = round_trip(cnn, data.test.images[:3])
        image = data.test.images[0]
        for ask in (lambda n: n.explain(image), lambda n: n.certificate(image[None]), lambda n: n.neurons("nothing")):
            messages = []
            for network in (cnn, back):
                with pytest.raises(tmi.TmiError) as caught:
                    ask(network)
                messages.append(str(caught.value))
            assert messages[0] == messages[1]

    def test_gradients_are_the_same(self, data, cnn):
        back = round_trip(cnn, data.test.images[:3])
        found = []
        for network in (cnn, back):
            images = data.test.images[:5].clone().requires_grad_()
            network.module(images)[:, 0].sum().backward()
            found.append((bits(images.grad), [bits(p.grad) for p in network.module.parameters()]))
            network.module.zero_grad()
        assert found[0] == found[1]

    def test_probes_give_the_same_numbers(self, data, cnn):
        back = round_trip(cnn, data.test.images[:3])
        for name in ("accuracy", "activation-sparsity"):
            one, other = (tmi.probe(name, network, data) for network in (cnn, back))
            assert one.metrics == other.metrics

    def test_files_are_the_same(self, data, cnn, tmp_path):
        pytest.importorskip("safetensors", reason="needs the extra export")
        back = round_trip(cnn, data.test.images[:3])
        programs = []
        for number, network in enumerate((cnn, back)):
            network.save_weights(tmp_path / f"{number}.safetensors")
            network.export(tmp_path / f"{number}.pt2")
            programs.append(torch.export.load(tmp_path / f"{number}.pt2").module()(data.test.images))
        assert (tmp_path / "0.safetensors").read_bytes() == (tmp_path / "1.safetensors").read_bytes()
        assert bits(programs[0].detach()) == bits(programs[1].detach())
        back.load_weights(tmp_path / "0.safetensors")

    def test_it_can_be_trained_further(self, data, cnn):
        back = round_trip(cnn, data.test.images[:3])
        optimizer = torch.optim.SGD(back.module.parameters(), lr=0.1)
        back.module(data.test.images).sum().backward()
        optimizer.step()
        assert difference(cnn, back, data.test.images) != ""
        assert difference(cnn, round_trip(cnn, data.test.images[:3]), data.test.images) == ""


@pytest.mark.parametrize(
    ("name", "given_"),
    [(name, {}) for name in tmi.names("network") if name != "cnn"]
    + [("theorem1", {"realisation": "literal"}), ("theorem2", {"realisation": "fused"})],
)
def test_registered_networks_come_back_or_are_left_to_their_builder(data, name, given_):
    network = tmi.build(name, data, **given_)
    header, arrays = by_file(network, data.test.images[:3])
    back = unpack(header, arrays, data.task)
    if back is not None:
        check_same(network, back, data.test.images)
        return
    assert header["restored_by"] == "builder"
    assert header["reason"]
    assert (header["name"], header["origin"]) == (name, network.origin)
    assert trained_of(header, arrays) is None
    state = network.module.state_dict()
    assert {key: bits(value) for key, value in weights_of(header, arrays).items()} == {
        key: bits(value) for key, value in state.items()
    }


@settings(max_examples=25)
@given(stacks(), st.data())
def test_any_stack_comes_back(stack, draw):
    shape = (2, 6, 6)
    tile = tmi.FeatureTile(np.ones((2, 1, 1)), 0.5)
    task = tmi.TemplateTask([tmi.TileClass("a", [tile])], shape)
    layers = draw.draw(st.lists(st.sampled_from([n for n, _ in stack.named_modules() if n]), min_size=1, unique=True))
    network = tmi.Network(stack, layers, "imported", task=task)
    for weight in stack.parameters():
        weight.requires_grad_(draw.draw(st.booleans()))
    for part in stack.modules():
        part.training = draw.draw(st.booleans())
    images = torch.rand(3, *shape)
    header, arrays = by_file(network, images)
    assert header["restored_by"] == "file", header
    check_same(network, unpack(header, arrays, task), images)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_dtypes(data, dtype):
    network = network_of(data, nn.Sequential(OrderedDict(flat=nn.Flatten(), a=nn.Linear(16, 2).to(dtype))))
    check_same(network, round_trip(network, data.test.images[:3]), data.test.images)


def test_weights_that_are_no_numbers_come_back(data):
    network = network_of(data)
    with torch.no_grad():
        network.module.a.weight[0] = float("nan")
        network.module.a.bias[:] = torch.tensor([-0.0, float("-inf")])
    back = round_trip(network, data.test.images[:3])
    assert bits(back.module.a.weight.detach()) == bits(network.module.a.weight.detach())
    assert bits(back.logits(data.test.images)) == bits(network.logits(data.test.images))


def test_records_of_any_shape_come_back(data):
    history = {
        "grid": np.arange(6.0).reshape(2, 3),
        "loss": [1, np.nan],
        "long": [1.0, 2, 3],
        "final": 3.5,
        "none": [],
        "ü b": [1, 2],
    }
    network = network_of(data, history=history, params={"sizes": (3, 5), "rate": 1.0})
    back = round_trip(network, data.test.images[:3])
    check_same(network, back, data.test.images)
    assert list(map(type, back.params.values())) == [float, tuple]  # by name


MEANINGS = {
    "words": ["white", "schwarz ü"],
    "numbers": [1, -2],
    "fractions": (0.5, float("nan")),
    "truth": np.array([True, False]),
    "array": np.array([3, 4], np.int16),
    "objects": np.array(["x", "yy"], object),
    "fixed": np.array(["x", "yy"]),
}


def test_meanings_come_back(data):
    network = network_of(data, layers=("flat", "a"), meanings={"a": MEANINGS, "flat": {}})
    back = round_trip(network, data.test.images[:3])
    check_same(network, back, data.test.images)
    assert list(back.neurons("a").columns) == list(MEANINGS)
    assert [type(column) for column in back.meanings["a"].values()] == [type(column) for column in MEANINGS.values()]


def test_meanings_of_trained_networks_are_made(data):
    called = []

    def meanings():
        called.append(1)
        return {"class": ["white", "black"]}

    trained = network_of(data, meanings={"a": meanings})
    assert round_trip(trained, data.test.images[:3]).neurons("a")["class"].tolist() == ["white", "black"]
    called.clear()
    header, _ = pack(network_of(data, origin="constructed", meanings={"a": meanings}), data.test.images[:3])
    assert header["restored_by"] == "builder"
    assert not called


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2]),
        [1, 2.5],
        [[1, 2], [3, 4]],
        [[1], [2, 3]],
        ["a\0b", "c"],
        ["\udc80", "c"],
        [None, "a"],
        np.array([1, "a"], object),
        np.zeros(2, complex),
        range(2),
        [2**70, 1],
        [np.float64(1), 2.0],
    ],
    ids=repr,
)
def test_other_columns_are_left_to_the_builder(data, column):
    header, _ = pack(network_of(data, meanings={"a": {"column": column}}), data.test.images[:3])
    assert header["restored_by"] == "builder"
    assert "meanings.a.column" in header["reason"]


def test_large_meanings_are_left_to_the_builder(data, monkeypatch):
    monkeypatch.setattr(networks, "MOST_CELLS", 3)
    for columns, kept in (({"a": [1, 2]}, "file"), ({"a": [1, 2], "b": [1, 2]}, "builder")):
        assert pack(network_of(data, meanings={"a": columns}), data.test.images[:3])[0]["restored_by"] == kept


class MyNetwork(tmi.Network):
    pass


def attribute(network, name, value):
    setattr(network, name, value)
    return network


def of_dtype(data, dtype):
    module = nn.Sequential(OrderedDict(flat=nn.Flatten(), a=nn.Linear(16, 2, dtype=dtype)))
    return network_of(data, module)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: attribute(network_of(d), "colour", "red"), "more than a tmi.Network"),
        (lambda d: MyNetwork(network_of(d).module, ["a"], "trained", task=d.task), "more than a tmi.Network"),
        (lambda d: network_of(d, nn.Sequential(OrderedDict(a=MyReLU()))), "MyReLU is not one of the layers"),
        (lambda d: attribute(network_of(d), "history", {"loss": [1, 2]}), "history 'loss'"),
        (lambda d: network_of(d, history={"a/b": [1]}), "'a/b'"),
        (lambda d: network_of(d, history={"a\0b": [1]}), "no name that a file can hold"),
        (lambda d: network_of(d, meanings={"a": {"a/b": [1]}}), "'a/b'"),
        (lambda d: network_of(d, nn.Sequential(OrderedDict({"a": nn.Flatten(), "x/y": nn.Linear(16, 2)}))), "x/y"),
        (lambda d: of_dtype(d, torch.bfloat16), "bfloat16"),
        (lambda d: of_dtype(d, torch.complex64), "its weights are not those of its settings"),
        (lambda d: attribute(network_of(d), "layers", ("b",)), "it cannot be tried"),
        (lambda d: network_of(d, nn.Sequential(OrderedDict(a=nn.Linear(3, 2)))), "it cannot be tried"),
    ],
)
def test_others_are_left_to_the_builder(data, change, reason):
    network = change(data)
    header, arrays = by_file(network, data.test.images[:3])
    assert header["restored_by"] == "builder"
    assert reason in header["reason"]
    assert unpack(header, arrays, data.task) is None


def test_what_json_changes_is_not_packed(data):
    for change in ({"params": {"a": {1, 2}}}, {"seed": np.int64(3)}, {"name": "\udc80"}):
        assert pack(network_of(data, **change), data.test.images[:3]) is None


def test_a_network_of_another_task_is_left_to_the_builder(data, cnn):
    assert pack(cnn, data.test.images[:3], task=data.task)[0]["restored_by"] == "file"
    other = tmi.generate("squares", samples=1, test_samples=1).task
    assert "its task" in pack(cnn, data.test.images[:3], task=other)[0]["reason"]


def test_a_network_that_answers_otherwise_each_time_is_left_to_the_builder(data, cnn, monkeypatch):
    plain = nn.Linear.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: plain(self, x) + torch.rand(()))
    header, _ = pack(cnn, data.test.images[:3])
    assert header["restored_by"] == "builder"
    assert header["reason"] == "it does not come back as it was: logits"


class TestLeftToTheBuilder:
    @pytest.fixture
    def network(self, data):
        module = nn.Sequential(OrderedDict(flat=nn.Flatten(), a=nn.Linear(16, 2), mine=MyReLU(), norm=nn.BatchNorm1d(2)))
        return network_of(data, module, history={"loss": [1, 2]})

    def test_weights_are_kept_for_readers(self, data, network):
        header, arrays = by_file(network, data.test.images[:3])
        assert {key: bits(value) for key, value in weights_of(header, arrays).items()} == {
            key: bits(value) for key, value in network.module.state_dict().items()
        }
        assert arrays["history.loss"].values.tolist() == [1, 2]

    def test_unless_they_are_large(self, data, network, monkeypatch):
        monkeypatch.setattr(networks, "LARGEST_COPY", 10)
        header, arrays = by_file(network, data.test.images[:3])
        assert weights_of(header, arrays) == {}
        assert not arrays

    def test_or_no_plain_arrays(self, data, network):
        network.module.register_buffer("sparse", torch.eye(2).to_sparse())
        header, arrays = by_file(network, data.test.images[:3])
        assert weights_of(header, arrays) == {}
        assert not arrays

    def test_what_was_trained_is_kept(self, data, network):
        kept = Trained({"0.weight": np.eye(2, dtype=np.float32), "1.count": np.array(3)}, {"0.loss": np.array([3.0, 2])})
        header, arrays = from_bytes(to_bytes(Stage("network"), *pack(network, data.test.images[:3], trained=kept)))
        back = trained_of(header, arrays)
        assert weights_of(header, arrays) == {}
        for name in ("weights", "history"):
            one, other = getattr(kept, name), getattr(back, name)
            assert {key: bits(value) for key, value in one.items()} == {key: bits(value) for key, value in other.items()}

    def test_and_why_not(self, data, network):
        header, arrays = pack(network, data.test.images[:3], trained=Trained(problem="it is sparse"))
        assert header["reason"].endswith("what was trained is not kept: it is sparse")
        assert trained_of(header, arrays) is None

    def test_nothing_trained(self, data, network):
        header, arrays = pack(network, data.test.images[:3], trained=Trained())
        assert trained_of(header, arrays) is None
        assert weights_of(header, arrays)


def changed(arrays, name, change):
    values = change(arrays[name].values.copy())
    return arrays | {name: LabelledArray(tuple(f"d{i}" for i in range(values.ndim)), values)}


class TestDamaged:
    @pytest.fixture
    def found(self, data, cnn):
        return by_file(cnn, data.test.images[:3])

    @pytest.mark.parametrize(
        "change",
        [
            lambda v: v[:-1],
            lambda v: v.T,
            lambda v: v[None],
            lambda v: v.ravel(),
            lambda v: v.astype(int),
            lambda v: v.astype(str),
            lambda v: v.astype(complex),
            lambda v: v > 0,
            lambda v: np.zeros(()),
            lambda v: np.zeros((0, *v.shape[1:]), v.dtype),
        ],
    )
    def test_weights(self, data, found, change):
        header, arrays = found
        with pytest.raises(DamagedFileError, match=r"weights?.*logits\.weight"):
            unpack(header, changed(arrays, "weights.logits.weight", change), data.task)

    def test_missing_weights(self, data, found):
        header, arrays = found
        for name in arrays:
            if name.partition(".")[0] in ("weights", "history"):
                with pytest.raises(DamagedFileError):
                    unpack(header, {key: value for key, value in arrays.items() if key != name}, data.task)
        for name in header["weights"]:
            fewer = header | {"weights": [other for other in header["weights"] if other != name]}
            with pytest.raises(DamagedFileError, match="is missing"):
                unpack(fewer, arrays, data.task)

    def test_more_weights(self, data, found):
        header, arrays = found
        arrays |= {"weights.more": LabelledArray(("x",), np.zeros(2))}
        with pytest.raises(DamagedFileError, match="the module has none"):
            unpack(header | {"weights": [*header["weights"], "more"]}, arrays, data.task)

    @pytest.mark.parametrize(
        "change",
        [
            {"restored_by": "pickle"},
            {"restored_by": None},
            {"task": "0" * 64},
            {"task": None},
            {"layers": ["nothing"]},
            {"layers": []},
            {"layers": [""]},
            {"layers": 3},
            {"origin": "stolen"},
            {"frozen": ["nothing"]},
            {"frozen": ["conv"]},
            {"frozen": 3},
            {"training": ["nothing"]},
            {"training": None},
            {"history": ["nothing"]},
            {"history": None},
            {"meanings": [["conv", [["a", "list"]]]]},
            {"meanings": [["conv", [["a", "eval"]]]]},
            {"meanings": ["conv"]},
            {"meanings": None},
            {"params": 3},
            {"params": None},
            {"name": 3},
            {"seed": "3"},
            {"weights": None},
            {"weights": ["../../etc/passwd"]},
            {"module": {}},
        ],
        ids=str,
    )
    def test_headers(self, data, found, change):
        header, arrays = found
        with pytest.raises(DamagedFileError):
            unpack(header | change, arrays, data.task)

    def test_missing_headers(self, data, found):
        header, arrays = found
        for key in header:
            with pytest.raises(DamagedFileError):
                unpack({k: v for k, v in header.items() if k != key}, arrays, data.task)

    def test_meanings(self, data):
        header, arrays = by_file(network_of(data, meanings={"a": {"x": [1, 2], "y": ["a", "b"]}}), data.test.images[:3])
        with pytest.raises(DamagedFileError, match="differ in length"):
            unpack(header, changed(arrays, "meanings.a.x", lambda v: v[:1]), data.task)

    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile_modules(self, data, found, name):
        header, arrays = found
        with pytest.raises(DamagedFileError):
            unpack(header | {"module": HOSTILE[name]}, arrays, data.task)

    def test_a_module_of_other_sizes(self, data, found):
        header, arrays = found
        module = {"layer": "Linear", "settings": {"in_features": 10**6, "out_features": 10**6, "bias": True}}
        with pytest.raises(DamagedFileError):
            unpack(header | {"module": {"layer": "Sequential", "parts": [["logits", module]]}}, arrays, data.task)

    def test_another_task(self, found):
        header, arrays = found
        task = tmi.generate("squares", samples=1, test_samples=1, epsilon=0.25).task
        with pytest.raises(DamagedFileError, match="another task"):
            unpack(header, arrays, task)

    def test_the_same_task_again(self, data, found):
        task = tmi.generate("squares", samples=1, test_samples=1).task
        assert unpack(*found, task).task is task


def test_xarray_opens_networks(data, cnn):
    xarray = pytest.importorskip("xarray", reason="needs the extra xarray")
    made = io.BytesIO(to_bytes(Stage("network"), *pack(cnn, data.test.images[:3])))
    with xarray.open_dataset(made, engine="h5netcdf") as file:
        assert file["weights.conv.0.weight"].dims == ("out.conv.0", "in.conv.0", "row.conv.0", "col.conv.0")
        assert file["weights.logits.bias"].dims == ("out.logits",)
        assert file["history.loss"].dims == ("epoch",)
        assert bits(file["weights.hidden.0.weight"].values) == bits(cnn.module.hidden[0].weight.detach())


def test_difference_says_what(data, cnn):
    images = data.test.images[:3]

    def other(change):
        back = round_trip(cnn, images)
        change(back)
        return difference(cnn, back, images)

    def into(back):
        with torch.no_grad():
            back.module.logits.bias[0] += 1

    assert other(into) == "weight 'logits.bias'"
    assert other(lambda n: attribute(n, "seed", 9)) == "seed"
    assert other(lambda n: n.module.logits.bias.requires_grad_(False)) == "what requires a gradient"
    assert other(lambda n: n.module.train()) == "modes"
    assert other(lambda n: n.history.pop("loss")) == "history"
    assert other(lambda n: n.meanings.update(conv={"a": [1]})) == "meanings of 'conv'"
    assert other(lambda n: n.module.register_buffer("more", torch.zeros(1))) == "names of the weights"
    assert other(lambda n: n.module.conv[0].register_forward_hook(lambda *a: a[2] + 1)) == "logits"
