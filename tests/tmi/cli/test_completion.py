from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import tmi
from tests.tmi import toys
from tests.tmi.cli.calls import call
from tmi.cli import main as command_line
from tmi.cli.common import KINDS
from tmi.cli.completion import SHELLS

FIRST = {"bash": "complete -o nosort -F", "zsh": "#compdef tmi", "fish": "complete --no-files --command tmi"}


def completed(line):
    """What the shell is answered for a line whose last word is being written: (type, value) for each."""
    words = line.split(" ")
    variables = {"_TMI_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = CliRunner().invoke(command_line, [], prog_name="tmi", env=variables)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    return [tuple(answer.split(",", 1)) for answer in done.stdout.splitlines() if answer]


def names(line):
    assert {kind for kind, _ in completed(line)} <= {"plain"}
    return [name for _, name in completed(line)]


def test_the_script_of_each_shell():
    for shell in SHELLS:
        script = call("completion", shell).stdout
        assert FIRST[shell] in script
        assert f"_TMI_COMPLETE={shell}_complete" in script
    assert call("completion").stdout.splitlines() == list(SHELLS.values())


@pytest.mark.usefixtures("folder")
def test_names_complete():
    assert names("tmi ru") == ["run"]
    assert names("tmi run paper") == ["paper", "paper-long"]
    assert names("tmi results su") == ["suite.toml"]
    assert set(names("tmi report ")) == {*tmi.names("suite"), "suite.toml"}
    assert names("tmi store export out --suite su") == ["suite.toml"]
    assert completed("tmi run sub/") == [("file", "sub/")]
    assert names("tmi list ") == list(KINDS)
    for kind in KINDS:
        assert names(f"tmi describe {kind} ") == tmi.names(kind)
    assert names("tmi describe probes acc") == ["accuracy"]
    assert names("tmi data show fash") == ["fashion"]
    assert names("tmi data verify fashion cut") == ["cutouts"]
    assert names("tmi completion ") == list(SHELLS)
    assert "--dry-run" in names("tmi run --d")
    assert completed("tmi run paper --store ") == [("dir", "")]


def test_names_of_a_plugin_file(folder):
    assert names("tmi describe --plugin toys.py probe toy") == ["toy-probe"]
    toys.plugin(folder, "broken", "print('said')\nraise ValueError")
    assert names("tmi describe --plugin broken.py probe acc") == []


def test_completion_imports_nothing_heavy(tmp_path):
    code = (
        "import os, sys\n"
        "os.environ.update(_TMI_COMPLETE='bash_complete', COMP_WORDS='tmi describe probe acc', COMP_CWORD='3')\n"
        "from tmi.cli import main\n"
        "try:\n    main([], prog_name='tmi')\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'h5py', 'pandas', 'rich') if m in sys.modules])"
    )
    assert toys.python("-c", code, folder=tmp_path).stdout == "plain,accuracy\n[]\n"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_in_bash(folder):
    """A line as a user writes it, through the function that the script registers."""
    script = """
        eval "$(tmi completion bash)"
        COMP_WORDS=(tmi describe probe acc) COMP_CWORD=3
        _tmi_completion tmi acc probe
        echo "${COMPREPLY[@]}"
        COMPREPLY=() COMP_WORDS=(tmi run pape) COMP_CWORD=2
        _tmi_completion tmi pape run
        echo "${COMPREPLY[@]}"
        complete -p tmi
    """
    place = Path(sys.executable).parent
    environment = toys.environment(PATH=f"{place}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, cwd=folder, env=environment, timeout=60, check=False
    )
    assert done.stdout.splitlines() == ["accuracy", "paper paper-long", "complete -o nosort -F _tmi_completion tmi"], done.stderr
    assert done.stderr == ""
