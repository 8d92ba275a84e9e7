"""Suite ``paper``: its plan, and its report on a small copy of it, also in a real browser."""

import random
import re
import tomllib
from html.parser import HTMLParser
from importlib.resources import files

import pytest

import tmi
from tests.browser import chromium, needs_chromium
from tests.plugins.tmi_paper.test_claims import entry
from tmi.report.page import write
from tmi.runs.results import Results
from tmi.runs.runner import load_results
from tmi_paper.claims import claims
from tmi_paper.claims.squares import is_dead
from tmi_paper.report import sections
from tmi_paper.statements import STATEMENTS

SECTIONS = 12
FIGURES = 19


def content():
    return tomllib.loads(files("tmi_paper").joinpath("paper.toml").read_text())


def small():
    """The suite with fewer seeds, images and epochs, and the same tables."""
    suite = content()
    suite["seeds"] = [0, 1]
    suite["datasets"]["squares"] |= {"seeds": [0, 1], "samples": 60, "test_samples": 60}
    suite["datasets"]["fashion"] |= {"source": "sample", "samples": 60, "test_samples": 40}
    suite["datasets"]["fashion-many"] |= {"source": "sample", "samples": 60, "test_samples": 40, "seeds": [0]}
    suite["datasets"]["cutouts"] |= {"seeds": [0], "samples": 20, "test_samples": 20}
    suite["datasets"]["spectrum"] |= {"seeds": [0], "samples": 20, "test_samples": 20, "extent": 1.0, "source": "sample"}
    suite["networks"]["trained-squares"] |= {"epochs": 2, "sweep": {"filters": [1, 16], "batch_size": [10]}}
    suite["networks"]["trained"] |= {"epochs": 1}
    suite["networks"]["ticket"] |= {"epochs": 2, "sweep": {"kept": [0.25], "reset": ["rewind", "random"]}}
    for probe in ("logit-decomposition", "feature-neurons", "feature-filters", "prunability", "deformation"):
        suite["probes"][probe] |= {"images": 20}
    suite["probes"]["logit-decomposition"] |= {"forms": 2, "backgrounds": 10, "places": 10}
    suite["probes"]["variance-ratio"] |= {"backgrounds": 10, "places": 10}
    suite["probes"]["spectrum"] |= {"tiles": 2, "members": 2, "kinds": ["rotation", "grey"]}
    suite["probes"]["attribution"] |= {"images": 4, "methods": ["saliency", "integrated-gradients", "deeplift"]}
    suite["probes"]["attribution-as-layers"] |= {"images": 2}
    return suite


def test_the_plan_has_what_the_paper_needs():
    suite = tmi.load_suite("paper")
    cells = {(c.dataset.label, c.network.label, c.probe.label) for c in suite.cells}
    for dataset in content()["datasets"]:
        for theorem in ("theorem1", "theorem2"):
            assert (dataset, theorem, "accuracy") in cells
            assert (dataset, theorem, "reference-error") in cells
    assert ("squares", "printed", "squares-heuristics") in cells
    assert ("fashion", "trained", "attribution") in cells
    assert ("fashion", "theorem1-layers", "attribution-as-layers") in cells
    assert ("cutouts", "trained", "accuracy") in cells
    assert ("figure-1", "theorem1", "figure-1") in cells
    runs = [c for c in suite.cells if c.network.label == "trained-squares" and c.probe.label == "accuracy"]
    assert {(c.network.swept["filters"], c.network.swept["batch_size"]) for c in runs} == {
        (f, b) for f in (1, 4, 16) for b in (1, 10)
    }
    assert len({c.seed for c in runs}) == 20
    clothes = [c for c in suite.cells if c.dataset.label.startswith("fashion") and c.probe.label == "accuracy"]
    assert {c.dataset.swept["tiles_per_class"] for c in clothes} == {1, 3, 10}
    assert len({c.seed for c in clothes}) == 5


def test_the_networks_have_the_papers_settings():
    """Sections 6.1 and 6.2, by the numbers that the paper prints."""
    cells = tmi.load_suite("paper").cells
    fashion = next(c for c in cells if c.dataset.label == "fashion" and c.network.label == "trained")
    asked = {"filters": 12, "kernel": 5, "depth": 1, "hidden": 0, "epochs": 15, "lr": 0.03, "batch_size": 100}
    assert fashion.network.params.items() >= asked.items()
    assert fashion.dataset.params.items() >= {"image_size": 40, "samples": 4000, "test_samples": 1000}.items()
    squares = next(c for c in cells if c.network.label == "trained-squares")
    assert squares.network.params.items() >= {"kernel": 2, "hidden": 0, "epochs": 100, "lr": 0.05}.items()
    assert squares.dataset.params.items() >= {"samples": 400}.items()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return tmi.run(small(), store=tmp_path_factory.mktemp("store"))


@pytest.mark.slow
def test_the_constructed_networks_are_exact(results):
    assert not results.failed
    for network in ("theorem1", "theorem2"):
        built = results.select(network=network)
        assert set(built.select(probe="accuracy").values("accuracy")) == {1.0}
        assert set(built.select(probe="accuracy").values("offlabel_logit_max")) == {0.0}
    clothes = results.select(dataset="fashion", network="theorem1")
    assert set(clothes.values("active_per_image.hidden")) == {1.0}
    for probe in ("background-robustness", "translation-robustness"):
        assert set(clothes.select(probe=probe).values("logit_std")) == {0.0}


