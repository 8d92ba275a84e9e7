from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
from click.testing import CliRunner

import tmi
from tests.tmi import toys
from tests.tmi.cli.calls import call
from tmi.cli import main as command_line

HEAVY = {"torch", "captum", "sklearn", "matplotlib", "h5py", "numpy", "pandas", "scipy", "numba", "rich", "jinja2"}


START = f"""
import sys
from tmi.cli import main
try:
    main(sys.argv[1:])
except SystemExit as error:
    assert not error.code, error.code
print(sorted({HEAVY!r} & set(sys.modules)))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["completion"], ["list"], ["list", "probe"], ["run", "--help"]])
def test_help_and_lists_import_nothing_heavy(tmp_path, arguments):
    done = toys.python("-c", START, *arguments, folder=tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(done.stdout.splitlines()) > 1


def test_importing_tmi_imports_nothing_heavy(tmp_path):
    done = toys.python("-c", f"import sys, tmi; print(sorted({HEAVY!r} & set(sys.modules)))", folder=tmp_path)
    assert done.stdout == "[]\n"


def test_the_installed_command(tmp_path):
    command = os.path.join(os.path.dirname(sys.executable), "tmi")  # noqa: PTH118, PTH120
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == f"tmi {tmi.__version__}"


def test_version_names_what_numbers_depend_on():
    import torch

    said = dict(line.split(maxsplit=1) for line in call("--version").stdout.splitlines())
    assert list(said) == ["tmi", "Python", "torch", "captum", "numpy", "platform"]
    assert (said["torch"], said["Python"]) == (str(torch.__version__), platform.python_version())


def test_python_m_tmi_is_the_command(tmp_path):
    done = toys.python("-m", "tmi", "--version", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == call("--version").stdout


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"CLICOLOR_FORCE": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_in_a_pipe(monkeypatch, variables, coloured):
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said = CliRunner().invoke(command_line, ["results", "nosuch.h5"]).stderr
    assert said.startswith("\x1b[31merror:\x1b[0m nosuch.h5" if coloured else "error: nosuch.h5")


def test_the_reader_has_had_enough(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -u -m tmi.cli list | head -n 1", shell=True, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("datasets\n", "")


def test_help_names_every_option():
    for name, command in command_line.commands.items():
        text = call(name, "--help").stdout
        assert all(option in text for p in command.params for option in p.opts if option.startswith("--")), name
        assert all(p.help for p in command.params if p.param_type_name == "option" and p.name != "help"), name
