"""Write the tables of docs/warm-start.md and draw its figure from the results of suite ``warm-start``.

``python docs/make_warm_start.py`` takes the results from the store (the variable ``TMI_STORE``, or the folder ``tmi-store``), and
computes those that are not there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from blocks import save, write_block
from numpy.lib.stride_tricks import sliding_window_view

import tmi
from tmi.runtime.plotting import figure_style
from tmi_paper.warm_start import TASKS, along_training, changes, sentences, starts_of
from tmi_probes.neurons.kept_meaning import by_design

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAGE = Path(__file__).with_name("warm-start.md")
RATES = 0.003, 0.03
CHANGED = {
    "construction": ["false_alarms.hidden", "drift.hidden", "filled.hidden", "filled_norm.hidden"],
    "construction, zeros kept": ["false_alarms.hidden", "drift.hidden"],
    "construction, noise 0.1": ["fires.hidden"],
    "superposed": ["separable.decoded", "mcc.tile-place.mixed"],
}
"""The metrics in the table of changes, by start."""


def main() -> None:
    """Compute what is missing, draw the figure, and write the blocks of the page."""
    results = tmi.run("warm-start", workers=2)
    suite = tomllib.loads(files("tmi_paper").joinpath("warm-start.toml").read_text(encoding="utf-8"))
    for name, lines in (("before", before(suite)), ("sentences", said(results)), ("changes", changed(results))):
        write_block(PAGE, f"warm-start: {name}", "\n".join(lines))
    with figure_style():
        figure = along_training(results)
        save("warm-start", figure, 100)


def before(suite: dict) -> Iterator[str]:
    """Return a row a task: how near units are before training to a wrong answer, and how far the first steps move them."""
    steps = " | ".join(f"step at lr {rate:g}" for rate in RATES)
    yield f"| task | ε | room, least | room, mean | inputs of a unit | Σ a² | 1 − p | {steps} |"
    yield "|---|---|---|---|---|---|---|" + "---|" * len(RATES)
    scenes, batch = suite["probes"]["kept-meaning"]["backgrounds"], 10
    for name, heading in TASKS.items():
        settings = dict(suite["datasets"][name])
        dataset = settings.pop("use")
        sets = [tmi.generate(dataset, seed=seed, **settings) for seed in suite["seeds"]]
        rooms = [room(data, scenes) for data in sets]
        inputs, squares, wrong = np.transpose([first_step(data) for data in sets])
        least, mean = min(part.min() for part in rooms), np.mean([part.mean() for part in rooms])
        moved = [f"{rate * (wrong * squares).mean() / batch:.2g}" for rate in RATES]
        numbers = [
            f"{least:.2g}",
            f"{mean:.2g}",
            f"{inputs.mean():,.0f}",
            f"{squares.mean():,.0f}",
            f"{wrong.mean():.2f}",
            *moved,
        ]
        yield f"| {heading} | {sets[0].task.tiles[0].epsilon:g} | {' | '.join(numbers)} |"


def room(data: tmi.Dataset, backgrounds: int) -> NDArray[np.float64]:
    """Return by how much Σ |x − t| is above ε, for each tile at each place, on the nearest scene that does not show it there.

    The scenes are those of probe ``kept-meaning``. Shape (H,), in the order (tile, row, col).
    """
    scenes, _, count = by_design(data, backgrounds, 10**9, np.random.default_rng(0))
    images = scenes.images.double().numpy()
    nearest = []
    for tile in data.task.tiles:
        windows = sliding_window_view(images, tile.shape, axis=(1, 2, 3))[:, 0]  # N, rows, cols, then the tile's shape
        beyond = (np.abs(windows - tile.values) * tile.support).sum((-3, -2, -1)) - tile.epsilon
        nearest.append(np.where(beyond < 0, np.inf, beyond).min(0).ravel())
    assert sum(map(len, nearest)) == count
    return np.concatenate(nearest)


def first_step(data: tmi.Dataset) -> tuple[int, float, float]:
    """Return what decides how far the first step on an image moves the sum of the unit that is active on it.

    The step on the cross-entropy of one image in a batch moves it, by the unit's own weights, by rate · (1 − p) · Σ a² / batch,
    where a are the inputs of layer ``hidden`` and p is the probability of the label.

    Returns
    -------
    inputs : int
        How many inputs a unit has.
    squares : float
        Σ a², mean over the test images.
    wrong : float
        1 − p, mean over the test images.
    """
    network = tmi.build("theorem1", data, realisation="literal")
    found = network.activations(data.test.images, ["conv", "logits"])
    inputs = found["conv"].flatten(1).double()
    right = torch.softmax(found["logits"].double(), 1).gather(1, torch.as_tensor(data.test.labels)[:, None])
    return inputs.shape[1], float(inputs.square().sum(1).mean()), float(1 - right.mean())


def said(results: tmi.Results) -> Iterator[str]:
    """Return for each task a table with the sentences of the report, a row a start."""
    for dataset, heading in TASKS.items():
        yield from (f"**{heading}**", "", "| start | units | accuracy |", "|---|---|---|")
        for start in starts_of(results, dataset):
            yield f"| {start.text} | {' | '.join(sentences(results, dataset, start))} |"
        yield ""


def changed(results: tmi.Results) -> Iterator[str]:
    """Return a row for each of the chosen changes from the start to the last epoch."""
    yield "| task | start | layer | measure | before | after | change (95 % interval) |"
    yield "|---|---|---|---|---|---|---|"
    for dataset, heading in TASKS.items():
        for start in starts_of(results, dataset):
            for measure, layer, first, last, moved in changes(results, dataset, start):
                if measure.metric.format(layer=layer) in CHANGED.get(start.text, ()):
                    yield f"| {heading} | {start.text} | `{layer}` | {measure.text} | {first:.3g} | {last:.3g} | {moved} |"


if __name__ == "__main__":
    main()
