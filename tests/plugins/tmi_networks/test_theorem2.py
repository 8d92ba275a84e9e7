from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tmi
from tests.strategies import images_of, tasks
from tests.strategies import tiles as drawn_tiles
from tmi_networks.theorem1 import theorem1
from tmi_networks.theorem2 import theorem2

from .test_theorem1 import EXACT, class_sums, hidden_by_formula, input_gradient

FOURTHS = ((4, 0.0),)  # sums of fourths are exact: what is 0 on paper is 0 in the layers


def differences(images, tile):
    """|y − c| by the identity, over the support, (N, rows, cols, C, k, l)."""
    _, high, wide = tile.shape
    y = images.unfold(2, high, 1).unfold(3, wide, 1)
    c = torch.from_numpy(tile.values.copy()).to(images.dtype)[:, None, None]
    support = torch.from_numpy(tile.support.copy())[:, None, None]
    return (((2 * y - 2 * c).relu() - y.relu() + c) * support).permute(0, 2, 3, 1, 4, 5)


def hidden_by_patches(images, task):
    """The plain formula where a 2×2 patch without a difference has no derivative: the gradient of Theorem 2's layers."""
    parts = []
    for tile in task.tiles:
        difference = nn.functional.pad(differences(images, tile), (0, tile.shape[2] % 2, 0, tile.shape[1] % 2))
        patches = difference.unfold(4, 2, 2).unfold(5, 2, 2).sum((3, 6, 7)).relu()
        parts.append((tile.epsilon - patches.sum((3, 4))).relu().flatten(1))
    return torch.cat(parts, 1)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_both_theorems_the_formula_and_phi_agree(data):
    task = data.draw(tasks())
    images = data.draw(images_of(task))
    tolerance = {"atol": EXACT[images.dtype], "rtol": 0}
    hidden, logits = hidden_by_formula(images, task), task.phi(images)
    for build in (theorem1, theorem2):
        for realisation in ("fused", "literal"):
            seen = build(task, realisation=realisation).activations(images, ["hidden", "logits"])
            assert seen["hidden"].dtype == seen["logits"].dtype == images.dtype
            torch.testing.assert_close(seen["hidden"], hidden, **tolerance)
            torch.testing.assert_close(seen["logits"], logits, **tolerance)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_gradient_is_that_of_theorem1_except_where_a_patch_matches_exactly(data):
    task = data.draw(tasks(grids=FOURTHS))
    images = data.draw(images_of(task))
    draw = np.random.default_rng(data.draw(st.integers(0, 9)))
    upstream = torch.from_numpy(draw.integers(-3, 4, (len(images), len(task.classes)))).to(images.dtype)
    expected = input_gradient(lambda x: class_sums(hidden_by_patches(x, task), task), images, upstream)
    for realisation in ("fused", "literal"):
        gradient = input_gradient(theorem2(task, realisation=realisation).module, images, upstream)
        torch.testing.assert_close(gradient, expected, atol=0, rtol=0)
    first = input_gradient(theorem1(task, realisation="literal").module, images, upstream)
    exact = input_gradient(lambda x: class_sums(hidden_by_formula(x, task), task), images, upstream)
    torch.testing.assert_close(first, exact, atol=0, rtol=0)


@settings(max_examples=200, deadline=None)
@given(tasks(), st.integers(0, 2**32 - 1))
def test_off_the_kinks_the_gradients_are_equal(task, seed):
    rng = np.random.default_rng(seed)
    images = rng.random((4, *task.image_shape))
    for image in images[:3]:
        index = rng.integers(len(task.tiles))
        tile = task.tiles[index]
        row, col = (rng.integers(limit) for limit in task.windows[index])
        jitter = rng.uniform(0.1, 1, tile.shape) * min(0.3, 0.9 * tile.epsilon / tile.values.size)
        pasted = np.where(tile.values > 0.5, tile.values - jitter, tile.values + jitter)
        image[:, row : row + tile.shape[1], col : col + tile.shape[2]] = pasted
    images = torch.from_numpy(images)
    upstream = torch.from_numpy(rng.integers(1, 4, (4, len(task.classes)))).double()
    modules = [theorem1(task, realisation="literal").module, theorem2(task).module, theorem2(task, realisation="fused").module]
    first, *others = (input_gradient(module, images, upstream) for module in modules)
    assert (modules[0](images[:3]).max(1).values > 0).all()
    for gradient in others:
        torch.testing.assert_close(gradient, first, atol=1e-9, rtol=0)


