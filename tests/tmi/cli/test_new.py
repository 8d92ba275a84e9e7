"""``tmi new`` writes a package that works as it is written, and refuses what would not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tmi
from tests.tmi.cli.calls import call
from tmi.cli import new
from tmi.errors import InputError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("kind", new.KINDS)
def test_a_package_of_each_kind(folder, kind):
    name, code_name = f"my-{kind}", f"my_{kind}"
    done = call("new", kind, name)
    files = ["README.md", f"{name}.toml", "pyproject.toml", f"test_{code_name}.py", f"tmi_{code_name}.py"]
    assert sorted(path.name for path in (folder / name).iterdir()) == files
    assert done.stdout.splitlines() == [
        f"{name}: a package with the {kind} {name}",
        *(f"  {file}" for file in files),
        f"next: cd {name} && pip install -e . && pytest && tmi run {name}.toml",
    ]
    for path in (folder / name).iterdir():
        text = path.read_text()
        assert not re.search("demo|KIND|SUMMARY", text), path
        assert name in text
    project = tomllib.loads((folder / name / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"tmi": {f"tmi_{code_name}": f"tmi_{code_name}"}}
    assert (folder / name).stat().st_mode & 0o777 == 0o777 & ~new._umask()
    code = (folder / name / f"tmi_{code_name}.py").read_text()
    assert len(code.partition(f"def {code_name}")[2].splitlines()) <= 60
    # The module is a plug-in file too, and the suite is sound with it.
    assert call("check", f"{name}/{name}.toml", "--plugin", f"{name}/tmi_{code_name}.py").stdout.startswith(
        f"{name}/{name}.toml: ok, "
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("My Probe!", "expected words of small letters and digits, joined by hyphens; did you mean \"my-probe\"?"),
        ("MeanMargin", "did you mean \"mean-margin\"?"),
        ("mean_margin", "did you mean \"mean-margin\"?"),
        ("a--b", "did you mean \"a-b\"?"),
        ("7", "as in \"my-probe\""),
        ("../x", "did you mean \"x\"?"),
        ("", "as in \"my-probe\""),
        ("class", "is a word of Python, or of the new code; did you mean \"class-probe\"?"),
        ("sum", "did you mean \"sum-probe\"?"),
        ("accuracy", "plug-in tmi_probes [tmi-interp"),
        ("paper", "there is a package tmi_paper, which the new one would hide"),
    ],
)  # fmt: skip
def test_a_name_that_is_refused(folder, name, reason):
    before = sorted(folder.iterdir())
    assert reason in call("new", "probe", name, code=2).stderr
    assert sorted(folder.iterdir()) == before


def test_a_folder_that_is_refused(folder):
    (folder / "taken").mkdir()
    (folder / "linked").symlink_to("nowhere")
    for name in ("taken", "linked"):
        assert f"error: {name}: exists already" in call("new", "probe", name, code=2).stderr
    assert "error: nowhere: there is no such folder" in call("new", "probe", "x", "--dir", "nowhere", code=2).stderr
    (folder / "inside").mkdir()
    call("new", "probe", "x", "--dir", "inside")
    assert (folder / "inside" / "x" / "tmi_x.py").is_file()


def test_nothing_is_left_half_written(folder, monkeypatch):
    written = []

    def write_text(self, *_arguments, **_options):
        written.append(self)
        if len(written) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", write_text)
    before = sorted(folder.iterdir())
    with pytest.raises(InputError, match=r"half: cannot be written \(No space left on device\)"):
        new.write_package("probe", "half", folder / "half")
    assert sorted(folder.iterdir()) == before


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment in which this checkout is installed, beside the libraries of the one that runs the tests."""
    folder = tmp_path_factory.mktemp("venv") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "under_test.pth").write_text("\n".join([str(ROOT), str(ROOT / "plugins"), *libraries]) + "\n")
    # As an installation of this checkout would write it.
    info = packages / f"tmi_interp-{tmi.__version__}.dist-info"
    info.mkdir()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tmi-interp\nVersion: {tmi.__version__}\n")
    (info / "entry_points.txt").write_text(
        "\n".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in project["entry-points"].items()
        )
    )
    for command, module, function in (
        ("tmi", "tmi.cli", "main"),
        ("pytest", "pytest", "main"),
        ("pip", "pip._internal.cli.main", "main"),
    ):
        script = folder / "bin" / command
        script.write_text(f"#!{folder}/bin/python\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
        script.chmod(0o755)
    # The build takes what is installed, and nothing from a network.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TMI_", "PIP_", "PYTHONPATH", "PYTEST_"))}
    pip = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "PIP_QUIET": "1", "PIP_NO_CACHE_DIR": "1"}
    return kept | pip | {"PATH": f"{folder}/bin:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}


def shell(line, folder, environment):
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", new.KINDS)
def test_the_printed_line_works(kind, tmp_path, environment):
    try:
        line = f"tmi new {kind} demo && cd demo && pip install -e . && pytest -p no:cacheprovider && tmi list {kind}s"
        said = shell(line, tmp_path, environment)
        assert re.search(r"1\d passed in", said), said
        assert "skipped" not in said
        assert "[tmi-demo 0.1.0]" in said
        if kind == "probe":  # what the README says; and a fault of an installed package is found by its name
            line = "tmi run demo.toml && tmi results demo.toml && tmi check . && tmi check demo.toml --try"
            said = shell(line, tmp_path / "demo", environment)
            assert "0 failed" in said
            assert ".: ok, registers probe demo" in said
            module = tmp_path / "demo" / "tmi_demo.py"
            module.write_text(module.read_text().replace("import tmi\n", "import torch\nimport tmi\n", 1))
            said = shell("tmi check tmi-demo; test $? = 2", tmp_path, environment)
            assert "error: probe demo: imports torch when it is imported" in said
    finally:
        shell("pip uninstall -y tmi-demo", tmp_path, environment)
