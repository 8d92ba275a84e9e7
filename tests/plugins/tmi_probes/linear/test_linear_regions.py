"""Linear regions: breakpoints by brute force, patterns by hand."""

import copy
from itertools import combinations, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tmi
from tmi_probes.linear.arrangement import zaslavsky
from tmi_probes.linear.breakpoints import of_layers
from tmi_probes.linear.exact_network import ExactNetwork
from tmi_probes.linear.linear_regions import linear_regions
from tmi_probes.linear.local_linear_form import local_linear_form

from ..toys import TASK, Phi, cnn_network, dataset, deep, network, small_cnn
from .equivalents import PAIRS
from .stages import FORMS, PIECEWISE, SHAPE, Does, network_of
from .test_pieces import SMOOTH
from .test_pieces import TASK as LARGE


def test_a_path_with_more_breakpoints_than_asked_for_stops():
    exact = ExactNetwork(deep())
    ends = torch.from_numpy(np.random.default_rng(0).random((2, 1, 8, 8)))
    full, _ = of_layers(exact, ends[:1], ends[1:], 1000)
    few, complete = of_layers(exact, ends[:1], ends[1:], 1)
    assert not complete
    assert 1 < len(few) < len(full)
    result = linear_regions(deep(), dataset(10), seed=0, most=1)
    assert any("lower bound" in note for note in result.notes)


@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
def test_on_fashion_a_constructed_network_keeps_its_piece_on_every_background(name):
    data = tmi.generate("fashion", seed=0, samples=10, test_samples=80, source="sample")
    result = linear_regions(tmi.build(name, data, realisation="fused"), data, seed=0)
    places = {(int(t), int(r), int(c)) for t, r, c in zip(data.test.tile, data.test.row, data.test.col, strict=True)}
    assert result.metrics["sample_regions"] == len(places)
    assert result.metrics["path_regions_max.background"] == 1
    assert result.metrics["path_regions_max.translation"] == 3  # the tile here, no tile, the tile there
    assert result.arrays["breakpoints.background"].shape == (2, 0)


def test_fused_and_literal_have_the_same_pieces():
    squares = tmi.generate("squares", seed=0, samples=10, test_samples=60)
    fused, one, two = (
        linear_regions(tmi.build(name, squares, realisation=how), squares, seed=3)
        for name, how in (("theorem1", "fused"), ("theorem1", "literal"), ("theorem2", "literal"))
    )
    for metric in ("sample_regions", "path_regions.background", "path_regions.translation", "sample_layer_share.hidden"):
        assert fused.metrics[metric] == one.metrics[metric] == two.metrics[metric]
    # One function, three networks: the literal ones switch more often than their function has pieces.
    assert not any("patterns" in metric for metric in fused.metrics)
    for literal in (one, two):
        for what in ("sample_{}", "path_{}.background", "path_{}.translation"):
            assert literal.metrics[what.format("patterns")] >= literal.metrics[what.format("regions")]
    assert "sample_layer_share.conv" in one.metrics
    assert "sample_layer_share.level1" in two.metrics


@pytest.mark.parametrize(("neurons", "regions"), [(6, 57), (8, 163)])
def test_a_sample_of_a_one_layer_network_reaches_zaslavskys_number(neurons, regions):
    task = tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(np.full((1, 1), v), 0.01)]) for n, v in (("a", 0.2), ("b", 0.8))], (1, 2, 2)
    )
    rng = np.random.default_rng(2)
    weight, bias = rng.normal(size=(neurons, 4)), rng.normal(size=neurons)
    points = []
    for chosen in map(list, combinations(range(neurons), 4)):  # 2^4 regions lie around each point where four planes meet
        corner = np.linalg.solve(weight[chosen], -bias[chosen])
        points.append(corner + np.linalg.solve(weight[chosen], np.array(list(product([-1e-5, 1e-5], repeat=4))).T).T)
    scale = 0.4 / np.abs(points).max()  # all of them are brought into the cube of images
    images = torch.from_numpy(0.5 + scale * np.concatenate(points).reshape(-1, 1, 2, 2))
    module = nn.Sequential()
    module.add_module("hidden", nn.Sequential(nn.Flatten(), nn.Linear(4, neurons), nn.ReLU()))
    module.add_module("logits", nn.Linear(neurons, 2))
    module.double()
    with torch.no_grad():
        module.hidden[1].weight.copy_(torch.from_numpy(weight / scale))
        module.hidden[1].bias.copy_(torch.from_numpy(bias - weight.sum(1) / 2 / scale))
    net = network(module, "hidden", "logits", task=task)
    n = len(images)
    scenes = tmi.Scenes(task, images, 0, [0] * n, [0] * n, paste="support")
    covered = scenes.images.clone()
    patterns = np.concatenate([part[0].values > 0 for _, part in ExactNetwork(net).states(images)])
    assert len(np.unique(patterns, axis=0)) == zaslavsky(neurons, 4) == regions
    # The probe's own count, on scenes whose one-pixel tile is a part of these images.
    own = linear_regions(net, tmi.Dataset(task, scenes, scenes), seed=0, images=n, paths=1)
    seen = np.concatenate([part[0].values > 0 for _, part in ExactNetwork(net).states(covered)])
    assert own.metrics["sample_regions"] == len(np.unique(seen, axis=0))
    first = ExactNetwork(net)
    assert len(of_layers(first, images[:1], images[-1:], 100)[0]) <= neurons