@pytest.mark.slow
def test_the_report_has_every_section(results):
    titles = [section.title for section in sections(results)]
    assert titles[0] == ""
    assert len(titles) == len({*titles}) == SECTIONS


@pytest.mark.slow
def test_claims_are_what_the_rows_say(results):
    frame = results.to_frame()
    built = frame[(frame.network == "theorem1") & (frame.dataset == "fashion") & (frame.metric == "accuracy")]
    stated = {claim.key: claim for claim in claims(results)}
    assert built.value.eq(1).all()
    assert stated["Theorem 1, fashion"].holds
    assert f"accuracy 1 in all {len(built)}" in stated["Theorem 1, fashion"].here
    trained = frame[
        (frame.network == "trained")
        & (frame.probe == "accuracy")
        & (frame.metric == "accuracy")
        & (frame.dataset == "fashion")
        & (frame.tiles_per_class == 1)
    ]
    assert stated["6.2 accuracy, k = 1"].holds is bool((trained.value > 0.99).all())
    assert len(trained) == 2


@pytest.mark.slow
def test_every_claim_belongs_to_a_statement_and_every_measured_statement_has_one(results):
    keys = [claim.key for claim in claims(results)]
    for key in keys:
        assert any(key.startswith(statement.claims) for statement in STATEMENTS if statement.claims), key
    # These depend on how training went: two live runs of a size, a seed that fails.
    by_outcome = {"6.1 improved", "6.2 failing"}
    for statement in STATEMENTS:
        for prefix in set(statement.claims) - by_outcome:
            assert any(key.startswith(prefix) for key in keys), f"{statement.where}: no claim {prefix}"


def test_statements_are_in_parts_and_name_what_exists():
    parts = [statement.part for statement in STATEMENTS]
    assert parts == sorted(parts, key=parts.index)  # each part in one piece
    for number in ("2.1", "2.2", "2.3", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "5.1", "5.2", "5.3"):
        assert any(f"Def. {number}" in statement.where for statement in STATEMENTS), number
    for where in ("Prop. 1", "Thm. 1", "Thm. 2", "Lemma 5.1", "Lemma 5.2", "Lemma 5.3", "Fig. 1", "Fig. 2", "Fig. 3", "Fig. 4"):
        assert any(where in statement.where for statement in STATEMENTS), where
    known = {*tmi.names("dataset"), *tmi.names("network"), *tmi.names("probe"), *tmi.names("suite")}
    for statement in STATEMENTS:
        assert statement.shown
        for kind in ("Probe", "Probes", "Builder", "builder", "Data set", "Suite", "suite"):
            for name in re.findall(rf"\b{kind} `([a-z0-9-]+)`", statement.shown):
                assert name in known, f"{statement.where}: {name}"


@pytest.mark.slow
def test_a_part_of_the_suite_has_a_report_too(results, tmp_path):
    part = results.select(network="theorem1", dataset="squares")
    page = write(part, tmp_path).read_text()
    assert "The images" in page
    empty = results.select(network="theorem1", dataset="squares", probe="squares-heuristics")
    assert "tmi report" in write(empty, tmp_path / "empty").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_any_part_of_the_results_has_a_report(results, seed):
    rng = random.Random(seed)
    network = rng.choice(sorted({e.network for e in results})) if seed % 2 else None
    kept = [e for e in results if rng.random() < 0.5 and network in (None, e.network)]
    part = Results(kept, results.store, name=results.name, columns=results.columns, report=results.report)
    assert sections(part)[0].title == ""


@pytest.mark.slow
def test_missing_cells_are_listed(results, tmp_path):
    missing = load_results(small(), tmp_path / "nothing")
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
    assert len(images.found) == FIGURES
    assert all(image["src"].startswith("data:image/") and image["alt"] for image in images.found)
    assert sum(image["src"].startswith("data:image/svg+xml,") for image in images.found) >= FIGURES - 4, (
        "few are too large for it"
    )


@pytest.mark.slow
@needs_chromium
def test_the_page_in_a_browser(results, tmp_path):
    """Nothing is fetched, no script fails, all figures load, and nothing is wider than a phone."""
    with chromium() as page:
        page.open(write(results, tmp_path), width=400)
        assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).length") == 0
        assert page.evaluate("document.images.length") == FIGURES
        assert page.overflow() == page.problems == page.requests == []
        assert page.axe() == []


@pytest.mark.parametrize(("active", "dead"), [(0.0, True), (0.009, True), (0.01, False), (1.0, False)])
def test_a_dead_run(active, dead):
    run = entry("squares", "trained-squares", "accuracy", 3, 1, 10, accuracy=0.5)
    other = entry("squares", "trained-squares", "activation-sparsity", 3, 4, 10, active_per_image__conv=1.0)
    own = entry("squares", "trained-squares", "activation-sparsity", 3, 1, 10, active_per_image__conv=active)
    assert is_dead(Results([run, other, own], columns={"filters": "network", "batch_size": "network"}), run) is dead
