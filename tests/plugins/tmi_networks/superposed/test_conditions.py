"""Where a condition holds the network is exact on every image that we can think of; where none does, an image shows it."""

from __future__ import annotations

import warnings
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tmi
from tmi_networks.superposed import superposed
from tmi_networks.superposed.conditions import Limits, assigned, distances, laid_out, threshold
from tmi_networks.theorem1 import theorem1

from .conftest import tasks


def between(task, shares=(0.0, 0.25, 0.5, 0.75, 1.0)):
    """Points on the way from each tile to each other one, at the top left: what is least far from both."""
    values, support = laid_out(task)
    images = [
        np.where(support[a] & support[b], values[a] + share * (values[b] - values[a]), np.where(support[a], values[a], values[b]))
        for a, b in combinations(range(len(values)), 2)
        for share in shares
    ]
    return torch.from_numpy(np.stack(images).clip(0, 1))


def medians(task, groups, seed=0):
    """Points that are near several tiles at once: the median of each pixel, and random mixtures."""
    values, _ = laid_out(task)
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(groups):
        some = values[rng.choice(len(values), rng.integers(2, min(5, len(values)) + 1), replace=False)]
        images += [np.median(some, axis=0), np.tensordot(rng.dirichlet(np.ones(len(some))), some, 1)]
    return torch.from_numpy(np.stack(images).clip(0, 1))


def limits_of(network):
    code, task = network.module.code, network.task
    return Limits(distances(task), code.shared, np.array([tile.epsilon for tile in task.tiles]), code.overlap)


def counterexample(task, limits, pair):
    """Points between two tiles where the one is contained and the other active."""
    one, other = pair
    distance, inner = limits.distance[pair], limits.inner
    low, high = max(0.0, distance - inner[other]), min(distance, limits.epsilon[one])
    shares = (low + np.array([1 / 4, 1 / 2, 3 / 4]) * (high - low)) / distance if distance else np.zeros(1)
    values, support = laid_out(task)
    image = np.where(support[one], values[one], values[other])
    points = [np.where(support[one] & support[other], image + s * (values[other] - image), image) for s in shares]
    return torch.from_numpy(np.stack(points).clip(0, 1))


def build(task, neurons, seed, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return superposed(task, neurons=neurons, seed=seed, approximate=True, **settings)


def check(task, neurons, seed, **settings):
    """Return whether a condition holds, after a check that it tells whether the network errs."""
    network = build(task, neurons, seed, **settings)
    limits = limits_of(network)
    pair = limits.failing_pair()
    assert network.module.computes_phi == (pair is None)
    images = torch.cat([between(task), medians(task, 40, seed)])
    if pair is None:
        expected = theorem1(task)
        inputs = images.clone().requires_grad_(), images.clone().requires_grad_()
        logits = [one.module(x) for one, x in zip((network, expected), inputs, strict=True)]
        assert (logits[0] - logits[1]).abs().max() <= 1e-12
        assert torch.equal(logits[0] > 0, logits[1] > 0)
        gradients = [torch.autograd.grad(part.sum(), x)[0] for part, x in zip(logits, inputs, strict=True)]
        torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-12)
        assert not network.module.bound.any()
        superposed(task, neurons=neurons, seed=seed, **settings)
        return True
    if limits.shared[pair] > 0:  # the first condition, else a group of tiles fails the second
        images = torch.cat([images, counterexample(task, limits, pair)])
    above = network.logits(images) - task.phi(images)
    assert above.max() > 1e-9
    assert above.min() >= -1e-12
    assert (above <= torch.from_numpy(network.module.bound) + 1e-12).all()
    with pytest.raises(tmi.InputError, match=r"cannot tell tiles .* apart"):
        superposed(task, neurons=neurons, seed=seed, **settings)
    return False


@settings(max_examples=4, deadline=None)
@given(st.data())
def test_random_tasks_are_exact_where_a_condition_holds_and_err_where_none_does(data):
    task = data.draw(tasks())
    neurons = data.draw(st.integers(2, len(task.tiles) - 1))
    code = data.draw(st.sampled_from([{"code": "dense"}, {"weight": 2}, {"weight": 3}]))
    try:
        check(task, neurons, data.draw(st.integers(0, 9)), **code)
    except tmi.InputError as error:
        assume("different sets" not in str(error) and "one code" not in str(error))
        raise


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_many_random_tasks(data):
    test_random_tasks_are_exact_where_a_condition_holds_and_err_where_none_does.hypothesis.inner_test(data)


