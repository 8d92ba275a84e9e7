"""The same definitions give Quantus's numbers."""

import warnings

import numpy as np
import pytest
import torch

from tmi_attribution.measures.curves import flipping_curve
from tmi_attribution.measures.localisation import auc, mass, pointing_game, precision, top_k

from .cases import asked, masked


@pytest.fixture(scope="module")
def quantus():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("quantus")


def call(metric, maps, masks, images=None, model=None, labels=None):
    images = np.random.default_rng(1).random((len(maps), 1, *maps.shape[1:]), np.float32) if images is None else images
    labels = np.zeros(len(maps), int) if labels is None else labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = metric(
            model=model,
            x_batch=images,
            y_batch=labels,
            a_batch=maps[:, None],
            s_batch=masks[:, None],
            channel_first=True,
            softmax=False,
        )
    return np.array(found, float)


@pytest.mark.parametrize(
    ("name", "measure", "ours", "theirs"),
    [
        ("PointingGame", pointing_game, {}, {}),
        ("RelevanceRankAccuracy", precision, {}, {}),
        ("RelevanceMassAccuracy", mass, {}, {}),
        ("AUC", auc, {}, {}),
        ("TopKIntersection", top_k, {"share": 0.1}, {"k": 14}),
    ],
)
def test_localisation(quantus, name, measure, ours, theirs):
    rng = np.random.default_rng(0)
    maps, masks = rng.random((70, 12, 12)), rng.random((70, 12, 12)) < rng.random((70, 1, 1))
    masks[:, 0, 0], masks[:, 0, 1] = True, False
    metric = getattr(quantus, name)(disable_warnings=True, display_progressbar=False, **theirs)
    assert measure(maps, masked(masks), **ours) == pytest.approx(call(metric, maps, masks), abs=1e-6)


def test_pixel_flipping(quantus):
    truth = asked(images=6, dtype=torch.float32)
    maps = np.random.default_rng(0).random((6, 8, 8))
    metric = quantus.PixelFlipping(features_in_step=8, perturb_baseline=0.0, disable_warnings=True)
    theirs = call(metric, maps, truth.masks, truth.images.numpy(), truth.module, truth.targets.numpy())
    assert flipping_curve(maps, truth, steps=8)[:, 1:] == pytest.approx(theirs, abs=1e-6)
