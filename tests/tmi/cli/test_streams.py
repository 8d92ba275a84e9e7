from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from tests.tmi import toys
from tmi.cli import main as command_line

ENCODINGS = ["latin-1", "cp1252", "cp437", "shift_jis", "gbk", "ascii", "utf-8"]
UNWRITABLE = "Ж→ü日\udcff"  # no encoding but UTF-8 has the first four, and none the last

NAMED = f'''
[datasets."{UNWRITABLE[:-1]}"]
use = "toy-data"
[networks.n]
use = "toy-net"
[probes.p]
use = "speaking"
[probes.bad]
use = "bad-speaking"
'''

SPEAKING = f"""
import ctypes, os, subprocess, sys, warnings
import tmi


@tmi.hookimpl
def tmi_probes():
    return {{"speaking": "STEM:speaking", "bad-speaking": "STEM:bad_speaking"}}


def speak():
    print("by Python {UNWRITABLE[:-1]}")
    sys.__stdout__.write("by the original stream\\n")
    ctypes.CDLL(None).printf(b"by C\\n")
    os.write(1, b"by a descriptor\\n")
    subprocess.run(["echo", "by a child"])
    if os.fork() == 0:
        os.write(1, b"by a fork\\n")
        os._exit(0)
    os.wait()


if os.environ.get("SPEAKING"):
    speak()


def speaking(network, data) -> tmi.ProbeResult:
    \"\"\"Print {UNWRITABLE[:-1]} in every way.\"\"\"
    if os.environ.get("SPEAKING"):
        speak()
    warnings.warn("{UNWRITABLE[:-1]}")
    return tmi.ProbeResult({{"{UNWRITABLE[:-1]}": 1.0}}, notes="{UNWRITABLE[:-1]}")


def bad_speaking(network, data) -> tmi.ProbeResult:
    \"\"\"Fail.\"\"\"
    raise ValueError("{UNWRITABLE[:-1]}")
"""


@pytest.fixture
def speaking(folder):
    toys.plugin(folder, "speaking", SPEAKING)
    toys.suite(folder, NAMED, head='plugins = ["toys.py", "speaking.py"]')
    return folder


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


def call_in(encoding, monkeypatch, *arguments, kind=io.TextIOWrapper):
    """Call the command with standard streams of an encoding that raises errors; return the exit code and both texts."""
    streams = [kind(io.BytesIO(), encoding=encoding, errors="strict", write_through=True) for _ in "oe"]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        code = 0
        try:
            command_line(list(arguments))
        except SystemExit as left:
            code = left.code or 0
    return code, *(stream.buffer.getvalue().decode(encoding) for stream in streams)


