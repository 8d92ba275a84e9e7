"""The page as a file: whole or not at all, nothing that ends its script early, and what is left out is said."""

from __future__ import annotations

import json
import re

import pytest

import tmi
from tests.tmi.report.pages import Page
from tmi.errors import InputError, StoreError
from tmi.plugins.registry import installed
from tmi.report.explorer.page import SECTION, fragment, section, write
from tmi.report.explorer.sources import from_names
from tmi.runs.results import Results

SQUARES = "squares(samples=5, test_samples=10)"


def source(*names):
    return from_names(installed(), names, SQUARES)


def data_of(text):
    return json.loads(re.search(r'class="tmi-explorer-data">(.*?)</script>', text, re.S)[1])


def test_a_page_has_all_that_it_needs(tmp_path):
    assert write([source("theorem1", "printed-squares")], tmp_path / "page.html", title="a <title> & more") == []
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.problems
    assert not page.sources
    assert not page.links
    assert "a &lt;title&gt; &amp; more" in text
    (world,) = data_of(text)
    assert [network["name"] for network in world["networks"]] == ["theorem1", "printed-squares"]
    assert world["seed"] == 0


def test_names_cannot_end_the_script():
    text = fragment([{"name": "</script><script>alert(1)</script><!--"}])
    assert "</script><script>alert" not in text
    assert "<!--" not in text
    assert data_of(text)[0]["name"] == "</script><script>alert(1)</script><!--"


def test_what_is_left_out_is_returned_and_in_the_page(tmp_path):
    left_out = write([source("theorem1", "cnn(kernel=9)", "vit(epochs=0)")], tmp_path / "page.html", title="t")
    assert [name for name, _ in left_out] == ["cnn(kernel=9)", "vit(epochs=0)"]
    assert "kernel: 9×9 is larger than the images" in left_out[0][1]
    (world,) = data_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert [(one["name"], one["why"]) for one in world["left_out"]] == left_out


def test_without_a_network_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match=r"no network can be shown \(cnn\(kernel=9\): kernel"):
        write([source("cnn(kernel=9)")], tmp_path / "page.html", title="t")
    assert list(tmp_path.iterdir()) == []


def test_an_old_page_stays_when_a_new_one_cannot_be_written(tmp_path):
    (tmp_path / "page.html").mkdir()
    (tmp_path / "page.html" / "old").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        write([source("theorem1")], tmp_path / "page.html", title="t")
    assert [file.name for file in tmp_path.rglob("*")] == ["page.html", "old"]


def test_a_report_without_a_constructed_network_has_no_explorer():
    assert section(Results([]), SECTION) is None


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    suite = {
        "name": "small",
        "datasets": {"squares": {"use": "squares", "samples": 20, "test_samples": 10}},
        "networks": {
            "built": {"use": "theorem1"},
            "again": {"use": "theorem1", "realisation": "literal"},
            "sgd": {"use": "cnn", "kernel": 2, "epochs": 1, "batch_size": 5},
        },
        "probes": {"accuracy": {"use": "accuracy"}},
    }
    return tmi.run(suite, store), tmi.run(suite, store / "other", keep="results")


def test_a_report_shows_what_the_store_has(results):
    made = section(results[0], SECTION)
    assert made.title == "Explorer"
    (world,) = data_of(made.html)
    assert [(one["name"], one["origin"]) for one in world["networks"]] == [("built", "constructed"), ("sgd", "trained")]
    assert "Trained networks are here if" not in made.html


def test_a_report_trains_nothing_and_says_how_to(results, monkeypatch):
    monkeypatch.setattr("torch.optim.SGD.step", lambda *_: pytest.fail("trains"))
    made = section(results[1], SECTION)
    assert [one["name"] for one in data_of(made.html)[0]["networks"]] == ["built"]
    assert "Trained networks are here if the store has them; tmi explore SUITE trains what it lacks." in made.html


def test_a_report_is_written_even_if_the_explorer_fails(results, monkeypatch):
    monkeypatch.setattr("tmi.report.explorer.sources.Source.dataset", lambda _: 1 / 0)
    with pytest.warns(UserWarning, match=r"the explorer is left out \(ZeroDivisionError"):
        assert section(results[0], SECTION) is None
