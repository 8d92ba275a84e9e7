import numpy as np
import pytest

import tmi
from tmi_attribution.receptive import receptive_field
from tmi_probes.circuits.logit_decomposition import logit_decomposition
from tmi_probes.robustness.invariance import background_robustness, translation_robustness, variance_ratio

from ..toys import TASK, dataset
from .test_logit_decomposition import flat_cnn


def test_the_total_is_the_variance_of_figure_4_and_the_parts_add_up():
    net, data = flat_cnn(seed=2), dataset(30)
    found = logit_decomposition(net, data, seed=4, tiles="all", backgrounds=11)
    ratio = variance_ratio(net, data, seed=4, tiles="all", backgrounds=11)
    for change, name in (("backgrounds", "background"), ("places", "translation")):
        total = found.metrics[f"variance.{change}"]
        assert total == pytest.approx(ratio.metrics[f"variance_{name}"], rel=1e-4)
        parts = [found.metrics[f"{part}.{change}"] for part in ("variance_sees_tile", "variance_background_only", "covariance")]
        assert sum(parts) == pytest.approx(total)
    split = found.arrays["variance_parts"].values
    assert split[:, :, :3].sum(2) == pytest.approx(split[:, :, 3])
    assert split[:, :, 3] == pytest.approx(ratio.arrays["variance"].values, rel=1e-4)


@pytest.mark.parametrize("change", ["backgrounds", "places"])
def test_a_split_by_an_independent_formula(change):
    net, data = flat_cnn(seed=2), dataset(30)
    found = logit_decomposition(net, data, seed=4, tiles=1, backgrounds=8)
    probe = background_robustness if change == "backgrounds" else translation_robustness
    shown = probe(net, data, seed=4, tiles=1, **({"backgrounds": 8} if change == "backgrounds" else {"places": "all"}))
    kept = shown.arrays["kept_variant"].values[0]
    row, col, number = (shown.arrays[f"variant_{name}"].values[0][kept] for name in ("row", "col", "background"))
    own = next(i for i in range(30) if np.array_equal(data.test.images[i].numpy(), shown.arrays["original_images"].values[0]))
    backgrounds = data.test.backgrounds[np.where(number < 0, own, number)]
    scenes = tmi.Scenes(TASK, backgrounds, int(data.test.tile[own]), row, col)
    weight = net.module.logits.weight.detach().double().numpy()
    bare = net.activations(data.test.backgrounds)["conv"].flatten(1).double().numpy().mean(0)
    conv = net.activations(scenes.images)["conv"].flatten(1).double().numpy() - bare
    fields = receptive_field(net.module, "conv", np.arange(147), (1, 8, 8))
    sees = np.stack([(fields & mask.numpy()).any((1, 2)) for mask in scenes.masks])
    of_tile, of_rest = ((conv * seen) @ weight.T for seen in (sees, ~sees))
    assert found.metrics[f"variance_sees_tile.{change}"] == pytest.approx(of_tile.var(0).mean())
    assert found.metrics[f"variance_background_only.{change}"] == pytest.approx(of_rest.var(0).mean())
    covariance = np.mean([2 * np.cov(of_tile[:, k], of_rest[:, k], ddof=0)[0, 1] for k in range(3)])
    assert found.metrics[f"covariance.{change}"] == pytest.approx(covariance)
    if change == "backgrounds":
        each = conv[:, ~sees[0]].std(0) * np.abs(weight[:, ~sees[0]])
        assert found.metrics["averaging"] == pytest.approx(np.mean(of_rest.std(0) / each.sum(1)))
        assert found.metrics["averaging.chance"] == pytest.approx(np.mean(np.sqrt((each**2).sum(1)) / each.sum(1)))


def test_units_inside_the_tile_do_not_vary_over_backgrounds():
    """On a network of which only units inside the tile have weight, no logit varies over backgrounds; over places it does."""
    data = dataset(20)
    scene = data.test[[int(np.flatnonzero(data.test.tile.numpy() == 2)[0])]]
    one = tmi.Dataset(TASK, data.train, tmi.Scenes(TASK, data.test.backgrounds, int(scene.tile), 2, 3))
    net = flat_cnn()
    fields = receptive_field(net.module, "conv", np.arange(147), (1, 8, 8))
    outside = (fields & ~one.test.masks[0].numpy()).any((1, 2))
    net.module.logits.weight.data[:, outside] = 0
    metrics = logit_decomposition(net, one, seed=0, tiles=1).metrics
    assert metrics["variance.backgrounds"] == metrics["variance_background_only.backgrounds"] == 0
    assert "averaging" not in metrics
    assert metrics["variance_sees_tile.places"] > 0


def test_a_tile_as_large_as_the_image_has_no_variances():
    rng = np.random.default_rng(0)
    task = tmi.TemplateTask([tmi.TileClass(n, [tmi.FeatureTile(rng.random((5, 6)), 0.3)]) for n in "ab"], (1, 5, 6))
    result = logit_decomposition(flat_cnn(task), dataset(10, task=task), seed=0)
    assert not any(name.startswith(("variance", "inside")) for name in result.metrics)
    assert "variance_parts" not in result.arrays
