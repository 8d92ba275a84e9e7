"""Section 6.2 with the paper's settings over twenty seeds: how consistent training is, and why a seed fails."""

import numpy as np
import pytest

import tmi

SEEDS = 20


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The accuracy, the errors and the distances of twenty networks, on tiles of the shipped sample."""
    suite = {
        "seeds": list(range(SEEDS)),
        "datasets": {"fashion": {"use": "fashion", "source": "sample"}},
        "networks": {"trained": {"use": "cnn"}},
        "probes": {"accuracy": {"use": "accuracy"}, "confused": {"use": "confused-tiles"}},
    }
    results = tmi.run(suite, store=tmp_path_factory.mktemp("store"))
    assert not results.failed
    accuracy = np.array(results.select(probe="accuracy").values("accuracy"))
    confused = [entry.metrics for entry in results.select(probe="confused")]
    return accuracy, confused


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_more_than_99_percent_in_all_seeds_but_those_with_similar_tiles(runs):
    accuracy, confused = runs
    assert len(accuracy) == SEEDS
    assert np.mean(accuracy) > 0.99
    failing = np.flatnonzero(accuracy <= 0.99)
    assert len(failing) <= 2
    least = np.array([metrics["least_distance"] for metrics in confused])
    # The seed with the two most similar tiles is the one that fails, and its errors are between these two.
    worst = int(accuracy.argmin())
    assert worst == int(least.argmin())
    assert confused[worst]["nearest_share"] > 0.9
    assert np.sort(least)[1] > 1.2 * least[worst]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tiles_are_the_cause_and_not_the_initial_weights():
    data = tmi.generate("fashion", seed=1, source="sample")
    others = [tmi.probe("accuracy", tmi.build("cnn", data, seed=seed), data).metrics["accuracy"] for seed in (0, 2)]
    assert max(others) < 0.99
    # The same images with another dress.
    dress = data.task.class_names.index("Dress")
    spare = tmi.generate("fashion", seed=0, source="sample", samples=1, test_samples=1).task.classes[dress]
    task = tmi.TemplateTask([spare if i == dress else c for i, c in enumerate(data.task.classes)], data.task.image_shape)
    train, test = (
        tmi.Scenes(task, scenes.backgrounds, scenes.tile, scenes.row, scenes.col) for scenes in (data.train, data.test)
    )
    changed = tmi.Dataset(task, train, test)
    network = tmi.build("cnn", changed, seed=1)
    assert tmi.probe("accuracy", network, changed).metrics["accuracy"] > 0.99
