from __future__ import annotations

from tests.tmi.cli.calls import call


def test_check(folder):
    assert call("check", "suite.toml").stdout == "suite.toml: ok, 1 cells\n"
    assert call("check", "paper").stdout.startswith("paper: ok, ")
    assert call("check", "toys.py").stdout.startswith("toys.py: ok, registers dataset toy-data, ")
    (folder / "bad.py").write_text("import tmi\n\n@tmi.hookimpl\ndef tmi_probes():\n    return {'a': 'bad:a', 'b': 'bad:b'}\n")
    assert len(call("check", "bad.py", code=2).stderr.splitlines()) == 2
    (folder / "broken.py").write_text("raise ValueError('two\\nlines')")
    assert len(call("check", "broken.py", code=2).stderr.splitlines()) == 1
    assert "there is no such file" in call("check", "nosuch.py", code=2).stderr
