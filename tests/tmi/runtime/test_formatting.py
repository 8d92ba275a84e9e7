from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmi import InputError
from tmi.runtime.formatting import (
    format_count,
    format_duration,
    format_size,
    format_time,
    parse_age,
    parse_size,
    printable,
)

DAY = 86400.0


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GB", 2e9),
        ("500 MB", 5e8),
        ("1.5GiB", 1.5 * 2**30),
        ("10", 10),
        ("1kB", 1000),
        ("3 k", 3000),
        ("0", 0),
        ("2tib", 2**41),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 30 * DAY), ("12h", DAY / 2), ("2w", 14 * DAY), ("90min", 5400), ("1.5 d", 1.5 * DAY)]
)
def test_ages(text, seconds):
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1e3", "2 XB", "1 2", "nan", "inf", "9" * 400, "١GB\x1b[2J"])
def test_texts_that_are_no_number_with_a_unit(text):
    for parse in (parse_size, parse_age):
        with pytest.raises(InputError, match="expected a") as error:
            parse(text)
        assert str(error.value).isprintable()


def test_an_age_needs_a_unit():
    with pytest.raises(InputError, match="12h, 30d or 2w"):
        parse_age("30")


@given(st.integers(0, 10**18))
def test_a_formatted_size_is_near_the_size(size):
    text = format_size(size)
    assert abs(parse_size(text) - size) <= 0.01 * size if "e" not in text else size >= 10**15


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1234, "1.23 kB"), (340e6, "340 MB"), (1.5e9, "1.5 GB"), (2e15, "2000 TB")]
)
def test_formatted_sizes(size, text):
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.4, "99 s"), (99.6, "2 min"), (725, "12 min"), (12_000, "3 h 20 min")],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 results"), (1, "1 result"), (2, "2 results"), (1234, "1,234 results")])
def test_counts(count, text):
    assert format_count(count, "result") == text


@given(st.text())
def test_names_are_one_printable_line(text):
    assert printable(text).isprintable()


def test_names_that_are_no_unicode():
    assert printable("a\udcffb\x1b[1m") == "a\\udcffb\\x1b[1m"


def test_times():
    assert format_time(0) == "1970-01-01 00:00"
    assert format_time(1e300) == "unknown"
