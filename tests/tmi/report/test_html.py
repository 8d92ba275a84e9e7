from __future__ import annotations

import base64

from tests.tmi.report.pages import Page
from tmi.report import html
from tmi.runtime.plotting import PALETTE, figure_style

HOSTILE = "<script>alert('x')</script> & \"quoted\""


def test_text_is_escaped():
    for made in (
        html.paragraph(HOSTILE),
        html.bullets([HOSTILE, "b"]),
        html.table([HOSTILE], [[HOSTILE]], HOSTILE),
        html.folded(HOSTILE, html.paragraph("x")),
    ):
        page = Page(made)
        assert "script" not in page.tags
        assert HOSTILE in page.text
        assert page.problems == []


def test_a_table():
    page = Page(html.table(["a", "b"], [["x", 1], [None, 12345], [True, 0.123456], ["", 1e-9], [float("inf"), 2.0]], "caption"))
    assert page.cells == [["x", "1"], ["–", "12,345"], ["True", "0.1235"], ["", "1e-09"], ["inf", "2"]]
    assert page.tags.count("th") == 2
    assert Page(html.table([], [])).problems == []


def test_a_figure_is_a_png_inside_the_page():
    with figure_style():
        import matplotlib.pyplot as plt

        before = plt.get_fignums()
        drawn, axes = plt.subplots(figsize=(2, 1))
        axes.plot([0, 1])
        assert axes.lines[0].get_color() == PALETTE[0]
        page = Page(html.figure(drawn, HOSTILE, HOSTILE))
        assert plt.get_fignums() == before, "the figure is closed"
    (source,) = page.sources
    kind, _, data = source.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data).startswith(b"\x89PNG")
    assert page.attributes["img"]["alt"] == HOSTILE
    assert HOSTILE in page.text
    assert page.problems == []


def test_the_same_figure_gives_the_same_bytes():
    def draw():
        import matplotlib.pyplot as plt

        with figure_style():
            drawn, axes = plt.subplots(figsize=(2, 1))
            axes.plot([0, 1])
            return html.figure(drawn, "a", "b")

    assert draw() == draw()


def test_the_figure_style_leaves_no_trace():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    backend = mpl.get_backend()
    with figure_style():
        assert mpl.rcParams["font.size"] == 9
        assert mpl.rcParams["image.cmap"] == "gray"
        with figure_style(ink=True):
            assert mpl.rcParams["image.cmap"] == "gray_r"
        assert mpl.rcParams["image.cmap"] == "gray"
    assert mpl.get_backend() == backend
    assert {k: v for k, v in mpl.rcParams.items() if k != "backend"} == {k: v for k, v in before.items() if k != "backend"}
