"""A measure is given its own maps, its scores are checked, and chance and the oracle are scored beside them."""

import numpy as np
import pytest

import tmi
from tests.plugins.tmi_attribution.boards import bench


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
