import numpy as np
import pytest
import torch

from tests.plugins.tmi_probes.toys import Sums, dataset, small_cnn
from tmi_attribution.measures import curves
from tmi_attribution.measures.curves import deletion, flipped, flipping_curve, insertion

from .cases import asked, colour, contributions

RNG = np.random.default_rng(0)


def graded(images=5):
    """A network whose first logit is a twentieth of the sum of the pixels and whose others are less, so is the probability."""
    module = Sums()
    with torch.no_grad():
        module.logits.weight.mul_(0.05)
    truth = asked(module, images=images, dtype=torch.float64)
    truth.targets = torch.zeros_like(truth.targets)
    return truth


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
@pytest.mark.parametrize("fine", [False, True])
def test_the_score_is_the_area_under_the_probability(measure, insert, fine):
    truth = asked(images=6, dtype=torch.float64, data=colour())
    maps = RNG.normal(size=(6, 2, 8, 8))
    counts = flipped(64, 7, fine)
    for i in range(6):
        order = sorted(np.random.default_rng(0).permutation(64), key=lambda p: -maps[i].sum(0).ravel()[p])
        before, after = (truth.baselines[i], truth.images[i]) if insert else (truth.images[i], truth.baselines[i])
        curve = []
        for count in counts:
            image = before.clone().flatten(1)
            image[:, order[:count]] = after.flatten(1)[:, order[:count]]
            curve.append(float(truth.module(image.view_as(before)[None]).softmax(1)[0, truth.targets[i]]))
        area = np.trapezoid(curve, counts / 64)
        assert measure(maps, truth, steps=7, fine=fine)[i] == pytest.approx(area, abs=1e-12)


@pytest.mark.parametrize(("measure", "insert"), [(deletion, False), (insertion, True)])
def test_the_area_under_logits_is_a_share_of_their_change_with_its_sign(measure, insert):
    truth = asked(images=6, dtype=torch.float64)
    maps = RNG.normal(size=(6, 1, 8, 8))
    curve = flipping_curve(maps[:, 0], truth, steps=7, insert=insert)
    image, below = (curve[:, [-1]], curve[:, [0]]) if insert else (curve[:, [0]], curve[:, [-1]])
    share = [round(s * 64 / 7) / 64 for s in range(8)]
    expected = np.trapezoid((curve - below) / np.abs(image - below), share)
    assert (image < below).any()
    found = measure(maps, truth, steps=7, fine=False, output="logit")
    defined = ~np.isnan(found)
    assert defined.sum() >= 3
    assert found[defined] == pytest.approx(expected[defined])


def test_where_the_baseline_has_the_greater_logit_the_better_map_still_scores_better():
    """The old score was divided by f(x) − f(b) < 0: there the exact order scored worse than its inverse."""
    truth = graded()
    truth.images, truth.baselines = truth.baselines, truth.images
    exact = contributions(truth)
    for output in ("probability", "logit"):
        assert (deletion(exact, truth, output=output) < deletion(-exact, truth, output=output)).all()
        assert (insertion(exact, truth, output=output) > insertion(-exact, truth, output=output)).all()
    old = [_old_deletion(maps[:, 0], truth) for maps in (exact, -exact)]
    assert (old[0] > old[1]).all()


def _old_deletion(maps, truth):
    curve = flipping_curve(maps, truth) - truth.logit(truth.baselines)[:, None]
    return np.trapezoid(curve, dx=1 / 20) / (truth.logit(truth.images) - truth.logit(truth.baselines))


def test_ranking_is_signed_by_default():
    truth = asked(images=4)
    maps = RNG.normal(size=(4, 1, 8, 8))
    for measure in (deletion, insertion):
        assert (measure(maps, truth) != measure(-maps, truth)).all()
        assert measure(maps, truth, ranking="absolute").tolist() == measure(-maps, truth, ranking="absolute").tolist()
        assert measure(maps, truth, ranking="absolute").tolist() == measure(np.abs(maps), truth).tolist()


