"""Objects of every public kind that shows itself, ordinary and odd, with names that would break a page."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import nn

import tmi
from tmi.runs.results import Entry

SCRIPT = """<script>alert("1")</script>&amp;'"""
"""A name that a page must escape."""
LONG = "a long name " * 1000


class Refusing(nn.Module):
    """A module that may not be evaluated: showing a network needs no forward pass."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.Sequential(*parts)

    def forward(self, images):
        raise AssertionError("the network was evaluated")


def tile(values=1.0, shape=(1, 2, 2), epsilon=0.3, **more):
    return tmi.FeatureTile(np.full(shape, values), epsilon, **more)


def small_task(name=SCRIPT, **more):
    full = np.ones((1, 2, 2), bool)
    black = tmi.FeatureTile(np.eye(2)[None] / 2, 0.3, full)
    return tmi.TemplateTask([tmi.TileClass(name, [tile()]), tmi.TileClass("$x^2", [black])], (1, 4, 4), **more)


def scenes(task=None, count=3, **more):
    task = task or small_task()
    images = np.random.default_rng(0).random((count, *task.image_shape), np.float32)
    return tmi.Scenes(task, images, np.arange(count) % len(task.tiles), 0, 0, **more)


def failing_law(rng, task):
    raise RuntimeError("a background that cannot be rendered")


def unrenderable():
    from tmi.tasks.backgrounds import Recipes, draw_recipes

    task = small_task()
    recipes = draw_recipes(np.random.default_rng(0), task, 3, failing_law)
    assert isinstance(recipes, Recipes)
    return tmi.Scenes(task, recipes, 0, 0, 0)


def dataset(task=None, **more):
    task = task or small_task()
    return tmi.Dataset(task, scenes(task), scenes(task, 0), **{"name": SCRIPT, "params": {"a": LONG, SCRIPT: SCRIPT}} | more)


def refusing(task=None, **more):
    task = task or small_task()
    parts = Refusing(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 2))
    return tmi.Network(parts, ["parts.0", "parts.4"], "imported", task=task, **({"name": SCRIPT} | more))


def result(metrics=3, name="m", **more):
    arrays = {
        "curve": ("x", np.arange(5.0)),
        "map": (("y", "x"), np.arange(-5.0, 5).reshape(2, 5)),
        SCRIPT.replace("/", ""): ((), 1),
    }
    info = {name: tmi.MetricInfo(SCRIPT + LONG, "higher", 0, 1, SCRIPT)}
    values = {f"{name}.{i}": i / metrics for i in range(metrics)}
    return tmi.ProbeResult(values, **{"arrays": arrays, "info": info, "notes": [LONG, SCRIPT]} | more)


def results(cells=3, **more):
    entries = [
        Entry(f"{SCRIPT} {i}", SCRIPT, f"n{i // 2}", "p", i % 2, {"k": i // 2}, "ok", None, {SCRIPT: i / 2, "b": 1.0})
        for i in range(cells)
    ]
    failed = [Entry("c", "d", "n", "p", 0, {"k": None}, "failed", None, message=SCRIPT + LONG)] if cells else []
    return tmi.Results([*entries, *failed], name=SCRIPT, description=LONG, columns={"k": "network"}, **more)


def refusing_trained():
    network = refusing(history={"loss": [1.0, 0.5, 0.25]})
    network.origin = "trained"
    return network


def deep():
    module = Refusing(*(nn.Linear(16, 16) for _ in range(300)))
    meanings = {"parts.0": lambda: 1 / 0}  # a table that is made only when it is asked for
    return tmi.Network(module, [f"parts.{i}" for i in range(300)], "imported", task=small_task(), meanings=meanings)


def large_task():
    full = np.ones((3, 3), bool)
    classes = [tmi.TileClass(f"{SCRIPT}{i}", [tile(i / 60, (1, 3, 3), 0.01, support=full)]) for i in range(60)]
    return tmi.TemplateTask(classes, (1, 3, 3))


@functools.cache
def labelled():
    return tmi.LabelledTask([SCRIPT, *(f"{LONG}{i}" for i in range(500))], (3, 2, 2))


def labelled_images(count=20):
    return tmi.LabelledImages(labelled(), random(count, 3, 2, 2), 0)


def empty_dataset():
    task = small_task()
    return tmi.Dataset(task, scenes(task, 0), scenes(task, 0))


def random(*shape):
    return np.random.default_rng(0).random(shape)


def explained(image):
    return tmi.build("theorem1", small_task()).explain(image)


OBJECTS = {
    "tile": tile,
    "tile of one pixel": lambda: tile(shape=(1, 1, 1)),
    "tile in colour": lambda: tmi.FeatureTile(random(3, 5, 7), 0.5, random(3, 5, 7) < 0.4),
    "tile of seven channels": lambda: tile(shape=(7, 2, 3)),
    "large tile": lambda: tmi.FeatureTile(random(3, 500, 700), 0.5, random(500, 700) < 0.5),
    "class": lambda: tmi.TileClass(SCRIPT, [tile()]),
    "large class": lambda: tmi.TileClass(LONG, [tmi.FeatureTile(random(40, 40), 0.1)] * 60),
    "task": small_task,
    "task in ink": lambda: small_task(ink=True),
    "task of one class": lambda: tmi.TemplateTask([tmi.TileClass("a", [tile(shape=(1, 1, 1))])], (1, 1, 1)),
    "large task": large_task,
    "labelled task": labelled,
    "labelled class": lambda: labelled().classes[0],
    "labelled images": labelled_images,
    "labelled data set": lambda: tmi.Dataset(labelled(), labelled_images(), labelled_images(2)),
    "scenes": scenes,
    "no scenes": lambda: scenes(count=0),
    "scenes without tiles": lambda: scenes().without_tiles(),
    "scenes that cannot be rendered": unrenderable,
    "data set": dataset,
    "empty data set": empty_dataset,
    "network": refusing,
    "trained network": refusing_trained,
    "constructed network": lambda: tmi.build("theorem1", small_task()),
    "network of many layers": deep,
    "directions": lambda: tmi.Directions(random(30, 5) + 0.1, {SCRIPT: [LONG] * 30}),
    "matches": lambda: tmi.match(scenes().images, small_task().tiles),
    "no matches": lambda: tmi.match(torch.full((1, 1, 2, 2), 0.5), tile(epsilon=0.1)),
    "explanation": lambda: explained(scenes().images[0]),
    "explanation of nothing": lambda: explained(torch.full((1, 4, 4), 0.75)),
    "result": result,
    "large result": lambda: result(3000, LONG[:500]),
    "result without metrics": lambda: tmi.ProbeResult({}, {"a": ("x", [1, 2])}),
    "result that is not applicable": lambda: tmi.ProbeResult.not_applicable(SCRIPT + LONG),
    "results": results,
    "large results": lambda: results(3000),
    "no results": lambda: tmi.Results([]),
}
"""How to make each."""


@functools.cache
def made(name):
    """Return an object of `OBJECTS`, made once."""
    return OBJECTS[name]()
