from __future__ import annotations

import os
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list"], ["list", "probe"], ["run", "--help"]])
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
    assert done.stdout == f"tmi, version {tmi.__version__}\n"


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
