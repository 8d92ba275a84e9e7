from __future__ import annotations

import sys
import threading
import types

import pytest

from tmi.runtime import notebook
from tmi.runtime.notebook import bar, in_notebook
from tmi.runtime.progress import track


@pytest.fixture
def shown(monkeypatch):
    """What a cell displays: a list of places, each with the HTML that it had."""
    places = []

    class Handle:
        def __init__(self, first):
            self.content = [first._repr_html_()]
            places.append(self.content)

        def update(self, one):
            self.content.append(one._repr_html_())

    ipython, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    module.display = lambda one, display_id: Handle(one)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(notebook, "_EVERY", 0)
    return places


def test_a_bar_below_the_cell(shown):
    assert in_notebook()
    assert list(track("abc", "<steps>")) == ["a", "b", "c"]
    (content,) = shown
    assert [text.partition("value=")[2][:7] for text in content[:3]] == ['"0" max', '"1" max', '"2" max']
    assert "&lt;steps&gt;: 1 of 3" in content[1]
    assert content[-1] == ""


def test_the_bar_vanishes_after_an_error(shown):
    steps = track(iter("abc"), "steps")
    next(steps)
    with pytest.raises(ZeroDivisionError):
        steps.throw(ZeroDivisionError)
    assert "max" not in shown[0][0]  # nobody knows how many there are
    assert shown[0][-1] == ""


def test_elsewhere_there_is_none(monkeypatch, shown):
    found = []
    thread = threading.Thread(target=lambda: found.append(in_notebook()))
    thread.start()
    thread.join()
    assert found == [False]
    sys.modules["IPython"].get_ipython = lambda: types.SimpleNamespace(kernel=None)  # IPython in a terminal
    assert not in_notebook()
    sys.modules["IPython"].get_ipython = lambda: None
    assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()
    assert "IPython" not in sys.modules


def test_bars_are_changed_five_times_a_second_at_most(shown, monkeypatch):
    monkeypatch.setattr(notebook, "_EVERY", 60)
    assert list(track(range(1000), "steps")) == list(range(1000))
    assert len(shown[0]) == 2


def test_a_bar_of_no_steps():
    assert 'max="1"' in bar(0, 0, "none")
