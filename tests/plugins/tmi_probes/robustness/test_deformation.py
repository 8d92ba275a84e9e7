"""Deformations: each does what it says, and a template's limits follow from ε."""

import numpy as np
import pytest

import tmi
from tmi_probes.robustness.deformation import STRENGTHS, deform, deformation

from ..toys import TASK, Phi, cnn_network, dataset, network

KINDS = list(STRENGTHS)


@pytest.mark.parametrize("kind", KINDS)
def test_strength_0_changes_nothing_and_more_stays_an_image(kind):
    scenes = dataset(12).test
    rng = np.random.default_rng(0)
    assert (deform(scenes, kind, STRENGTHS[kind][0], rng) == scenes.images.numpy()).all()
    before = scenes.images.clone()
    for strength in STRENGTHS[kind]:
        images = deform(scenes, kind, strength, np.random.default_rng(1))
        assert images.dtype == np.float32
        assert images.min() >= 0
        assert images.max() <= 1
        changed = (images != before.numpy()).any(1)
        if kind != "noise":  # everything else happens under the tile
            mask = np.zeros((12, 8, 8), bool)
            for i in range(12):
                mask[i, scenes.row[i] : scenes.row[i] + 3, scenes.col[i] : scenes.col[i] + 3] = True
            assert not (changed & ~mask).any()
    assert (scenes.images == before).all()


def test_rotation_and_scale_by_hand():
    values = np.arange(9).reshape(3, 3) / 10
    task = tmi.TemplateTask(
        [tmi.TileClass("a", [tmi.FeatureTile(values, 0.1)]), tmi.TileClass("b", [tmi.FeatureTile(1 - values, 0.1)])], (1, 3, 3)
    )
    scenes = tmi.Scenes(task, np.zeros((1, 1, 3, 3), np.float32), 0, 0, 0)
    rng = np.random.default_rng(0)
    turned = deform(scenes, "rotation", 90, rng)[0, 0]
    assert turned == pytest.approx(np.rot90(values), abs=1e-6) or turned == pytest.approx(np.rot90(values, -1), abs=1e-6)
    # Twice as large about the centre: corners show the points half-way to the centre.
    doubled = deform(scenes, "scale", 2, rng)[0, 0]
    assert doubled[0, 0] == pytest.approx(values[:2, :2].mean(), abs=1e-6)
    assert doubled[1, 1] == pytest.approx(values[1, 1])
    blurred = deform(scenes, "blur", 50, rng)[0, 0]
    assert blurred.std() < 0.02
    half = deform(scenes, "texture", 0.5, rng)[0, 0]
    support = values != 0
    assert (half[support] >= values[support] / 2 - 1e-6).all()
    assert (half[support] <= values[support] / 2 + 0.5 + 1e-6).all()


def test_occlusion_shows_the_background():
    data = dataset(30)
    images = deform(data.test, "occlusion", 0.5, np.random.default_rng(0))
    same = (images == data.test.backgrounds.numpy()) & (images != data.test.images.numpy())
    assert ((images == data.test.images.numpy()) | same).all()
    assert same.sum((1, 2, 3)).max() == 4  # √0.5 of 3 is 2


def test_phi_is_its_own_oracle_and_fails_where_epsilon_ends():
    result = deformation(network(Phi()), dataset(60), seed=0, images=40)
    for kind in KINDS:
        assert result.metrics[f"accuracy_under.{kind}"] == result.metrics[f"oracle_under.{kind}"]
        assert result.arrays[f"accuracy.{kind}"].values[0] == 1
    # Noise of σ moves 9 pixels by about 0.8 σ each: 0.3 is passed between σ = 0.01 and 0.1.
    assert result.metrics["tolerated.noise"] in (0.01, 0.05)
    # A 3×3 tile of one value stays itself under blur, so that nothing can be said of it.
    flat = [tmi.TileClass(n, [tmi.FeatureTile(np.full((3, 3), v), 0.3)]) for n, v in (("a", 0.1), ("b", 0.9))]
    task = tmi.TemplateTask(flat, (1, 8, 8))
    blurred = deformation(network(Phi(task), task=task), dataset(20, task=task), seed=0, kinds=["blur"])
    assert not blurred.applicable
    assert blurred.notes == ("blur changes no image",)


def test_paste_by_support_deforms_the_support_alone():
    tile = tmi.FeatureTile(np.array([[0, 0.5, 0.5]] * 3), 0.2)
    other = tmi.FeatureTile(np.array([[0, 1.0, 0.9]] * 3), 0.2)
    task = tmi.TemplateTask([tmi.TileClass("a", [tile]), tmi.TileClass("b", [other])], (1, 3, 3))
    scenes = tmi.Scenes(task, np.full((1, 1, 3, 3), 0.3, np.float32), 0, 0, 0, paste="support")
    turned = deform(scenes, "rotation", 45, np.random.default_rng(0))
    assert turned[0, 0, :, 0] == pytest.approx(0.3)


def test_arrays_and_bad_kinds():
    result = deformation(cnn_network(), dataset(10), seed=1, kinds=["noise"], images=5)
    assert result.arrays["shown.noise"].shape == (6, 1, 8, 8)
    assert set(result.metrics) == {"chance", "accuracy_under.noise", "tolerated.noise", "oracle_under.noise"}
    again = deformation(cnn_network(), dataset(10), seed=1, kinds=["rotation", "noise"], images=5)
    assert again.metrics["accuracy_under.noise"] == result.metrics["accuracy_under.noise"]  # independently of other kinds
    with pytest.raises(tmi.InputError, match="each once"):
        deformation(cnn_network(), dataset(10), seed=0, kinds=[])
    assert TASK is cnn_network().task
