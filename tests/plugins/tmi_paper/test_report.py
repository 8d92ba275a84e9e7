"""Suite ``paper``: its plan, and its report on a small copy of it, also in a real browser."""

import re
import shutil
import subprocess
import tomllib
from html.parser import HTMLParser
from importlib.resources import files

import pytest

import tmi
from tests.plugins.tmi_paper.test_claims import entry
from tmi.report.page import write
from tmi.runs.results import Results
from tmi.runs.runner import collect
from tmi_paper.claims import claims
from tmi_paper.report import _is_dead, sections


def content():
    return tomllib.loads(files("tmi_paper").joinpath("paper.toml").read_text())


def small():
    """The suite with fewer seeds, images and epochs, and the same tables."""
    suite = content()
    suite["seeds"] = [0]
    suite["datasets"]["squares"] |= {"seeds": [0, 1], "samples": 60, "test_samples": 60}
    suite["datasets"]["fashion"] |= {"source": "sample", "samples": 60, "test_samples": 40, "sweep": {"tiles_per_class": [1, 3]}}
    suite["networks"]["trained-squares"] |= {"epochs": 2, "sweep": {"filters": [1, 4]}}
    suite["networks"]["trained-fashion"] |= {"epochs": 1}
    suite["probes"]["attribution"] |= {"images": 4, "methods": ["saliency", "integrated-gradients", "deeplift"]}
    suite["probes"]["attribution-as-layers"] |= {"images": 2}
    suite["skip"] = [rule | ({"tiles_per_class": [3]} if "tiles_per_class" in rule else {}) for rule in suite["skip"]]
    return suite


def test_the_plan_has_what_the_paper_needs():
    suite = tmi.load_suite("paper")
    cells = {(c.dataset.label, c.network.label, c.probe.label) for c in suite.cells}
    assert ("squares", "constructed", "accuracy") in cells
    assert ("fashion", "trained-fashion", "attribution") in cells
    assert ("fashion", "literal", "attribution-as-layers") in cells
    assert not any(network == "literal" and probe != "attribution-as-layers" for _, network, probe in cells)
    runs = [c for c in suite.cells if c.network.label == "trained-squares" and c.probe.label == "accuracy"]
    assert {c.network.swept["filters"] for c in runs} == {1, 4, 16}
    assert len({c.seed for c in runs}) == 20
    clothes = [c for c in suite.cells if c.dataset.label == "fashion" and c.probe.label == "accuracy"]
    assert {c.dataset.swept["tiles_per_class"] for c in clothes} == {1, 3, 10}
    assert len({c.seed for c in clothes}) == 5


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmi.run(small(), store=tmp_path_factory.mktemp("store"))


@pytest.mark.slow
def test_the_constructed_networks_are_exact(results):
    assert not results.failed
    built = results.select(network="constructed")
    assert set(built.select(probe="accuracy").values("accuracy")) == {1.0}
    assert set(built.select(probe="accuracy").values("offlabel_logit_max")) == {0.0}
    clothes = built.select(dataset="fashion")
    assert set(clothes.values("active_per_image.hidden")) == {1.0}
    for probe in ("background-robustness", "translation-robustness"):
        assert set(clothes.select(probe=probe).values("logit_std")) == {0.0}


@pytest.mark.slow
def test_the_report_has_every_section(results):
    titles = [section.title for section in sections(results)]
    assert titles[0] == ""
    assert len(titles) == 9
    assert len({*titles}) == 9


@pytest.mark.slow
def test_claims_are_what_the_rows_say(results):
    frame = results.to_frame()
    built = frame[(frame.network == "constructed") & (frame.dataset == "fashion") & (frame.metric == "accuracy")]
    first = next(c for c in claims(results) if "fashion" in c.paper)
    assert built.value.eq(1).all()
    assert first.verdict == "yes, exactly"
    assert f"accuracy 1 in all {len(built)}" in first.here
    trained = frame[
        (frame.network == "trained-fashion")
        & (frame.metric == "accuracy")
        & (frame.probe == "accuracy")
        & (frame.tiles_per_class == 1)
    ]
    claim = next(c for c in claims(results) if "k = 1)" in c.paper)
    assert claim.verdict == ("yes" if trained.value.mean() > 0.99 else "no")


@pytest.mark.slow
def test_a_part_of_the_suite_has_a_report_too(results, tmp_path):
    part = results.select(network="constructed", dataset="squares")
    page = write(part, tmp_path).read_text()
    assert "The images" in page
    empty = results.select(network="constructed", dataset="squares", probe="squares-heuristics")
    assert "tmi report" in write(empty, tmp_path / "empty").read_text()


@pytest.mark.slow
def test_missing_cells_are_listed(results, tmp_path):
    missing = collect(small(), tmp_path / "nothing")
    page = write(missing, tmp_path).read_text()
    assert "Cells without a result" in page
    assert f"{len(missing)} of {len(missing)} measurements are missing" in page


class Images(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.found.append(dict(attrs))


@pytest.mark.slow
def test_every_figure_is_inside_the_page_and_described(results, tmp_path):
    images = Images()
    images.feed(write(results, tmp_path).read_text())
    assert len(images.found) == 9
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in images.found)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium here")
def test_the_page_in_a_browser(results, tmp_path):
    """Nothing is fetched, no script fails, all figures load, and nothing is wider than a phone."""
    page = write(results, tmp_path)
    text = page.read_text()
    # The page has no script of its own; this one looks at it from inside.
    look = (
        "<script>addEventListener('load',()=>{const w=innerWidth;document.title=JSON.stringify({"
        "broken:[...document.images].filter(i=>!i.naturalWidth).length,images:document.images.length,"
        "wide:document.documentElement.scrollWidth>w,fetched:performance.getEntriesByType('resource')"
        ".filter(r=>!r.name.startsWith('data:')).length})})</script>"
    )
    watched = tmp_path / "watched.html"
    watched.write_text(text.replace("</body>", f"{look}</body>"))
    done = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--window-size=500,900", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", watched.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout)[1]
    assert title == '{"broken":0,"images":9,"wide":false,"fetched":0}'


@pytest.mark.parametrize(("active", "dead"), [(0.0, True), (0.009, True), (0.01, False), (1.0, False)])
def test_a_dead_run(active, dead):
    run = entry("squares", "trained-squares", "accuracy", 3, 1, accuracy=0.5)
    other = entry("squares", "trained-squares", "activation-sparsity", 3, 4, active_per_image__conv=1.0)
    own = entry("squares", "trained-squares", "activation-sparsity", 3, 1, active_per_image__conv=active)
    assert _is_dead(Results([run, other, own], columns={"filters": "network"}), run) is dead
