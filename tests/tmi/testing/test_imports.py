"""Large libraries that a plug-in imports at module level are found, in a fresh process."""

from __future__ import annotations

import pytest

from tests.tmi import toys
from tmi.plugins.host import load
from tmi.testing.imports import import_problems

TEXT = '''
import tmi
IMPORT


@tmi.hookimpl
def tmi_probes():
    return {"p": "STEM:p", "q": "STEM_helper:q"}


def p(network, data):
    """A probe."""
'''


BUSY = "while time.process_time() < 0.6 + start: pass"


@pytest.mark.parametrize(
    ("name", "own", "helpers", "problems"),
    [
        ("light", "import numpy", "", {}),
        ("heavy", "import h5py", "", {"p": "h5py", "q": "h5py"}),
        ("helped", "", "import h5py", {"q": "h5py"}),
        pytest.param(
            "slow", "", f"import time\nstart = time.process_time()\n{BUSY}", {"q": "takes 0.6 s"}, marks=pytest.mark.slow
        ),
    ],
)
def test_what_a_module_imports(tmp_path, name, own, helpers, problems):
    file = toys.plugin(tmp_path, f"imports_{name}", TEXT.replace("IMPORT", own))
    (tmp_path / f"imports_{name}_helper.py").write_text(f"{helpers}\ndef q(network, data): ...\n")
    host = load([file])
    found = {name: import_problems(host.components["probe", name]) for name in ("p", "q")}
    assert {name for name, lines in found.items() if lines} == set(problems)
    for name, text in problems.items():
        assert text in found[name][0]
