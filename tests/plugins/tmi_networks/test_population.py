"""Networks of `cnn` that are trained in one call, against each one alone: equal to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tmi
from tmi.plugins import registry
from tmi.plugins.together import Request, declared_by
from tmi_networks import checkpoints, population, training

SMALL = {"filters": 2, "kernel": 2, "batch_size": 7, "lr": 0.05}


def requests(*wanted: dict[str, object]) -> list[Request]:
    """Return a request for each of some settings of `cnn`; ``seed`` is the data set's too."""
    installed = registry.installed()
    made: dict[int, tmi.Dataset] = {}
    result = []
    for given_settings in wanted:
        params = dict(given_settings)
        seed = params.pop("seed", 0)
        data = made.setdefault(seed, tmi.generate("squares", seed=seed, samples=30, test_samples=1))
        result.append(Request(data, seed, installed.check("network", "cnn", SMALL | params)))
    return result


def assert_equal_to_alone(request: Request, state: checkpoints.Checkpoint | None) -> None:
    alone = tmi.build("cnn", request.data, seed=request.seed, **request.params)
    assert state is not None
    weights, history = state
    expected = alone.module.state_dict()
    assert list(weights) == list(expected)
    assert all(np.array_equal(value, expected[name].numpy()) for name, value in weights.items())
    assert {name: list(values) for name, values in history.items()} == {k: list(v) for k, v in alone.history.items()}


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "seed": st.integers(0, 2),
                "epochs": st.integers(0, 4),
                "filters": st.sampled_from([1, 3]),
                "lr": st.sampled_from([0.01, 0.3]),
                "hidden": st.sampled_from([0, 0, 3]),
            }
        ),
        min_size=1,
        max_size=6,
    )
)
def test_equal_to_those_trained_alone(wanted):
    several = requests(*wanted)
    for request, state in zip(several, population.train(several), strict=True):
        assert_equal_to_alone(request, state)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_nothing(threads):
    before = torch.get_num_threads()
    several = requests(*({"seed": seed, "epochs": epochs} for seed in range(3) for epochs in (2, 1)))
    try:
        torch.set_num_threads(threads)
        states = population.train(several)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for request, state in zip(several, states, strict=True):
        assert_equal_to_alone(request, state)


def test_one_training_for_several_numbers_of_epochs(monkeypatch):
    trained = []
    descend = training.descend
    for module in (training, checkpoints):  # small networks and others
        monkeypatch.setattr(
            module, "descend", lambda *args, **kwargs: (trained.append(kwargs["epochs"]), descend(*args, **kwargs))[1]
        )
    population.train(requests(*({"epochs": epochs, "hidden": hidden} for epochs in (1, 3, 2) for hidden in (0, 2))))
    assert trained == [3, 3]


def test_one_that_diverges_is_left_to_its_builder():
    several = requests(
        {"epochs": 3}, {"epochs": 3, "lr": 1e30}, {"epochs": 3, "lr": 1e30, "hidden": 2}, {"epochs": 1, "kernel": 9}
    )
    states = population.train(several)
    assert [state is None for state in states] == [False, True, True, True]
    assert_equal_to_alone(several[0], states[0])


def test_groups():
    group = declared_by(tmi.plugins.registry.installed().find("network", "cnn").function).functions("cnn")[1]

    def groups(*wanted):
        return [group(request.data, request.seed, request.params) for request in requests(*wanted)]

    assert len(set(groups({"seed": 0}, {"seed": 1}, {"lr": 0.1}, {"filters": 3}, {"epochs": 2}))) == 1, "small ones"
    assert len(set(groups({}, {"hidden": 2}, {"optimizer": "adam"}, {"seed": 1, "hidden": 2}, {"filters": 2000}))) == 5
    assert len(set(groups({"hidden": 2}, {"hidden": 2, "epochs": 2}))) == 1


def test_small_is_what_compiled_loops_train(monkeypatch):
    """`group` decides by the settings what `descend` decides by the module."""
    compiled = []
    from tmi_networks import compiled_training

    inner = compiled_training.compiled_epoch
    monkeypatch.setattr(compiled_training, "compiled_epoch", lambda *a: (compiled.append(inner(*a) is not None), inner(*a))[1])
    options = [{}, {"hidden": 2}, {"pool": "max"}, {"depth": 2}, {"dropout": 0.5}, {"batch_norm": True}, {"optimizer": "adam"}]
    options += [{"filters": 200, "batch_size": 30}, {"weight_decay": 0.1}, {"kernel": 4}, {"batch_size": 6}]
    for request in requests(*({"epochs": 1} | option for option in options)):
        compiled.clear()
        tmi.build("cnn", request.data, seed=0, **request.params)
        assert population._is_small(request.data, request.params) == (compiled == [True]), request.params
