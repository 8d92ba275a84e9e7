"""A package's test of three lines runs each check as a test, and says what is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.tmi import toys

TEST = """
import pytest


@pytest.mark.tmi("toys.py", settings={"probe bad-probe": {"how": "nan"}})
def test_checks(tmi_check):
    tmi_check()
"""


def run(folder, text):
    (folder / "test_it.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tmi.testing.pytest_plugin", "-p", "no:cacheprovider", "-rs", "--strict-markers"],
        cwd=folder,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_each_check_is_a_test(tmp_path):
    toys.plugin(tmp_path)
    said = run(tmp_path, TEST)
    assert re.search(r"3 failed, \d\d passed, \d\d skipped", said), said
    assert "dataset bad-data: fails: ValueError: the toy is broken: raise\n" in said  # without a traceback of the kit
    assert "probe bad-probe: fails: metric 'a': is nan" in said
    assert "test_checks[probe toy-probe: seed]" not in said  # it passes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TEST.replace("toys.py", "nosuch.py"), "plug-in file nosuch.py: there is no such file"),
        (TEST.replace("toys.py", "tmi_nosuch"), "plug-in 'tmi_nosuch': no installed package has it"),
        (re.sub("@pytest.mark.*\n", "", TEST), "a test with tmi_check needs a mark that names its plug-in"),
    ],
)
def test_a_wrong_mark(tmp_path, text, reason):
    said = run(tmp_path, text)
    assert reason in said
    assert "passed" not in said