def test_to_insert_by_a_map_is_to_delete_by_its_negation():
    truth = asked(images=4, dtype=torch.float64)
    maps = RNG.normal(size=(4, 1, 8, 8))
    assert insertion(maps, truth) == pytest.approx(deletion(-maps, truth), abs=1e-12)


def test_of_a_linear_network_no_order_is_better_than_that_of_its_contributions():
    truth = graded()
    exact = contributions(truth)
    others = [RNG.random((5, 1, 8, 8)), 1 - exact, np.zeros((5, 1, 8, 8)), -exact]
    for output in ("probability", "logit"):
        assert all((deletion(exact, truth, output=output) < deletion(other, truth, output=output)).all() for other in others)
        assert all((insertion(exact, truth, output=output) > insertion(other, truth, output=output)).all() for other in others)
    # The curve of one linear in the pixels is the share of what is left.
    area = 1 - np.trapezoid(np.append(0, np.cumsum(np.sort(exact.reshape(5, -1))[:, ::-1], 1)[0])) / 64 / exact[0].sum()
    assert deletion(exact, truth, steps=64, output="logit")[0] == pytest.approx(area, abs=1e-5)


def test_few_pixels_are_asked_for_at_both_ends():
    assert flipped(1600, 10, True).tolist() == [
        *(0, 1, 4, 16, 64, 160, 320, 480, 640, 800, 960, 1120, 1280, 1440, 1536, 1584, 1596, 1599, 1600)
    ]
    assert flipped(1600, 10).tolist() == [*range(0, 1601, 160)]
    for pixels in (1, 2, 7):
        found = flipped(pixels, 10, True)
        assert found[0] == 0
        assert found[-1] == pixels
        assert (np.diff(found) > 0).all()


def test_the_bench_s_baseline_or_another():
    truth = asked(images=4)
    maps = RNG.normal(size=(4, 1, 8, 8))
    assert deletion(maps, truth, baseline="black").tolist() == deletion(maps, truth).tolist()
    other = deletion(maps, asked(images=4, baseline="background"))
    assert deletion(maps, truth, baseline="background").tolist() == other.tolist()
    assert (other != deletion(maps, truth)).any()


def test_a_map_of_zeros_is_a_constant_map_and_follows_no_rows():
    truth = asked(images=4)
    zeros, constant = (deletion(np.full((4, 1, 8, 8), v), truth) for v in (0.0, 0.7))
    assert zeros.tolist() == constant.tolist()
    step = curves.step_of_pixel(np.zeros((1, 64)), np.arange(0, 65, 8))
    assert (np.diff(step[0]) < 0).sum() > 20


@pytest.mark.parametrize("output", ["probability", "logit"])
def test_there_is_no_score_where_the_baseline_says_the_same(output):
    truth = asked(images=3)
    truth.baselines[1] = truth.images[1]
    assert np.isnan(deletion(np.ones((3, 1, 8, 8)), truth, output=output))[1]
    assert not np.isnan(deletion(np.ones((3, 1, 8, 8)), truth)[[0, 2]]).any()


def test_logits_have_no_score_where_their_change_is_small_beside_their_spread():
    truth = asked(images=4, dtype=torch.float64)
    truth.baselines = truth.images + 1e-3 * (truth.baselines - truth.images)
    maps = np.ones((4, 1, 8, 8))
    assert np.isnan(deletion(maps, truth, output="logit")).all()
    assert not np.isnan(deletion(maps, truth)).any()


def test_parts_and_neighbours_change_nothing(monkeypatch):
    module, maps = small_cnn(), RNG.random((6, 8, 8))
    whole = flipping_curve(maps, asked(module, 6, dtype=torch.float64), steps=5)
    monkeypatch.setattr(curves, "ELEMENTS", 800)
    truth = asked(module, 6, dtype=torch.float64)
    assert flipping_curve(maps, truth, steps=5) == pytest.approx(whole, abs=1e-12)
    assert flipping_curve(maps[[4]], truth[4:5], steps=5)[0] == pytest.approx(whole[4], abs=1e-12)
    assert dataset(40).test.labels[:6].unique().numel() > 1
