"""Samples with known amplitudes, against what the images show window by window."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

import tmi
from tmi_probes.pipeline.known_samples import KnownSamples, added, known_samples, view_of, with_noise

from ..toys import TASK, dataset, network

DATA = dataset(30)


class Shared(nn.Module):
    """The tiles' slacks at every place, times a matrix: a map whose directions are its rows."""

    def __init__(self, task, matrix):
        super().__init__()
        self.task, self.matrix = task, torch.tensor(matrix, dtype=torch.float64)
        self.mixed, self.logits = nn.Identity(), nn.Identity()

    def forward(self, images):
        matches = tmi.match(images, self.task.tiles)
        slack = torch.zeros(len(images), len(self.task.tiles), *images.shape[2:], dtype=torch.float64)
        slack[matches.image, matches.tile, matches.row, matches.col] = matches.slack.double()
        shown = self.mixed(torch.einsum("ntrc,td->ndrc", slack, self.matrix))
        return self.logits(self.task.phi(images) + 0 * shown.sum().to(images.dtype))


def shared(task=TASK, seed=0, neurons=None):
    tiles = len(task.tiles)
    matrix = np.random.default_rng(seed).random((tiles, neurons or tiles - 1))
    known = tmi.Directions(matrix, {"tile": range(tiles)}, by_place=True)
    return tmi.Network(Shared(task, matrix), ["mixed", "logits"], "constructed", task=task, directions={"mixed": known})


def drawn(net, layer, count=20, change=0.9, shown=None):
    view = view_of(net, layer)
    shown = view.identity if shown is None else shown
    return view, known_samples(net, layer, view, DATA.train, shown, count, change, 7)


def test_samples_are_amplitudes_times_directions():
    view, samples = drawn(shared(), "mixed")
    amplitudes = samples.amplitudes.toarray()
    assert samples.values == pytest.approx(amplitudes @ view.directions.toarray())
    epsilon = np.array([tile.epsilon for tile in TASK.tiles])
    shown = amplitudes > 0
    assert (shown.sum(1) >= 1).all()
    assert shown.any(0).all()
    # A tile keeps at least a tenth of its ε, and not all keep as much.
    share = (amplitudes / epsilon)[shown]
    assert share.min() > 0.099
    assert np.ptp(share) > 0.3
    unchanged = drawn(shared(), "mixed", change=0.0)[1].amplitudes.toarray()
    assert (unchanged / epsilon).max(1) == pytest.approx(np.ones(20))


def test_neurons_of_a_tile_are_summed_over_its_places():
    net = tmi.build("theorem1", TASK)
    view, samples = drawn(net, "hidden")
    assert view.identity.tolist() == [[t] for t in range(len(TASK.tiles))]
    assert (view.directions.toarray() == np.eye(len(TASK.tiles))).all()
    assert samples.values == pytest.approx(samples.amplitudes.toarray())


def test_a_layer_of_tiles_at_places_is_read_as_it_is():
    tiles, rows = len(TASK.tiles), np.array(TASK.windows)
    features = [(t, r, c) for t in range(tiles) for r in range(rows[t, 0]) for c in range(rows[t, 1])]
    matrix = np.random.default_rng(0).random((len(features), 9))

    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.mixed, self.logits = nn.Identity(), nn.Identity()

        def forward(self, images):
            matches = tmi.match(images, TASK.tiles)
            places = zip(matches.tile.tolist(), matches.row.tolist(), matches.col.tolist(), strict=True)
            value = torch.zeros(len(images), len(features), dtype=torch.float64)
            value[matches.image, [features.index(place) for place in places]] = matches.slack.double()
            return self.logits(TASK.phi(images) + 0 * self.mixed(value @ torch.tensor(matrix)).sum().to(images.dtype))

    order = np.random.default_rng(1).permutation(len(features))  # rows in any order
    columns = dict(zip(("tile", "row", "col"), np.array(features)[order].T, strict=True))
    known = tmi.Directions(matrix[order], columns)
    net = tmi.Network(Flat(), ["mixed", "logits"], "constructed", task=TASK, directions={"mixed": known})
    view, samples = drawn(net, "mixed", shown=np.array(features)[[3, 8]])
    assert samples.values == pytest.approx(samples.amplitudes.toarray() @ view.directions.toarray())
    assert {3, 8} <= set(np.flatnonzero(samples.amplitudes.sum(0)))


def test_maps_without_known_directions_are_read_where_the_tile_is():
    class Pixels(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.logits = nn.MaxPool2d(3, 1), nn.Sequential(nn.Flatten(), nn.LazyLinear(len(TASK.classes)))

        def forward(self, images):
            return self.logits(self.conv(images))

    module = Pixels()
    module(torch.zeros(1, *TASK.image_shape))
    view, samples = drawn(network(module, "conv", "logits"), "conv", change=0.0)
    assert view.directions is None
    # The pool is as large as the tiles, so that this place sees the tile alone.
    assert {round(float(value), 5) for value in samples.values[:, 0]} == {round(float(t.values.max()), 5) for t in TASK.tiles}


def test_a_sum_of_images_is_a_larger_image_summed_over_its_places():
    """Two images side by side, their map summed, is the sum of both, apart from windows across the border."""
    net = shared()
    images = DATA.test.images[:2].double()
    wide = tmi.TemplateTask(TASK.classes, (TASK.image_shape[0], TASK.image_shape[1], 2 * TASK.image_shape[2]))
    module = Shared(wide, net.directions("mixed").matrix)
    of_wide = tmi.Network(module, ["mixed", "logits"], "constructed", task=wide)
    together = of_wide.activations(torch.cat([images[0], images[1]], 2)[None], "mixed")["mixed"]
    border = together[..., TASK.image_shape[2] - 2 : TASK.image_shape[2]].sum((2, 3))
    single = net.activations(images, "mixed")["mixed"].sum((0, 2, 3))
    assert torch.allclose(together.sum((2, 3)) - border, single)


def test_sums_add_samples_and_amplitudes():
    view, samples = drawn(shared(), "mixed")
    assert added(samples, 50, 1, True, 0) is samples
    sums = added(samples, 50, 3, False, 0)
    assert sums.values.shape == (50, view.directions.shape[1])
    assert sums.values == pytest.approx(sums.amplitudes.toarray() @ view.directions.toarray())
    assert sums.values.sum(1).mean() == pytest.approx(3 * samples.values.sum(1).mean(), rel=0.3)
    one = KnownSamples(np.ones((1, 1)), csr_array(np.ones((1, 1))))
    assert set(added(one, 200, 3, True, 0).values.ravel()) == {1, 2, 3, 4, 5}
    assert set(added(one, 20, 3, False, 0).values.ravel()) == {3}


def test_noise_is_relative_to_the_samples():
    values = np.random.default_rng(0).random((4000, 5)) * 30
    noise = with_noise(values, 0.2, 1) - values
    assert np.square(noise).sum(1).mean() == pytest.approx(0.04 * np.square(values).sum(1).mean(), rel=0.05)
    assert noise.std(0) == pytest.approx(np.full(5, noise.std()), rel=0.1)
