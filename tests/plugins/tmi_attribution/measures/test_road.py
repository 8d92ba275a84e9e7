import numpy as np
import pytest
import torch

import tmi
from tests.plugins.tmi_probes.toys import dataset, small_cnn
from tmi_attribution.build_truth import truth_of
from tmi_attribution.measures import road
from tmi_attribution.measures.road import road_lerf, road_morf

from .cases import asked, colour, one_pixel
from .test_imputation import plain

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("measure", "sign"), [(road_morf, -1), (road_lerf, 1)])
@pytest.mark.parametrize("output", ["accuracy", "probability"])
def test_by_the_plain_definition(measure, sign, output):
    truth = asked(images=4, dtype=torch.float64, data=colour())
    maps, shares = RNG.normal(size=(4, 2, 8, 8)), [0.1, 0.5, 0.95]
    found = measure(maps, truth, seed=3, shares=shares, noise=0.02, output=output)
    noise = 0.02 * np.random.default_rng(3).standard_normal((2, 8, 8))
    for i in range(4):
        order, each = np.argsort(sign * maps[i].sum(0).ravel()), []
        for share in shares:
            gone = np.zeros(64, bool)
            gone[order[: round(share * 64)]] = True
            gone = gone.reshape(8, 8)
            image = truth.images[i].numpy()
            image = np.where(gone, (plain(image, gone) + noise).clip(0, 1), image)
            logits = truth.module(torch.from_numpy(image)[None])[0]
            target = truth.targets[i]
            each.append(float(logits.argmax() == target) if output == "accuracy" else float(logits.softmax(0)[target]))
        assert found[i] == pytest.approx(np.mean(each), abs=1e-9)


def test_pixels_become_those_of_a_baseline():
    truth = asked(images=5)
    maps = RNG.normal(size=(5, 1, 8, 8))
    for fill in ("black", "background"):
        below = torch.zeros_like(truth.images) if fill == "black" else truth.scenes.without_tiles().images
        gone = np.argsort(np.argsort(-maps.reshape(5, 64))).reshape(maps.shape) < 32
        logits = truth.module(torch.where(torch.from_numpy(gone), below, truth.images))
        expected = (logits.argmax(1) == truth.targets).double().tolist()
        assert road_morf(maps, truth, seed=0, shares=[0.5], fill=fill).tolist() == expected


def test_most_relevant_of_a_map_are_least_relevant_of_its_negation():
    truth = asked(images=4)
    maps = RNG.normal(size=(4, 1, 8, 8))
    assert road_morf(maps, truth, seed=0).tolist() == road_lerf(-maps, truth, seed=0).tolist()
    absolute = road_morf(-maps, truth, seed=0, ranking="absolute")
    assert absolute.tolist() == road_morf(np.abs(maps), truth, seed=0).tolist()


def test_a_network_whose_logits_are_equal_has_the_accuracy_of_a_guess():
    """All logits of Theorem 1 are 0 without a tile; the first class is no better an answer than the others."""
    data = dataset(40)
    truth = truth_of(tmi.build("theorem1", data), data, 12, "black")
    everything = np.ones((12, 1, 8, 8))
    assert road_morf(everything, truth, seed=0, shares=[1.0], fill="background") == pytest.approx([1 / 3] * 12)


def test_parts_and_neighbours_change_nothing(monkeypatch):
    module, maps = small_cnn(), RNG.normal(size=(6, 1, 8, 8))
    whole = road_morf(maps, asked(module, 6), seed=0)
    monkeypatch.setattr(road, "ELEMENTS", 100)
    truth = asked(module, 6)
    assert road_morf(maps, truth, seed=0).tolist() == whole.tolist()
    assert road_morf(maps[4:5], truth[4:5], seed=0).tolist() == whole[4:5].tolist()


def test_no_share_is_an_error_and_one_pixel_has_no_score():
    with pytest.raises(tmi.InputError, match="shares"):
        road_morf(np.ones((1, 1, 8, 8)), asked(images=1), seed=0, shares=[])
    truth = one_pixel()
    assert np.isnan(road_lerf(np.ones((2, 1, 1, 1)), truth, seed=0)).all()
