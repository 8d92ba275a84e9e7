from __future__ import annotations

import pytest

import tmi
from tests.tmi import toys
from tmi.runs.runner import collect

HOSTILE = "<script>alert('x')</script>"


SUITE = f"""
[datasets."{HOSTILE}"]
use = "toy-data"
sweep.samples = [2, 4]
[networks.n]
use = "toy-net"
[networks.m]
use = "toy-net"
sweep.width = [1, 2]
[probes.p]
use = "toy-probe"
[probes.bad]
use = "bad-probe"
how = "bracket"
"""


HEAD = f'plugins = ["toys.py"]\nname = "{HOSTILE}"\ndescription = "{HOSTILE} {{{{ 7 * 7 }}}}"\nseeds = [0, 1]'


REPORTS = """
import tmi


@tmi.hookimpl
def tmi_reports():
    return {"fine": "STEM:fine", "broken": "STEM:broken", "none": "STEM:none", "tmi-error": "STEM:tmi_error"}


def fine(results):
    \"\"\"Say a little, and draw.\"\"\"
    from tmi.report import Section
    from tmi.report.html import figure, paragraph
    from tmi.runtime.plotting import figure_style

    with figure_style():
        import matplotlib.pyplot as plt

        drawn, axes = plt.subplots(figsize=(1, 1))
        axes.plot(results.values("total"))
        return [Section("", paragraph("the summary")), Section("A <figure>", figure(drawn, "alt", "caption"))]


def broken(results):
    \"\"\"Fail.\"\"\"
    return results.nosuch


def none(results):
    \"\"\"Return nothing.\"\"\"


def tmi_error(results):
    \"\"\"Ask for what is not there.\"\"\"
    results.select(nosuch=1)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    toys.plugin(folder)
    toys.plugin(folder, "reports", REPORTS)
    return tmi.run(toys.suite(folder, SUITE, head=HEAD), folder / "store"), folder


@pytest.fixture
def results(ran):
    return collect(ran[1] / "suite.toml", ran[1] / "store")
