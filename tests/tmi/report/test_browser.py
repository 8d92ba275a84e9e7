"""The page in a real browser: at a phone's, a tablet's and a desk's width, light, dark and printed, by mouse and by keyboard."""

from __future__ import annotations

import pytest

import tmi
from tests.browser import Page, chromium, needs_chromium
from tmi.report.page import write
from tmi.runs.results import Entry, Results

pytestmark = [pytest.mark.slow, needs_chromium]

SIZES = [(width, dark) for width in (400, 800, 1400) for dark in (False, True)]
WORDS = (
    "The network has no layer of maps, so that there is nothing that could be moved; choose another network, or another probe."
)


def results():
    """Swept settings of every kind, many rows, failures, cells that are not applicable, long names and texts."""
    entries = []

    def add(network, probe, seed, swept, status="ok", message="", **metrics):
        names = {name.partition(".")[0] for name in metrics}
        info = {name: tmi.MetricInfo(f"What {name} means: {WORDS}", "higher", 0, None, "logit") for name in names}
        found = tmi.ProbeResult(metrics, info=info)
        swept = {"epochs": None, "width": None, "optimizer": None, **swept}
        record = {
            "tmi": tmi.__version__,
            "versions": {"torch": "2"},
            "data": {"source": "x" * 200},
            "finished": "2026",
            "threads": 1,
        }
        name = f"d/{network}/{probe} seed {seed} {swept}"
        entries.append(
            Entry(
                name,
                "a-data-set",
                network,
                probe,
                seed,
                swept,
                status,
                "k",
                metrics,
                message,
                record=record,
                notes=(WORDS,),
                _result=found,
            )
        )

    for seed in range(5):
        for epochs in (1, 10, 100):
            add("trained", "accuracy", seed, {"epochs": epochs}, accuracy=0.5 + epochs / 250 + seed / 100, margin=epochs - seed)
            for width in (4, 8):
                add("wide", "accuracy", seed, {"epochs": epochs, "width": width}, accuracy=0.5 + width / 100 + epochs / 300)
        for optimizer in ("sgd", "adam"):
            add("other", "accuracy", seed, {"optimizer": optimizer}, accuracy=0.9 - seed / 100)
        for place, network in enumerate(("theorem1", "theorem2")):
            add(network, "accuracy", seed, {}, accuracy=1.0 - place / 10, margin=2.0)
            add(
                network,
                "many",
                seed,
                {},
                **{f"metric_of_a_long_name.{i:02d}": (i * 7) % 10 + seed / 100 + place for i in range(30)},
            )
    add("trained", "broken", 0, {"epochs": 1}, "failed", f"ValueError: {WORDS}")
    add("trained", "maps", 0, {"epochs": 1}, "not applicable", WORDS)
    columns = dict.fromkeys(("epochs", "width", "optimizer"), "network")
    return Results(entries, name="a report", description=WORDS, columns=columns)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tmi.report.embed.LARGEST_SVG", 20_000)  # some of the figures are PNGs
        file = write(results(), tmp_path_factory.mktemp("page"))
    text = file.read_text()
    assert "data:image/png" in text
    assert "data:image/svg" in text
    return file


@pytest.fixture(scope="module")
def browser():
    with chromium() as page:
        yield page


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(part => (part.open = true))")


@pytest.mark.parametrize(("width", "dark"), SIZES)
def test_at_every_size_and_colour(browser, file, width, dark):
    browser.open(file, width=width, dark=dark)
    assert browser.overflow() == []
    unfold(browser)
    assert browser.overflow() == []
    assert browser.axe() == []
    assert browser.problems == browser.requests == []
    assert browser.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background != "rgb(255, 255, 255)") == dark
    assert browser.evaluate("getComputedStyle(document.querySelector('.drawing')).backgroundColor") == "rgb(255, 255, 255)"


