from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tests.strategies import images_of, tasks


def z_of(image, task):
    """ε − t of every window of every tile of each class, in float64."""
    result = [[] for _ in task.classes]
    for index, tile in enumerate(task.tiles):
        _, k, l = tile.shape  # noqa: E741
        rows, cols = task.windows[index]
        for row, col in np.ndindex(rows, cols):
            patch = image[:, row : row + k, col : col + l]
            result[task.tile_class[index]].append((tile.epsilon - tile.distance(patch), index, row, col))
    return result


def plain_radius(image, task):
    z = [max(one)[0] for one in z_of(image, task)]
    inside = [value > 0 for value in z]
    if sum(inside) != 1:
        return 0.0
    label = inside.index(True)
    return min([z[label], *(-value for i, value in enumerate(z) if i != label)])


def away(image, tile, row, col, budget):
    """Spend a budget on moving the support away from a tile, each pixel to the side that has more room."""
    changed = image.copy()
    for c, i, j in np.argwhere(tile.support):
        x, t = changed[c, row + i, col + j], tile.values[c, i, j]
        goal = (1.0 if x > t else 0.0) if x != t else (1.0 if t < 0.5 else 0.0)
        step = min(budget, abs(goal - x))
        changed[c, row + i, col + j] += np.sign(goal - x) * step
        budget -= step
    return changed


def towards(image, tile, row, col, budget):
    """Spend a budget on moving the support towards a tile."""
    changed = image.copy()
    for c, i, j in np.argwhere(tile.support):
        gap = tile.values[c, i, j] - changed[c, row + i, col + j]
        step = min(budget, abs(gap))
        changed[c, row + i, col + j] += np.sign(gap) * step
        budget -= step
    return changed


def attacks(image, task, label, budget, rng):
    """The strongest single-minded attacks, mixtures of both, and random ones, all within the budget and in [0, 1]."""
    z = z_of(image, task)
    best = max(z[label])[1:]
    others = [max(one)[1:] for i, one in enumerate(z) if i != label]
    tile, *place = best
    yield away(image, task.tiles[tile], *place, budget)
    for other, *where in others:
        yield towards(image, task.tiles[other], *where, budget)
        half = away(image, task.tiles[tile], *place, budget / 2)
        yield towards(half, task.tiles[other], *where, budget / 2)
    noise = rng.random(image.shape) - 0.5
    yield np.clip(image + noise * budget / np.abs(noise).sum(), 0, 1)


