from __future__ import annotations

import io

import pytest

from tmi.runtime.progress import shown_by, track


def test_passes_steps_on_quietly(capsys):
    assert list(track(iter("abc"), "letters")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_a_display_shows_it():
    seen = []

    def display(steps, description, total):
        for step in steps:
            seen.append((description, total, step))
            yield step

    with shown_by(display):
        assert list(track([1, 2], "training", 2)) == [1, 2]
    assert seen == [("training", 2, 1), ("training", 2, 2)]
    assert list(track([3], "after")) == [3]
    assert len(seen) == 2


def test_display_is_put_back_after_an_error():
    def display(steps, description, total):
        pytest.fail("not asked for any more")
        yield

    with pytest.raises(ZeroDivisionError), shown_by(display):
        raise ZeroDivisionError
    assert list(track([1], "after")) == [1]


def test_a_terminal_shows_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert list(track(range(3), "training")) == [0, 1, 2]
    assert "training" in terminal.getvalue()
