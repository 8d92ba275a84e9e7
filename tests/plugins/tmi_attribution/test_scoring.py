"""A measure is given its own maps, its scores are checked, and chance and the oracle are scored beside them."""

import numpy as np
import pytest

import tmi
from tests.plugins.tmi_attribution.boards import bench
from tmi_attribution.scoring import Score, skill, skill_by_image


def test_measures_of_one_name_are_not_taken_for_each_other(data, trained):
    def greatest(maps, truth):
        return maps.max((1, 2))

    def least(maps, truth):
        return maps.min((1, 2))

    least.__name__ = "greatest"
    one, other = (bench(trained, data, "saliency", measures=[measure]).metrics for measure in (greatest, least))
    assert one["greatest.oracle"] == 1
    assert other["greatest.oracle"] == 0


def test_a_measure_may_write_into_its_maps(data, trained):
    @tmi.attribution_measure(scored="signed")
    def spoils(maps, truth):
        maps *= 0
        return maps.sum((1, 2, 3))

    alone = bench(trained, data, "saliency", measures=["mass"])
    beside = bench(trained, data, "saliency", measures=[spoils, "mass"])
    assert beside.metrics["mass"] == alone.metrics["mass"]
    assert (beside.arrays["signed"].values == alone.arrays["signed"].values).all()


@pytest.mark.parametrize(
    ("returned", "message"),
    [(lambda maps: maps, "one score for each image"), (lambda maps: np.full(len(maps), np.inf), "infinity")],
)
def test_what_a_measure_returns_is_checked(data, trained, returned, message):
    def bad(maps, truth):
        return returned(maps)

    with pytest.raises(tmi.PluginError, match=f"measure bad: returned .*{message}"):
        bench(trained, data, "saliency", measures=[bad])


def test_measures_that_run_the_method_again_may_look_at_fewer_images(data, trained):
    result = bench(trained, data, "saliency", measures=["mass", "contrast"], again=4)
    assert np.isfinite(result.arrays["score"].values).sum(1).tolist() == [12, 4]
    whole = bench(trained, data, "saliency", measures=["contrast"])
    assert result.arrays["score"].values[1, :4] == pytest.approx(whole.arrays["score"].values[0, :4])


def test_skill():
    assert skill(0.25, 0.25, 1.0) == 0
    assert skill(1.0, 0.25, 1.0) == 1
    assert skill(0.0, 0.25, 1.0) == pytest.approx(-1 / 3)
    assert skill(0.1, 0.8, 0.2) == pytest.approx(7 / 6)  # lower is better, and it is better than the oracle


def test_chance_spreads_as_the_means_of_independent_maps_do():
    """Two random maps for each image tell the spread of the mean over 100 images."""
    rng = np.random.default_rng(0)
    shift = rng.normal(size=100)  # some images have higher chance
    drawn = shift + rng.normal(size=(2, 100))
    score = Score(shift, drawn.mean(0), shift, 100, drawn)
    found = score.chance_of_mean(np.ones(100, bool))
    assert found.draws >= 20
    assert found.mean == pytest.approx(shift.mean(), abs=0.3)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(0.1, rel=0.25)
    drawn[0, 3] = np.nan
    assert np.isfinite(score.chance_of_mean(np.ones(100, bool)).mean)
    assert score.chance_of_mean(np.zeros(100, bool)) is None
    assert Score(shift, shift, shift, 100).chance_of_mean(np.ones(100, bool)) is None


def test_skills_by_image_have_the_mean_skill_as_their_mean():
    rng = np.random.default_rng(0)
    score, chance, oracle = rng.random((4, 30)), rng.random((4, 30)) * 0.3, 0.8 + rng.random((4, 30)) * 0.2
    by_hand = np.mean([(s.mean() - c.mean()) / (o.mean() - c.mean()) for s, c, o in zip(score, chance, oracle, strict=True)])
    assert skill_by_image(score, chance, oracle).mean() == pytest.approx(by_hand)
    assert skill_by_image(oracle, chance, oracle) == pytest.approx(np.ones(30))  # for any images
    assert skill_by_image(chance, chance, oracle) == pytest.approx(np.zeros(30))


def test_skills_by_image_spread_as_the_skill_does():
    """Their bootstrap interval is that of the ratio of means itself."""
    rng = np.random.default_rng(1)
    score, chance, oracle = rng.random(200), rng.random(200) * 0.3, 0.6 + rng.random(200) * 0.4
    each = skill_by_image(score[None], chance[None], oracle[None])
    drawn = rng.integers(0, 200, (2000, 200))
    ratio = (score - chance)[drawn].mean(1) / (oracle - chance)[drawn].mean(1)
    assert each[drawn].mean(1).std() == pytest.approx(ratio.std(), rel=0.02)


def test_skills_by_image_leave_out_what_is_undefined():
    score = np.array([[0.5, np.nan], [1.0, 1.0], [0.3, 0.3]])
    chance, oracle = np.array([[0.0, 0], [0, 0], [0.3, 0.3]]), np.array([[1.0, 1], [1, 1], [0.3, 0.3]])
    # The first measure lacks the second image, the third cannot tell the oracle from chance.
    assert skill_by_image(score, chance, oracle) == pytest.approx([0.75, 1.0])
    assert np.isnan(skill_by_image(score[2:], chance[2:], oracle[2:])).all()
