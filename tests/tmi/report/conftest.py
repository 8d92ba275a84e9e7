from __future__ import annotations

import pytest

import tmi
from tests.tmi import toys
from tmi.runs.runner import load_results

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
    names = {"fine", "broken", "none", "tmi_error", "empty"}
    return {name.replace("_", "-"): f"STEM:{name}" for name in names}


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


def empty(results):
    \"\"\"Return no section.\"\"\"
    return []


def tmi_error(results):
    \"\"\"Ask for what is not there.\"\"\"
    results.select(nosuch=1)
"""


ABOUT = """
import tmi
from tmi.report import Section, for_probes, paragraph


@tmi.hookimpl
def tmi_reports():
    return {"about": "STEM:about"}


@for_probes("toy-probe", "another")
def about(results):
    \"\"\"Say which labels the probe has.\"\"\"
    labels = {entry.probe for entry in results if entry.registered_probe == "toy-probe"}
    return [Section("About", paragraph(f"About toy-probe, label {', '.join(labels)}"))]
"""


MISSING = """
import tmi


@tmi.hookimpl
def tmi_reports():
    return {"missing": "nowhere.at_all:sections"}
"""


@pytest.fixture
def quick_figures(monkeypatch):
    """Figures are closed and not saved, which takes most of the time of a page."""

    def closed(drawn):
        import matplotlib.pyplot as plt

        plt.close(drawn)
        return "data:,", "", 400

    monkeypatch.setattr("tmi.report.embed.embedded", closed)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    toys.plugin(folder)
    for name, text in (("reports", REPORTS), ("about", ABOUT), ("missing", MISSING)):
        toys.plugin(folder, name, text)
    return tmi.run(toys.suite(folder, SUITE, head=HEAD), folder / "store"), folder


@pytest.fixture
def results(ran):
    return load_results(ran[1] / "suite.toml", ran[1] / "store")
