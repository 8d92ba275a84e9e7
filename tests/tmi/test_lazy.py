"""After ``import tmi`` alone every documented name is there, and nothing heavy is imported for it."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT
from tests.tmi import toys

DOCUMENTED = sorted(set(re.findall(r"\.\. auto\w+:: (tmi\.[\w.]*)", (ROOT / "docs/api.md").read_text(encoding="utf-8"))))


def test_documented_names_are_found_after_import_tmi(tmp_path):
    """Each in the order of the page and in the other one, so that none is found for another one's import."""
    for names in (DOCUMENTED, DOCUMENTED[::-1]):
        code = f"import tmi\nfor name in {names}:\n    eval(name)"
        done = toys.python("-c", code, folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    assert len(DOCUMENTED) > 80


def test_only_public_names_are_listed(tmp_path):
    code = "import sys, tmi\nprint(*(n for n in dir(tmi) if n[0] != '_'))\nprint(set(sys.modules) & {'torch', 'numpy', 'pandas'})"
    listed, heavy = toys.python("-c", code, folder=tmp_path).stdout.splitlines()
    import tmi

    assert set(listed.split()) == {*tmi.__all__, *tmi._MODULES}
    assert heavy == "set()"


def test_what_a_package_does_not_have(tmp_path):
    code = """
import tmi
for name in ("tmi.nosuch", "tmi.report.nosuch", "tmi.networks.nosuch", "tmi.networks._hidden"):
    try:
        eval(name)
    except AttributeError as error:
        print(error)
"""
    assert toys.python("-c", code, folder=tmp_path).stdout.splitlines() == [
        "module 'tmi' has no attribute 'nosuch'",
        "module 'tmi.report' has no attribute 'nosuch'",
        "module 'tmi.networks' has no attribute 'nosuch'",
        "module 'tmi.networks' has no attribute '_hidden'",
    ]