COMMANDS = [
    (0, "--help"), (0, "list"), (0, "list", "--plugin", "speaking.py"), (0, "describe", "probe", "accuracy"),
    (0, "describe", "probe", "speaking", "--plugin", "speaking.py"), (0, "check", "suite.toml"), (0, "check", "speaking.py"),
    (0, "run", "suite.toml", "--dry-run"), (1, "run", "suite.toml", "--report", UNWRITABLE), (0, "results", "suite.toml"),
    (0, "results", "suite.toml", "--failed"), (0, "report", "suite.toml"), (0, "store", "info"), (0, "store", "verify"),
    (0, "store", "prune", "--older", "9d", "--dry-run"), (0, "store", "export", f"{UNWRITABLE}.csv"),
    (2, "run", f"{UNWRITABLE}.toml"), (2, "describe", "probe", UNWRITABLE), (2, "store", "info", "--store", UNWRITABLE),
    (2, UNWRITABLE), (2, "list", "--" + UNWRITABLE), (2, "results", "suite.toml", "--metric", UNWRITABLE),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_writes_into_every_encoding(speaking, monkeypatch, encoding):
    for code, *arguments in COMMANDS:
        done, out, err = call_in(encoding, monkeypatch, *arguments)
        assert done == code, (arguments, out, err)
        assert "Traceback" not in err
        assert (err if code == 2 else out).strip()


def test_a_terminal_with_bars_of_every_encoding(speaking, monkeypatch):
    for encoding in ENCODINGS:
        code, out, err = call_in(encoding, monkeypatch, "run", "suite.toml", "--store", encoding, kind=Terminal)
        assert code == 1, (out, err)
        assert "2 cells" in out


def run(*arguments, **options):
    environment = toys.environment(SPEAKING="1")
    command = [sys.executable, "-m", "tmi.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, timeout=120, **options)


SPOKEN = ["by Python", "by the original stream", "by C", "by a descriptor", "by a child", "by a fork"]


@pytest.mark.parametrize(
    "place", ["-", pytest.param("/dev/stdout", marks=pytest.mark.slow), pytest.param("link", marks=pytest.mark.slow)]
)
def test_rows_alone_on_standard_output(speaking, place):
    (speaking / "link").symlink_to("/dev/stdout")
    done = run("run", "suite.toml", "--json", place, cwd=speaking)
    assert done.returncode == 1, done.stderr
    assert [(row["probe"], row["status"]) for row in json.loads(done.stdout)] == [("bad", "failed"), ("p", "ok")][::-1]
    for words in (*SPOKEN, "suite: 2 cells"):
        assert words in done.stderr
    assert {"-", "stdout"}.isdisjoint(path.name for path in speaking.iterdir())


@pytest.mark.slow
def test_rows_of_every_command_that_writes_them(speaking):
    assert run("run", "suite.toml", "--json", "rows.json", cwd=speaking).returncode == 1
    (file,) = (path for path in (speaking / "tmi-store/results").rglob("*.h5"))
    expected = json.loads((speaking / "rows.json").read_text())
    assert json.loads(run("run", "suite.toml", "--json", "-", "--report", "r", cwd=speaking).stdout) == expected
    results = run("results", "suite.toml", "--json", "-", cwd=speaking)
    assert json.loads(results.stdout) == expected
    assert "1 of 2 cells failed" in results.stderr
    for arguments in (["list"], ["describe", "probe", "accuracy"], ["data", "list"], ["store", "prune", "--older", "1d"]):
        assert json.loads(run(*arguments, "--json", "-", cwd=speaking).stdout) is not None
    assert json.loads(run("results", "suite.toml", "--failed", "--json", "-", cwd=speaking).stdout) == expected
    plan = json.loads(run("run", "suite.toml", "--dry-run", "--json", "-", cwd=speaking).stdout)
    assert [cell["action"] for cell in plan["cells"]] == ["cached", "compute"]
    assert json.loads(run("results", str(file), "--json", "-", cwd=speaking).stdout) == [
        {"metric": UNWRITABLE[:-1], "value": 1.0}
    ]
    assert json.loads(run("store", "info", "--json", "-", cwd=speaking).stdout)["layout"] == 1
    table = run("store", "export", "-", "--suite", "suite.toml", cwd=speaking)
    assert table.stdout.splitlines()[0].startswith("dataset,network,probe,seed,")
    assert len(table.stdout.splitlines()) == 3
    assert not (speaking / "-").exists()


@pytest.mark.slow
def test_what_is_no_file_is_refused(speaking):
    for option in ("--report", "--store", "--plugin"):
        done = run("run", "suite.toml", option, "-", cwd=speaking)
        assert done.returncode == 2
        assert "write ./- for a file or folder" in done.stderr
    assert run("run", "suite.toml", "--json", "./-", cwd=speaking).returncode == 1
    assert json.loads((speaking / "-").read_text())


@pytest.mark.slow
def test_a_reader_that_leaves_early(speaking):
    for command in (["run", "suite.toml", "--json", "-"], ["store", "export", "-"], ["list"], ["results", "suite.toml"]):
        line = f"{sys.executable} -m tmi.cli {' '.join(command)} | head -n 1"
        done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=speaking, env=toys.environment(), timeout=60)
        assert "Traceback" not in done.stderr, done.stderr
        assert "Exception ignored" not in done.stderr, done.stderr
        assert "BrokenPipe" not in done.stderr, done.stderr


@pytest.mark.slow
def test_standard_error_that_is_closed(speaking):
    line = f"{sys.executable} -m tmi.cli run suite.toml --json - 2>&-"
    environment = toys.environment(SPEAKING="1")
    done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=speaking, env=environment, timeout=60)
    assert [row["status"] for row in json.loads(done.stdout)] == ["ok", "failed"]


def test_standard_output_that_is_closed(speaking):
    line = f"{sys.executable} -m tmi.cli run suite.toml --json - >&-"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=speaking, env=toys.environment(), timeout=60)
    assert done.returncode == 2
    assert "error: -: standard output is closed" in done.stderr


@pytest.mark.slow
def test_a_pipe_and_an_unwritable_file_as_rows(speaking):
    line = f"bash -c '{sys.executable} -m tmi.cli run suite.toml --json >(cat > through.json)'; sleep .2"
    subprocess.run(line, shell=True, capture_output=True, text=True, cwd=speaking, env=toys.environment(), timeout=60)
    assert json.loads((speaking / "through.json").read_text())
    done = run("run", "suite.toml", "--json", "tmi-store", cwd=speaking)
    assert done.returncode == 2
    assert "tmi-store: cannot be written to (it is a folder" in done.stderr
