import numpy as np
import pytest
import torch

import tmi
from tmi_probes.robustness.invariance import background_robustness, translation_robustness, variance_ratio

from ..toys import TASK, Phi, Sums, cnn_network, dataset, network, small_cnn

PROBES = ["background-robustness", "translation-robustness"]


def test_known_answers_under_backgrounds():
    data = dataset(60)
    result = background_robustness(network(Sums(), "hidden", "logits"), data, seed=3, tiles=2, backgrounds=5)
    for k in range(2):
        logits = result.arrays["logits"].values[k]
        assert (logits[:, 1] == 0).all()
        assert (logits[:, 0] == -logits[:, 2]).all()
    std = np.std(result.arrays["logits"].values, axis=1)
    assert result.metrics["logit_std"] == pytest.approx(std.mean())
    assert result.metrics["logit_std_max"] == pytest.approx(std.max())
    assert result.metrics["logit_variance"] == pytest.approx((std**2).mean())


def test_a_sum_does_not_see_a_move_within_a_constant_background():
    data = dataset(30)
    flat = tmi.Dataset(TASK, data.train, data.test.with_backgrounds(0.3))
    result = translation_robustness(network(Sums(), "hidden", "logits"), flat, seed=0, tiles=3)
    assert result.metrics["logit_std_max"] < 1e-5
    assert result.metrics["kept"] == 1
    assert result.metrics["unchanged"] == 1
    assert result.arrays["logits"].shape == (3, 36, 3)
    places = set(zip(result.arrays["variant_row"].values[0], result.arrays["variant_col"].values[0], strict=True))
    assert places == {(r, c) for r in range(6) for c in range(6)}


@pytest.mark.parametrize("probe", PROBES)
def test_exactly_unmoved_on_a_constructed_network(probe):
    result = tmi.probe(probe, network(Phi()), dataset(60), seed=1)
    assert result.metrics["correct"] == result.metrics["unchanged"] == 1
    assert result.metrics["margin_min"] > 0
    # The flat tiles also match shifted windows in part, so only one-window tasks are exactly unmoved.
    rng = np.random.default_rng(5)
    task = tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(rng.integers(0, 2, (5, 5)) * 1.0, 0.7, np.ones((5, 5), bool))]) for n in "abc"],
        (1, 9, 9),
    )
    metrics = tmi.probe(probe, network(Phi(task), task=task), dataset(60, task=task), seed=1).metrics
    assert metrics["logit_std"] == metrics["logit_std_max"] == metrics["margin_std"] == metrics["logit_variance"] == 0


@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
@pytest.mark.parametrize("probe", PROBES)
def test_over_fashion_constructed_networks_do_not_move_at_all(probe, name):
    data = tmi.generate("fashion", seed=0, source="sample", samples=1, test_samples=60)
    result = tmi.probe(probe, tmi.build(name, data, realisation="fused"), data, seed=1)
    metrics = result.metrics
    assert metrics["logit_std"] == metrics["logit_std_max"] == metrics["logit_variance"] == 0
    assert metrics["label_logit_std"] == metrics["margin_std"] == 0
    assert metrics["kept"] == metrics["unchanged"] == metrics["correct"] == 1
    assert result.arrays["logits"].shape[1] == (59 if probe == "background-robustness" else 100)


@pytest.mark.parametrize("probe", PROBES)
def test_ambiguous_variants_are_left_out_and_counted(probe):
    data = dataset(30)
    scenes = data.test
    # A background that itself shows another class's tile spoils every variant that does not cover it.
    spoilt = scenes.backgrounds.clone()
    spoilt[:, :, :3, :3] = 0.9
    both = tmi.Dataset(TASK, data.train, tmi.Scenes(TASK, spoilt, 0, 5, 5))
    result = tmi.probe(probe, cnn_network(), both, tiles=1)
    assert result.metrics["kept"] == result.arrays["kept_variant"].values.mean()
    if probe == "background-robustness":
        assert set(result.metrics) == {"kept"}
        assert result.metrics["kept"] == 0
        assert "ambiguous" in result.notes[-1]
    else:
        assert 0 < result.metrics["kept"] < 1  # where the tile covers the intruder the scene is of one class again


def test_tiles_of_different_sizes_are_padded():
    task = tmi.TemplateTask(
        [
            tmi.TileClass("small", [tmi.FeatureTile(np.full((2, 2), 0.9), 0.1)]),
            tmi.TileClass("large", [tmi.FeatureTile(np.eye(5) * 0.5, 0.1, np.ones((5, 5), bool))]),
        ],
        (1, 6, 6),
    )
    result = translation_robustness(network(Phi(task), task=task), dataset(20, task=task), seed=0, tiles=2)
    variants = sorted(int(np.isfinite(logits[:, 0]).sum()) for logits in result.arrays["logits"].values)
    assert variants == [4, 25]
    assert result.metrics["correct"] == 1
    assert not result.arrays["kept_variant"].values[np.isnan(result.arrays["logits"].values[..., 0])].any()


@pytest.mark.parametrize("probe", PROBES)
def test_distinct_classes_then_distinct_tiles(probe):
    data = dataset(60)
    result = tmi.probe(probe, cnn_network(), data, tiles=4)
    assert sorted(result.arrays["tile_index"].values) == [0, 1, 2, 3]
    assert len(set(result.arrays["label"].values[:3])) == 3
    assert tmi.probe(probe, cnn_network(), data, tiles=4).metrics == result.metrics
    other = tmi.probe(probe, cnn_network(), data, tiles=4, seed=1)
    assert other.metrics != result.metrics
    assert "60 tiles instead of 70" in tmi.probe(probe, cnn_network(), data, tiles=70).notes[0]


