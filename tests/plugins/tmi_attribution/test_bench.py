"""One method under every measure: means, intervals, chance and the oracle, skills, and what is left out and why."""

import numpy as np
import pytest
import torch

import tmi
from tests.plugins.tmi_probes.toys import TASK, Phi, cnn_network, dataset, network, small_cnn
from tmi_attribution.bench import MEASURES
from tmi_attribution.scoring import skill
from tmi_networks.theorem1 import theorem1

LOCALISATION = ("mass", "precision", "pointing_game", "auc", "average_precision", "top_k", "earth_mover")


def bench(net, data, method, **settings):
    return tmi.probe("attribution-bench", net, data, method=method, **({"images": 12} | settings))


@pytest.fixture(scope="module")
def data():
    return dataset(40)


@pytest.fixture(scope="module")
def constructed(data):
    return tmi.build("theorem1", data)


@pytest.fixture(scope="module")
def trained():
    return cnn_network()


def test_every_built_in_measure_is_registered_and_run_by_default():
    assert sorted(MEASURES) == tmi.names("measure")


def test_the_oracle_has_skill_1_and_random_0(data, trained):
    names = [name.replace("_", "-") for name in LOCALISATION]
    oracle, random = (bench(trained, data, method, images=40, measures=names) for method in ("oracle", "random"))
    inside = 0
    for measure in (*LOCALISATION, "mean"):
        assert oracle.metrics[f"skill.{measure}"] == pytest.approx(1)
        assert random.metrics[f"skill.{measure}"] == pytest.approx(0, abs=0.1)
        low, high = (random.metrics[f"skill.{measure}.{end}"] for end in ("low", "high"))
        inside += low <= 0 <= high
    assert inside >= 6  # of eight intervals of 95 %
    constant = bench(trained, data, "constant", measures=names)
    for measure in set(LOCALISATION) - {"earth_mover"}:
        assert constant.metrics[f"skill.{measure}"] == pytest.approx(0, abs=1e-12)


def test_gradient_methods_do_not_leak_on_a_constructed_network(data, constructed):
    for method in ("saliency", "input-x-gradient", "integrated-gradients", "exact", "exact-integrated-gradients"):
        assert bench(constructed, data, method, images=40, measures=["null-leakage"]).metrics["null_leakage"] == 0
    assert bench(constructed, data, "random", images=40, measures=["null-leakage"]).metrics["null_leakage"] > 0


def test_means_chance_oracle_and_skill_are_those_of_the_arrays(data, trained):
    result = bench(trained, data, "saliency")
    names = result.coords["measure"].tolist()
    assert result.arrays["score"].shape == (len(names), 12)
    for i, name in enumerate(names):
        if name not in result.metrics:
            continue
        values = {part: np.nanmean(result.arrays[part].values[i]) for part in ("score", "chance", "oracle")}
        assert result.metrics[name] == pytest.approx(values["score"])
        assert result.metrics[f"{name}.chance"] == pytest.approx(values["chance"])
        assert result.metrics[f"{name}.oracle"] == pytest.approx(values["oracle"])
        assert result.metrics[f"{name}.low"] <= result.metrics[name] <= result.metrics[f"{name}.high"]
        if name in LOCALISATION:
            assert result.metrics[f"skill.{name}"] == pytest.approx(skill(values["score"], values["chance"], values["oracle"]))
    assert result.metrics["skill.mean"] == pytest.approx(np.mean([result.metrics[f"skill.{n}"] for n in LOCALISATION]))
    assert set(LOCALISATION) < set(names)
    assert "|a| is scored" in result.describe("mass").text


@pytest.mark.slow
def test_an_image_does_not_depend_on_its_neighbours(trained):
    data = dataset(40)
    for method in ("gradient-shap(draws=3)", "feature-permutation(draws=2)"):
        many, few = bench(trained, data, method, images=12), bench(trained, data, method, images=3)
        for part in ("score", "oracle"):
            assert few.arrays[part].values == pytest.approx(many.arrays[part].values[:, :3], rel=1e-5, abs=1e-5, nan_ok=True)


