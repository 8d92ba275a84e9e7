import numpy as np
import pytest
import torch

import tmi


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1.5])
def test_labels_are_exact(seed, epsilon):
    data = tmi.generate("squares", seed=seed, samples=200, test_samples=100, epsilon=epsilon)
    for scenes in (data.train, data.test):
        assert torch.equal(data.task.labels(scenes.images), scenes.labels)
        assert set(scenes.labels.tolist()) == {0, 1}


def test_is_what_section_6_1_says():
    data = tmi.generate("squares")
    assert (len(data.train), len(data.test)) == (400, 1000)
    assert data.train.images.shape == (400, 1, 4, 4)
    assert data.train.images.dtype == torch.float32
    assert data.task.class_names == ("black", "white")  # the first logit is the black square's
    assert [tile.values.ravel().tolist() for tile in data.task.tiles] == [[1.0] * 4, [0.0] * 4]
    assert data.task.ink
    assert all(tile.support.all() and tile.shape == (1, 2, 2) for tile in data.task.tiles)


def test_the_square_is_where_the_mask_says():
    data = tmi.generate("squares", samples=100)
    assert (data.train.masks.sum((1, 2)) == 4).all()
    for image, mask, label in zip(data.train.images[:, 0], data.train.masks, data.train.labels, strict=True):
        assert image[mask].tolist() == [1.0 - float(label)] * 4


def test_all_places_and_both_squares_occur_about_equally():
    train = tmi.generate("squares", samples=1800).train
    seen = np.zeros((2, 3, 3))
    np.add.at(seen, (train.tile.numpy(), train.row.numpy(), train.col.numpy()), 1)
    assert seen.min() > 50  # 100 expected
    assert seen.max() < 150


def test_seed():
    one, same, other = (tmi.generate("squares", seed=s, samples=50, test_samples=20) for s in (1, 1, 2))
    assert torch.equal(one.train.images, same.train.images)
    assert torch.equal(one.test.images, same.test.images)
    assert not torch.equal(one.train.images, other.train.images)


def test_training_size_does_not_change_the_test_set():
    small, large = (tmi.generate("squares", seed=3, samples=n, test_samples=20) for n in (10, 70))
    assert torch.equal(small.test.images, large.test.images)
    assert not torch.equal(small.train.images, small.test.images[:10])


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"epsilon": 4.1}, "cannot be told apart"),
        ({"epsilon": 3.0}, "use a smaller epsilon than 3"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"samples": 0}, "samples"),
        ({"test_samples": -1}, "test_samples"),
        ({"samples": 2.5}, "samples"),
        ({"sample": 3}, 'did you mean "samples"'),
    ],
)
def test_bad_settings(given, what):
    with pytest.raises(tmi.InputError, match=what) as caught:
        tmi.generate("squares", **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(3))
def test_auto_epsilon_is_half_the_distance(seed):
    data = tmi.generate("squares", seed=seed, samples=200, test_samples=100, epsilon="auto")
    assert [tile.epsilon for tile in data.task.tiles] == [2.0, 2.0]
    assert data.task.separation().epsilon == 4.0
    for scenes in (data.train, data.test):
        assert torch.equal(data.task.labels(scenes.images), scenes.labels)


def test_auto_epsilon_in_a_suite(tmp_path):
    (tmp_path / "auto.toml").write_text("""
[datasets.squares]
use = "squares"
samples = 20
test_samples = 20
sweep.epsilon = [0.5, "auto"]
[networks.theorem1]
use = "theorem1"
[probes.certificate]
use = "certificate"
""")
    results = tmi.run(tmp_path / "auto.toml", store=tmp_path / "store")
    assert not results.failed
    assert results.values("certified") == [1.0, 1.0]
    assert all(entry.record["ink"] for entry in results)  # the report draws them so
    assert results.select(epsilon="auto").values("radius_min")[0] >= 0
    (tmp_path / "wrong.toml").write_text((tmp_path / "auto.toml").read_text().replace('"auto"', '"aut"'))
    with pytest.raises(tmi.SuiteError, match=r"epsilon: expected float > 0 \| \"auto\", got 'aut'; did you mean \"auto\""):
        tmi.load_suite(tmp_path / "wrong.toml")


def test_auto_is_described():
    assert 'float > 0 | "auto"' in str(tmi.describe("dataset", "squares"))
