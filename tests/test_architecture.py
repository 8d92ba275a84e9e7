"""The stated order of packages holds: `lint-imports` checks the contracts in pyproject.toml, and the docs show the same order."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tmi

ROOT = Path(__file__).parents[1]
PLUGINS = ("tmi_datasets", "tmi_networks", "tmi_probes", "tmi_attribution", "tmi_paper")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
LAYERS = [re.split(r"\s*[|:]\s*", layer) for layer in next(c["layers"] for c in CONTRACTS if c["id"] == "layers")]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{folder / 'plugins'}", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contracts_are_kept():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CONTRACTS)} kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("tmi/tasks/tiles.py", "from tmi.networks.network import Network", "imports only packages below it"),
        ("tmi/store/files.py", "def f():\n    from tmi.runs.runner import run", "imports only packages below it"),
        ("tmi/report/html.py", "from tmi.maintenance.prune import prune", "imports only packages below it"),
        ("tmi/newcomer.py", "import tmi.errors", "imports only packages below it"),
        (
            "tmi/tasks/tiles.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tmi.tasks.task import TemplateTask",
            "in a circle",
        ),
        ("tmi/params.py", "import tmi_datasets", "imports no plug-in"),
        ("plugins/tmi_networks/cnn.py", "import tmi_probes", "imports only plug-ins below it"),
    ],
)
def test_the_check_can_fail(tmp_path, file, line, broken):
    """At the top of a module, inside a function, or for type checkers alone; a new module must be given a layer."""
    for part in ("tmi", "plugins"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / file
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"{broken} +BROKEN", done.stdout), done.stdout


def test_there_are_at_most_ten_layers():
    assert len(LAYERS) <= 10


def test_the_docs_name_every_package_in_the_stated_order():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| *`(\w+)`", text, re.M)
    assert table == [package for layer in LAYERS for package in layer if not package.startswith("_")]


def test_the_picture_is_drawn_from_the_stated_order():
    done = subprocess.run(
        [sys.executable, "docs/make_architecture.py", "-"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (ROOT / "docs/figures/architecture.svg").read_text(encoding="utf-8"), "python docs/make_architecture.py"


# The built-in plug-ins use the same names as anybody's plug-in: those that docs/api.md documents.


def documented() -> set[str]:
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    names = set(re.findall(r"\.\. auto(?:class|function|data|decorator|exception):: (tmi[\w.]*)", text))
    for module, members in re.findall(r"\.\. automodule:: (tmi[\w.]*)\n +:members: ([^\n]*)", text):
        names |= {f"{module}.{member.strip()}" for member in members.split(",")}
    return names | {f"tmi.{name}" for name in tmi.__all__}


def names_used(file: Path) -> set[str]:
    """Return every name of tmi that a file imports or reaches through an attribute, dotted."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "tmi":
            used |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names if alias.name.startswith("tmi.")}
        elif isinstance(node, ast.Attribute):
            parts = []
            value: ast.expr = node
            while isinstance(value, ast.Attribute):
                parts.append(value.attr)
                value = value.value
            if isinstance(value, ast.Name) and value.id == "tmi":
                used.add(".".join(["tmi", *reversed(parts)]))
    return used


def is_documented(name: str, known: set[str]) -> bool:
    return any(name == k or name.startswith(f"{k}.") for k in known) or any(
        k.startswith(f"{name}.") for k in known if name in MODULES
    )


MODULES = {"tmi.params", "tmi.errors", "tmi.statistics"}
"""Modules of which every public name is documented, so that they may be imported whole."""


@pytest.mark.parametrize("package", PLUGINS)
def test_built_in_plugins_use_documented_names_alone(package):
    known = documented()
    used = {name: file for file in (ROOT / "plugins" / package).rglob("*.py") for name in names_used(file)}
    undocumented = {name: file.name for name, file in used.items() if not is_documented(name, known)}
    assert undocumented == {}


def test_the_names_of_a_file_are_found(tmp_path):
    file = tmp_path / "plugin.py"
    file.write_text(
        "import tmi\nimport tmi.hidden\nfrom tmi.a.b import c as d\ndef f():\n    from tmi import e\n    return tmi.g.h(tmi.i)\n"
    )
    assert names_used(file) == {"tmi.hidden", "tmi.a.b.c", "tmi.e", "tmi.g.h", "tmi.g", "tmi.i"}