def test_a_measure_with_a_dot_in_its_settings_is_described(data, trained):
    result = bench(trained, data, "saliency", measures=["top-k(share=0.1)", "deletion(steps=4)"])
    assert result.describe("top_k(share=0.1)").better == "higher"
    assert result.describe("deletion(steps=4)").better == "lower"
    assert result.metrics["skill.top_k(share=0.1)"] == result.metrics["skill.mean"]


def test_a_changed_background_is_the_baseline_whatever_the_precision():
    data = dataset(20)
    train, test = (part.with_backgrounds(part.backgrounds.double()) for part in (data.train, data.test))
    measures = ["background-invariance", "insertion"]
    one, other = (
        bench(cnn_network(), d, "input-x-gradient", baseline="background", measures=measures)
        for d in (data, tmi.Dataset(data.task, train, test))
    )
    assert one.metrics == pytest.approx(dict(other.metrics), rel=1e-4)


def test_what_skill_leaves_out_is_said():
    classes = [("whole", np.full((8, 8), 0.5), 1.0), ("part", np.ones((3, 3)), 0.3), ("dark part", np.ones((3, 3)) * 0.2, 0.3)]
    task = tmi.TemplateTask([tmi.TileClass(n, [tmi.FeatureTile(v, epsilon)]) for n, v, epsilon in classes], (1, 8, 8))
    result = bench(cnn_network(), dataset(40, task=task), "saliency", images=40, measures=["mass", "auc"])
    for measure in ("mass", "auc"):  # on the images whose tile is the whole image every map would score the same
        assert any(note.startswith(f"{measure}: undefined on") for note in result.notes)
    assert result.metrics["skill.mean"] == pytest.approx((result.metrics["skill.mass"] + result.metrics["skill.auc"]) / 2)
    alone = bench(
        cnn_network(),
        dataset(12, task=tmi.TemplateTask(task.classes[:1], (1, 8, 8))),
        "saliency",
        measures=["mass", "earth-mover"],
    )
    assert not {"mass", "skill.mean"} & set(alone.metrics)
    assert any(note.startswith("localisation: not applicable") for note in alone.notes)


def test_a_layer_of_maps_of_the_images_size_is_a_layer(data):
    """One channel, as large as the image: still Σ|a| over its channels, not a signed attribution of pixels."""
    torch.manual_seed(0)
    module = torch.nn.Sequential()
    module.add_module("conv", torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.Tanh()))
    module.add_module("flatten", torch.nn.Flatten())
    module.add_module("logits", torch.nn.Linear(64, 3))
    result = bench(network(module, "conv", "logits"), data, "layer-gradient-x-activation", layer="conv")
    assert (result.arrays["signed"].values >= 0).all()


def test_the_untrained_network_is_a_control_of_localisation(data):
    trained = tmi.build("cnn", data, filters=4, kernel=3, hidden=8, epochs=2)
    result = bench(trained, data, "saliency", measures=["mass", "auc", "deletion"])
    before = bench(trained.untrained(), data, "saliency", measures=["mass", "auc"], before_training=False)
    for name in ("mass", "auc"):
        assert result.metrics[f"{name}.untrained"] == pytest.approx(before.metrics[name])
    assert result.metrics["skill.mean.untrained"] == pytest.approx(before.metrics["skill.mean"])
    assert np.nanmean(result.arrays["skill_untrained"].values) == pytest.approx(result.metrics["skill.mean.untrained"])
    assert "deletion.untrained" not in result.metrics
    assert result.metrics["evaluations"] == before.metrics["evaluations"]  # its own alone
    for net, method in ((tmi.build("theorem1", data), "saliency"), (trained, "sobel")):
        assert "mass.untrained" not in bench(net, data, method, measures=["mass"]).metrics