def test_switches_without_effect_are_patterns_of_the_network_alone():
    """Both counts were one: the constructed network's function was compared with the trained network's neurons."""
    data = dataset(12)
    module = small_cnn(seed=1)
    plain = linear_regions(network(module, "conv", "hidden", "logits"), data, seed=0)
    # Neurons that no logit reads, and pairs σ(z) − σ(−z) = z, which are linear.
    useless = copy.deepcopy(module)
    useless.hidden = nn.Sequential(nn.Linear(144, 40), nn.ReLU())
    with torch.no_grad():
        useless.hidden[0].weight[:16], useless.hidden[0].bias[:16] = module.hidden[0].weight, module.hidden[0].bias
        useless.hidden[0].weight[32:], useless.hidden[0].bias[32:] = (
            -useless.hidden[0].weight[24:32],
            -useless.hidden[0].bias[24:32],
        )
        useless.logits = nn.Linear(40, 3)
        useless.logits.weight.zero_()
        useless.logits.weight[:, :16], useless.logits.bias[:] = module.logits.weight, module.logits.bias
        useless.logits.weight[:, 24:32] = torch.randn(3, 8)
        useless.logits.weight[:, 32:] = -useless.logits.weight[:, 24:32]
    other = linear_regions(network(useless, "conv", "hidden", "logits"), data, seed=0)
    for path in ("background", "translation"):
        assert other.metrics[f"path_regions.{path}"] == plain.metrics[f"path_regions.{path}"]
        assert other.metrics[f"path_patterns.{path}"] > plain.metrics[f"path_patterns.{path}"]
        assert plain.metrics[f"path_patterns.{path}"] >= plain.metrics[f"path_regions.{path}"] > 1
    affine = copy.deepcopy(useless)
    with torch.no_grad():
        affine.conv[0].bias.fill_(100)
        affine.hidden[0].bias -= 100 * affine.hidden[0].weight.sum(1)
        affine.logits.weight[:, :24] = 0
    result = linear_regions(network(affine, "conv", "hidden", "logits"), data, seed=0)
    assert result.metrics["sample_regions"] == result.metrics["path_regions.background"] == 1
    assert result.metrics["sample_patterns"] > 1
    literal = linear_regions(tmi.build("theorem1", TASK, realisation="literal"), data, seed=0)
    assert literal.metrics["path_patterns.background"] > 20 * literal.metrics["path_regions.background"]


def test_equal_images_share_a_pattern_and_share_is_distinct_over_images():
    data = dataset(10)
    twice = tmi.Dataset(TASK, data.train, data.test.repeated(3))
    once, thrice = (linear_regions(cnn_network(), d, seed=0) for d in (data, twice))
    assert thrice.metrics["sample_regions"] == once.metrics["sample_regions"]
    assert thrice.metrics["sample_regions_share"] == pytest.approx(once.metrics["sample_regions_share"] / 3)
    assert (thrice.arrays["pattern"].values.reshape(10, 3) == thrice.arrays["pattern"].values[::3, None]).all()


def without_modules(module: nn.Module) -> nn.Module:
    """The same small network with a function in the place of each ReLU module."""

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.hidden, self.logits = module.conv[0], module.hidden[0], module.logits

        def forward(self, x):
            return self.logits(self.hidden(self.conv(x).clamp(min=0).flatten(1)).relu_())

    return Functional()


def test_functions_count_as_modules_do():
    module = small_cnn()
    data = dataset(20)
    by_module = linear_regions(network(module, "conv", "hidden", "logits"), data, seed=0)
    by_function = linear_regions(network(without_modules(module), "conv", "hidden", "logits"), data, seed=0)
    names = {"sample_layer_share.conv": "sample_layer_share.clamp1", "sample_layer_share.hidden": "sample_layer_share.relu1"}
    assert {names.get(name, name): value for name, value in by_module.metrics.items()} == by_function.metrics
    for path in ("background", "translation"):
        first, second = (r.arrays[f"breakpoints.{path}"].values for r in (by_module, by_function))
        assert first == pytest.approx(second, nan_ok=True, abs=1e-12)


