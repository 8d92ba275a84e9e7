import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import tmi
from tests.plugins.tmi_probes.toys import TASK, cnn_network, dataset, network
from tmi_attribution.receptive import layer_truth, most_active, neuron_truth, readers, receptive_field


def read(places, sides, kernel, stride, padding):
    """The places along one axis that a convolution reads for given places of its output, layer by layer down to the pixels."""
    for side in sides:
        reached = {place * stride - padding + tap for place in places for tap in range(kernel)}
        places = {place for place in reached if 0 <= place < side}
    return np.isin(np.arange(sides[-1]), list(places))


@given(kernel=st.integers(1, 3), stride=st.integers(1, 2), padding=st.integers(0, 1), channels=st.integers(1, 3), data=st.data())
def test_two_convolutions_by_arithmetic(kernel, stride, padding, channels, data):
    how = {"kernel_size": kernel, "stride": stride, "padding": padding}
    module = nn.Sequential(nn.Conv2d(channels, 2, **how), nn.ReLU(), nn.Conv2d(2, 3, **how), nn.ReLU(inplace=True))
    image = torch.zeros(1, channels, 9, 9)
    between, outputs = module[0](image).shape[-1], module(image).shape[-1]
    neurons = data.draw(st.lists(st.integers(0, 3 * outputs**2 - 1), min_size=1, max_size=4))
    found = receptive_field(module, "3", neurons, image.shape[1:])
    for mask, neuron in zip(found, neurons, strict=True):
        row, col = (read({place}, (between, 9), kernel, stride, padding) for place in divmod(neuron % outputs**2, outputs))
        assert (mask == row[:, None] & col).all()


def test_a_neuron_reads_marked_values_if_its_field_holds_one():
    net = cnn_network()
    rng = np.random.default_rng(0)
    marked = torch.from_numpy(rng.random((5, 1, 8, 8)) < 0.05)
    for layer, neurons in (("conv", 144), ("hidden", 16)):
        field = receptive_field(net.module, layer, np.arange(neurons), (1, 8, 8))
        expected = np.stack([(field & of_image[0].numpy()).any((1, 2)) for of_image in marked])
        assert (readers(net.module, layer, marked) == expected).all()
    assert not readers(net.module, "conv", torch.zeros(1, 1, 8, 8, dtype=torch.bool)).any()


def test_weights_of_zero_still_read():
    module = nn.Sequential(nn.Conv2d(1, 1, 2), nn.ReLU())
    nn.init.zeros_(module[0].weight)
    assert receptive_field(module, "1", [4], (1, 4, 4))[0].sum() == 4


def test_dense_neurons_read_everything_and_pools_a_patch():
    module = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(9, 5))
    fields = receptive_field(module, "0", [0, 8], (1, 6, 6))
    assert fields[0, :2, :2].all()
    assert fields[1, 4:, 4:].all()
    assert (fields.sum((1, 2)) == 4).all()
    assert receptive_field(module, "2", [3], (1, 6, 6)).all()


def test_module_is_left_as_it_was():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout(), nn.Flatten(), nn.Linear(8, 3)).train()
    with torch.inference_mode():
        receptive_field(module, "0", [0], (1, 4, 4))
    assert module.training
    assert module[0].weight.dtype == torch.float32
    assert not module[0]._forward_hooks


def test_a_module_that_refuses_nan_says_so():
    built = tmi.build("theorem1", TASK)
    with pytest.raises(tmi.InputError, match=r"hidden.*refuses NaN"):
        receptive_field(built.module, "hidden", [0], TASK.image_shape)


def test_a_layer_that_is_not_used():
    module = nn.Sequential(nn.Identity())
    module.add_module("idle", nn.Identity())
    module.forward = module[0].forward
    with pytest.raises(tmi.InputError, match=r"idle.*did not use"):
        receptive_field(module, "idle", [0], (1, 2, 2))