def test_a_map_and_its_negation_have_one_skill_of_absolute_values_and_two_of_positive_ones(data, trained):
    def towards(module, images, targets, *, truth, sign: float = 1.0):
        return sign * truth.masks[:, None].astype(float) - 0.1 * sign

    one, other = (
        bench(trained, data, m, measures=["mass", "auc"]) for m in (towards, lambda *a, truth: towards(*a, truth=truth, sign=-1))
    )
    assert one.metrics["skill.mean"] == other.metrics["skill.mean"]
    assert one.metrics["skill_positive"] == pytest.approx(1)
    assert other.metrics["skill_positive"] < 0
    assert "skill_positive" not in bench(trained, data, "saliency", measures=["mass"], positive=False).metrics


def test_intervals_are_over_tiles_and_chance_is_a_distribution(data, trained):
    result = bench(trained, data, "saliency", images=40, measures=["mass", "earth-mover", "sensitivity-n"])
    scores = dict(zip(result.coords["measure"].tolist(), result.arrays["score"].values, strict=True))
    found = tmi.statistics.estimate(scores["mass"], tiles=data.test.tile[:40].numpy(), low=0, high=1)
    assert (result.metrics["mass.low"], result.metrics["mass.high"]) == (found.low, found.high)
    assert found.unit == "tiles"
    assert "mass.chance.low" not in result.metrics  # its expectation is exact
    for name in ("earth_mover", "sensitivity_n"):
        low, high = result.metrics[f"{name}.chance.low"], result.metrics[f"{name}.chance.high"]
        assert low < result.metrics[f"{name}.chance"] < high
    by_chance = bench(trained, data, "random", images=40, measures=["earth-mover"], seed=5).metrics
    assert by_chance["earth_mover.chance.low"] <= by_chance["earth_mover"] <= by_chance["earth_mover.chance.high"]


def test_a_measure_that_is_defined_on_too_few_images_has_no_score(data, trained):
    def rarely(maps, truth):
        return np.where(truth.numbers < 13, 0.5, np.nan)

    assert bench(trained, data, "saliency", images=24, measures=[rarely]).metrics["rarely"] == 0.5
    result = bench(trained, data, "saliency", images=27, measures=[rarely, "mass"])
    assert not {"rarely", "rarely.low", "rarely.chance"} & set(result.metrics)
    assert result.metrics["defined.rarely"] == 13
    assert result.metrics["defined.mass"] == 27
    assert "rarely: no score, for it is undefined on 14 of 27 images" in result.notes


def test_completeness(data, trained, constructed):
    assert bench(trained, data, "deeplift", measures=["mass"]).metrics["completeness_relative"] < 1e-5
    assert bench(trained, data, "deeplift-shap", measures=["mass"]).metrics["completeness_relative"] < 1e-4
    assert bench(constructed, data, "exact-integrated-gradients", measures=["mass"]).metrics["completeness_relative"] < 1e-6
    assert "completeness_delta" not in bench(trained, data, "saliency", measures=["mass"]).metrics


def test_a_result_says_what_method_and_measures_declare(data, trained):
    measures = ["mass", "deletion", "contrast", "infidelity"]
    result = bench(trained, data, "saliency", measures=measures)
    assert result.arrays["truth_free"].values.tolist() == [False, True, False, True]
    assert {m: bench(trained, data, m, measures=["mass"]).arrays["control"].values.tolist() for m in ("saliency", "sobel")} == {
        "saliency": [False],
        "sobel": [True],
    }
    refused = bench(trained, data, "exact")
    assert (refused.coords["method"].tolist(), refused.arrays["control"].values.tolist()) == (["exact"], [True])


def test_a_refused_method_has_no_score(data, constructed):
    result = bench(constructed, data, "deeplift")
    assert dict(result.metrics) == {"refused": 1}
    assert 'realisation="literal"' in result.notes[0]
    assert bench(network(Phi()), data, "saliency").metrics["refused"] == 1
    assert bench(network(Phi()), data, "occlusion").metrics["refused"] == 0
    assert bench(cnn_network(), data, "exact").metrics["refused"] == 1