@pytest.mark.parametrize("name", PIECEWISE)
def test_between_breakpoints_a_network_of_any_operation_is_linear_and_at_each_a_piece_changes(name):
    module = network_of([name, "average pooling", name], 3)
    exact = ExactNetwork(network(module, "logits", task=LARGE))
    ends = torch.from_numpy(np.random.default_rng(3).random((2, *SHAPE)))
    found, complete = of_layers(exact, ends[:1], ends[1:], 5000)
    assert complete
    assert len(found) > 4
    alpha = np.concatenate([[0], found, [1]])
    middle = (alpha[1:] + alpha[:-1]) / 2
    images = [ends[:1] + torch.from_numpy(a)[:, None, None, None] * (ends[1:] - ends[:1]) for a in (alpha, middle)]
    at_ends, at_middle = (exact.logits(part) for part in images)
    assert at_middle == pytest.approx((at_ends[1:] + at_ends[:-1]) / 2, abs=1e-9)
    states = [np.concatenate([state.bytes for state in part], axis=1) for _, part in exact.states(images[1])]
    changes = (np.diff(np.concatenate(states).astype(int), axis=0) != 0).any(1)
    assert changes.mean() > 0.98  # two points may be nearer than rounding


@pytest.mark.parametrize("name", PIECEWISE)
def test_a_fine_grid_sees_no_piece_that_was_missed(name):
    module = network_of([name], 5)
    exact = ExactNetwork(network(module, "logits", task=LARGE))
    ends = torch.from_numpy(np.random.default_rng(5).random((2, *SHAPE)))
    found, _ = of_layers(exact, ends[:1], ends[1:], 5000)
    grid = torch.linspace(0, 1, 2001, dtype=torch.float64)
    images = ends[:1] + grid[:, None, None, None] * (ends[1:] - ends[:1])
    logits = exact.logits(images)
    bent = np.abs(np.diff(logits, 2, axis=0)).max(1) > 1e-9  # around an inner grid point the logits are not a line
    for i in np.flatnonzero(bent) + 1:
        assert ((found > float(grid[i - 1]) - 1e-9) & (found < float(grid[i + 1]) + 1e-9)).any()
    assert bent.sum() > 3


def test_max_pooling_by_hand():
    # On the path α ↦ (α, 1 − α, 0.6, 0.2) the maximum is 1 − α up to 0.4, then 0.6 up to 0.6, then α.
    module = nn.Sequential(nn.MaxPool2d(2), nn.Flatten())
    module.add_module("logits", nn.Linear(1, 2))
    exact = ExactNetwork(network(module, "logits", task=two_by_two(0.1)))
    ends = torch.tensor([[0, 1, 0.6, 0.2], [1, 0, 0.6, 0.2]], dtype=torch.float64).reshape(2, 1, 2, 2)
    assert of_layers(exact, ends[:1], ends[1:], 10)[0] == pytest.approx([0.4, 0.6])
    # Inputs that are equal all along are one: rounding does not decide between them.
    module[0] = nn.Sequential(nn.Conv2d(1, 1, 1), nn.MaxPool2d(2))
    ends[:, :, 1, 1] = ends[:, :, 1, 0]
    exact = ExactNetwork(network(module, "logits", task=two_by_two(0.1)))
    assert len(of_layers(exact, ends[:1], ends[1:], 10)[0]) <= 2


def test_a_slope_of_1_is_no_kink():
    module = nn.Sequential(nn.Conv2d(2, 2, 1), nn.PReLU(2, 1.0), nn.LeakyReLU(1.0), nn.Flatten())
    module.add_module("logits", nn.Linear(50, 3))
    exact = ExactNetwork(network(module, "logits", task=LARGE))
    ends = torch.from_numpy(np.random.default_rng(1).random((2, *SHAPE)))
    assert not len(of_layers(exact, ends[:1], ends[1:], 10)[0])


@pytest.mark.parametrize(("name", "said"), [
    ("gelu", "Gelu is not a continuous"),
    ("sigmoid", "Sigmoid is not"),
    ("hardswish", "Hardswish is not"),
    ("softmax", "Softmax is not"),
    ("product", "Mul multiplies"),
    ("detached gate", "not piecewise linear"),
    ("straight-through", "not piecewise linear"),
    ("hardshrink", "Hardshrink is not"),
    ("mask", "Mul hides a non-linearity"),
    ("where", "Where hides a non-linearity"),
    ("threshold with a jump", "threshold jumps from 0.1 to 0.0"),
    ("steps", "Round is not"),
])  # fmt: skip
def test_another_operation_is_named(name, said):
    functions = {**SMOOTH, "threshold with a jump": lambda x: F.threshold(x, 0.1, 0.0)}
    module = network_of([name], 2, {n: lambda n=n: Does(functions[n]) for n in functions} | FORMS)
    task = tmi.TemplateTask(LARGE.classes, SHAPE)
    result = linear_regions(network(module, "logits", task=task), dataset(8, task=task), seed=0)
    assert not result.applicable
    assert said in result.notes[0]
    assert "DeepLift" not in result.notes[0]