@pytest.mark.parametrize(
    ("name", "settings"), [("theorem1", {}), ("theorem1", {"realisation": "literal"}), ("theorem2", {})], ids=str
)
def test_constructed_neurons(name, settings):
    built, scenes = tmi.build(name, TASK, **settings), dataset(12).test
    truth = layer_truth(built, "hidden", scenes)
    assert (truth.sum(1) == 1).all()
    active = most_active(built, "hidden", scenes)
    # On these scenes the pasted window is the nearest one.
    assert (active == truth.argmax(1)).all()
    assert (neuron_truth(built, "hidden", active, scenes) == scenes.masks.numpy()).all()


def test_a_neuron_of_its_own_for_each_scene():
    support = np.array([[True, False], [True, True]])
    task = tmi.TemplateTask(
        [tmi.TileClass("a", [tmi.FeatureTile(np.full((2, 2, 2), 0.3), 0.1, np.stack([support, support & False]))])], (2, 3, 4)
    )
    built = tmi.build("theorem1", task)
    scenes = tmi.Scenes(task, np.zeros((2, 2, 3, 4), np.float32), [0, -1], 0, 0)
    first, last = neuron_truth(built, "hidden", [0, 5], scenes)
    assert np.argwhere(first).tolist() == [[0, 0], [1, 0], [1, 1]]
    assert np.argwhere(last).tolist() == [[1, 2], [2, 2], [2, 3]]
    assert layer_truth(built, "hidden", scenes).sum(1).tolist() == [1, 0]


def test_trained_networks_have_receptive_fields_alone():
    net, scenes = cnn_network(), dataset(4).test
    assert layer_truth(net, "conv", scenes) is None
    neurons = most_active(net, "conv", scenes)
    activations = net.activations(scenes.images, "conv")["conv"].flatten(1)
    assert (neurons == activations.argmax(1).numpy()).all()
    masks = neuron_truth(net, "conv", neurons, scenes)
    for mask, neuron in zip(masks, neurons, strict=True):
        row, col = np.unravel_index(neuron % 36, (6, 6))
        assert mask.sum() == 9
        assert mask[row : row + 3, col : col + 3].all()


def test_layers_whose_neurons_stand_for_something_else():
    built = tmi.build("theorem1", TASK)
    assert layer_truth(built, "logits", dataset(2).test) is None
    with pytest.raises(tmi.InputError, match="refuses NaN"):
        neuron_truth(built, "logits", [0, 1], dataset(2).test)


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        ([0], "one for each scene"),
        ([0.0, 1.0], "whole numbers"),
        ([0, 144], "has 144 neurons, none of number 144"),
        ([-1, 0], "number -1"),
    ],
)
def test_bad_neurons(neurons, message):
    with pytest.raises(tmi.InputError, match=message):
        neuron_truth(cnn_network(), "conv", neurons, dataset(2).test)


def test_no_scenes():
    scenes, net = dataset(2).test[[]], network(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "1")
    assert most_active(net, "1", scenes).shape == (0,)
    assert neuron_truth(net, "1", np.zeros(0, int), scenes).shape == (0, 8, 8)


