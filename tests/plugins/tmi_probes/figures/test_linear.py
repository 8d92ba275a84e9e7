"""Figures of linear pieces: what they write on themselves is what the results say."""

import matplotlib.pyplot as plt
import pytest

import tmi
from tests.plugins.tmi_probes.toys import cnn_network, dataset
from tmi.runtime.plotting import CONSTRUCTED, TRAINED, figure_style
from tmi_probes.figures.linear import local_forms, pieces_on_paths


@pytest.fixture(scope="module")
def networks():
    data = dataset(40)
    return data, {"theorem 1: fused": tmi.build("theorem1", data), "cnn, 4 filters": cnn_network()}


def results_of(networks, probe, **settings):
    """Results and origins by network: the two arguments that every figure takes."""
    data, by_name = networks
    results = {name: tmi.probe(probe, net, data, seed=0, **settings) for name, net in by_name.items()}
    return results, {name: net.origin for name, net in by_name.items()}


@pytest.fixture(autouse=True)
def _styled():
    with figure_style():
        yield
        plt.close("all")


def test_local_forms_has_a_row_an_image_and_a_column_a_network(networks):
    drawn = local_forms(*results_of(networks, "local-linear-form", images=5, tiles=1, backgrounds=2, places=2), images=3)
    assert len(drawn.axes) == 3 * 3
    assert [axis.get_title() for axis in drawn.axes[:3]] == ["image", "theorem 1:\nfused", "cnn,\n4 filters"]
    assert [axis.title.get_color() for axis in drawn.axes[1:3]] == [CONSTRUCTED, TRAINED]


def test_pieces_on_paths_says_how_many(networks):
    results, origins = results_of(networks, "linear-regions", images=10, paths=1)
    drawn = pieces_on_paths(results, origins)
    assert [axis.lines[0].get_color() for axis in drawn.axes[:2]] == [CONSTRUCTED, TRAINED]
    titles = [axis.get_title().splitlines()[-1] for axis in drawn.axes]
    counts = [r.metrics[f"path_regions.{kind}"] for kind in ("background", "translation") for r in results.values()]
    assert titles == [f"{int(count):,} piece{'' if count == 1 else 's'}" for count in counts]
