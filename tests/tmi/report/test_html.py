from __future__ import annotations

import base64
from urllib.parse import unquote

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


def line(size=(2, 1)):
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(figsize=size)
    axes.plot([0, 1])
    return drawn


def test_a_figure_is_an_svg_inside_the_page():
    with figure_style():
        import matplotlib.pyplot as plt

        before = plt.get_fignums()
        drawn = line()
        assert drawn.axes[0].lines[0].get_color() == PALETTE[0]
        page = Page(html.figure(drawn, HOSTILE, HOSTILE))
        assert plt.get_fignums() == before, "the figure is closed"
    (source,) = page.sources
    kind, _, data = source.partition(",")
    assert kind == "data:image/svg+xml"
    assert unquote(data).startswith("<svg ")
    assert page.attributes["img"]["alt"] == HOSTILE
    assert HOSTILE in page.text
    assert page.problems == []
    assert page.links == [], "the page's script offers the image itself"


def test_a_large_figure_is_a_png_with_a_pdf_to_download(monkeypatch):
    monkeypatch.setattr("tmi.report.embed.LARGEST_SVG", 1000)
    with figure_style():
        page = Page(html.figure(line(), "How it rises: 1 to 2", "caption"))
    (source,), (link,) = page.sources, page.links
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert base64.b64decode(link.removeprefix("data:application/pdf;base64,")).startswith(b"%PDF")
    assert page.attributes["a"]["download"] == "how-it-rises-1-to-2.pdf"


def test_a_phone_gets_a_figure_of_its_own():
    with figure_style():
        page = Page(html.figure(line((6, 2)), "alt", "caption", narrow=line((3, 2))))
    assert len(page.sources) == 2
    address = page.attributes["source"]["srcset"]
    assert " " not in address, "it would end there"
    assert unquote(address).startswith("data:image/svg+xml,<svg ")
    assert page.attributes["source"]["media"] == "(max-width: 640px)"
    assert 280 < float(page.attributes["picture"]["style"].removeprefix("--narrow:").removesuffix("px")) < 310


def test_long_cells_keep_a_width_and_prose_has_its_heads():
    text = html.table(["a", "b", "c"], [["x" * 49, "y", 1], ["x", "y" * 48, 2.0]])
    assert text.count('class="long"') == 3  # the head and two cells
    assert "data-head" not in text
    text = html.table(["a", "b", "c<"], [["x" * 65, 1, "y" * 65]])
    assert '<table class="prose">' in text
    assert 'data-head="c&lt;"' in text


def test_definitions_and_code():
    page = Page(html.definitions([(HOSTILE, "what"), ("b", HOSTILE)]) + html.code(HOSTILE))
    assert page.problems == []
    assert page.text.count(HOSTILE) == 3
    assert page.tags.count("dt") == page.tags.count("dd") == 2


def test_the_same_figure_gives_the_same_bytes():
    def draw():
        with figure_style():
            return html.figure(line(), "a", "b")

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
