from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

import pytest

import tmi
from tests.tmi import toys
from tests.tmi.report.conftest import HOSTILE
from tests.tmi.report.pages import Page
from tmi import PluginError, StoreError
from tmi.report.page import write
from tmi.runs.runner import load_results


def with_report(results, ran, name, *more):
    from tmi.plugins.registry import with_files

    results.report, results.registry = name, with_files([ran[1] / file for file in ("toys.py", "reports.py", *more)])
    return results


@pytest.fixture(autouse=True)
def _without_figures(request, monkeypatch):
    """Drawing takes most of the time, and is tested where it is done."""
    if request.function is not test_a_page_stands_alone:
        monkeypatch.setattr("tmi.report.sweep_sections.sweeps", lambda *_, **__: [])


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def test_a_page_stands_alone(ran, tmp_path):
    path = write(ran[0], tmp_path / "a" / "b")
    assert path == tmp_path / "a" / "b" / "index.html"
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]
    page = read(path)
    text = re.sub('"data:[^"]*"', '""', path.read_text(encoding="utf-8"))
    assert page.problems == []
    assert page.tags.count("script") == 1, "the page's own"
    assert all(source.startswith("data:") for source in page.sources)
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(page.headings) == 5
    assert len(page.links) == 1 + 2 * len(page.headings), "past the contents, and contents beside and above"
    assert "://" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_text_is_text(ran, tmp_path):
    page = read(write(ran[0], tmp_path))
    assert page.text.count(HOSTILE) > 5
    assert "{{ 7 * 7 }}" in page.text
    assert "a toy's <remark>" in page.text
    assert "ValueError: [/bold] is [no] markup" in page.text


def test_a_registered_report(results, ran, tmp_path):
    page = read(write(with_report(results, ran, "fine"), tmp_path))
    assert page.problems == []
    assert page.headings[0] == "A <figure>"
    assert "the summary" in page.text
    assert len(page.sources) == 1
    assert "24 results" not in page.text


@pytest.mark.parametrize("name", ["broken", "none"])
def test_a_broken_report_is_named(results, ran, tmp_path, name):
    with pytest.raises(PluginError, match=f"report '{name}' of plug-in reports: failed"):
        write(with_report(results, ran, name), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_reports_own_complaint_stays(results, ran, tmp_path):
    with pytest.raises(tmi.UnknownNameError, match="column 'nosuch'"):
        write(with_report(results, ran, "tmi-error"), tmp_path)


def test_a_report_that_finds_nothing_says_so(results, ran, tmp_path):
    page = read(write(with_report(results, ran, "empty"), tmp_path))
    assert "The report 'empty' of plug-in reports found no result that it can write about." in page.text


def test_a_report_about_a_probe_is_on_the_page_of_every_suite_that_uses_it(results, ran, tmp_path):
    """Whatever the label of its table is; one's own leaderboard was there and hidden."""
    for name in (None, "fine"):
        page = read(write(with_report(results, ran, name, "about.py"), tmp_path / str(name)))
        assert page.text.count("About toy-probe, label p") == 1, name
        assert ("24 results" in page.text) == (name is None)
    alone = results.select(probe="bad")
    assert "About toy-probe" not in read(write(with_report(alone, ran, None, "about.py"), tmp_path / "bad")).text


def test_a_report_about_a_probe_writes_once(results, ran, tmp_path):
    page = read(write(with_report(results, ran, "about", "about.py"), tmp_path))
    assert page.text.count("About toy-probe, label p") == 1


def test_a_broken_report_that_no_suite_names_is_passed_over(results, ran, tmp_path):
    page = read(write(with_report(results, ran, None, "missing.py"), tmp_path))
    assert "24 results" in page.text


def stamp(path: Path) -> tuple[int, int]:
    return path.stat().st_mtime_ns, path.stat().st_ino


def test_it_is_left_as_it_is_when_nothing_changed(ran, results, tmp_path):
    before = stamp(write(results, tmp_path))
    assert stamp(write(results, tmp_path)) == before
    assert stamp(write(load_results(ran[1] / "suite.toml", ran[1] / "store"), tmp_path)) == before


def change_metric(results):
    results.entries[0].metrics["total"] += 1e-9


def change_key(results):
    results.entries[0].key = "f" * 64


def change_status(results):
    results.entries[0].status = "failed"


def change_time(results):
    results.entries[0].record["finished"] = "later"


def change_message(results):
    results.failed[0].message = "another"


def change_notes(results):
    results.entries[0].notes = ("another",)


def change_description(results):
    results.description = "another"


def drop(results):
    results.entries.pop()


@pytest.mark.parametrize(
    "change",
    [change_metric, change_status, change_time, change_message, change_notes, change_description, drop],
    ids=lambda f: f.__name__,
)
def test_it_is_written_again_when_something_changed(results, tmp_path, change):
    before = stamp(write(results, tmp_path))
    change(results)
    after = stamp(write(results, tmp_path))
    assert after != before
    assert stamp(write(results, tmp_path)) == after


def test_another_writer_writes_again(results, ran, tmp_path):
    before = stamp(write(results, tmp_path))
    assert stamp(write(with_report(results, ran, "fine"), tmp_path)) != before


@pytest.mark.parametrize("content", [b"", b"\xff\xfe not text", b"<html>mine</html>"])
def test_another_file_in_its_place(results, tmp_path, content):
    (tmp_path / "index.html").write_bytes(content)
    assert read(write(results, tmp_path)).headings


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_folder_that_cannot_be(results, tmp_path, where):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"report .*index.html: cannot be written"):
        write(results, tmp_path / where)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_page_that_is_a_folder(results, tmp_path):
    (tmp_path / "index.html").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        write(results, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"], "nothing is left behind"


def test_no_space_leaves_the_old_page(results, tmp_path, monkeypatch):
    path = write(results, tmp_path)
    before = path.read_bytes()
    change_metric(results)

    def refuse(*_arguments, **_more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("write_text", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, refuse)
            patch.setattr(os, "replace", refuse)
            with pytest.raises(StoreError, match="No space left on device"):
                write(results, tmp_path)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["index.html"]


WRITE = """
from tmi.report.page import write
from tmi.runs.runner import load_results

print(write(load_results("suite.toml", "store").select(probe="bad"), "report"))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    [
        "report/sections.py",
        "report/page.html.j2",
        "runs/results.py",
        pytest.param("report/aggregate.py", marks=pytest.mark.slow),
        pytest.param("runtime/plotting.py", marks=pytest.mark.slow),
    ],
)
def test_it_is_written_again_when_the_code_behind_it_changed(ran, tmp_path, file):
    """The code that aggregates, formats, draws or lays out, wherever in tmi it is."""
    source = Path(tmi.__file__).parent
    shutil.copytree(source, tmp_path / "tmi", ignore=shutil.ignore_patterns("__pycache__"))

    def written():
        code = ["-B", "-c", f"import os, sys; sys.path.insert(0, {str(tmp_path)!r}); os.chdir({str(ran[1])!r}); {WRITE}"]
        done = toys.python(*code[:2], code[2].replace("; \n", "\n"), folder=tmp_path)
        assert done.returncode == 0, done.stderr
        return stamp(ran[1] / "report" / "index.html")

    before = written()
    assert written() == before
    path = tmp_path / "tmi" / file
    path.write_text(path.read_text() + ("<!-- more -->" if file.endswith("j2") else "\nMORE = 1\n"))
    after = written()
    assert after != before
    assert written() == after
