"""What a page must answer: the same networks in PyTorch and in network.js, on the scenes that the page has."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients

import tmi
import tmi.report.explorer
from tmi.report.explorer.payload import _chosen, world

PROGRAM = Path(tmi.report.explorer.__file__).parent / "network.js"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no Node here")

ROOM = 20_000_000
STEPS = 64

ASK = """(worlds => {
    const world = tmiNetwork.prepare(worlds), answers = {};
    for (const network of world.networks) answers[network.name] = world.scenes.map((scene, i) => {
        const tile = world.tiles[scene.tile], label = tile.class, attributions = {};
        const image = new Float32Array(scene.background.length);
        tmiNetwork.render(world, scene.background, tile, tile.values, scene.row, scene.col, image);
        for (const [name, method] of Object.entries(tmiNetwork.ATTRIBUTIONS)) {
            tmiNetwork.forward(network, image);
            attributions[name] = Array.from(method(network, image, label));
        }
        const logits = Array.from(tmiNetwork.forward(network, image));
        const activations = one => Array.from(network.operations[one.operation].output);
        const layers = Object.fromEntries(network.layers.map(one => [one.name, activations(one)]));
        return {image: Array.from(image), logits, layers, attributions, phi: Array.from(tmiNetwork.truth(world, image).phi)};
    });
    return answers;
})"""


def six_tiles():
    """A data set whose tiles may share neurons: random ones of 2×3 pixels, in six classes."""
    rng = np.random.default_rng(0)
    tiles = [tmi.FeatureTile(rng.random((2, 3)).round(2), 0.05, np.ones((2, 3), bool)) for _ in range(6)]
    task = tmi.TemplateTask([tmi.TileClass(f"class {i}", [tile]) for i, tile in enumerate(tiles)], (1, 5, 6))
    return tmi.Dataset(task, *(tmi.Scenes.draw(task, 20, rng=rng) for _ in range(2)), name="six")


def in_node(asked, *data):
    """Return the value of a JavaScript expression of a function, called with data, in Node."""
    arguments = ", ".join(map(json.dumps, data))
    script = f"const tmiNetwork = require({json.dumps(str(PROGRAM))});\nconsole.log(JSON.stringify({asked}({arguments})));"
    done = subprocess.run([NODE, "-"], input=script, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(answers, data, networks, *, literal=()):
    """Compare a page's answers with PyTorch's to 1e-4; not the attributions of ``literal``, which have another gradient."""
    for name, network in networks.items():
        page = answers[name]
        scenes = data.test[_chosen(data.test)[: len(page)]]
        labels = scenes.labels
        images = np.array([one["image"] for one in page]).reshape(scenes.images.shape)
        np.testing.assert_allclose(images, scenes.images.float().numpy(), rtol=0, atol=1e-7 if scenes.paste == "blend" else 0)
        x = scenes.images.detach().clone().to(next((p.dtype for p in network.module.parameters()), torch.float32))
        assert_near([one["logits"] for one in page], network.logits(x))
        assert_near([one["phi"] for one in page], data.task.phi(scenes.images))
        activations = network.activations(x)
        for layer in page[0]["layers"]:
            assert_near([one["layers"][layer] for one in page], activations[layer].flatten(1))
        if name in literal:
            continue
        gradient = torch.autograd.grad(network.module(x.requires_grad_()).gather(1, labels[:, None]).sum(), x)[0]
        integrated = IntegratedGradients(network.module).attribute(
            x, target=labels, n_steps=STEPS, method="riemann_middle", internal_batch_size=64
        )
        by_method = {
            "gradient": gradient,
            "input × gradient": InputXGradient(network.module).attribute(x, target=labels),
            "integrated gradients": integrated,
        }
        assert {*page[0]["attributions"]} == {*by_method}
        for method, expected in by_method.items():
            assert_near([one["attributions"][method] for one in page], expected.flatten(1))


def assert_near(found, expected):
    np.testing.assert_allclose(np.array(found), expected.detach().numpy(), rtol=1e-4, atol=1e-4)


def as_page(data, networks, scenes=None):
    """Return a world as the page has it, after JSON, with every network and so many scenes."""
    made = world(data, networks, ROOM)
    made["scenes"] = made["scenes"][:scenes]
    assert [one["name"] for one in made["networks"]] == [*networks], made["left_out"]
    return json.loads(json.dumps(made))
