"""What the tests of the command share: a folder with toys and a suite, and a call that checks how errors look."""

from __future__ import annotations

from click.testing import CliRunner

from tmi.cli import main as command_line

PLUGINS = 'plugins = ["toys.py"]'


def call(*arguments, code=0):
    """Call the command; a mistake is said in lines that begin with "error:", never as a traceback."""
    done = CliRunner().invoke(command_line, [str(a) for a in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    if code == 2:
        assert done.stdout == ""
        said = [line for line in done.stderr.splitlines() if not line.startswith("warning:")]
        assert said
        usage = said[0].startswith("Usage:")  # click's own, which then say Error:
        assert usage or all(line.startswith("error: ") for line in said), done.stderr
    return done
