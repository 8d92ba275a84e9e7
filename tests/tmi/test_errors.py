from __future__ import annotations

import pytest

import tmi
from tmi import errors


def test_every_error_is_a_tmi_error():
    children = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    assert len(children) == 11
    assert all(issubclass(e, tmi.TmiError) for e in children)
    assert issubclass(tmi.InputError, ValueError)
    assert issubclass(tmi.UnknownNameError, LookupError)


def test_suite_error_keeps_every_problem():
    error = errors.SuiteError(iter(["one", "two"]))
    assert error.problems == ["one", "two"]
    assert str(error) == "one\ntwo"


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("theorm1", ["theorem1", "cnn"], '; did you mean "theorem1"?'),
        ("zebra", ["theorem1", "cnn"], "; known: cnn, theorem1"),
        ("zebra", [], "; there is none"),
        (3, ["a"], "; known: a"),
    ],
)
def test_did_you_mean(name, known, hint):
    assert errors.did_you_mean(name, iter(known)) == hint