def test_without_scripts(browser, file):
    browser.open(file, width=400, scripts=False)
    assert browser.overflow() == []
    assert browser.evaluate("document.querySelectorAll('button, input').length") == 0, "nothing that would do nothing"
    assert browser.evaluate("[...document.querySelectorAll('.part')].every(part => part.open)")


@pytest.mark.parametrize("width", [400, 1400])
def test_the_contents_stay_and_mark_where_one_is(browser, file, width):
    browser.open(file, width=width)
    where = "nav.beside" if width == 1400 else "nav.above"
    if width == 400:
        assert not browser.evaluate("document.querySelector('nav.above ol').checkVisibility()")
        browser.click("nav.above summary")
    browser.click(f"{where} li:nth-child(3) a")
    assert browser.evaluate("location.hash") == "#s3"
    assert browser.evaluate(f"document.querySelector('{where}').getBoundingClientRect().top") == 0
    top = browser.evaluate("document.querySelector('#s3').getBoundingClientRect().top")
    assert -5 < top < 120
    wait = "new Promise(done => setTimeout(() => done(document.querySelector('nav [aria-current]').hash), 200))"
    assert browser.evaluate(wait) == "#s3"
    if width == 400:
        assert not browser.evaluate("document.querySelector('nav.above details').open")


def test_a_link_opens_a_folded_section(browser, file):
    browser.open(file)
    browser.evaluate("document.querySelector('#s4 .part').open = false")
    browser.click("nav.beside a[href='#s4']")
    assert browser.evaluate("new Promise(done => setTimeout(() => done(document.querySelector('#s4 .part').open), 50))")


MANY = "[...document.querySelectorAll('.wide table')].find(table => table.caption?.textContent.startsWith('many on'))"
"""The table with thirty metrics: metric, better, theorem1, theorem2."""


def column(page, place):
    return page.evaluate(f"[...{MANY}.tBodies[0].rows].map(row => row.cells[{place}].textContent)")


def test_a_table_is_sorted_by_mouse_and_by_keyboard(browser, file):
    browser.open(file)
    unfold(browser)
    before = column(browser, 2)
    browser.evaluate(f"{MANY}.id = 'many'")
    browser.click("#many th:nth-child(3) button")
    state = "document.querySelector('#many th:nth-child(3)').getAttribute('aria-sort')"
    assert browser.evaluate(state) == "ascending"
    numbers = [float(text.split()[0]) for text in column(browser, 2)]
    assert numbers == sorted(numbers)
    assert column(browser, 2) != before
    browser.key("Enter")
    assert browser.evaluate(state) == "descending"
    assert [float(text.split()[0]) for text in column(browser, 2)] == numbers[::-1]
    browser.key(" ")
    assert browser.evaluate(state) is None
    assert column(browser, 2) == before
    browser.click("#many th:nth-child(1) button")
    names = column(browser, 0)
    assert names == sorted(names)
    assert browser.evaluate("document.querySelectorAll('#many [aria-sort]').length") == 1


def test_dashes_stay_last_and_numbers_come_before_words(browser, tmp_path):
    from tmi.report import Section, table
    from tmi.report.html import page

    rows = [("b", "10", 1), ("a", None, 1), ("c", "−2 [−3, −1]", 1), ("d", "refused", 1), ("e", "1,000", 1), ("f", "3e-05", 1)]
    file = tmp_path / "page.html"
    file.write_text(page(title="t", description="", mark="", sections=[Section("A", table(("name", "value", ""), rows))]))
    browser.open(file)
    assert browser.evaluate("document.querySelectorAll('th button').length") == 2, "a column without a name has no button either"
    names = "[...document.querySelectorAll('tbody tr')].map(row => row.cells[0].textContent).join('')"
    browser.click("th:nth-child(2) button")
    assert browser.evaluate(names) == "cfbeda"
    browser.click("th:nth-child(2) button")
    assert browser.evaluate(names) == "debfca"