def test_the_backward_pass_of_the_fused_layer_in_small_parts_is_the_same(monkeypatch, task, images):
    module = theorem2(task, realisation="fused").module
    whole = input_gradient(module, images, 1.0)
    monkeypatch.setattr("tmi_networks.patch_match._PIXELS_AT_ONCE", 1)
    assert torch.equal(input_gradient(module, images, 1.0), whole)
    assert whole.abs().sum() > 0


def test_an_exact_paste_has_no_gradient_and_a_jittered_one_has_that_of_theorem1():
    tile = tmi.FeatureTile(np.random.default_rng(0).integers(1, 5, (4, 4)) / 4, 1.0)
    task = tmi.TemplateTask([tmi.TileClass("one", [tile])], (1, 6, 7))
    scene = tmi.Scenes(task, torch.full((1, 1, 6, 7), 0.25), 0, 1, 2)
    one, two = theorem1(task).module, theorem2(task).module
    sums = [input_gradient(module, scene.images, 1.0).abs().sum().item() for module in (one, two)]
    assert sums == [16, 0]
    images = scene.images - 0.03125 * scene.masks[:, None]
    first, second = (input_gradient(module, images, 1.0) for module in (one, two))
    assert torch.equal(first, second)
    assert torch.equal(first[0, 0] != 0, scene.masks[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_tiles_agree_to_rounding(dtype):
    rng = np.random.default_rng(3)
    bright, dark = rng.uniform(0.5, 1, (28, 28)), rng.random((28, 28)) * (rng.random((28, 28)) < 0.5)
    task = tmi.TemplateTask(
        [tmi.TileClass("bright", [tmi.FeatureTile(bright, 20)]), tmi.TileClass("dark", [tmi.FeatureTile(dark, 20)])], (1, 31, 30)
    )
    scenes = tmi.Scenes.draw(task, 6, rng=rng)
    jitter = torch.from_numpy(rng.uniform(-0.02, 0.02, scenes.images.shape)) * scenes.masks[:, None]
    images = (scenes.images.double() + jitter).clamp(0, 1).to(dtype)
    one, two = theorem1(task), theorem2(task)
    limit = 1e-4 if dtype == torch.float32 else 1e-9
    seen = [network.activations(images, ["hidden", "logits"]) for network in (one, two)]
    assert (seen[0]["hidden"].max(1).values > 1).all()
    for layer in ("hidden", "logits"):
        torch.testing.assert_close(seen[0][layer], seen[1][layer], atol=limit, rtol=0)
    torch.testing.assert_close(seen[1]["logits"], task.phi(images), atol=limit, rtol=0)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_images_of_one_class_have_one_positive_logit_and_the_others_exactly_zero(data):
    task = data.draw(tasks(grids=FOURTHS))
    images = data.draw(images_of(task, min_images=1))
    labels = task.labels(images)
    logits = theorem2(task).logits(images)
    for label, row in zip(labels[labels >= 0], logits[labels >= 0], strict=True):
        assert row[label] > 0
        assert all(value == 0 for i, value in enumerate(row) if i != label)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_every_neuron_computes_what_its_meaning_says(data):
    task = data.draw(tasks())
    images = data.draw(images_of(task, min_images=1, dtype=torch.float64))
    network = theorem2(task)
    seen = network.activations(images)
    _, m, n = task.image_shape
    for layer in network.layers:
        table = network.neurons(layer)
        values = seen[layer].flatten(1)
        assert len(table) == values.shape[1]
        padded = torch.zeros(len(images), task.image_shape[0], 2 * m + 2 * n + 40, 2 * m + 2 * n + 40, dtype=torch.float64)
        padded[:, :, :m, :n] = images
        if layer == "values":
            pixel = padded[:, table["channel"], table["row"], table["col"]]
            value = torch.tensor(table["value"].to_numpy())
            assert set(table["kind"][table["value"].isna()]) == {"identity"}
            torch.testing.assert_close(values, torch.where(value.isnan(), pixel, (2 * pixel - 2 * value).relu()))
        elif layer.startswith("level"):
            level = int(layer.removeprefix("level"))
            assert set(table["level"]) == {level}
            for number in {*range(0, len(table), max(1, len(table) // 7)), len(table) - 1}:
                row = table.loc[number]
                for tile, place in zip(row["tiles"], row["places"], strict=True):
                    expected = patch_distance(padded, task.tiles[tile], place, 1 << level, row["row"], row["col"])
                    torch.testing.assert_close(values[:, number], expected, atol=1e-9, rtol=0)
    assert network.neurons("hidden").equals(theorem1(task).neurons("hidden"))
    assert list(network.neurons("logits")["class"]) == list(task.class_names)


def patch_distance(images, tile, place, side, row, col):
    """The distance of the patch at a place of a tile from the square of the image whose corner is at row, col."""
    rows, cols = (slice(start, min(start + side, limit)) for start, limit in zip(place, tile.shape[1:], strict=True))
    support, values = (torch.from_numpy(part[:, rows, cols].copy()) for part in (tile.support, tile.values))
    square = images[:, :, row : row + values.shape[1], col : col + values.shape[2]]
    return ((square - values).abs() * support).sum((1, 2, 3))


@settings(max_examples=80, deadline=None)
@given(tasks())
def test_patches_are_distinct_and_each_reads_only_its_own_channels(task):
    network = theorem2(task)
    below = len(network.neurons("values")["filter"].unique())
    for number, layer in enumerate(network.layers[1:-2], 1):
        level = network.module.get_submodule(layer)
        rows = []
        for part in level.slices:
            conv = part.conv["float64"]
            assert type(conv) is nn.Conv2d
            assert conv.kernel_size == (2, 2)
            assert conv.dilation == (2 ** (number - 1),) * 2
            dense = torch.zeros(conv.out_channels, below, 2, 2, dtype=torch.float64)
            reads = part.reads.view(conv.groups, -1)
            for output, weight in enumerate(conv.weight):
                dense[output].index_add_(0, reads[output * conv.groups // conv.out_channels], weight)
            rows.append(dense)
        dense = torch.cat(rows).flatten(1)
        limit = 8 * task.image_shape[0] if number == 1 else 4
        assert set(dense.unique().tolist()) <= {-1.0, 0.0, 1.0}
        assert ((dense != 0).sum(1) <= limit).all()
        assert ((dense != 0).sum(1) > 0).all()
        assert len(dense.unique(dim=0)) == len(dense)
        below = len(dense)


def test_layers_are_plain_modules_with_distinct_relus(task):
    network = theorem2(task)
    assert network.layers == ("values", "level1", "level2", "hidden", "logits")
    leaves = [module for module in network.module.modules() if not list(module.children())]
    assert {type(module) for module in leaves} == {nn.Conv2d, nn.ReLU, nn.Linear}
    assert len({id(module) for module in leaves}) == len(leaves)
    assert not any(module.inplace for module in leaves if isinstance(module, nn.ReLU))
    classes = network.neurons("hidden")["class"].to_numpy()
    weight = network.module.logits.weight
    assert weight.tolist() == [[float(one == name) for one in classes] for name in task.class_names]
    assert not list(network.module.parameters())


def test_converting_the_module_does_not_move_its_kinks(task, images):
    network = theorem2(task)
    expected = network.logits(images)
    network.module.float()
    assert torch.equal(network.logits(images), expected)
    network.module.double()
    assert network.logits(images.float()).dtype == torch.float32


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 4), (1, 4, 1), (2, 2, 2)])
def test_images_with_a_side_of_one_and_tiles_as_large_as_the_image(shape):
    rng = np.random.default_rng(0)
    values = rng.integers(1, 5, shape) / 4
    task = tmi.TemplateTask([tmi.TileClass("one", [tmi.FeatureTile(values, 0.5)])], shape)
    network = theorem2(task)
    images = torch.from_numpy(np.stack([values, rng.random(shape)]))
    assert torch.equal(network.logits(images[:1]), torch.tensor([[0.5]]))
    torch.testing.assert_close(network.logits(images), task.phi(images))
    assert network.logits(images[:0]).shape == (0, 1)
    assert {layer: len(part) for layer, part in network.activations(images[:0]).items()} == dict.fromkeys(network.layers, 0)


def test_windows_over_the_padding_are_not_read():
    # A tile with dark edges would fire on the padding at the right and at the bottom.
    values = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0]])
    task = tmi.TemplateTask([tmi.TileClass("dot", [tmi.FeatureTile(values, 0.5, np.ones((3, 3), bool))])], (1, 4, 4))
    images = torch.zeros(1, 1, 4, 4)
    images[0, 0, 3, 3] = 1
    assert theorem2(task).logits(images).tolist() == [[0.0]]
    network = theorem2(task)
    assert len(network.neurons("hidden")) == 4


# --- sharing


def test_sharing_counts_by_hand():
    shared = np.array([[1, 0.5], [0.25, 1]])
    one = np.block([[shared, shared], [np.zeros((2, 2)), shared.T]])
    two = np.block([[shared, 1 - shared / 2], [np.zeros((2, 2)), np.ones((2, 2))]])
    task = tmi.TemplateTask(
        [tmi.TileClass("one", [tmi.FeatureTile(one, 0.5)]), tmi.TileClass("two", [tmi.FeatureTile(two, 0.5)])], (1, 6, 6)
    )
    from tmi_networks.theorem2 import sharing

    table = sharing(task)
    assert list(table.columns) == ["side", "patches", "distinct", "shared"]
    # values: ¼, ½, 1 in one; also ¾, ⅞ in two. Patches: shared, its transpose; shared, the other, ones. Empty quarters are none.
    assert table.values.tolist() == [[1, 24, 5, 3], [2, 6, 4, 1], [4, 2, 2, 0]]
    level = theorem2(task).neurons("level1").drop_duplicates("patch")
    assert sorted(level["tiles"]) == [(0,), (0, 0, 1), (1,), (1,)]
    assert ((0, 0), (0, 2), (0, 0)) in list(level["places"])
    assert sharing(tmi.generate("squares", seed=0, samples=1, test_samples=1)).values.tolist() == [[1, 8, 2, 0], [2, 2, 2, 0]]


@settings(max_examples=60, deadline=None)
@given(st.lists(drawn_tiles(2, 6, 6), min_size=1, max_size=4))
def test_patches_put_together_again_are_the_tiles(tiles):
    from tmi_networks.patches import EMPTY, least_levels, patches_of

    r = least_levels(tiles)
    patches = patches_of(tiles, r)
    drawn = np.full((len(tiles), 2, 1 << r, 1 << r), -1.0)

    def draw(level, patch, tile, row, col, channel=0):
        if patch == EMPTY:
            return
        if level == 0:
            drawn[tile, patches.channel[patch], row, col] = patches.value[patch]
        for place, part in np.ndenumerate(patches.levels[level].parts[patch]):
            half = 1 << (level - 1)
            draw(level - 1, part, tile, row + place[1] * half, col + place[2] * half)

    top = patches.levels[-1]
    assert top.tile.tolist() == list(range(len(tiles)))
    for patch, tile in zip(top.patch, top.tile, strict=True):
        draw(r, patch, tile, 0, 0)
    for tile, got in zip(tiles, drawn, strict=True):
        expected = np.full(got.shape, -1.0)
        expected[:, : tile.shape[1], : tile.shape[2]] = np.where(tile.support, tile.values, -1)
        assert np.array_equal(got, expected)


# --- memory


@pytest.fixture
def many():
    rng = np.random.default_rng(5)
    classes = [tmi.TileClass(f"{i}", [tmi.FeatureTile(rng.random((5, 4)), 0.4) for _ in range(3)]) for i in range(4)]
    return tmi.TemplateTask(classes, (1, 9, 8))


@pytest.mark.parametrize("memory", [0.0008, 0.001])
def test_groups_of_tiles_change_nothing(many, memory):
    whole, grouped = theorem2(many), theorem2(many, memory=memory)
    assert whole.layers == ("values", "level1", "level2", "level3", "hidden", "logits")
    assert grouped.layers[1].startswith("groups.0.level1")
    assert len(grouped.layers) > len(whole.layers)
    images = tmi.Scenes.draw(many, 30, rng=np.random.default_rng(1)).images.double()
    for layer in ("values", "hidden", "logits"):
        torch.testing.assert_close(*(net.activations(images, layer)[layer] for net in (whole, grouped)), atol=1e-12, rtol=0)
        assert whole.neurons(layer).equals(grouped.neurons(layer))
    torch.testing.assert_close(whole.logits(images), grouped.logits(images), atol=1e-12, rtol=0)
    gradients = [input_gradient(net.module, images, 1.0) for net in (whole, grouped)]
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)
    tiles = {tile for layer in grouped.layers if layer.endswith("level3") for tile in sum(grouped.neurons(layer)["tiles"], ())}
    assert tiles == set(range(12))


