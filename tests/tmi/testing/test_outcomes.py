"""Each probe is tried on a few images, and what came of it is said."""

from __future__ import annotations

import pytest
import torch

import tmi
from tests.tmi import toys
from tmi.plugins.registry import with_files
from tmi.testing import Outcome, applicable, tiny_data, tiny_network


def test_what_came_of_each_probe(tmp_path):
    text = toys.TOYS.replace(
        '    if how == "nul":', '    if how == "long":\n        __import__("time").sleep(9)\n    if how == "nul":'
    )
    registry = with_files(toys.plugin(tmp_path, "tried", text))
    network, data = tiny_network(), tiny_data()
    outcomes = applicable(network, data, ["toy-probe", "accuracy", "bad-probe"], registry=registry)
    assert [outcome.status for outcome in outcomes] == ["runs", "runs", "fails"]
    assert str(outcomes[2]) == "bad-probe: fails: ValueError: the toy is broken: raise"
    assert outcomes[0].reason == "a toy's <remark>"
    for how, status, reason in (
        ("tmi", "refused", "the toy is broken"),
        ("exit", "fails", "SystemExit: 3"),
        ("long", "takes long", "stopped after 0.05 s on a few images"),
    ):
        (outcome,) = applicable(
            network, data, ["bad-probe"], settings={"bad-probe": {"how": how}}, seconds=0.05, registry=registry
        )
        assert (outcome.status, outcome.reason) == (status, reason)


def test_what_came_of_each_method():
    def nan(module, images, targets):
        return images.detach() * float("nan")

    data, network = tiny_data(), tiny_network()
    outcomes = applicable(network, data, ["saliency", "exact", "oracle"], kind="method")
    assert [str(outcome) for outcome in outcomes] == [
        "saliency: runs",
        "exact: refused: the network is not constructed, so that its exact attribution is not known",
        "oracle: runs",
    ]
    (outcome,) = applicable(network, data, [nan], kind="method")
    assert str(outcome) == "nan: runs: not scored, for it gave NaN or infinity on 8 of 8 images"


def test_a_network_without_tiles_and_unknown_names():
    images = tmi.LabelledImages(tmi.LabelledTask(["a", "b"], (1, 4, 4)), torch.rand(20, 1, 4, 4), [0, 1] * 10)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    network = tmi.Network(module, ["1"], "imported", task=images.task)
    (outcome,) = applicable(network, tmi.Dataset(images.task, images, images), ["translation-robustness"])
    assert outcome == Outcome("translation-robustness", "not applicable", outcome.reason, outcome.seconds)
    assert "tile" in outcome.reason
    with pytest.raises(tmi.UnknownNameError, match="did you mean"):
        applicable(network, tmi.Dataset(images.task, images, images), ["acuracy"])
