"""Every kind on samples that are sparse sums of known directions."""

import numpy as np
import pytest
import torch

from tmi_probes.layers.sparse_autoencoders import RULES, SparseAutoencoders
from tmi_probes.measures.directions import direction_scores

STRENGTH = {"top-k": 2, "batch-top-k": 2, "l1": 0.1, "gated": 0.3, "jump-relu": 0.03}


def sparse_sums(directions, count=800, together=2, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.zeros((count, len(directions)))
    for row in codes:
        row[rng.permutation(len(directions))[:together]] = rng.uniform(0.5, 1.5, together)
    samples = codes @ directions
    return (samples / np.sqrt(np.square(samples).sum(1).mean())).astype(np.float32)


@pytest.mark.parametrize("rule", RULES)
def test_orthogonal_directions_are_found(rule):
    directions = np.linalg.qr(np.random.default_rng(1).standard_normal((8, 8)))[0]
    samples = sparse_sums(directions)
    model = SparseAutoencoders(rule, 16, [STRENGTH[rule]], [0], 500).fit(samples)
    codes = model.transform(samples)
    assert direction_scores(model.decoder[0].numpy(), directions)["recovered"] > 0.9
    assert np.square(model.restore(codes)[0] - samples).sum() < 0.15 * np.square(samples - samples.mean(0)).sum()
    assert (codes >= 0).all()
    assert (codes > 0).sum(2).mean() < 4
    assert torch.allclose(model.decoder.norm(dim=2), torch.ones(1, 16), atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_fits_trained_together_are_those_trained_alone(rule):
    samples = sparse_sums(np.eye(5), 60)
    strengths = [STRENGTH[rule], 2 * STRENGTH[rule]]
    both = SparseAutoencoders(rule, 7, strengths, [3, 4], 30).fit(samples)
    for i, (strength, seed) in enumerate(zip(strengths, [3, 4], strict=True)):
        alone = SparseAutoencoders(rule, 7, [strength], [seed], 30).fit(samples)
        assert torch.allclose(both.decoder[i], alone.decoder[0], atol=1e-4)
        assert np.allclose(both.transform(samples)[i], alone.transform(samples)[0], atol=1e-3)


def test_numbers_of_active_codes():
    samples = sparse_sums(np.eye(6), 100)
    model = SparseAutoencoders("top-k", 9, [1, 4, 20], [0, 0, 0], 40).fit(samples)
    most = (model.transform(samples) > 0).sum(2).max(1)
    assert (most <= [1, 4, 9]).all()
    batch = SparseAutoencoders("batch-top-k", 9, [2], [0], 150).fit(samples)
    active = (batch.transform(samples) > 0).sum(2)
    assert active.mean() == pytest.approx(2, abs=0.4)


def test_formulas_of_the_losses():
    """Codes and losses of one small step, against the papers' formulas."""
    x = torch.tensor([[[1.0, 0.5], [0.2, 2.0]]])
    for rule in ("l1", "gated", "jump-relu"):
        model = SparseAutoencoders(rule, 3, [0.7], [0], 1).fit(x[0].numpy())
        codes, loss = model._loss(x)
        project = (x[0] - model.offset[0]) @ model.encoder[0]
        gates = torch.relu(project + model.bias[0])
        if rule == "l1":
            expected, penalty = gates, gates.sum(1)
        elif rule == "gated":
            expected = torch.where(gates > 0, torch.relu(model.scale[0].exp() * project + model.magnitude[0]), 0.0)
            penalty = gates.sum(1) + (gates @ model.decoder[0] + model.offset[0] - x[0]).square().sum(1) / 0.7
        else:
            expected = torch.where(gates > model.log_threshold[0].exp(), gates, 0.0)
            penalty = (expected > 0).sum(1).float()
        assert torch.allclose(codes[0], expected)
        error = (expected @ model.decoder[0] + model.offset[0] - x[0]).square().sum(1)
        assert float(loss) == pytest.approx(float((error + 0.7 * penalty).mean()), rel=1e-5)


def test_gradient_of_a_threshold_is_the_kernels():
    model = SparseAutoencoders("jump-relu", 1, [0.7], [0], 1).fit(np.ones((2, 1), np.float32))
    with torch.no_grad():
        for weight, value in ((model.decoder, 1), (model.encoder, 1), (model.offset, 0), (model.bias, 0)):
            weight.fill_(value)
        model.log_threshold.fill_(float(np.log(0.5)))
    model.log_threshold.requires_grad_()
    for x, near in ((0.52, True), (0.9, False)):  # the kernel is 0.1 wide
        codes, gates = model._codes(torch.tensor([[[x]]]), training=True)
        (of_code,) = torch.autograd.grad(codes.sum(), model.log_threshold, retain_graph=True)
        (of_gate,) = torch.autograd.grad(gates.sum(), model.log_threshold)
        # θ · d/dθ, for the parameter is log θ.
        assert float(of_code) == pytest.approx(-0.5 * 0.5 / 0.1 * near)
        assert float(of_gate) == pytest.approx(-0.5 / 0.1 * near)


def test_dead_latents_start_again():
    samples = sparse_sums(np.eye(4), 50)
    model = SparseAutoencoders("top-k", 4, [1], [0], 1)
    generator = [torch.Generator().manual_seed(0)]
    model.strength, model._threshold = torch.tensor([1.0]), torch.zeros(1)
    weights = model._start(torch.from_numpy(samples), generator)
    optimizer = torch.optim.Adam(weights)
    model._loss(torch.from_numpy(samples)[None])[1].backward()
    optimizer.step()
    before = model.decoder.detach().clone()
    with torch.no_grad():
        model._resample(torch.from_numpy(samples), torch.tensor([[False, True, False, False]]), optimizer, generator)
    assert torch.equal(model.decoder[0, [0, 2, 3]], before[0, [0, 2, 3]])
    assert not torch.allclose(model.decoder[0, 1], before[0, 1])
    assert float(model.decoder[0, 1].norm()) == pytest.approx(1, abs=1e-5)
    assert torch.equal(model.encoder[0, :, 1], model.decoder[0, 1])
    assert not optimizer.state[model.decoder]["exp_avg"][0, 1].any()


def test_without_offset():
    model = SparseAutoencoders("l1", 3, [0.1], [0], 20, offset=False).fit(sparse_sums(np.eye(3), 40))
    assert not model.offset.any()
    assert SparseAutoencoders("l1", 3, [0.1], [0], 20).fit(sparse_sums(np.eye(3), 40)).offset.any()