@pytest.mark.slow
def test_the_random_tasks_meet_every_case():
    seen = {"strict": 0, "weak": 0, "fails": 0}
    for seed in range(150):
        rng = np.random.default_rng(seed)
        values, full = rng.integers(0, 2, (7, 1, 3, 3)), np.ones((1, 3, 3), bool)
        tiles = [tmi.FeatureTile(value, 2.0 ** -rng.integers(1, 5), full) for value in values]
        task = tmi.TemplateTask([tmi.TileClass("all", tiles)], (1, 3, 3))
        holds = check(task, 6, seed)
        limits = limits_of(build(task, 6, seed))
        apart = limits.slack.max() <= 0
        seen["fails" if not holds else "strict" if apart else "weak"] += 1
    assert min(seen.values()) > 5, seen


def test_distances_are_the_least_that_two_tiles_are_from_one_image(small):
    found = distances(small)
    for one, a in enumerate(small.tiles):
        for other, b in enumerate(small.tiles):
            high, wide = min(a.shape[1], b.shape[1]), min(a.shape[2], b.shape[2])
            both = (a.support & True)[:, :high, :wide] & b.support[:, :high, :wide]
            plain = np.abs(a.values[:, :high, :wide] - b.values[:, :high, :wide])[both].sum()
            assert found[one, other] == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize("epsilon", [0.125, 1.0, 5.0, 26.619607843137278])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 1 / 3, 2 / 3, 0.95])
def test_the_threshold_is_a_hair_above_what_a_lone_tile_brings_to_others(epsilon, overlap):
    beta = threshold(epsilon, overlap)
    assert beta >= overlap * (epsilon + beta)
    assert beta <= overlap * epsilon / (1 - overlap) * 1.002
    if overlap and epsilon.is_integer():
        assert (epsilon + beta) - epsilon == beta


def test_tiles_that_are_near_each_other_get_codes_without_a_common_neuron():
    rng = np.random.default_rng(0)
    values = rng.random((8, 3, 3))
    values[5] = values[2] + 0.1 * (rng.random((3, 3)) - values[2])
    tiles = [tmi.FeatureTile(value, 0.1) for value in values]
    task = tmi.TemplateTask([tmi.TileClass("all", tiles)], (1, 3, 3))
    for seed in range(5):
        network = superposed(task, neurons=7, weight=2, seed=seed)
        assert network.module.code.shared[2, 5] == 0


def test_the_assignment_of_codes_does_not_depend_on_the_scale_of_epsilon(small):
    code = build(small, 6, 0).module.code
    distance, epsilon = distances(small), np.array([tile.epsilon for tile in small.tiles])
    one, other = (assigned(code, distance, scale * epsilon).matrix.toarray() for scale in (1, 8))
    assert (one == other).all()


def test_the_largest_epsilon_that_the_error_names_will_do_and_a_larger_one_will_not():
    values = np.random.default_rng(1).random((9, 1, 3, 3))

    def task(epsilon):
        return tmi.TemplateTask([tmi.TileClass("all", [tmi.FeatureTile(v, epsilon) for v in values])], (1, 4, 4))

    for code in ("binary", "dense"):
        with pytest.raises(tmi.InputError, match="every epsilon may be at most") as error:
            superposed(task(0.9), neurons=7, seed=0, code=code)
        assert "\n" not in str(error.value)
        most = float(str(error.value).split("may be at most ")[1].split(",")[0])
        superposed(task(most), neurons=7, seed=0, code=code)
        with pytest.raises(tmi.InputError, match="cannot tell"):
            superposed(task(most * 1.02), neurons=7, seed=0, code=code)


def test_groups_of_tiles_that_are_too_many_to_look_at_are_taken_to_fail():
    count = 14
    shared = np.full((count, count), 1 / 3)
    np.fill_diagonal(shared, 0)
    distance = np.full((count, count), 2.99)
    np.fill_diagonal(distance, 0)
    limits = Limits(distance, shared, np.ones(count), 1 / 3)
    assert limits.failing_pair() is not None
    assert (limits.errors() > 0).all()
