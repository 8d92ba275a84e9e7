"""Probes render and evaluate a few images at a time, so that memory does not grow with the number of shifts and variants."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pytest

import tmi

from .test_all_probes import NETWORKS, PROBES, SMALL, run

AT_ONCE = 8
ALL_AT_ONCE = {
    "attribution": "as many as its setting images: an attribution and a mask of each are kept",
    "attribution-bench": "the same",
    "disguises": "the same",
    "randomisation": "the same",
    "ig-convergence": "the same",
    "reference-error": "twice its setting images, in float64: the proofs' layers are computed for all",
    "local-linear-form": "the same",
    "certificate": "the images of a constructed network, whose windows are matched in parts",
    "decodability": "the pixels are a layer",
    "squares-heuristics": "the images of section 6.1, of 4×4 pixels",
}
"""Probes that hold all images that they look at, and why."""
OWN_BOUND = {
    "attack": "64 images whose graph is kept, and the check of a constructed network",
    "linear-regions": "a million numbers of the widest operation, in float64",
}
MANY = {
    "ablation": {"images": 40},
    "activation-patching": {"images": 40},
    "background-kinds": {"tiles": 2, "backgrounds": 40},
    "background-robustness": {"tiles": 2, "backgrounds": 40},
    "deformation": {"images": 40},
    "dictionary": {"atoms": 4, "steps": 5, "fits": 1, "active": [2], "penalties": [0.3], "images": 40},
    "direction-recovery": {"atoms": 4, "steps": 5, "images": 40, "test_images": 40, "fits": 2, "penalties": [0.1]},
    "feature-neurons": {"images": 20},
    "linear-regions": {"images": 40, "paths": 1},
    "logit-decomposition": {"images": 40, "forms": 2, "tiles": 2, "backgrounds": 40},
    "prunability": {"images": 40},
    "responsible-neurons": {"images": 40},
    "translation-robustness": {"tiles": 2, "places": "all"},
    "variance-ratio": {"tiles": 2, "backgrounds": 40, "places": "all"},
}


@pytest.fixture(scope="module")
def wide():
    """Forty scenes of a small tile with more than a hundred places."""
    tiles = [np.random.default_rng(seed).random((2, 2)) for seed in range(2)]
    task = tmi.TemplateTask([tmi.TileClass(n, [tmi.FeatureTile(t, 0.1)]) for n, t in zip("ab", tiles, strict=True)], (1, 12, 12))
    rng = np.random.default_rng(2)
    return tmi.Dataset(task, *(tmi.Scenes.draw(task, 40, rng=rng) for _ in range(2)))


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("of", ["cnn", "theorem1"])
def test_images_are_taken_a_few_at_a_time(wide, monkeypatch, name, of):
    network = NETWORKS[of](wide)
    network.check(wide.test[:1].images)
    monkeypatch.setattr("tmi_probes.pipeline.units._AT_ONCE", AT_ONCE * 144)
    monkeypatch.setitem(SMALL, name, MANY.get(name, SMALL.get(name, {})))
    rendered, evaluated = [], []
    render = tmi.Scenes.__dict__["images"].func
    spied = cached_property(lambda scenes: rendered.append(len(scenes)) or render(scenes))
    spied.__set_name__(tmi.Scenes, "images")
    monkeypatch.setattr(tmi.Scenes, "images", spied)
    handle = network.module.register_forward_pre_hook(lambda _module, images: evaluated.append(len(images[0])))
    try:
        run(name, network, tmi.Dataset(wide.task, wide.train[:], wide.test[:]))
    finally:
        handle.remove()
    if name not in ALL_AT_ONCE:
        assert max(rendered, default=0) <= AT_ONCE
        assert name in OWN_BOUND or max(evaluated, default=0) <= AT_ONCE
