"""Every public object shows itself: HTML that is whole, escaped and small, plots on axes, and a text of one line."""

from __future__ import annotations

import warnings
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest

import tmi

from .shown import OBJECTS, SCRIPT, made

mpl.use("agg")

VOID = {"img", "br"}


class Page(HTMLParser):
    """Reads HTML; an element that is not closed, or closed twice, is an error."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], set(), [], ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", OBJECTS)
def test_html_is_whole_escaped_and_small(name):
    html = made(name)._repr_html_()
    page = Page(html)
    assert len(html) <= 100_000
    assert page.tags <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td", "img"}
    assert page.text.strip()
    for attribute, value in page.attributes:
        assert attribute in {"class", "style", "alt", "src", "width", "height", "scope"}
        assert attribute != "src" or value.startswith("data:image/png;base64,")
        assert attribute != "style" or not {"color:#", "background"} & set(value.split(";"))  # the page's colours
        assert attribute != "alt" or value


def test_names_are_shown_as_they_are():
    assert SCRIPT in Page(made("class")._repr_html_()).text
    assert SCRIPT in Page(made("task")._repr_html_()).text
    assert SCRIPT in Page(made("explanation")._repr_html_()).text


@pytest.mark.parametrize("name", OBJECTS)
def test_text_is_short(name):
    assert len(repr(made(name))) < 15_000  # the longest name here is 12,000 characters long


def test_the_reader_finds_what_is_wrong():
    for wrong in ("<div>", "<div></p>", "</div>"):
        with pytest.raises((AssertionError, IndexError)):
            Page(wrong)


@pytest.fixture
def pyplot():
    import matplotlib.pyplot as plt

    plt.close("all")
    yield plt
    plt.close("all")


PLOTTED = [name for name in OBJECTS if "class" not in name.split() and name not in ("directions", "no results")]
USUAL = ("tile", "task", "labelled task", "scenes", "data set", "network", "matches", "explanation", "result", "results")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in USUAL else [pytest.mark.slow]) for name in PLOTTED])
def test_plot_returns_axes_and_leaves_other_figures(name, pyplot):
    mine, others = pyplot.subplots()
    settings, backend = mpl.rcParams.copy(), mpl.get_backend()
    shown = made(name)
    if name == "scenes that cannot be rendered":
        with pytest.raises(RuntimeError, match="a background that cannot be rendered"):
            shown.plot()
        return
    axes = shown.plot()
    assert isinstance(axes, mpl.axes.Axes)
    assert axes.figure is not mine
    assert (dict(mpl.rcParams), mpl.get_backend()) == (dict(settings), backend)
    assert shown.plot(ax=others) is others
    assert set(pyplot.get_fignums()) == {mine.number, axes.figure.number}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as a sign that no font has, or a layout that has no room
        axes.figure.draw_without_rendering()


def test_all_public_classes_are_here():
    shown = {type(made(name)) for name in OBJECTS}
    plain = {"LabelledArray", "MetricInfo", "Separation", "Store", "RoundingWarning"}  # their repr says it
    public = {name for name in tmi.__all__ if isinstance(one := getattr(tmi, name), type) and not issubclass(one, Exception)}
    assert public - plain == {one.__name__ for one in shown} & public
    assert all(len(repr(one)) < 200 for one in (tmi.LabelledArray(("x",), np.arange(10**6)), tmi.MetricInfo("a share")))