def test_what_the_logits_do_not_depend_on_is_not_counted():
    class Checks(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([-1.0, 2.0]))
            self.logits = nn.Linear(64, 3)

        def forward(self, x):
            assert x.abs().amax((1, 2, 3)).max() <= 1
            return self.logits(x.flatten(1)) * self.scale.abs().sum()

    result = linear_regions(network(Checks()), dataset(8), seed=0)
    assert result.metrics["sample_regions"] == 1
    assert result.metrics["path_regions_max.background"] == 1


def test_a_network_without_a_gradient_has_no_pieces():
    result = linear_regions(network(Phi()), dataset(8), seed=0)
    assert not result.applicable
    assert "differentiably" in result.notes[0]


def two_by_two(epsilon: float) -> tmi.TemplateTask:
    return tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(np.full((2, 2), v), epsilon)]) for n, v in (("a", 0.2), ("b", 0.8))], (1, 2, 2)
    )


def test_a_tile_as_large_as_the_image_has_nowhere_to_go():
    task = two_by_two(0.1)
    result = linear_regions(deep(task), dataset(6, task=task), seed=0)
    assert "path_regions.translation" not in result.metrics
    # Nor is there a background to be seen: start and end of the path are one image.
    assert any(
        "path_patterns.background: not applicable, for no other background changes an image" in note for note in result.notes
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's, about the old form of weight norm
@pytest.mark.parametrize("name", PAIRS)
def test_the_regions_are_those_of_the_plain_equivalent(name):
    data = dataset(15)
    ours, plain = (linear_regions(network(m, "conv", "hidden", "logits"), data, seed=0) for m in PAIRS[name]())
    for metric in ("sample_regions", "path_regions.background", "path_regions.translation"):
        assert ours.metrics[metric] == plain.metrics[metric]
    assert ours.metrics["path_regions.background"] > 2
    for path in ("background", "translation"):
        found, expected = (result.arrays[f"breakpoints.{path}"].values for result in (ours, plain))
        assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_images_that_pass_other_operations_are_refused():
    def branches(x):
        return torch.stack([y if y[0, 0, 0] == 0.125 else torch.relu(y - 0.3) for y in x])

    module = nn.Sequential(Does(branches), nn.Flatten())
    module.add_module("logits", nn.Linear(50, 3))
    exact = ExactNetwork(network(module, "logits", task=LARGE))
    images = torch.rand(3, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert len(list(exact.states(images))) == 3  # one at a time, for it loops over images
    images[2, 0, 0, 0] = 0.125
    with pytest.raises(tmi.InputError, match="other operations"):
        list(exact.states(images))


LAYOUTS = {
    "permuted": lambda x: F.relu(x.permute(1, 0, 2, 3)).permute(1, 0, 2, 3),
    "a loop": lambda x: torch.stack([F.relu(y) for y in x]),
    "rows of all images": lambda x: F.relu(x.reshape(-1, 5)).reshape(x.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_are_told_apart_however_a_batch_is_laid_out(layout):
    task = tmi.TemplateTask(LARGE.classes, SHAPE)
    data = dataset(12, task=task)
    results = [
        linear_regions(network(network_of(["f"], 1, {"f": lambda f=f: Does(f)}), "logits", task=task), data, seed=0)
        for f in (F.relu, LAYOUTS[layout])
    ]
    for metric in ("sample_regions", "path_regions.background", "path_regions.translation"):
        assert results[0].metrics[metric] == results[1].metrics[metric]
    assert results[0].metrics["path_regions.background"] > 3


def test_a_network_that_cannot_be_differentiated_is_refused_in_words():
    def changed(x):
        y = torch.relu(x)
        y[:, 0] = 0  # autograd needs the ReLU's output as it was
        return y

    task = tmi.TemplateTask(LARGE.classes, SHAPE)
    for function in (changed, lambda x: x + torch.heaviside(x, x.new_tensor(0.5))):
        net = network(network_of(["f"], 1, {"f": lambda f=function: Does(f)}), "logits", task=task)
        for probe in (linear_regions, local_linear_form):
            result = probe(net, dataset(6, task=task), seed=0)
            assert not result.applicable
