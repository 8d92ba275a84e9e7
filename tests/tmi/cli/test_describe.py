from __future__ import annotations

import json

import tmi
from tests.tmi import toys
from tests.tmi.cli.calls import call
from tmi.cli.common import KINDS

GOOGLE = '''
import tmi


@tmi.hookimpl
def tmi_probes():
    return {"google": "google:google"}


def google(network: tmi.Network, data: tmi.Dataset, *, scale: float = 1.0) -> tmi.ProbeResult:
    """Say something.

    Args:
        scale: This is not read.
    """
'''


def test_describe(folder):
    shown = call("describe", "probe", "toy-probe", "--plugin", "toys.py").stdout
    assert "Sum up the logits." in shown
    assert "scale: float, default 1.0" in shown
    assert "is not read" not in shown
    assert call("describe", "probes", "toy-probe", "--plugin", "toys.py").stdout == shown
    for kind in KINDS:
        for name in tmi.names(kind):
            assert name in call("describe", kind, name).stdout


def test_as_json(folder):
    described = json.loads(call("describe", "probe", "toy-probe", "--plugin", "toys.py", "--json", "-").stdout)
    assert described["summary"] == "Sum up the logits."
    assert described["parameters"][0] == {"name": "scale", "type": "float", "required": False, "default": 1.0, "text": ""}
    for kind in KINDS:
        name = tmi.names(kind)[0]
        assert json.loads(call("describe", kind, name, "--json", "-").stdout)["name"] == name


def test_a_docstring_in_another_style(folder):
    toys.plugin(folder, "google", GOOGLE)
    said = call("describe", "probe", "google", "--plugin", "google.py").stdout
    assert said.splitlines()[-1] == "The docstring's 'Args:' is not read: meanings come from a section in NumPy's style."
