"""Packages of others, installed by pip: a good one, and ones that cannot be imported, clash, or end the process."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from tests.tmi import toys

pytestmark = pytest.mark.slow

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "1.2"

[project.entry-points.tmi]
{module} = "{module}"

[tool.setuptools]
packages = ["{module}"]

[tool.setuptools.package-data]
{module} = ["*.toml"]
"""

GOOD = {
    "__init__.py": """
        import tmi

        @tmi.hookimpl
        def tmi_probes():
            return {"third-mean": "third_good.probe:mean"}

        @tmi.hookimpl
        def tmi_suites():
            return {"third-suite": "third_good:third.toml"}
    """,
    "probe.py": '''
        import tmi
        from third_good.helper import FACTOR

        def mean(network: tmi.Network, data: tmi.Dataset, *, scale: float = 1.0) -> tmi.ProbeResult:
            """Mean logit of the test images."""
            return tmi.ProbeResult({"mean": FACTOR * scale * network.logits(data.test.images).mean()})
    ''',
    "helper.py": "FACTOR = 1\n",
    "third.toml": """
        name = "third"
        [datasets.s]
        use = "squares"
        samples = 8
        test_samples = 8
        [networks.t]
        use = "theorem1"
        [probes.m]
        use = "third-mean"
        [probes.a]
        use = "accuracy"
    """,
}
OTHERS = {
    "third_broken": {"__init__.py": "import a_module_that_is_not_there\n"},
    "third_lazy": {
        "__init__.py": """
            import tmi

            @tmi.hookimpl
            def tmi_probes():
                return {"third-lazy": "third_lazy.nosuch:probe"}
        """
    },
    "third_clash": {
        "__init__.py": """
            import tmi

            @tmi.hookimpl
            def tmi_probes():
                return {"accuracy": "third_clash:mine", "third-clash": "third_clash:mine"}

            def mine(network: tmi.Network, data: tmi.Dataset) -> tmi.ProbeResult:
                \"\"\"Mine.\"\"\"
                return tmi.ProbeResult({"mine": 1})
        """
    },
    "third_exit": {"__init__.py": "import sys\nsys.exit(3)\n"},
    "third_misspelt": {"__init__.py": "import tmi\n\n@tmi.hookimpl\ndef tmi_prob():\n    return {}\n"},
}


def install(folder: Path, module: str, files: dict[str, str]) -> None:
    source = folder / "source" / module
    (source / module).mkdir(parents=True, exist_ok=True)
    (source / "pyproject.toml").write_text(PROJECT.format(name=module.replace("_", "-"), module=module))
    for name, text in files.items():
        (source / module / name).write_text(textwrap.dedent(text))
    done = toys.python(
        "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check",
        "--upgrade", "--target", str(folder / "site-packages"), str(source), folder=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("third")
    install(folder, "third_good", GOOD)
    return folder


def command(folder, *arguments, **env):
    return toys.command(*arguments, folder=folder, PYTHONPATH=folder / "site-packages", **env)


def test_a_package_is_found_and_runs(site):
    shown = command(site, "list")
    assert (shown.returncode, shown.stderr) == (0, "")
    (line,) = [line for line in shown.stdout.splitlines() if "third-mean" in line]
    assert " ".join(line.split()) == "third-mean Mean logit of the test images. [third-good 1.2]"
    assert "third-suite" in shown.stdout
    assert "from plug-in third_good [third-good 1.2]" in command(site, "describe", "probe", "third-mean").stdout
    done = command(site, "run", "third-suite", "--json", "rows.json")
    assert done.returncode == 0, done.stderr
    rows = json.loads((site / "rows.json").read_text())
    assert [row["status"] for row in rows] == ["ok"] * len(rows)
    assert [row["value"] for row in rows if row["metric"] == "accuracy"] == [1.0]
    (first,) = [row["value"] for row in rows if row["metric"] == "mean"]
    assert first > 0
    assert "2 from the store" in command(site, "run", "third-suite").stdout
    # An installed package counts by its code too: a new release of its helper is a new key.
    install(site, "third_good", GOOD | {"helper.py": "FACTOR = 2\n"})
    again = command(site, "run", "third-suite", "--json", "rows.json")
    assert "1 from the store" in again.stdout
    rows = json.loads((site / "rows.json").read_text())
    assert [row["value"] for row in rows if row["metric"] == "mean"] == [pytest.approx(2 * first)]


def test_broken_ones_are_reported_and_hurt_nobody(site):
    for module, files in OTHERS.items():
        install(site, module, files)
    shown = command(site, "list")
    assert shown.returncode == 0
    said = shown.stderr.splitlines()
    assert all(line.startswith("warning: plug-in third_") for line in said), said
    for module, what in {
        "third_broken": "cannot import 'third_broken' (ModuleNotFoundError: No module named 'a_module_that_is_not_there')",
        "third_clash": "probe 'accuracy' refused: the name is taken by plug-in tmi_probes",
        "third_exit": "cannot import 'third_exit' (SystemExit: 3)",
        "third_misspelt": "tmi_prob",
    }.items():
        (line,) = [line for line in said if module in line]
        assert what in line
        assert f"{module.replace('_', '-')} 1.2" in line
    assert len(said) == 4
    assert "third-mean" in shown.stdout
    assert "third-clash" in shown.stdout
    done = command(site, "run", "third-suite", "--json", "rows.json")
    assert done.returncode == 0, done.stderr
    rows = json.loads((site / "rows.json").read_text())
    assert "mine" not in {row["metric"] for row in rows}
    assert "accuracy" in {row["metric"] for row in rows}


def test_what_cannot_be_imported_when_used(site):
    install(site, "third_lazy", OTHERS["third_lazy"])
    assert "third-lazy" in command(site, "list", "probe").stdout
    toys.suite(site, GOOD["third.toml"].replace("third-mean", "third-lazy"), head="", name="lazy.toml")
    done = command(site, "run", "lazy.toml")
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "[probes.m] use: probe 'third-lazy' of plug-in third_lazy: cannot import 'third_lazy.nosuch'" in errors[0]
    assert "Traceback" not in done.stderr
