"""Projections onto a ball within the range of pixels, against a general solver and by their optimality."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from tmi_probes.robustness.balls import project, size


@st.composite
def cases(draw):
    n = draw(st.integers(1, 6))
    images = draw(arrays(float, (1, n), elements=st.sampled_from([0, 0.1, 0.5, 0.75, 1])))
    change = draw(arrays(float, (1, n), elements=st.floats(-3, 3, width=16)))
    return tuple(map(torch.from_numpy, (change, images, np.array([draw(st.floats(0, 4, width=16))]))))


@given(cases(), st.sampled_from(["l1", "linf"]))
@settings(deadline=None, max_examples=200)
def test_is_feasible_and_nearest(case, norm):
    change, images, radius = case
    found = project(change, images, radius, norm)
    assert size(found, norm) <= radius + 1e-12
    assert ((images + found >= -1e-15) & (images + found <= 1 + 1e-15)).all()
    # A projection z of v onto a convex set: (v − z)·(y − z) ≤ 0 for every y of it. Corners of the set are enough for L1 and L∞.
    rng = np.random.default_rng(0)
    others = torch.from_numpy(rng.uniform(-1, 1, (200, change.shape[1])))
    others = torch.minimum(torch.maximum(others, -images), 1 - images)
    others = others * (radius[:, None] / size(others, norm).clamp(min=1e-12)[:, None]).clamp(max=1)
    assert (((change - found) * (others - found)).sum(1) <= 1e-9).all()


@pytest.mark.parametrize("seed", range(5))
def test_l1_is_what_a_solver_finds(seed):
    rng = np.random.default_rng(seed)
    image, change, radius = rng.random(5), rng.normal(size=5) * 2, 0.7
    found = project(*map(torch.from_numpy, (change[None], image[None], np.array([radius]))), "l1").numpy()[0]
    # δ = p − q with p, q ≥ 0 makes the norm a linear constraint.
    bounds = [*((0, 1 - x) for x in image), *((0, x) for x in image)]
    solved = minimize(
        lambda z: ((z[:5] - z[5:] - change) ** 2).sum(),
        np.zeros(10),
        bounds=bounds,
        constraints={"type": "ineq", "fun": lambda z: radius - z.sum()},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found == pytest.approx(solved.x[:5] - solved.x[5:], abs=1e-5)
    cut_off = torch.from_numpy(change[None])
    cut_off = cut_off.sign() * (cut_off.abs() - _threshold(cut_off.abs().numpy()[0], radius)).clamp(min=0)
    cut_off = torch.minimum(torch.maximum(cut_off, torch.from_numpy(-image)), torch.from_numpy(1 - image)).numpy()[0]
    assert ((found - change) ** 2).sum() <= ((cut_off - change) ** 2).sum() + 1e-12


def _threshold(length, radius):
    """λ of the projection onto the L1 ball alone (Duchi et al. 2008)."""
    ordered = np.sort(length)[::-1]
    below = (ordered.cumsum() - radius) / np.arange(1, len(length) + 1)
    return below[np.flatnonzero(ordered > below)[-1]]


def test_borders():
    image = torch.tensor([[0.0, 1.0, 0.5]], dtype=torch.float64)
    change = torch.tensor([[-1.0, 2.0, 3.0]], dtype=torch.float64)
    # The first two pixels have no room, the third has half of it.
    assert project(change, image, torch.tensor([9.0]), "l1").tolist() == [[0, 0, 0.5]]
    assert project(change, image, torch.tensor([0.25]), "l1").tolist() == [[0, 0, 0.25]]
    assert not project(change, image, torch.tensor([0.0]), "l1").any()
    assert not project(torch.zeros(1, 3), torch.rand(1, 3), torch.ones(1), "l1").any()