@given(st.data(), tasks())
def test_is_the_formula(data, task):
    images = data.draw(images_of(task, min_images=1, dtype=torch.float64))
    radius = tmi.build("theorem1", task).certificate(images)
    assert radius.dtype == torch.float64
    np.testing.assert_allclose(radius, [plain_radius(image, task) for image in images.numpy()], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(radius > 1e-12, [plain_radius(image, task) > 1e-12 for image in images.numpy()])


@given(st.data(), tasks(), st.sampled_from([0.999999, 0.9, 0.5]))
def test_no_attack_within_it_breaks_the_answer(data, task, share):
    images = data.draw(images_of(task, min_images=1, dtype=torch.float64))
    network = tmi.build("theorem1", task)
    rng = np.random.default_rng(0)
    for image, label, radius in zip(images.numpy(), task.labels(images), network.certificate(images).tolist(), strict=True):
        if radius < 1e-9:
            continue
        changed = np.stack(list(attacks(image, task, int(label), share * radius, rng)))
        assert (np.abs(changed - image).sum((1, 2, 3)) <= radius).all()
        assert (changed >= 0).all()
        assert (changed <= 1).all()
        logits = network.logits(torch.from_numpy(changed))
        own = torch.arange(logits.shape[1]) == label
        assert (logits[:, own] > 0).all()
        assert (logits[:, ~own] == 0).all()


def test_it_is_tight_where_one_window_is_active():
    data = tmi.generate("fashion", seed=0, samples=1, test_samples=20, source="sample")
    network = tmi.build("theorem1", data)
    images = data.test.images.double()
    pasted = images.clone()
    for i, scene in enumerate(zip(data.test.tile, data.test.row, data.test.col, strict=True)):
        tile, row, col = map(int, scene)  # float64 templates are not those rounded to float32
        pasted[i, :, row : row + 28, col : col + 28] = torch.from_numpy(data.task.tiles[tile].values.copy())
    radius = network.certificate(pasted, data.test.labels)
    np.testing.assert_allclose(radius, 5.0)
    for share, kept in ((0.999999, True), (1.000001, False)):
        for image, tile, row, col, label, r in zip(
            pasted.numpy(), data.test.tile, data.test.row, data.test.col, data.test.labels, radius, strict=True
        ):
            changed = away(image, data.task.tiles[int(tile)], int(row), int(col), share * float(r))
            logits = network.logits(torch.from_numpy(changed[None]))[0]
            assert bool(logits[label] > 0) is kept
            assert (logits[torch.arange(10) != label] == 0).all()


def test_the_other_class_may_limit_it():
    # A window at distance 0.5 from "dark", ε = 0.25: pulling it over takes 0.25, pushing "light" out takes more.
    dark, light = (tmi.FeatureTile([[v]], e) for v, e in ((0.25, 0.25), (1.0, 0.4)))
    task = tmi.TemplateTask([tmi.TileClass("light", [light]), tmi.TileClass("dark", [dark])], (1, 1, 2))
    image = torch.tensor([[[[1.0, 0.5625]]]], dtype=torch.float64)
    assert tmi.build("theorem1", task).certificate(image).item() == 0.0625


def test_float32_images_are_read_as_the_network_reads_them():
    data = tmi.generate("fashion", seed=1, samples=1, test_samples=10, source="sample")
    radius = tmi.build("theorem1", data).certificate(data.test.images)
    np.testing.assert_array_equal(radius, np.full(10, 5.0))  # pasted: t is 0 in float32 too


def test_the_share_auto_makes_both_sides_equal():
    data = tmi.generate("fashion", seed=0, samples=1, test_samples=30, source="sample", epsilon="auto")
    half = data.task.separation().epsilon / 2
    assert {tile.epsilon for tile in data.task.tiles} == {half}
    radius = tmi.build("theorem1", data).certificate(data.test.images)
    assert (radius <= half).all()
    assert radius.max() == pytest.approx(half)


def test_nothing_is_certified_of_a_wrong_answer(squares):
    black, none, both = torch.full((3, 1, 4, 4), 0.5, dtype=torch.float64)[:, None].unbind(0)
    black[..., :2, :2] = 1
    both[..., :2, :2], both[..., 2:, 2:] = 1, 0
    images = torch.cat([black, none, both])
    network = tmi.build("theorem1", squares)
    assert network.certificate(images).tolist() == [0.5, 0, 0]
    assert network.certificate(images, [0, 0, 0]).tolist() == [0.5, 0, 0]
    assert network.certificate(images, torch.tensor([1, -1, 1])).tolist() == [0, 0, 0]
    assert network.certificate(images[:0]).shape == (0,)


def test_memory_is_bounded(squares, monkeypatch):
    images = torch.rand(50, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network = tmi.build("theorem1", squares)
    whole = network.certificate(images)
    assert whole.max() > 0
    monkeypatch.setattr("tmi.networks.certificate._NEURONS_AT_ONCE", 7 * 18)
    assert torch.equal(network.certificate(images), whole)


@pytest.mark.parametrize(("name", "params"), [("theorem1", {}), ("theorem1", {"realisation": "literal"}), ("theorem2", {})])
def test_every_construction_has_it(squares, name, params):
    image = torch.full((1, 1, 4, 4), 0.5)
    image[..., 1:3, 1:3] = 0
    assert tmi.build(name, squares, **params).certificate(image).item() == 0.5


def test_refuses(squares):
    network = tmi.build("theorem1", squares)
    image = torch.zeros(1, 1, 4, 4)
    trained = tmi.Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2)), ["1"], "trained", task=squares)
    with pytest.raises(tmi.InputError, match="was trained; only of constructed networks"):
        trained.certificate(image)
    other = tmi.Network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2)), ["1"], "constructed", task=squares)
    with pytest.raises(tmi.InputError, match="are not φ of its task"):
        other.certificate(image)
    with pytest.raises(tmi.InputError, match="images: "):
        network.certificate(torch.zeros(1, 1, 5, 5))
    for labels in ([0, 1], 0, [0.0], [2], [-2], [True]):
        with pytest.raises(tmi.InputError, match="labels: expected"):
            network.certificate(image, labels)
