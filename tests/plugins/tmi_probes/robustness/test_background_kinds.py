"""Other kinds of background: their properties, and that a constructed network is invariant to them."""

import numpy as np
import pytest

import tmi
from tmi_probes.robustness.background_kinds import background_kinds, draw, smooth

from ..toys import TASK, Phi, Sums, cnn_network, dataset, network

KINDS = ["data", "constant", "natural", "gaussian", "binary", "low-frequency"]


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (3, 3, 9, 4), (2, 2, 1, 1), (2, 1, 500, 20)])
def test_backgrounds_are_images_and_the_same_for_a_seed(kind, shape):
    one, again, other = (draw(kind, np.random.default_rng(seed), shape) for seed in (1, 1, 2))
    assert one.shape == shape
    assert one.dtype == np.float32
    assert one.min() >= 0
    assert one.max() <= 1
    assert (one == again).all()
    assert kind == "constant" or shape[-1] == 1 or (one != other).any()


def test_each_kind_is_of_its_kind():
    rng = np.random.default_rng(0)
    constant = draw("constant", rng, (3, 1, 4, 4))
    assert constant[:, 0, 0, 0].tolist() == [0, 0.5, 1]
    assert (constant == constant[:, :, :1, :1]).all()
    assert set(np.unique(draw("binary", rng, (4, 1, 9, 9)))) == {0, 1}
    gaussian = draw("gaussian", rng, (20, 1, 30, 30))
    assert gaussian.mean() == pytest.approx(0.5, abs=0.01)
    assert 0.2 < gaussian.std() < 0.25

    def roughness(images):
        return np.abs(np.diff(images, axis=3)).mean() / images.std()

    assert roughness(smooth(rng, (5, 1, 32, 32))) < 0.3 < roughness(gaussian)
    grey, colour = draw("natural", rng, (6, 1, 32, 32)), draw("natural", rng, (6, 3, 32, 32))
    assert roughness(grey) < 0.5
    assert (colour[:, 0] != colour[:, 1]).any()


def test_a_constructed_network_is_invariant_to_them():
    data = tmi.generate("fashion", seed=0, samples=5, test_samples=30, source="sample")
    result = background_kinds(tmi.build("theorem1", data), data, seed=0, tiles=4, backgrounds=6)
    for kind in KINDS:
        assert result.metrics[f"logit_std.{kind}"] == 0
        assert result.metrics[f"correct.{kind}"] == result.metrics[f"unchanged.{kind}"] == 1
        assert result.metrics[f"kept.{kind}"] == 1
    assert result.arrays["correct_by_tile"].shape == (6, 4)


def test_a_sum_follows_the_background_exactly():
    result = background_kinds(
        network(Sums(), "hidden", "logits"), dataset(30), seed=0, kinds=["constant"], tiles=2, backgrounds=3
    )
    # A 3×3 tile leaves 55 of 64 pixels; grey itself, 0.5, is the tile "grey" and so ambiguous for the others.
    assert result.metrics["kept.constant"] < 1
    flat = background_kinds(network(Sums(), "hidden", "logits"), dataset(30), seed=0, kinds=["constant"], tiles=1, backgrounds=1)
    assert "logit_std.constant" not in flat.metrics  # one grey alone: no network's logits could vary
    assert any("constant: standard deviations: not applicable" in note for note in flat.notes)


def test_worst_cases_are_shown():
    result = background_kinds(cnn_network(), dataset(40), seed=0, tiles=3, backgrounds=5)
    worst = result.arrays["worst_margin"].values
    for k, kind in enumerate(result.coords["kind"]):
        if f"margin_min.{kind}" in result.metrics:
            assert worst[k] == pytest.approx(result.metrics[f"margin_min.{kind}"])
            logits = cnn_network().logits(result.arrays["worst_image"].values[[k]])[0]
            label = TASK.tile_class[result.arrays["worst_tile"].values[k]]
            others = np.delete(logits.numpy(), label)
            assert float(logits[label]) - others.max() == pytest.approx(worst[k], abs=1e-5)


def test_colour_and_bad_kinds():
    task = tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(np.random.default_rng(i).random((3, 3, 3)), 0.3)]) for i, n in enumerate("ab")],
        (3, 7, 8),
    )
    result = background_kinds(network(Phi(task), task=task), dataset(20, task=task), seed=0, tiles=2, backgrounds=3)
    assert all(result.metrics[f"correct.{kind}"] == 1 for kind in KINDS)
    with pytest.raises(tmi.InputError, match="each once"):
        background_kinds(cnn_network(), dataset(5), seed=0, kinds=["data", "data"])
