"""Attacks against minima that are known: of affine networks by hand, of two pixels by brute force."""

import numpy as np
import pytest
import torch
from torch import nn

from tmi_probes.linear.exact_network import ExactNetwork
from tmi_probes.robustness.search import Margins, Search, smallest_change

from ..toys import Phi, dataset, deep, network


def searched(net, images, norm, others=None, steps=30):
    exact = ExactNetwork(net)
    margins = Margins(exact, images)
    given = torch.empty(0, *images.shape[1:], dtype=torch.float64) if others is None else others
    answers = Margins(exact, given).answers if len(given) else torch.empty(0, dtype=torch.int64)
    noise = [torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (len(images), images[0].numel())))]
    return margins, smallest_change(margins, images, margins.answers, norm, others=(given, answers), steps=steps, noise=noise)


def test_an_affine_network_is_solved():
    module = nn.Sequential(nn.Flatten())
    torch.manual_seed(0)
    module.add_module("logits", nn.Linear(64, 3))
    images = torch.from_numpy(np.random.default_rng(1).uniform(0.3, 0.7, (12, 1, 8, 8)))
    weight, bias = (p.detach().double().numpy() for p in module.logits.parameters())
    logits = images.flatten(1).numpy() @ weight.T + bias
    answer = logits.argmax(1)
    for norm in ("l1", "linf"):
        _, search = searched(network(module, "logits"), images, norm)
        for i, y in enumerate(answer):
            # In L1 the steepest pixel moves to its edge, then the next one; in L∞ all move alike, here within their room.
            least = np.inf
            for j in {0, 1, 2} - {int(y)}:
                slope, margin, spent = weight[y] - weight[j], logits[i, y] - logits[i, j], 0.0
                if norm == "linf":
                    least = min(least, margin / np.abs(slope).sum())
                    continue
                for pixel in np.argsort(-np.abs(slope)):
                    x = images[i].numpy().ravel()[pixel]
                    move = min(x if slope[pixel] > 0 else 1 - x, margin / np.abs(slope[pixel]))
                    spent, margin = spent + move, margin - move * np.abs(slope[pixel])
                    if margin <= 1e-12:
                        break
                least = min(least, spent if margin <= 1e-12 else np.inf)
            assert search.radius[i] == pytest.approx(least, rel=1e-4)


@pytest.mark.parametrize("norm", ["l1", "linf"])
def test_two_pixels_by_brute_force(norm):
    torch.manual_seed(3)
    only = torch.zeros(2, 64)
    only[0, 0] = only[1, 1] = 1
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False), nn.Linear(2, 12), nn.ReLU())
    module.add_module("logits", nn.Linear(12, 3))
    with torch.no_grad():
        module[1].weight.copy_(only)
        module[2].weight *= 4
        module[2].bias.copy_(-module[2].weight.sum(1) / 2 + 0.2 * torch.randn(12))
        module.logits.weight.copy_(torch.randn(3, 12))
        module.logits.bias.zero_()
    images = torch.zeros(15, 1, 8, 8, dtype=torch.float64)
    images[:, 0, 0, :2] = torch.from_numpy(np.random.default_rng(0).random((15, 2)))
    grid = torch.cartesian_prod(*[torch.linspace(0, 1, 801, dtype=torch.float64)] * 2)
    at_grid = torch.zeros(len(grid), 64, dtype=torch.float64)
    at_grid[:, :2] = grid
    margins, search = searched(network(module, "logits"), images, norm, steps=60)
    answers = margins.logits(at_grid).argmax(1)
    assert len(answers.unique()) > 1
    for i in range(len(images)):
        far = (grid - images[i, 0, 0, :2]).abs()
        far = far.sum(1) if norm == "l1" else far.amax(1)
        least = far[answers != margins.answers[i]].min()
        assert search.radius[i] >= least - 3 / 800
        assert search.radius[i] <= 1.02 * least + 3 / 800


def test_what_is_kept_has_another_answer_and_that_distance():
    images = torch.from_numpy(np.random.default_rng(4).random((10, 1, 8, 8)))
    for norm in ("l1", "linf"):
        margins, search = searched(deep(), images, norm, others=1 - images)
        found = search.radius.isfinite()
        assert found.sum() >= 8
        assert ((margins.margin(search.best, margins.answers) <= 0) == found).all()
        assert ((search.best >= 0) & (search.best <= 1)).all()
        change = (search.best - images.flatten(1)).abs()
        assert (search.radius == (change.sum(1) if norm == "l1" else change.amax(1)))[found].all()


def test_each_part_of_the_search_helps_or_does_no_harm():
    images = torch.from_numpy(np.random.default_rng(6).random((10, 1, 8, 8)))
    margins = Margins(ExactNetwork(deep()), images)
    search = Search(margins, images, margins.answers, "l1")
    radius = search.radius.clone()
    for step in (
        lambda: search.towards(1 - images, Margins(ExactNetwork(deep()), 1 - images).answers),
        search.shorten,
        lambda: search.descend(20),
        lambda: search.one_pixel_after_another(20),
        search.shorten,
    ):
        step()
        assert (search.radius <= radius).all()
        radius = search.radius.clone()


def test_without_a_gradient_pixels_of_another_image_are_taken_back():
    data = dataset(12)
    images = data.test.images.double()
    margins, search = searched(network(Phi()), images, "l1", others=images)
    assert not margins.differentiable
    answered = margins.answers >= 0
    # Pasted exactly, a tile's logit is ε = 0.3; no pixel but the tile's has to change.
    assert (search.radius[answered] < 1.5).all()
    assert (search.radius[answered] > 0.29).all()