def test_the_search_shows_rows_with_all_words_and_opens_their_table(browser, file):
    browser.open(file)
    shown = f"[...{MANY}.tBodies[0].rows].filter(row => row.checkVisibility()).map(row => row.cells[0].textContent)"
    section = browser.evaluate(f"{MANY}.closest('section').id")
    assert browser.evaluate(shown) == [], "it is folded"
    browser.click(f"#{section} input[type=search]")
    browser.type("Long_name.1 many")
    few = browser.evaluate(shown)
    assert few == [f"metric_of_a_long_name.{number}" for number in range(10, 20)]
    browser.type("7.")
    assert browser.evaluate(shown) == []
    for _ in range(2):
        browser.key("Backspace")
    assert browser.evaluate(shown) == few
    said = browser.evaluate(f"document.querySelector('#{section} output').textContent")
    assert said.startswith(f"{len(few)} of ")
    browser.evaluate("(f => {f.value = ''; f.dispatchEvent(new Event('input'))})(document.activeElement)")
    assert browser.evaluate(shown) == [], "folded as before"
    assert browser.evaluate(f"[...document.querySelectorAll('#{section} tr')].every(row => !row.hidden)")


@pytest.mark.parametrize("width", [400, 1400])
def test_the_keyboard_reaches_everything_and_one_sees_where_it_is(browser, file, width):
    browser.open(file, width=width)
    reached = browser.tab_order()
    assert [text for text in reached if text.startswith(("HIDDEN", "NO OUTLINE"))] == []
    assert reached[0].startswith("a.skip")
    can = "[...document.querySelectorAll('a[href], button, input, summary, [tabindex]')].filter(e => e.checkVisibility())"
    wanted = browser.evaluate(f"{can}.length")
    assert len(reached) >= wanted
    assert any("Download SVG" in text or "Download as SVG" in text for text in reached)
    assert any("Download PDF" in text for text in reached)


def test_the_colours_can_be_switched(browser, file):
    browser.open(file)
    browser.click("header .tools button")
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert browser.evaluate("document.querySelector('header .tools button').textContent") == "Light colours"
    assert browser.axe() == []
    browser.click("header .tools button")
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.evaluate("localStorage.clear()")


def test_an_svg_can_be_downloaded(browser, file):
    browser.open(file)
    save = "function () { saved.push([this.download, this.href.slice(0, 18)]) }"
    browser.evaluate(f"window.saved = []; HTMLAnchorElement.prototype.click = {save}")
    browser.click(".downloads button")
    (saved,) = browser.evaluate("saved")
    assert saved[0].endswith(".svg")
    assert saved[1] == "data:image/svg+xml"


def test_a_phone_shows_its_own_drawing(browser, file):
    source = "document.querySelector('picture img').currentSrc === document.querySelector('picture source').srcset"
    assert browser.open(file, width=400).evaluate(source)
    assert not browser.open(file, width=1400).evaluate(source)


@pytest.mark.parametrize("scripts", [True, False])
def test_on_paper_nothing_is_folded_hidden_or_cut(browser, file, tmp_path, scripts):
    """Numbers in folded tables were missing in print, and a search would have taken more of them."""
    browser.open(file, dark=True, scripts=scripts)
    if scripts:
        browser.click("main input[type=search]")
        browser.type("nothing")
    browser.media(printed=True)
    browser.size(680)  # A4 less its margins
    assert browser.overflow() == []
    assert (
        browser.evaluate(
            "[...document.querySelectorAll('main tr, main dd, main p, figure')].filter(e => !e.checkVisibility()).length"
        )
        == 0
    )
    cut = "[...document.querySelectorAll('.wide, .drawing')].filter(box => box.scrollWidth > box.clientWidth + 1).length"
    assert browser.evaluate(cut) == 0
    assert browser.evaluate("document.querySelector('nav.beside').checkVisibility()") is False
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.pdf(tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
