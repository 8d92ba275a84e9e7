"""The documentation is correct: its blocks run, its hooks and metrics are those of the code, and its links have targets."""

from __future__ import annotations

import inspect
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from tmi.errors import SuiteError
from tmi.plugins import component, hooks, host
from tmi.suites.reader import load_suite

from . import generated, pages

PLUGINS = pages.ROOT / "docs" / "plugins.md"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use no store and no data except those that ship with tmi; restore the import path and the working directory."""
    import tmi_datasets.sources.fashion_mnist

    for name in ("TMI_STORE", "TMI_FASHION_MNIST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tmi_datasets.sources.fashion_mnist, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = Path.cwd()
    yield
    os.chdir(folder)


# Train networks, and run methods of attribution on them.
SLOW = {
    "attribution",
    "constructions",
    "first-method",
    "first-steps",
    "notebooks",
    "other-libraries",
    "own-images",
    "suites",
    "training",
    "warm-start",
}
RUN = [pytest.param(page, marks=[pytest.mark.slow] if page.stem in SLOW else [], id=page.name) for page in pages.PAGES]


@pytest.mark.parametrize("page", RUN)
def test_every_block_runs_and_prints_what_the_page_says(page: Path, tmp_path: Path) -> None:
    for printed in pages.run(page, tmp_path):
        assert printed.correct, (
            f"{printed.where} prints\n{printed.actual}\nbut the page says\n{printed.expected}\n"
            f"if the page is wrong: python -m tests.docs.pages {page.relative_to(pages.ROOT)}"
        )


def test_blocks_are_parsed() -> None:
    text = "<!-- file: a.py -->\n```python\nx\n```\n\n- item\n\n  ```text\n  1\n    2\n  ```\n"
    file, printed = pages.blocks(text)
    assert (file.language, file.file, file.body) == ("python", "a.py", "x\n")
    assert (printed.language, printed.file, printed.body, printed.indent) == ("text", None, "1\n  2\n", "  ")


@pytest.mark.parametrize(
    ("expected", "actual", "about", "correct"),
    [
        ("a 1\n", "a 1", False, True),
        ("a 1\n", "a 2", False, False),
        ("a … c\n", "a b\nb c\n", False, True),
        ("a … c\n", "a b\n", False, False),
        ("mean 0.97 of 20\n", "mean 0.95 of 20\n", True, True),
        ("mean 0.97 of 20\n", "mean 0.87 of 20\n", True, False),
        ("mean 0.97\n", "median 0.97\n", True, False),
        ("mean 0.97\n", "mean 0.97 0.97\n", True, False),
    ],
)
def test_output_is_compared(expected: str, actual: str, about: bool, correct: bool) -> None:
    assert pages.Printed("", expected, actual, about, (0, 0)).correct is correct


def test_wrong_output_is_detected(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    (printed,) = pages.run(page, tmp_path)
    assert (printed.actual, printed.correct) == ("2\n", False)
    pages.write(page)
    assert page.read_text().endswith("```text\n2\n```\n")


@pytest.mark.parametrize("text", ["", "Text.\n"])
def test_a_page_may_have_no_blocks(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert list(pages.run(page, tmp_path)) == []


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_toml_blocks_are_suites_or_projects(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [block for block in pages.blocks(page.read_text(encoding="utf-8")) if block.file]
    monkeypatch.chdir(tmp_path)
    for block in files:
        Path(block.file or "").parent.mkdir(parents=True, exist_ok=True)
        Path(block.file or "").write_text(block.body, encoding="utf-8")
    for block in files:
        if block.language != "toml" or "project" in tomllib.loads(block.body):
            continue
        if block.file == "wrong.toml":
            with pytest.raises(SuiteError):
                load_suite(block.file)
        else:
            problems: list[str] = []
            try:
                assert load_suite(block.file or "").cells
            except SuiteError as error:
                problems = error.problems
            # A page may write a file by code, with which it runs the suite.
            assert all(page.name.startswith("own-") and "there is no file or folder" in problem for problem in problems)


HOOKS = [getattr(hooks, name) for name in component.KINDS.values()]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.__name__)
def test_every_hook_has_a_heading_with_its_signature(hook: object) -> None:
    assert callable(hook)
    returns = inspect.signature(hook).return_annotation
    name = hook.__name__  # type: ignore[attr-defined]
    page = PLUGINS.read_text(encoding="utf-8")
    heading = f"### `{name}() -> {returns}`\n"
    assert heading in page
    section = re.split(r"^##", page.partition(heading)[2], maxsplit=1, flags=re.M)[0]
    signature = re.search(r"``(.*?)``", inspect.getdoc(hook) or "")
    assert signature
    assert f"`{signature[1]}`" in section


def test_every_heading_of_a_hook_names_an_existing_hook() -> None:
    named = re.findall(r"^### `(tmi_\w+)\(", PLUGINS.read_text(encoding="utf-8"), re.M)
    assert sorted(named) == sorted(component.KINDS.values())


def test_the_page_of_the_command_is_up_to_date() -> None:
    assert generated.COMMAND.read_text(encoding="utf-8") == generated.command_page(), "python -m tests.docs.generated"


@pytest.mark.slow
def test_the_tables_of_metrics_are_up_to_date() -> None:
    page = generated.PROBES.read_text(encoding="utf-8")
    assert page == generated.with_metrics(page), "python -m tests.docs.generated"


def test_the_tables_of_methods_and_measures_are_up_to_date() -> None:
    page = generated.ATTRIBUTION.read_text(encoding="utf-8")
    assert page == generated.with_catalogue(page), "python -m tests.docs.generated"


def test_every_probe_has_a_heading() -> None:
    import tmi

    headings = re.findall(r"^### (.*)$", generated.PROBES.read_text(encoding="utf-8"), re.M)
    named = {name for heading in headings for name in heading.split(" and ")}
    assert set(tmi.names("probe")) <= named


def test_the_interface_page_names_everything_public() -> None:
    import tmi

    page = (pages.ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in tmi.__all__ if not re.search(rf"\b{name}\b", page)] == []


def test_every_key_of_a_suite_is_explained() -> None:
    from tmi.suites import reader

    page = (pages.ROOT / "docs" / "suites.md").read_text(encoding="utf-8").partition("## Keys")[2].partition("\n## ")[0]
    assert [key for key in reader._KEYS if not re.search(rf"`(\[+)?{key}\b", page)] == []


def test_every_status_is_explained() -> None:
    from tmi.runs.results import Status

    page = (pages.ROOT / "docs" / "suites.md").read_text(encoding="utf-8").partition("## Rows")[2].partition("\n## ")[0]
    assert [status for status in get_args(Status) if f"| `{status}` |" not in page] == []


@pytest.mark.parametrize("page", [*pages.PAGES, pages.ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_relative_links_have_targets(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    targets = [link.replace("_gallery/index.rst", "examples/README.rst") for link in links]  # made of it when the pages are built
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (pages.ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    names = {page.stem for page in pages.PAGES if page.parent.name == "docs"} - {"index"}
    assert [name for name in names if not re.search(rf"^{name}$", index, re.M)] == []


def test_the_package_of_the_plug_ins_page_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in pages.blocks(PLUGINS.read_text(encoding="utf-8")):
        if block.file in ("smooth.py", "smooth.toml") or (block.file or "").startswith("package/"):
            path = tmp_path / str(block.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
    package = tmp_path / "package"
    (package / "tmi_smooth" / "method.py").write_text((tmp_path / "smooth.py").read_text())
    (package / "tmi_smooth" / "smooth.toml").write_text((tmp_path / "smooth.toml").read_text())
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    # The metadata that an installer would write.
    info = package / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    entries = "\n".join(f"{name} = {target}" for name, target in project["entry-points"]["tmi"].items())
    (info / "entry_points.txt").write_text(f"[tmi]\n{entries}\n")
    monkeypatch.syspath_prepend(package)
    loaded = host.load()
    assert loaded.faults == []
    assert loaded.components["probe", "smooth-grad-packaged"].function.__name__ == "smooth_grad"
    assert loaded.components["suite", "smooth"].plugin.origin == f"{project['name']} {project['version']}"


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    build = pytest.importorskip("sphinx.cmd.build", reason="needs the docs extra")
    pytest.importorskip("furo", reason="needs the docs extra")
    pytest.importorskip("myst_parser", reason="needs the docs extra")
    assert build.main(["-W", "--keep-going", "-q", "-b", "html", str(pages.ROOT / "docs"), str(tmp_path)]) == 0
    assert "tmi.FeatureTile" in (tmp_path / "api.html").read_text(encoding="utf-8")
