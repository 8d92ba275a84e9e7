from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import tmi
from tmi import DamagedFileError, InputError
from tmi.networks.train_once import Trained, recording, weights
from tmi.runtime.seeds import fixed_seed
from tmi.store.networks import difference


class Gate(nn.Module):
    """A layer of an author's own."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(16, 2)
        self.norm = nn.BatchNorm1d(2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(self.norm(self.gate(x.flatten(1)).sigmoid()))


FITTED = []


def descend(module, data, steps=3):
    """Train with dropout: draws random numbers."""
    FITTED.append(module)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    module.train()
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(module(data.train.images), data.train.labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return {"loss": losses}


def build(data, modules=1, seed=3):
    """What an author would write, and random numbers before, between and after."""
    with fixed_seed(seed):
        made, history = [], {}
        for _ in range(modules):
            module = Gate()
            history = tmi.train_once(module, lambda module=module: descend(module, data))
            made.append(module)
        last = nn.Linear(2, 2)
        network = tmi.Network(nn.Sequential(*made[:1], last), ["0", "1"], "trained", task=data.task, history=history)
        return network, made, (random.random(), np.random.random(), float(torch.rand(())))  # noqa: NPY002


@pytest.fixture(scope="module")
def data():
    return tmi.generate("squares", samples=20, test_samples=10)


@pytest.fixture(autouse=True)
def _nothing_fitted():
    FITTED.clear()


def recorded(data, **settings):
    with recording() as kept:
        made = build(data, **settings)
    return kept, *made


def test_without_a_store_it_trains(data):
    network, _, _ = build(data)
    assert len(FITTED) == 1
    assert network.history["loss"].shape == (3,)
    assert network.history["loss"].dtype == np.float64
    assert network.history["loss"][0] > 0


@pytest.mark.parametrize("modules", [1, 2, 11])
def test_with_its_weights_it_does_not(data, modules):
    kept, network, made, drawn = recorded(data, modules=modules)
    assert len(FITTED) == modules
    assert kept.problem == ""
    assert {name.partition(".")[0] for name in kept.weights} == {str(number) for number in range(modules)}
    assert kept.calls == modules
    FITTED.clear()
    with weights(kept.weights, kept.history):
        again, remade, redrawn = build(data, modules=modules)
    assert not FITTED
    assert difference(network, again, data.test.images) == ""
    assert redrawn == drawn
    for one, other in zip(made, remade, strict=True):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
        assert [part.training for part in one.modules()] == [part.training for part in other.modules()]


def test_it_changes_no_number_of_the_training(data):
    """``history = fit()`` and ``history = train_once(module, fit)`` give the same weights and the same record."""
    results = []
    for call in (lambda module, fit: fit(), tmi.train_once):
        with fixed_seed(8):
            module = Gate()

            def fit(module=module):
                noise = random.random() + np.random.random()  # noqa: NPY002
                return {**descend(module, data), "noise": [noise]}

            results.append((call(module, fit), module.state_dict()))
    (plain, one), (kept, other) = results
    assert {name: list(values) for name, values in kept.items()} == plain
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_what_is_drawn_next_is_not_what_the_fit_drew(data):
    """Else a second module would start with the numbers that the first was trained with."""
    drawn = {}

    def fit():
        drawn["inside"] = torch.rand(100), np.random.random(100), [random.random() for _ in range(100)]  # noqa: NPY002

    with fixed_seed(8):
        tmi.train_once(Gate(), fit)
        after = torch.rand(100), np.random.random(100), [random.random() for _ in range(100)]  # noqa: NPY002
    for one, other in zip(drawn["inside"], after, strict=True):
        assert not set(map(float, one)) & set(map(float, other))


def test_recording_changes_nothing(data):
    plain, _, drawn = build(data)
    _, network, _, redrawn = recorded(data)
    assert difference(plain, network, data.test.images) == ""
    assert drawn == redrawn


def test_what_is_kept_is_a_copy(data):
    kept, network, _, _ = recorded(data)
    before = kept.weights["0.gate.weight"].copy()
    with torch.no_grad():
        network.module[0].gate.weight.zero_()
    network.history["loss"][:] = 0
    assert np.array_equal(kept.weights["0.gate.weight"], before)
    assert kept.history["0.loss"][0] > 0


def test_what_is_loaded_is_a_copy(data):
    kept, _, _, _ = recorded(data)
    with weights(kept.weights, kept.history):
        network, _, _ = build(data)
    with torch.no_grad():
        network.module[0].gate.weight.zero_()
    network.history["loss"][:] = 0
    assert kept.weights["0.gate.weight"].any()
    assert kept.history["0.loss"][0] > 0


def test_a_builder_that_does_not_use_it_leaves_nothing(data):
    with recording() as kept:
        tmi.build("theorem1", data)
    assert kept == Trained()


def test_nothing_recorded(data):
    module = Gate()
    assert tmi.train_once(module, lambda: None) == {}
    with recording() as kept:
        assert tmi.train_once(module, dict) == {}
    assert kept.weights
    assert (kept.history, kept.calls) == ({}, 1)
    with weights(kept.weights):
        assert tmi.train_once(Gate(), FITTED.clear) == {}


def test_blocks_end(data):
    with recording() as kept:
        build(data)
    count = len(kept.weights)
    build(data)
    assert len(kept.weights) == count
    with pytest.raises(ZeroDivisionError), weights(kept.weights, kept.history):
        1 / 0  # noqa: B018
    FITTED.clear()
    build(data)
    assert FITTED


def test_a_fit_that_fails_is_over(data):
    def fail():
        raise ZeroDivisionError

    for _ in range(2):
        with recording() as kept, pytest.raises(ZeroDivisionError):
            tmi.train_once(Gate(), fail)
        assert kept == Trained()


def test_only_weights_change(data):
    module = Gate()
    module.drop.eval()
    module.gate.bias.requires_grad_(False)

    def fit():
        descend(module, data)
        module.eval()
        module.norm.requires_grad_(False)
        module.gate.requires_grad_(True)

    tmi.train_once(module, fit)
    assert [part.training for part in module.modules()] == [True, True, True, False]
    assert [name for name, weight in module.named_parameters() if not weight.requires_grad] == ["gate.bias"]
    assert all(weight.grad is None for weight in module.parameters())


def test_not_inside_a_fit(data):
    outer = Gate()
    with pytest.raises(InputError, match="train_once: is called inside a fit"):
        tmi.train_once(outer, lambda: tmi.train_once(Gate(), dict))
    with recording(), pytest.raises(InputError, match="inside a fit"):
        tmi.train_once(outer, lambda: tmi.train_once(Gate(), dict))


def fewer(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: fewer(s, "0.gate.bias"), "stored weights: have no 'gate.bias'"),
        (lambda s: s | {"0.gate.bia": s["0.gate.bias"]}, "'gate.bia': the module has none; did you mean \"gate.bias\""),
        (lambda s: s | {"0.gate.bias": s["0.gate.bias"][:1]}, r"'gate.bias': is float32 \(1,\), the module's float32 \(2,\)"),
        (lambda s: s | {"0.gate.bias": s["0.gate.bias"].astype(float)}, r"is float64 \(2,\), the module's float32 \(2,\)"),
        (lambda s: s | {"0.gate.bias": s["0.gate.bias"].astype(str)}, "'gate.bias': is <U"),
        (lambda s: {}, "stored weights: have no 'gate.weight'"),
        (lambda s: s | {"1.gate.bias": s["0.gate.bias"]}, "'1.gate.bias': nothing was trained that has it, in 1 calls"),
        (lambda s: s | {"nothing": s["0.gate.bias"]}, "'nothing': nothing was trained"),
    ],
)
def test_weights_that_do_not_fit(data, change, message):
    kept, _, _, _ = recorded(data)
    with pytest.raises(DamagedFileError, match=message), weights(change(kept.weights), kept.history):
        build(data)


def test_more_calls_than_weights(data):
    kept, _, _, _ = recorded(data)
    with pytest.raises(DamagedFileError, match=r"have no 'gate\.weight'"), weights(kept.weights, kept.history):
        build(data, modules=2)


def test_a_record_without_a_call(data):
    kept, _, _, _ = recorded(data)
    with pytest.raises(DamagedFileError, match=r"'3\.loss'"), weights(kept.weights, kept.history | {"3.loss": [1.0]}):
        build(data)


class TestNotKept:
    """Trained all the same, with the reason why the store cannot have it."""

    def problem(self, module, fit):
        with recording() as kept:
            tmi.train_once(module, fit)
        assert kept.weights == {}
        return kept.problem

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (lambda: torch.zeros(2, dtype=torch.bfloat16), "NumPy has no bfloat16"),
            (lambda: torch.zeros(2, dtype=torch.float8_e4m3fn), "NumPy has no float8_e4m3fn"),
            (lambda: torch.zeros(2, dtype=torch.complex32), "complex32 is not stored"),
            (lambda: torch.zeros(2, dtype=torch.complex64), "complex64 is not stored"),
            (lambda: torch.zeros(2, dtype=torch.complex128), "complex128 is not stored"),
            (lambda: torch.zeros(2, dtype=torch.complex64).conj(), "complex64 is not stored"),
            (lambda: torch.eye(2).to_sparse(), "is not a dense tensor"),
            (lambda: torch.eye(2).to_sparse_csr(), "is not a dense tensor"),
            (lambda: torch.eye(2).to_sparse_csc(), "is not a dense tensor"),
            (lambda: torch.eye(2).to_mkldnn(), "is not a dense tensor"),
            (lambda: torch.zeros(2, device="meta"), "is not a dense tensor"),
            (lambda: torch.quantize_per_tensor(torch.rand(2), 0.1, 0, torch.quint8), "is not a dense tensor"),
            (lambda: torch.nested.nested_tensor([torch.rand(2), torch.rand(3)]), "is not a dense tensor"),
        ],
    )
    @pytest.mark.filterwarnings("ignore")
    def test_kinds_of_tensors(self, make, reason):
        module = Gate()
        module.register_buffer("buffer", make())
        assert self.problem(module, dict) == f"weight 'buffer': {reason}"

    @pytest.mark.parametrize(
        "dtype", ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float64"]
    )
    def test_others_are_kept(self, dtype):
        module = Gate()
        module.register_buffer("buffer", torch.tensor([0, 1, 1]).to(getattr(torch, dtype)))
        with recording() as kept:
            tmi.train_once(module, dict)
        assert kept.problem == ""
        again = Gate()
        again.register_buffer("buffer", torch.zeros(3).to(getattr(torch, dtype)))
        with weights(kept.weights, kept.history):
            tmi.train_once(again, dict)
        assert torch.equal(again.buffer, module.buffer)
        assert again.buffer.dtype == module.buffer.dtype

    def test_a_negative_view(self):
        module = Gate()
        module.register_buffer("buffer", torch.full((3,), complex(1, 2)).conj().imag)
        with recording() as kept:
            tmi.train_once(module, dict)
        assert kept.weights["0.buffer"].tolist() == [-2.0] * 3

    def test_state_that_is_no_tensor(self):
        class Words(Gate):
            def get_extra_state(self):
                return {"words": 1}

            def set_extra_state(self, state):
                pass

        assert "_extra_state" in self.problem(Words(), dict)

    def test_a_fit_that_changes_more_than_values(self):
        module = Gate()
        assert "changes float32 (2, 16) to float64 (2, 16)" in self.problem(module, lambda: module.double() and None)
        other = Gate()
        assert "adds or removes it" in self.problem(other, lambda: other.register_buffer("more", torch.zeros(1)))

    def test_one_of_two(self, data):
        with recording() as kept:
            tmi.train_once(Gate().bfloat16(), dict)
            tmi.train_once(Gate(), dict)
        assert kept.problem
        assert kept.calls == 2


def test_importing_it_loads_no_torch():
    import subprocess
    import sys

    code = "import tmi, sys; tmi.train_once; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("given", [False, True], ids=["trained now", "weights from a store"])
def test_the_untrained_network_has_the_weights_before_training(data, given):
    kept, trained, (module,), _ = recorded(data)
    if given:
        with weights(kept.weights, kept.history):
            trained, (module,), _ = build(data)
    with fixed_seed(3):
        initial = Gate().eval()
    untrained = trained.untrained()
    assert untrained.layers == trained.layers
    assert (untrained.origin, untrained.history) == ("trained", {})
    images = data.test.images
    assert torch.equal(untrained.activations(images, "0")["0"], initial(images).detach())
    assert not torch.equal(trained.activations(images, "0")["0"], initial(images).detach())
    assert torch.equal(trained.module[0].gate.weight, module.gate.weight), "the trained network is left as it is"
    assert untrained.untrained() is None, "it is not its own control"
    assert trained.untrained() is not None


def test_what_nothing_trained_has_no_untrained_network(data):
    assert tmi.build("theorem1", data).untrained() is None
    assert tmi.Network(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), ["1"], "imported", task=data.task).untrained() is None


def test_a_module_with_other_layers_since_has_no_untrained_network(data):
    network, _, _ = build(data)
    network.module.append(nn.Identity())
    assert network.untrained() is not None  # trained was a part of it
    network.module[0].gate = nn.Sequential(network.module[0].gate)
    assert network.untrained() is None


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
        lambda layer: parametrizations.weight_norm(layer),
    ],
    ids=["pruned", "parametrised"],
)
def test_a_network_that_is_pruned_or_parametrised_after_training_has_no_untrained_network(data, change):
    network, _, _ = build(data)
    change(network.module[0].gate)
    assert network.untrained() is None


def test_the_first_training_of_a_module_counts(data):
    """As of a network that is pruned and trained again."""
    module = Gate()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for _ in range(2):
        tmi.train_once(module, lambda: descend(module, data))
    network = tmi.Network(module, ["gate", "drop"], "trained", task=data.task)
    assert all(torch.equal(value, before[name]) for name, value in network.untrained().module.state_dict().items())
