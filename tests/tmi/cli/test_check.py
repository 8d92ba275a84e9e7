from __future__ import annotations

from tests.tmi import toys
from tests.tmi.cli.calls import call


def test_check(folder):
    assert call("check", "suite.toml").stdout == "suite.toml: ok, 1 cell\n"
    assert call("check", "paper").stdout.startswith("paper: ok, ")
    assert call("check", "toys.py").stdout.startswith("toys.py: ok, registers dataset bad-data, ")
    (folder / "bad.py").write_text("import tmi\n\n@tmi.hookimpl\ndef tmi_probes():\n    return {'a': 'bad:a', 'b': 'bad:b'}\n")
    assert len(call("check", "bad.py", code=2).stderr.splitlines()) == 2
    (folder / "broken.py").write_text("raise ValueError('two\\nlines')")
    assert len(call("check", "broken.py", code=2).stderr.splitlines()) == 1
    assert "there is no such file" in call("check", "nosuch.py", code=2).stderr
    assert 'did you mean "paper"' in call("check", "papr", code=2).stderr


def test_each_function_is_tried_on_the_toy(folder):
    lines = call("check", "toys.py").stdout.splitlines()
    assert lines[1:] == [
        f"  {name}: not tried: ValueError: the toy is broken: raise"
        for name in ("dataset bad-data", "network bad-net", "probe bad-probe")
    ]
    assert (
        "error: probe bad-probe: fails: ValueError: the toy is broken: raise" in call("check", "toys.py", "--try", code=2).stderr
    )
    sound = toys.TOYS.replace("    fail(how)\n\n\ndef bad_net", "    return data(seed=seed)\n\n\ndef bad_net")
    sound = sound.replace("    fail(how)\n\n\nclass", "    return linear(data, seed=seed)\n\n\nclass").replace(
        "    fail(how)\n\n\ndef fail", '    return tmi.ProbeResult.not_applicable("it is a toy")\n\n\ndef fail'
    )
    toys.plugin(folder, "sound", sound)
    said = call("check", "sound.py", "--try").stdout
    assert "  probe bad-probe: not tried: it is a toy\n" in said
    assert " s, Network(bad-net, trained, layers: 1)\n" in said
    assert " s, ProbeResult(total=" in said


def test_a_suite_that_a_plug_in_registers_is_read(folder):
    (folder / "mine.toml").write_text('[probes.p]\nuse = "acuracy"\n')
    (folder / "suites.py").write_text(
        'import tmi\n\n\n@tmi.hookimpl\ndef tmi_suites():\n    return {"mine": "suites:mine.toml"}\n'
    )
    said = call("check", "suites.py", code=2).stderr
    assert "error: suite mine: mine.toml: [probes.p] use: probe 'acuracy' is unknown" in said


def test_each_probe_of_a_suite_is_tried_on_each_network(folder):
    text = toys.BASE + '[datasets.e]\nuse = "toy-data"\n[networks.bad]\nuse = "bad-net"\n[probes.q]\nuse = "bad-probe"\n'
    toys.suite(folder, text + 'sweep.how = ["tmi", "raise"]\n[[skip]]\ndataset = "e"\nnetwork = "bad"\n')
    done = call("check", "suite.toml", "--try", code=1)
    assert done.stdout.splitlines()[1:] == [
        "d  n        bad",
        "p  runs     fails",
        "q  refused  fails",
        "q: refused: the toy is broken [n]",
        "p: fails: network bad: ValueError: the toy is broken: raise [bad]",
        "q: fails: network bad: ValueError: the toy is broken: raise [bad]",
        "e  n",
        "p  runs",
        "q  refused",
        "q: refused: the toy is broken [n]",
    ]
    assert done.stderr.splitlines() == [f"  tried on {pair}: 2 probes" for pair in ("d / n", "d / bad", "e / n")]
    toys.suite(folder, toys.BASE.replace('"toy-data"', '"bad-data"\nhow = "tmi"'), name="data.toml")
    done = call("check", "data.toml", "--try", code=0)
    assert done.stdout.splitlines()[1:] == ["d  n", "p  refused", "p: refused: data set d: the toy is broken [n]"]
    assert not (folder / "tmi-store").exists()


def test_a_method_without_a_score_is_not_said_to_run(folder):
    method = "    return images.detach() * float('nan')\n"
    (folder / "nan.py").write_text(
        "import tmi\n\n\n@tmi.hookimpl\ndef tmi_attribution_methods():\n    return {'nan': 'nan:nan'}\n\n\n"
        f"def nan(module, images, targets):\n{method}"
    )
    head = 'plugins = ["toys.py", "nan.py"]'
    toys.suite(folder, toys.BASE.replace('"toy-probe"', '"attribution-bench"\nmeasures = ["mass"]\nmethod = "nan"'), head=head)
    lines = call("check", "suite.toml", "--try").stdout.splitlines()
    assert lines[1:3] == ["d  n", "p  not scored"]
    assert lines[3].startswith("p: not scored: for it gave NaN or infinity on ")