def test_maps_of_zeros_score_chance_and_are_counted(data, trained):
    def silent(module, images, targets):
        return images * 0

    result = bench(trained, data, silent)
    assert result.metrics["zero_map"] == 1
    assert result.metrics["skill.mass"] == pytest.approx(0, abs=1e-12)
    assert result.metrics["skill.auc"] == pytest.approx(0, abs=1e-12)


def test_nan_is_not_scored(data, trained):
    def broken(module, images, targets):
        return images / 0 * 0

    result = bench(trained, data, broken)
    assert "mass" not in result.metrics
    assert result.notes == ("not scored, for it gave NaN or infinity on 12 of 12 images",)


def test_ones_own_method_and_measure(data, trained):
    def edges(module, images, targets):
        return images.diff(dim=3, prepend=images[..., :1])

    @tmi.attribution_measure(better="lower", low=0)
    def peak(maps, truth, *, power: float = 1.0):
        """How high the greatest attribution is."""
        return maps.max((1, 2)) ** power

    result = bench(trained, data, edges, measures=["mass", peak])
    assert result.metrics["peak"] == pytest.approx(result.arrays["score"].values[1].mean())
    assert result.describe("peak").better == "lower"
    assert result.describe("peak").text == "How high the greatest attribution is; |a| is scored"


def test_the_layer_of_a_constructed_network_is_scored_on_its_neurons(data, constructed):
    result = bench(constructed, data, "layer-gradient-x-activation")
    assert result.metrics["skill.mass"] == pytest.approx(1)
    assert result.arrays["signed"].dims == ("kept", "neuron")
    assert "deletion" not in result.metrics
    assert "earth_mover" not in result.metrics


def test_a_layer_of_maps_is_scored_on_the_image(data, trained):
    result = bench(trained, data, "layer-activation", layer="conv")
    assert result.arrays["maps"].shape[1:] == (8, 8)
    assert "skill.mean" in result.metrics


def test_a_layer_that_nobody_understands_is_not_scored(data, trained):
    result = bench(trained, data, "layer-conductance")
    assert result.metrics["completeness_relative"] < 0.1
    assert "mass" not in result.metrics
    assert "hidden stand for is not known" in result.notes[0]


def test_a_neuron_is_scored_against_its_own_truth(data, constructed, trained):
    result = bench(constructed, data, "neuron-gradient")
    assert result.metrics["skill.mass"] == pytest.approx(1)
    assert result.metrics["null_leakage"] == 0
    result = bench(trained, data, "neuron-gradient", layer="conv")
    assert result.metrics["null_leakage"] == 0
    assert result.arrays["masks"].values.sum((1, 2)).tolist() == [9] * 4


def test_literal_layers_and_the_fused_network_get_the_same_maps(data, constructed):
    literal = theorem1(data, realisation="literal")
    for method in ("saliency", "integrated-gradients"):
        one, other = (bench(net, data, method, measures=["mass"], images=4) for net in (constructed, literal))
        assert one.arrays["signed"].values == pytest.approx(other.arrays["signed"].values, abs=1e-4)


def test_float64_colour_and_one_image():
    values = np.stack([np.full((3, 3), v) for v in (0.2, 0.9)])
    task = tmi.TemplateTask(
        [tmi.TileClass("one", [tmi.FeatureTile(values, 0.5)]), tmi.TileClass("two", [tmi.FeatureTile(1 - values, 0.5)])],
        (2, 8, 8),
    )
    data = dataset(6, task=task)
    result = bench(network(small_cnn(task).double(), "conv", "logits", task=task), data, "integrated-gradients", images=1)
    assert result.arrays["signed"].shape == (1, 2, 8, 8)
    assert "mass.low" not in result.metrics
    assert bench(tmi.build("theorem1", data), data, "saliency").metrics["skill.mean"] == pytest.approx(1, abs=0.05)


def test_measures_are_named_once(data, trained):
    with pytest.raises(tmi.InputError, match="each once"):
        bench(trained, data, "saliency", measures=["mass", "mass"])
    assert TASK is data.task