def test_images_are_taken_a_few_at_a_time_unless_somebody_watches(many):
    network = theorem2(many, memory=0.004)
    at_once = network.module.images_at_once
    assert 1 <= at_once < 30
    images = tmi.Scenes.draw(many, 30, rng=np.random.default_rng(1)).images
    seen = []
    handle = network.module.values.conv.register_forward_hook(lambda _m, x, _y: seen.append(len(x[0])))
    with torch.no_grad():
        network.module(images)
    assert seen == [30]
    seen.clear()
    assert len(network.logits(images)) == 30
    assert max(seen) <= at_once
    handle.remove()
    sizes = []
    forward = network.module.values.forward
    network.module.values.forward = lambda x: sizes.append(len(x)) or forward(x)
    with torch.no_grad():
        logits = network.module(images)
    assert max(sizes) <= at_once
    assert sum(sizes) == 30
    del network.module.values.forward
    torch.testing.assert_close(logits, network.module(images.clone().requires_grad_()).detach())


def test_an_impossible_memory_bound_says_what_is_needed(many):
    with pytest.raises(tmi.InputError, match=r"need at least \S+ GB, one tile and one image at a time, more than memory = 1e-05"):
        theorem2(many, memory=1e-5)
    with pytest.raises(tmi.InputError, match=r"need at least 1\.\d+e\+14 GB"):
        theorem2(many, levels=36)


