from __future__ import annotations

import pytest

from tests.tmi import toys
from tmi import load_suite


@pytest.fixture
def toy(tmp_path):
    """Read a suite whose plug-in is the toys; a text is a TOML file beside them."""
    file = toys.plugin(tmp_path)

    def read(content, head=""):
        if isinstance(content, dict):
            return load_suite(content, plugins=[file])
        return load_suite(toys.suite(tmp_path, content, head=head), plugins=[file])

    return read


def with_dataset(lines: str) -> str:
    return toys.BASE.replace('use = "toy-data"', f'use = "toy-data"\n{lines}')


def test_two_kinds_sweep_settings_of_one_name(toy, tmp_path):
    text = toys.TOYS.replace("width: Count = 1", "samples: Count = 1")
    toys.plugin(tmp_path, text=text)
    content = toys.BASE.replace('"toy-data"', '"toy-data"\nsweep.samples = [1, 2]').replace(
        '"toy-net"', '"toy-net"\nsweep.samples = [2, 3]'
    )
    file = toys.plugin(tmp_path, "toys2", text)
    suite = load_suite(toys.suite(tmp_path, content, head=""), plugins=[file])
    assert suite.columns == {"dataset.samples": ("dataset", "samples"), "network.samples": ("network", "samples")}
    skip = toys.suite(tmp_path, content + "[[skip]]\nsamples = 2\n", head="")
    assert [str(cell) for cell in load_suite(skip, plugins=[file]).cells] == ["d[samples=1]/n[samples=3]/p seed 0"]


def test_a_swept_setting_with_the_name_of_a_column(toy):
    suite = toy(toys.BASE.replace('"toy-probe"', '"toy-probe"\nsweep.metric = ["l1", "l2"]'))
    assert suite.columns == {"probe.metric": ("probe", "metric")}