def test_fewer_backgrounds_than_asked_for():
    result = background_robustness(cnn_network(), dataset(8), seed=0, backgrounds=100)
    assert result.arrays["logits"].shape[1] == 7
    assert "7 backgrounds instead of 100" in result.notes[0]
    alone = background_robustness(cnn_network(), dataset(1), seed=0)
    assert not alone.applicable
    assert "one test scene" in alone.notes[0]


def test_the_background_is_really_another_and_the_tile_really_the_same():
    data = dataset(12)
    seen = []

    class Spy(Sums):
        def forward(self, images):
            seen.append(images.clone())
            return super().forward(images)

    spied = network(Spy(), "hidden", "logits")
    spied.check(data.test.images)
    seen.clear()
    background_robustness(spied, data, seed=0, tiles=1)
    original, variants = seen[0], seen[1]
    assert len(torch.unique(variants.flatten(1), dim=0)) == 11
    same = (variants == original).all(0)[0]
    assert int(same.sum()) == 9


@pytest.mark.parametrize("probe", PROBES)
def test_the_worst_variant_is_the_one_of_least_margin(probe):
    net, data = cnn_network(), dataset(30)
    result = tmi.probe(probe, net, data, tiles=3)
    arrays = {name: array.values for name, array in result.arrays.items()}
    assert np.nanmin(arrays["worst_margin"]) == pytest.approx(result.metrics["margin_min"])
    for k in range(3):
        logits = net.logits(arrays["worst_images"][[k]]).double().numpy()[0]
        worst = arrays["worst_variant"][k]
        assert logits == pytest.approx(arrays["logits"][k, worst], abs=1e-5)
        own = logits[arrays["label"][k]] - np.delete(logits, arrays["label"][k]).max()
        assert own == pytest.approx(arrays["worst_margin"][k], abs=1e-5)
        if probe == "background-robustness":
            other = data.test.backgrounds[arrays["variant_background"][k, worst]].numpy()
            assert (arrays["worst_images"][k] == other).sum() >= 64 - 9
        else:
            assert (arrays["variant_background"] == -1).all()


def test_all_places():
    result = translation_robustness(cnn_network(), dataset(30), seed=0, places="all")
    assert result.arrays["kept_variant"].shape == (3, 36)
    places = zip(result.arrays["variant_row"].values[1], result.arrays["variant_col"].values[1], strict=True)
    assert set(places) == {(r, c) for r in range(6) for c in range(6)}


def test_the_ratio_of_figure_4_is_the_ratio_of_the_two_probes():
    net, data = cnn_network(), dataset(30)
    ratio = variance_ratio(net, data, seed=4)
    below = background_robustness(net, data, seed=4).metrics["logit_variance"]
    above = translation_robustness(net, data, seed=4, places="all").metrics["logit_variance"]
    assert ratio.metrics["variance_ratio"] == pytest.approx(above / below)
    assert ratio.arrays["variance"].values.mean((1, 2)) == pytest.approx([below, above])
    fashion = tmi.generate("fashion", seed=0, samples=5, test_samples=20, source="sample")
    exact = variance_ratio(tmi.build("theorem1", fashion), fashion, seed=0)
    assert exact.metrics == {"variance_background": 0, "variance_translation": 0}
    assert "no logit varies" in exact.notes[-1]


def test_one_scene_of_every_tile_in_the_order_of_tiles_and_the_ratio_of_each():
    net, data = cnn_network(), dataset(30)
    ratio = variance_ratio(net, data, seed=4, tiles="all", backgrounds=9)
    assert ratio.coords["tile"].tolist() == [TASK.tile_name(tile) for tile in range(4)]
    shown = {name: tmi.probe(name, net, data, seed=4, tiles="all") for name in PROBES}
    assert all(result.arrays["tile_index"].values.tolist() == [0, 1, 2, 3] for result in shown.values())
    below, above = ratio.arrays["variance"].values
    assert ratio.arrays["ratio"].values == pytest.approx([sum(a) / sum(b) for a, b in zip(above, below, strict=True)])
    assert ratio.metrics["variance_ratio_min"] == ratio.arrays["ratio"].values.min()
    few = tmi.Dataset(TASK, data.train, data.test[data.test.tile != 2])
    assert variance_ratio(net, few, seed=4, tiles="all").arrays["ratio"].shape == (3,)


def test_a_tile_without_another_place_has_no_ratio():
    rng = np.random.default_rng(0)
    tiles = [tmi.FeatureTile(rng.random(shape), 0.1) for shape in ((2, 2), (6, 5))]
    task = tmi.TemplateTask([tmi.TileClass(n, [t]) for n, t in zip("ab", tiles, strict=True)], (1, 6, 6))
    net = network(small_cnn(task), "conv", "hidden", "logits", task=task)
    result = variance_ratio(net, dataset(30, task=task), seed=0, tiles="all", places=1)
    assert "ratio" not in result.arrays
    assert "variance_ratio_min" not in result.metrics
    both = variance_ratio(net, dataset(30, task=task), seed=0, tiles="all")
    assert np.isfinite(both.arrays["ratio"].values).all()
