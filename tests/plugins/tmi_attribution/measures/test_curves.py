import numpy as np
import pytest
import torch

from tests.plugins.tmi_probes.toys import dataset, small_cnn
from tmi_attribution.measures import curves
from tmi_attribution.measures.curves import deletion, flipping_curve, insertion

from .cases import asked, colour, contributions, sums

RNG = np.random.default_rng(0)


def plain(values, truth, i, steps, insert):
    """Flip the pixels of one image one after the other, and look at each step."""
    pixels = values.size
    shuffled = np.random.default_rng(0).permutation(pixels)
    order = sorted(shuffled, key=lambda p: -values.ravel()[p])  # sorted keeps the order of equals
    before, after = (truth.baselines[i], truth.images[i]) if insert else (truth.images[i], truth.baselines[i])
    image, curve = before.clone(), []
    for step in range(steps + 1):
        for p in order[: round(step * pixels / steps)]:
            row, col = divmod(int(p), values.shape[1])
            image[:, row, col] = after[:, row, col]
        curve.append(float(truth.module(image[None])[0, truth.targets[i]]))
    return curve


@pytest.mark.parametrize("baseline", ["black", "background"])
@pytest.mark.parametrize("insert", [False, True])
@pytest.mark.parametrize("steps", [1, 7, 64, 100])
def test_against_flipping_one_pixel_after_the_other(baseline, insert, steps):
    truth = asked(images=3, baseline=baseline, dtype=torch.float64)
    maps = RNG.integers(0, 4, (3, 8, 8)) / 3
    found = flipping_curve(maps, truth, steps=steps, insert=insert)
    expected = [plain(maps[i], truth, i, steps, insert) for i in range(3)]
    assert found == pytest.approx(np.array(expected), abs=1e-12)


def test_colour_flips_all_channels_of_a_pixel():
    truth = asked(images=2, dtype=torch.float64, data=colour())
    maps = RNG.random((2, 8, 8))
    assert flipping_curve(maps, truth, steps=5)[1] == pytest.approx(plain(maps[1], truth, 1, 5, False), abs=1e-12)


@pytest.mark.parametrize(("measure", "insert"), [(deletion, False), (insertion, True)])
def test_the_score_is_the_area_under_the_curve(measure, insert):
    truth = asked(images=6, dtype=torch.float64)
    maps = RNG.random((6, 8, 8))
    curve = flipping_curve(maps, truth, steps=7, insert=insert)
    start, end = (curve[:, -1:], curve[:, :1]) if insert else (curve[:, :1], curve[:, -1:])
    share = [round(s * 64 / 7) / 64 for s in range(8)]
    assert measure(maps, truth, steps=7) == pytest.approx(np.trapezoid((curve - end) / (start - end), share))


def test_of_a_linear_network_no_order_is_better_than_that_of_its_contributions():
    truth = asked(sums(), images=5)
    exact = contributions(truth)[:, 0]
    others = [RNG.random((5, 8, 8)), 1 - exact, np.zeros((5, 8, 8))]
    assert all((deletion(exact, truth) < deletion(other, truth)).all() for other in others)
    assert all((insertion(exact, truth) > insertion(other, truth)).all() for other in others)
    # The curve of one linear in the pixels is the share of what is left.
    area = 1 - np.trapezoid(np.append(0, np.cumsum(np.sort(exact.reshape(5, -1))[:, ::-1], 1)[0])) / 64 / exact[0].sum()
    assert deletion(exact, truth, steps=64)[0] == pytest.approx(area, abs=1e-5)
    assert deletion(exact, truth) + insertion(exact, truth) == pytest.approx([1] * 5, abs=1e-5)


def test_a_map_of_zeros_is_a_constant_map_and_follows_no_rows():
    truth = asked(images=4)
    zeros, constant = (deletion(np.full((4, 8, 8), v), truth) for v in (0.0, 0.7))
    assert zeros.tolist() == constant.tolist()
    step = curves._step_of_pixel(np.zeros((1, 64)), np.arange(0, 65, 8))
    assert (np.diff(step[0]) < 0).sum() > 20


def test_there_is_no_score_where_the_baseline_has_the_same_logit():
    truth = asked(images=3)
    truth.baselines[1] = truth.images[1]
    assert np.isnan(deletion(np.ones((3, 8, 8)), truth)).tolist() == [False, True, False]


def test_parts_and_neighbours_change_nothing(monkeypatch):
    module, maps = small_cnn(), RNG.random((6, 8, 8))
    whole = flipping_curve(maps, asked(module, 6, dtype=torch.float64), steps=5)
    monkeypatch.setattr(curves, "ELEMENTS", 800)
    truth = asked(module, 6, dtype=torch.float64)
    assert flipping_curve(maps, truth, steps=5) == pytest.approx(whole, abs=1e-12)
    assert flipping_curve(maps[[4]], truth[4:5], steps=5)[0] == pytest.approx(whole[4], abs=1e-12)
    assert dataset(40).test.labels[:6].unique().numel() > 1