def test_tiles_beyond_the_levels_are_named(many):
    with pytest.raises(
        tmi.InputError, match=r"levels: tile 0/0 of 5×4 pixels is larger than 2\^2 = 4; needs levels of at least 3"
    ):
        theorem2(many, levels=2)
    images = tmi.Scenes.draw(many, 5, rng=np.random.default_rng(1)).images.double()
    more = theorem2(many, levels=4)
    assert more.layers[-3] == "level4"
    torch.testing.assert_close(more.logits(images), many.phi(images), atol=1e-9, rtol=0)


def test_registered_and_checked(task, images):
    network = tmi.build("theorem2", task, realisation="literal")
    assert network.origin == "constructed"
    assert network.params == {"realisation": "literal", "levels": None, "memory": 1.0}
    assert torch.equal(network.logits(images), theorem2(task).logits(images))
    fused = tmi.build("theorem2", task, realisation="fused")
    assert fused.layers == ("hidden", "logits")
    assert fused.neurons("hidden").equals(network.neurons("hidden"))
    with pytest.raises(tmi.InputError, match="realisation"):
        tmi.build("theorem2", task, realisation="dense")
    for bad in (images[:, :, :3], images + 1, images.half()):
        with pytest.raises(tmi.InputError, match="images"):
            network.module(bad)


