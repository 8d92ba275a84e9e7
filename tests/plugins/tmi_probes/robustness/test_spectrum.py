"""Spectra: the members are what they should be, templates are counted by the cover, and φ fails where its templates end."""

from collections import OrderedDict

import numpy as np
import pytest
import torch

import tmi
from tmi_datasets.cover import cover
from tmi_datasets.tile_paths import tile_path
from tmi_probes.robustness.spectrum import FACTORS, LARGEST, spectrum

from ..toys import TASK, Phi, cnn_network, dataset, network

KINDS = list(LARGEST)


def extents(kind):
    return np.array([0, *(LARGEST[kind] / 2.0**k for k in range(6, -1, -1))])


@pytest.mark.parametrize("kind", KINDS)
def test_phi_is_its_own_oracle_and_templates_are_counted_by_the_cover(kind):
    result = spectrum(network(Phi()), dataset(60), seed=0, kinds=[kind])
    assert result.metrics[f"accuracy_under.{kind}"] == result.metrics[f"oracle_under.{kind}"]
    assert result.arrays[f"accuracy.{kind}"].values[0] == 1
    assert result.arrays[f"extent.{kind}"].values == pytest.approx(extents(kind))
    assert [str(name) for name in result.coords["tile"]] == ["dark/0", "grey/0", "light/0"]
    for k, tile in enumerate(TASK.tiles[i] for i in (0, 1, 3)):
        path = tile_path(tile, kind, LARGEST[kind])
        assert result.arrays[f"length.{kind}"].values[k] == pytest.approx([path.length(extent) for extent in extents(kind)])
        for f, factor in enumerate(FACTORS):
            expected = cover(path, factor * tile.epsilon).count(extents(kind))
            assert np.array_equal(result.arrays[f"templates.{kind}"].values[f, k], expected)
    counted, length = result.arrays[f"templates.{kind}"].values, result.arrays[f"length.{kind}"].values
    assert result.metrics[f"templates.{kind}"] == counted[0, :, -1].mean()
    assert result.metrics[f"length.{kind}"] == pytest.approx(length[:, -1].mean() / 0.6)
    assert result.arrays[f"shown.{kind}"].shape == (5, 1, 3, 3)
    assert np.array_equal(result.arrays[f"shown.{kind}"].values[2], TASK.tiles[0].values)


class Recorder(torch.nn.Module):
    """Keeps the images that it sees."""

    def __init__(self):
        super().__init__()
        self.logits = torch.nn.Identity()
        self.seen = []

    def forward(self, images):
        self.seen.append(images.numpy().copy())
        return self.logits(torch.zeros(len(images), 3))


@pytest.mark.parametrize("paste", ["rectangle", "support"])
def test_the_members_are_shown_on_the_backgrounds_of_their_class(paste):
    tiles = [np.array([[0, 0.5, 0.5], [0.3, 0.5, 0.6], [0, 0.4, 0]]), np.array([[0, 0.9, 0.0], [0.8, 0.9, 0.9], [0.9, 1, 0]])]
    classes = [tmi.TileClass(name, [tmi.FeatureTile(tile, 0.2)]) for name, tile in zip("ab", tiles, strict=True)]
    task = tmi.TemplateTask([*classes, tmi.TileClass("c", [tmi.FeatureTile(np.full((2, 2), 0.2), 0.1)])], (1, 6, 6))
    rng = np.random.default_rng(1)
    train, test = (tmi.Scenes.draw(task, 40, rng=rng, paste=paste) for _ in range(2))
    recorder = Recorder()
    spectrum(network(recorder, task=task), tmi.Dataset(task, train, test), seed=7, kinds=["shear"], tiles=2, members=3)
    seen = np.concatenate(recorder.seen)[-48:].reshape(8, 6, 1, 6, 6)  # before them, those by which tmi checks a network
    shares = np.random.default_rng(7).uniform(-1, 1, 6)
    chosen = np.concatenate([np.flatnonzero(test.labels.numpy() == label)[:3] for label in (0, 1)])
    for e, extent in enumerate(extents("shear")):
        for i, scene in enumerate(chosen):
            tile, row, col = (int(value[scene]) for value in (test.tile, test.row, test.col))
            values, supports = tile_path(task.tiles[tile], "shear", 0.4).at([shares[i] * extent])
            expected = test.backgrounds[scene].numpy().copy()
            place = expected[:, row : row + 3, col : col + 3]
            place[:] = values[0] if paste == "rectangle" else np.where(supports[0], values[0], place)
            assert seen[e, i] == pytest.approx(expected, abs=1e-7)


