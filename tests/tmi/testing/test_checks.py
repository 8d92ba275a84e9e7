"""Each check finds the fault that it is for, and nothing in a sound function; and all that is built in passes all of them."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest
import torch

import tmi
from tmi.plugins.component import Component
from tmi.plugins.registry import GIVEN, installed
from tmi.testing import CHECKS, checks, tiny_data, trial
from tmi.testing.plugins import checks_of
from tmi.testing.trial import KINDS, Trials

count = itertools.count()


def found(kind, function, **options):
    """Return the names of the checks that find something, with the first problem of each."""
    trials = Trials([Component(kind, "it", function, GIVEN)], installed(), **options)
    return {check.__name__: problems[0] for one, check in checks_of(trials) if (problems := check(one))}


def probe(body):
    def it(network, data) -> tmi.ProbeResult:
        """A probe."""
        result = body(network, data)
        return result if isinstance(result, tmi.ProbeResult) else tmi.ProbeResult({"a": 1})

    return it


@pytest.mark.parametrize(
    ("body", "check", "problem"),
    [
        (lambda n, d: tmi.ProbeResult({"a": 1}), None, ""),
        (lambda n, d: tmi.ProbeResult({"a": next(count)}), "check_seed", "two calls with the same seed give different metrics"),
        (lambda n, d: tmi.ProbeResult({"a": 1}, {"b": ("c", [next(count)])}), "check_seed", "different array b"),
        (lambda n, d: tmi.ProbeResult({"a": 1}, {"b": ("c", [np.nan])}), None, ""),
        (lambda n, d: tmi.ProbeResult({"a": 1}, {"b": ("c", [1])} if next(count) % 2 else {}), "check_seed", "two calls"),
        (lambda n, d: torch.set_num_threads(7), "check_global_state", "threads"),
        (lambda n, d: torch.set_default_dtype(torch.float64), "check_global_state", "default dtype"),
        (lambda n, d: torch.set_grad_enabled(False), "check_global_state", "the gradient mode"),
        (lambda n, d: os.environ.__setitem__("TMI_TESTING", "1"), "check_global_state", "the environment changed"),
        (lambda n, d: os.chdir("/"), "check_global_state", "the working folder"),
        (lambda n, d: __import__("warnings").simplefilter("error"), "check_global_state", "the warning filters"),
        (lambda n, d: torch.rand(3).sum(), None, ""),  # the random state is put back
        (lambda n, d: n.module.train(), "check_arguments", "changes the network's .*; work on a copy"),
        (lambda n, d: n.module.conv.weight.data.mul_(2), "check_arguments", "changes the network's conv.weight"),
        (lambda n, d: d.test.images.zero_(), "check_arguments", "changes the data.test.images"),
        (lambda n, d: torch.ones(90_000_000).sum(), "check_memory", "takes 3.. MB on the toy, more than 256"),
        (lambda n, d: tmi.ProbeResult({"a": 2}, info={"a": tmi.MetricInfo("A", low=0, high=1)}), "check_values", "a is 2"),
        (lambda n, d: tmi.ProbeResult({"a": np.nan}), "check_runs", "fails: metric 'a': is nan; leave out a metric"),
        (lambda n, d: 1 / 0, "check_runs", "fails: ZeroDivisionError: division by zero"),
    ],
)  # fmt: skip
def test_probes(body, check, problem, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    problems = found("probe", probe(body))
    assert set(problems) == ({check} if check else set())
    if check:
        with pytest.raises(AssertionError, match=problem):
            raise AssertionError(problems[check])


def data(samples=4, scenes=lambda scenes: scenes, seed=None):
    def it(*, seed: int) -> tmi.Dataset:
        """A data set."""
        task = tiny_data().task
        rng = np.random.default_rng(seed if fixed is None else next(count))
        return tmi.Dataset(task, *(scenes(tmi.Scenes.draw(task, samples, rng=rng)) for _ in range(2)))

    fixed = seed
    return it


def wrong_labels(scenes):
    vars(scenes)["labels"] = 1 - scenes.labels
    return scenes


def test_data_sets():
    assert found("dataset", data()) == {}
    (problem,) = (problems := found("dataset", data(scenes=wrong_labels))).values()
    assert set(problems) == {"check_labels"}
    assert "4 of 4 training images do not show what their labels say: image 0 is labelled " in problem
    assert set(found("dataset", data(seed="another"))) == {"check_seed"}

    assert set(found("dataset", data(samples=0))) >= {"check_shapes"}


def test_what_is_made_and_refused_by_tmi_is_wrong_and_no_refusal():
    def other_task(*, seed: int) -> tmi.Dataset:
        """A data set."""
        return tmi.Dataset(tiny_data().task, tiny_data().train, tiny_data().test)

    def law(rng, task):
        """Too bright."""
        return np.full(task.image_shape, 1.5)

    def nothing(network, data) -> tmi.ProbeResult:
        """A probe."""

    assert found("dataset", other_task) == {"check_runs": "fails: train: its scenes belong to another task"}
    assert found("network", network(classes=3))["check_runs"].startswith("fails: network: the module answers 2 images with")
    assert "are NaN or outside [0, 1]" in found("background", law)["check_runs"]
    assert "returned NoneType, expected ProbeResult" in found("probe", nothing)["check_runs"]


def test_backgrounds():
    def law(rng, task):
        """Grey."""
        return np.full(task.image_shape, 0.5)

    def unstable(rng, task, *, bright: float = 0.0):
        """Another grey at each call."""
        return np.full(task.image_shape, next(count) / 1e4 % 1 + bright)

    assert found("background", law) == {}
    assert set(found("background", unstable)) == {"check_seed"}
    assert set(found("background", unstable, settings={"background it": {"bright": 2.0}})) == {"check_runs"}


def network(change=lambda module: None, classes=2, seeded=True, bias=0.0):
    def it(data, *, seed: int = 0) -> tmi.Network:
        """A network."""
        module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, classes))
        module[1].bias.data += bias
        if not seeded:
            module[1].bias.data.fill_(float(next(count)))
        change(data)
        return tmi.Network(module, ["1"], "trained", task=data.task)

    return it


def test_networks():
    assert found("network", network()) == {}
    assert set(found("network", network(seeded=False))) == {"check_seed"}
    assert found("network", network(bias=float("nan")))["check_runs"].startswith("fails: network: logits are NaN or infinite")
    assert found("network", network(lambda data: data.train.images.zero_())) == {
        "check_arguments": "changes the data.train.images; work on a copy"
    }


@pytest.mark.parametrize(
    ("give", "problems"),
    [
        (lambda module, images: images.detach(), {}),
        (lambda module, images: images.detach()[:, 0], {}),
        (lambda module, images: images.detach() * np.nan, {"check_values": "gives NaN or infinity on 8 of 8 images"}),
        (
            lambda module, images: images.detach()[:, :, 1:],
            {"check_shapes": "gives maps of shape (8, 1, 5, 6), expected (8, 1, 6, 6) or (8, 6, 6)"},
        ),
        (
            lambda module, images: images.detach() + next(count),
            {"check_seed": "two calls with the same seed give different maps; take random numbers from seed alone"},
        ),
        (
            lambda module, images: module.register_forward_hook(lambda *_: None) and images.detach(),
            {"check_arguments": "changes the network's module (mode or hooks); work on a copy"},
        ),
    ],
)
def test_methods(give, problems):
    def it(module, images, targets):
        """A method."""
        return give(module, images)

    assert found("method", it) == problems


@pytest.mark.parametrize(
    ("give", "problems"),
    [
        (lambda maps, truth: maps.mean((1, 2)), {}),
        (lambda maps, truth: maps.mean((1, 2)) * np.nan, {}),
        (lambda maps, truth: maps.mean(1), {"check_shapes": "gives scores of shape (8, 6), expected (8,), one for each image"}),
        (lambda maps, truth: maps.mean((1, 2)) + 7, {"check_values": "a score is "}),
        (lambda maps, truth: maps.mean((1, 2)) * 0 + next(count) / 1e4 % 1, {"check_seed": "two calls"}),
        (lambda maps, truth: maps.__imul__(2).mean((1, 2)) % 1, {"check_arguments": "changes the maps; work on a copy"}),
        (lambda maps, truth: truth.images.zero_() is None or maps.mean((1, 2)), {"check_arguments": "changes the truth"}),
    ],
)  # fmt: skip
def test_measures(give, problems):
    @tmi.attribution_measure(low=0, high=1)
    def it(maps, truth):
        """A measure."""
        return give(maps, truth)

    given = found("measure", it)
    assert set(given) == set(problems)
    assert all(given[check].startswith(problems[check]) for check in problems)


def test_settings_are_passed_on():
    def it(network, data, *, fail: bool = True) -> tmi.ProbeResult:
        """A probe."""
        return tmi.ProbeResult({"a": 1 / (not fail)})

    assert set(found("probe", it)) == {"check_runs"}
    assert found("probe", it, settings={"probe it": {"fail": False}}) == {}


def test_what_takes_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 0.05)
    assert found("probe", probe(lambda network, data: __import__("time").sleep(9))) == {
        "check_runs": "fails: it takes longer than 0.05 s"
    }


def test_what_does_not_apply_to_the_toy_is_tried_on_what_is_given():
    def it(network, data) -> tmi.ProbeResult:
        """A probe of constructed networks."""
        if network.origin != "constructed":
            return tmi.ProbeResult.not_applicable("it is not constructed")
        return tmi.ProbeResult({"a": next(count)})

    assert found("probe", it) == {}
    (one,) = Trials([Component("probe", "it", it, GIVEN)], installed())
    assert (one.why_not, one.fault) == ("it is not constructed", "refused")
    pair = tmi.build("theorem1", tiny_data()), tiny_data()
    assert set(found("probe", it, on=[pair])) == {"check_seed"}


def test_every_check_has_a_docstring_and_a_name_of_its_own():
    every = {check for of_kind in CHECKS.values() for check in of_kind}
    assert every == {value for name, value in vars(checks).items() if name.startswith("check_")}
    assert all(check.__doc__ for check in every)


@pytest.mark.slow
@pytest.mark.timeout(600)  # it calls every function
def test_all_that_is_built_in_passes(monkeypatch):
    from tests.plugins.test_all_probes import SMALL

    monkeypatch.setattr(trial, "SECONDS", 120.0)  # a busy machine takes longer than an author's
    registry = installed()
    components = [registry.find(kind, name) for kind in (*KINDS, "suite", "report") for name in registry.names(kind)]
    settings = {f"probe {name}": values for name, values in SMALL.items()}
    settings |= {f"network {name}": {"epochs": 1} for name in ("resnet", "vgg", "vit")} | {
        "network disguised": {"of": "theorem1(realisation='literal')"}
    }
    trials = Trials(components, registry, settings)
    assert [f"{one}: {problem}" for one, check in checks_of(trials) for problem in check(one)] == []
    # These have a setting without a default: the pictures of folder, the module that imported reads.
    assert [str(one) for one in trials if one.component.kind in KINDS and not one.answered] == [
        "dataset folder",
        "network imported",
    ]
