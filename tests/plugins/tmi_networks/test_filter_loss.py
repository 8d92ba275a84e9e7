"""The filter loss against its formulas written with loops, and against the mutual information that they come from."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tmi_networks.filter_loss import FilterLoss, templates


def template(rows, cols, place):
    """T_μ for a place (i, j), or T⁻ for None, place by place."""
    n, count = math.sqrt(rows * cols), rows * cols
    tau = 0.5 / count
    result = np.full((rows, cols), -tau)
    if place is not None:
        for i in range(rows):
            for j in range(cols):
                distance = abs(i - place[0]) + abs(j - place[1])
                result[i, j] = tau * max(1 - 4 * distance / n, -1)
    return result


def all_templates(rows, cols):
    return [template(rows, cols, (i, j)) for i in range(rows) for j in range(cols)] + [template(rows, cols, None)]


def expected_gradient(maps, labels):
    """∂ Loss / ∂ x for each filter, image and place: a sum of the scalar formulas of the paper, for one batch."""
    images, filters, rows, cols = maps.shape
    every = all_templates(rows, cols)
    prior = 1 / len(every)
    result = np.zeros_like(maps)
    for f in range(filters):
        x = maps[:, f]
        z = [sum(math.exp((x[k] * t).sum()) for k in range(images)) for t in every]
        p_x = [sum(prior * math.exp((x[k] * t).sum()) / z[i] for i, t in enumerate(every)) for k in range(images)]
        means = {c: np.mean([x[k].sum() for k in range(images) if labels[k] == c]) for c in sorted(set(labels))}
        own = max(means, key=means.get)
        for k in range(images):
            peak = np.unravel_index(x[k].argmax(), x[k].shape)
            number = int(peak[0]) * cols + int(peak[1]) if labels[k] == own else len(every) - 1
            t = every[number]
            score = (x[k] * t).sum()
            result[k, f] = -prior * t / z[number] * math.exp(score) * (score - math.log(z[number]) - math.log(p_x[k]))
    return result


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([0.1, 3.0, 30.0]),
    st.integers(0, 999),
)
def test_gradient_is_the_papers(images, filters, rows, cols, size, seed):
    rng = np.random.default_rng(seed)
    maps = np.maximum(rng.normal(size=(images, filters, rows, cols)), 0) * size
    labels = rng.integers(0, 3, images)
    x = torch.from_numpy(maps).requires_grad_()
    FilterLoss()(x, torch.from_numpy(labels)).backward()
    np.testing.assert_allclose(x.grad.numpy(), expected_gradient(maps, labels.tolist()), rtol=1e-4, atol=1e-12)


def test_templates_are_highest_at_their_place_and_the_last_is_negative():
    for rows, cols in ((1, 1), (3, 3), (2, 5)):
        drawn = templates(rows, cols).reshape(-1, rows, cols).numpy()
        np.testing.assert_allclose(drawn, all_templates(rows, cols), atol=1e-7)
        assert [int(t.argmax()) for t in drawn[:-1]] == list(range(rows * cols))
        assert (drawn[-1] < 0).all()


def test_the_terms_of_all_templates_are_the_gradient_of_mutual_information():
    """With Z_T held constant, as in the paper; the one template of an image is one of these terms."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((5, 4)) * 3).requires_grad_()  # image, place
    every = torch.from_numpy(np.array(all_templates(2, 2)).reshape(5, 4))
    scores = x @ every.T
    likelihood = scores.exp() / scores.exp().sum(0).detach()
    ratio = likelihood / likelihood.mean(1, keepdim=True)
    (-(likelihood * ratio.log()).sum() / 5).backward()
    terms = -(likelihood * ratio.log()).detach() / 5
    torch.testing.assert_close(x.grad, terms @ every)
    # The loss has no gradient but that of the chosen terms: class 0 has the largest maps, the others the negative template.
    labels = torch.tensor([0, 1, 1, 2, 2])
    x.data[0] = 3.0
    y = x.detach().reshape(5, 1, 2, 2).requires_grad_()
    FilterLoss()(y, labels).backward()
    scores = x.detach() @ every.T
    likelihood = scores.softmax(0)
    terms = -(likelihood * (likelihood / likelihood.mean(1, keepdim=True)).log()) / 5
    chosen = torch.tensor([0, 4, 4, 4, 4])
    torch.testing.assert_close(y.grad.flatten(1), terms[torch.arange(5), chosen][:, None] * every[chosen])


def test_a_filters_class_is_a_moving_average_over_batches():
    loss = FilterLoss()
    first = torch.tensor([[[[1.0]]], [[[5.0]]]])
    assert loss._classes(first.flatten(2).transpose(0, 1), torch.tensor([0, 1])).tolist() == [1]
    # One batch in which class 0 is larger does not change it, many do; a class that is not in a batch keeps its mean.
    second = torch.tensor([[[[8.0]]], [[[4.0]]]])
    assert loss._classes(second.flatten(2).transpose(0, 1), torch.tensor([0, 1])).tolist() == [1]
    for _ in range(20):
        chosen = loss._classes(second[:1].flatten(2).transpose(0, 1), torch.tensor([0])).tolist()
    assert chosen == [0]
    assert loss._classes(torch.full((1, 1, 1), 99.0), torch.tensor([4])).tolist() == [4]