def test_a_task_of_covering_templates_is_right_up_to_its_extent():
    data = tmi.generate("spectrum", seed=0, extent=4.0, samples=1, test_samples=300, source="sample")
    fashion = tmi.generate("fashion", seed=0, samples=1, test_samples=300, source="sample")
    covered, alone = (spectrum(tmi.build("theorem1", of), of, seed=0, kinds=["rotation"], members=4) for of in (data, fashion))
    within = extents("rotation") <= 4
    assert (covered.arrays["accuracy.rotation"].values[within] == 1).all()
    assert covered.arrays["accuracy.rotation"].values[-1] < 0.5
    assert covered.metrics["tolerated.rotation"] == 4
    assert alone.metrics["tolerated.rotation"] < 1
    # The same tiles, and so the same numbers of templates, which are those of the data set up to its own extent.
    assert np.array_equal(covered.arrays["templates.rotation"].values, alone.arrays["templates.rotation"].values)
    sizes = [len(strengths) for strengths in data.notes["templates"].values()]
    counted = covered.arrays["templates.rotation"].values[0][:, np.flatnonzero(within)[-1]]
    assert counted.tolist() == sizes
    assert covered.metrics["templates_tolerated.rotation"] == np.mean(sizes)
    # ℓ/(2ε), and one over ε; linear in the extent but for the tile's own stretch, which no further template is needed for.
    for result in (covered, alone):
        assert result.metrics["templates.rotation"] == pytest.approx(result.metrics["length.rotation"], rel=0.05)
        assert result.metrics["growth_epsilon.rotation"] == pytest.approx(-1, abs=0.1)
        assert result.metrics["growth.rotation"] == pytest.approx(0.9, abs=0.05)


def test_growth_is_the_slope_of_the_logarithms():
    tiles = [tmi.TileClass(name, [tmi.FeatureTile(np.full((5, 5), v), 0.2)]) for name, v in (("a", 0.3), ("b", 0.7))]
    task = tmi.TemplateTask(tiles, (1, 7, 7))
    result = spectrum(network(Phi(task), task=task), dataset(20, task=task), seed=0, kinds=["grey"])
    counts = result.arrays["templates.grey"].values.mean(1)
    many = counts[0] >= 5
    assert many.sum() > 3
    slope = np.linalg.lstsq(np.stack([np.log(extents("grey")[many]), np.ones(many.sum())], 1), np.log(counts[0][many]))[0][0]
    assert result.metrics["growth.grey"] == pytest.approx(slope)
    assert -1.1 < result.metrics["growth_epsilon.grey"] < -0.8


def test_too_many_templates_are_not_counted(monkeypatch):
    whole = spectrum(network(Phi()), dataset(20), seed=0, kinds=["grey"])
    monkeypatch.setattr("tmi_probes.robustness.spectrum._MOST", 4)
    result = spectrum(network(Phi()), dataset(20, task=again(TASK)), seed=0, kinds=["grey"])
    counts, lengths = result.arrays["templates.grey"].values, result.arrays["length.grey"].values
    many = lengths[None] > 2 * 0.3 * 4 * np.array(FACTORS)[:, None, None]
    assert many.any()
    assert np.isnan(counts[many]).all()
    assert np.array_equal(counts[~many], whole.arrays["templates.grey"].values[~many])
    assert "templates.grey" not in result.metrics
    assert result.metrics["length.grey"] == whole.metrics["length.grey"]


def again(task):
    """The same task of new tiles, whose templates were not counted yet."""
    renewed = [tmi.TileClass(one.name, [tile.with_epsilon(tile.epsilon) for tile in one.tiles]) for one in task.classes]
    return tmi.TemplateTask(renewed, task.image_shape)


def test_few_templates_have_no_growth():
    result = spectrum(network(Phi()), dataset(20), seed=0, kinds=["shear"])
    assert "growth.shear" not in result.metrics
    assert any("growth.shear, growth_epsilon.shear: left out" in note for note in result.notes)


def test_what_cannot_be_measured_is_left_out():
    flat = [tmi.TileClass(name, [tmi.FeatureTile([[v]], 0.1)]) for name, v in (("a", 0.2), ("b", 0.9))]
    task = tmi.TemplateTask(flat, (1, 3, 3))
    result = spectrum(network(Phi(task), task=task), dataset(20, task=task), seed=0)
    assert {name.partition(".")[2] for name in result.metrics} == {"grey", ""}
    assert any("rotation changes no image" in note for note in result.notes)
    corner = np.zeros((9, 9))
    corner[0, 0] = 1
    task = tmi.TemplateTask([tmi.TileClass("a", [tmi.FeatureTile(corner, 0.1)]), tmi.TileClass("b", flat[0].tiles)], (1, 9, 9))
    result = spectrum(network(Phi(task), task=task), dataset(20, task=task), seed=0, kinds=["scale"])
    assert not result.applicable
    assert result.notes == ("scale: no pixel of the tile is left at 0.335; use an extent below that",)
    one = tmi.TemplateTask(flat[:1], (1, 3, 3))
    assert not spectrum(network(Phi(one), task=one), dataset(5, task=one), seed=0).applicable


def test_one_answer_to_all_images_tolerates_nothing():
    class One(torch.nn.Module):
        def forward(self, x):
            return torch.eye(len(TASK.classes))[:1].expand(len(x), -1) + 0 * x.sum((1, 2, 3))[:, None]

    result = spectrum(network(torch.nn.Sequential(OrderedDict(logits=One()))), dataset(40), seed=0, kinds=["rotation"])
    assert "tolerated.rotation" not in result.metrics
    assert "templates_tolerated.rotation" not in result.metrics
    assert "templates.rotation" in result.metrics
    assert any("tolerated.rotation: left out" in note for note in result.notes)


def test_bad_settings():
    with pytest.raises(tmi.InputError, match="each once"):
        spectrum(cnn_network(), dataset(10), seed=0, kinds=["grey", "grey"])
    data = dataset(10)
    with pytest.raises(tmi.InputError, match="none of the scenes shows a tile"):
        spectrum(cnn_network(), tmi.Dataset(data.task, data.train, data.test.without_tiles()), seed=0)