def sharing(**settings):
    """A network in superposition, and scenes: tiles of two sizes and supports, two of them so near that both are active."""
    rng = np.random.default_rng(3)
    tiles = [tmi.FeatureTile(rng.random((1, 3, 3)), 0.25) for _ in range(6)] + [tmi.FeatureTile(rng.random((1, 2, 3)), 0.125)]
    corner = np.array([[[True, True, False], [True, True, False], [False, False, False]]])
    tiles.insert(1, tmi.FeatureTile(tiles[0].values * corner, 0.25, corner))
    task = tmi.TemplateTask([tmi.TileClass("one", tiles[:4]), tmi.TileClass("other", tiles[4:])], (1, 5, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        built = tmi.build("superposed", task, seed=0, approximate=True, **settings)
    backgrounds = rng.random((24, 1, 5, 4)).astype(np.float32)
    places = [(tile, rng.integers(task.windows[tile][0]), rng.integers(task.windows[tile][1])) for tile in (*range(8),) * 3]
    return built, tmi.Scenes(task, backgrounds, *np.transpose(places))


SHARING = pytest.mark.parametrize(
    "settings",
    [
        {"neurons": 5, "weight": 3},
        {"neurons": 5, "weight": 3, "realisation": "literal"},
        {"neurons": 5, "code": "dense"},
        {"neurons": 12, "weight": 2, "scope": "layer"},
    ],
    ids=str,
)


@SHARING
def test_shared_neurons_by_the_detectors_that_are_active(settings):
    """By hand: a neuron depends on the supports of the detectors above 0 that have a weight to it."""
    built, scenes = sharing(**settings)
    hidden = built.activations(scenes.images, "hidden")["hidden"].numpy()
    weight = built.module.mixed[0].matrix().to_dense().numpy()
    table = built.neurons("hidden")
    supports = np.zeros((len(table), 5, 4), bool)
    for mask, tile, row, col in zip(supports, table["tile"], table["row"], table["col"], strict=True):
        support = scenes.task.tiles[tile].support[0]
        mask[row : row + support.shape[0], col : col + support.shape[1]] = support
    several = 0
    for neuron in range(len(weight)):
        found, readable = (
            neuron_truth(built, "mixed", np.full(len(scenes), neuron), scenes, anywhere=anywhere) for anywhere in (False, True)
        )
        writing = (hidden > 0) & (weight[neuron] != 0)
        several += (writing.sum(1) > 1).sum()
        assert (found == np.stack([supports[active].any(0) for active in writing])).all()
        assert (readable == supports[weight[neuron] != 0].any(0)).all()
    assert several


@SHARING
def test_shared_neurons_by_changing_pixels(settings):
    """A small change of a pixel outside the truth does nothing to the neuron, and one inside does, in one direction at least."""
    built, scenes = sharing(**settings)
    images = scenes.images.double()
    chosen = most_active(built, "mixed", scenes)
    truth = neuron_truth(built, "mixed", chosen, scenes)
    rows = np.arange(len(scenes))

    def activation(x):
        return built.activations(x, "mixed")["mixed"].flatten(1).numpy()[rows, chosen]

    before = activation(images)
    for row, col in np.ndindex(5, 4):
        changes = []
        for change in (1e-6, -1e-6):
            moved = images.clone()
            moved[:, 0, row, col] = (moved[:, 0, row, col] + change).clamp(0, 1)
            changes.append(np.abs(activation(moved) - before) > 1e-9)
        assert (np.any(changes, axis=0) == truth[:, row, col]).all()


@SHARING
def test_shared_neurons_of_a_layer_by_changing_them(settings):
    """The label's logit reads the code of the tile at its place and, where no other tile of the label is active, nothing else."""
    built, scenes = sharing(**settings)
    truth = layer_truth(built, "mixed", scenes)
    mixed = built.activations(scenes.images.double(), "mixed")["mixed"]
    above = torch.nn.Sequential(built.module.decoded, built.module.logits)

    def logit(neurons):
        return above(neurons).gather(1, scenes.labels[:, None])[:, 0]

    decoded = built.module.decoded(mixed)
    table = built.neurons("decoded")
    of_label = np.array(scenes.task.tile_class)[table["tile"]] == scenes.labels.numpy()[:, None]
    alone = ((decoded.numpy() > 0) & of_label).sum(1) == 1
    assert alone.sum() > 5
    for neuron in range(mixed[0].numel()):
        changed = mixed.clone()
        changed.flatten(1)[:, neuron] += 1e-6
        read = ((logit(changed) - logit(mixed)).abs() > 1e-9).numpy()
        assert (read == truth[:, neuron])[alone].all()


def test_a_shared_neuron_that_no_tile_activates_has_no_pixel():
    built, scenes = sharing(neurons=5, weight=3)
    neuron = int(built.activations(scenes.images[:1], "mixed")["mixed"].flatten().argmin())
    assert not neuron_truth(built, "mixed", [neuron], scenes[:1]).any()
    assert neuron_truth(built, "mixed", [neuron], scenes[:1], anywhere=True).any()
    assert not layer_truth(built, "mixed", tmi.Scenes(scenes.task, scenes.backgrounds[:2], -1, 0, 0)).any()
    assert neuron_truth(built, "mixed", np.zeros(0, int), scenes[[]]).shape == (0, 5, 4)