def test_no_warnings_and_batches_change_nothing(task, images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = theorem2(task)
        whole = network.activations(images)
        input_gradient(network.module, images, 1.0)
    for layer, seen in network.activations(images, batch_size=1).items():
        torch.testing.assert_close(seen, whole[layer], atol=1e-12, rtol=0)


def test_importing_the_builder_does_not_import_torch():
    code = "import sys, tmi_networks.theorem2; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- Captum


@pytest.fixture
def scenes():
    rng = np.random.default_rng(7)
    classes = [tmi.TileClass(f"{i}", [tmi.FeatureTile(rng.uniform(0.1, 1, (1, 6, 5)), 2.0)]) for i in range(3)]
    return tmi.Scenes.draw(tmi.TemplateTask(classes, (1, 10, 9)), 8, rng=rng)


def jittered(scenes):
    """Half way from the pasted tile to where it is no longer contained."""
    rng = np.random.default_rng(8)
    size = rng.uniform(0.5, 1, scenes.images.shape) * 1.0 / 30
    pasted = scenes.images.double() + torch.from_numpy(np.where(scenes.images > 0.5, -size, size)) * scenes.masks[:, None]
    return pasted.clamp(0, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_deeplift_is_complete(scenes, dtype):
    captum = pytest.importorskip("captum.attr")
    from tmi_attribution.preflight import preflight

    module = theorem2(scenes.task).module
    for images in (scenes.images.to(dtype), jittered(scenes).to(dtype)):
        assert preflight(module, images) == []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attributions, delta = captum.DeepLift(module).attribute(
                images.clone(), torch.zeros_like(images), target=scenes.labels, return_convergence_delta=True
            )
        output = module(images)[range(8), scenes.labels]
        assert (output > 0.5).all()
        assert (delta.abs() <= 1e-4 * output).all()
        assert (attributions * ~scenes.masks[:, None]).abs().max() == 0
        assert attributions.abs().sum() > 0


def test_lrp_runs_and_its_delta_is_the_share_of_the_biases(scenes):
    captum = pytest.importorskip("captum.attr")
    module = theorem2(scenes.task).module
    images = jittered(scenes)
    expected = module(images)[range(8), scenes.labels]
    attributions, delta = captum.LRP(module).attribute(
        images.clone().requires_grad_(), target=scenes.labels, return_convergence_delta=True
    )
    assert torch.equal(module(images)[range(8), scenes.labels], expected)  # it puts everything back
    assert attributions.isfinite().all()
    assert (attributions * ~scenes.masks[:, None]).abs().max() == 0
    # Relevance is kept wherever there is no bias: what is missing is what ε, Σ c and −2c took.
    torch.testing.assert_close(delta, expected - attributions.sum((1, 2, 3)))
    assert (delta.abs() > 0.1 * expected).all()
    torch.testing.assert_close(delta, relevance_of_biases(module, images, scenes.labels), rtol=1e-5, atol=1e-5)


def relevance_of_biases(module, images, target):
    """The sum over all layers of bias · relevance / output, by the epsilon rule: gradients where a ReLU is a gate."""
    taken = []
    handles = [
        part.register_forward_hook(lambda part, _x, y: taken.append((part, y)))
        for part in module.modules()
        if isinstance(part, nn.Conv2d)
    ]
    try:
        output = module(images.clone().requires_grad_())[range(len(images)), target]
        gradients = torch.autograd.grad(output.sum(), [y for _, y in taken])
    finally:
        for handle in handles:
            handle.remove()
    biases = [
        (part.bias[None, :, None, None] * g).sum((1, 2, 3))
        for (part, _), g in zip(taken, gradients, strict=True)
        if part.bias is not None
    ]
    return sum(biases)


def test_an_exact_paste_leaves_lrp_nothing():
    captum = pytest.importorskip("captum.attr")
    values = np.random.default_rng(0).integers(1, 5, (4, 4)) / 4
    task = tmi.TemplateTask([tmi.TileClass("one", [tmi.FeatureTile(values, 1.0)])], (1, 6, 7))
    scene = tmi.Scenes(task, torch.full((1, 1, 6, 7), 0.25), 0, 1, 2)
    images = scene.images.clone().requires_grad_()
    attributions, delta = captum.LRP(theorem2(task).module).attribute(images, target=0, return_convergence_delta=True)
    assert attributions.abs().sum() == 0  # t = 0: all of the logit is the bias ε
    assert delta.item() == pytest.approx(1.0)


def test_integrated_gradients_miss_the_kink_with_few_steps_and_find_it_with_many(scenes):
    captum = pytest.importorskip("captum.attr")
    module = theorem2(scenes.task).module
    images = jittered(scenes)
    output = module(images)[range(8), scenes.labels]
    errors = []
    for steps in (8, 200):
        attributions, delta = captum.IntegratedGradients(module).attribute(
            images, torch.zeros_like(images), target=scenes.labels, n_steps=steps, return_convergence_delta=True
        )
        torch.testing.assert_close(delta, attributions.sum((1, 2, 3)) - output)
        errors.append((delta.abs() / output).max().item())
    assert errors[1] < 0.05 < errors[0]
