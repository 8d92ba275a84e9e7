from __future__ import annotations

from tmi.views.html import Raw, card, clip, facts, table, text_of


def test_texts_are_cut_and_in_one_line():
    assert clip(" a\n\tb ") == "a b"
    assert clip("x" * 100, 10) == "x" * 9 + "…"
    assert clip("x" * 10, 10) == "x" * 10
    assert [text_of(value) for value in (None, 1 / 3, 1234567, True, "a", 10**400)] == [
        "–",
        "0.33333",
        "1,234,567",
        "True",
        "a",
        "…",
    ]


def test_all_is_escaped_but_raw():
    assert "&lt;b&gt;" in card("<b>")
    assert "<b>" not in card("<b>", "<b>")
    assert "<b>" not in facts({"<b>": "<b>"}) + table(["<b>"], [["<b>"]])
    assert "<b>" in table(["x"], [[Raw("<b>")]])


def test_a_table_is_cut_and_counts_the_rest():
    rows = ([number] for number in iter(int, 1))  # it has no end
    assert "and 97 more" in table(["x"], rows, 100, 3)
    assert "more" not in table(["x"], [[1]], 1)
    assert table(["x"], []) == ""


def test_facts_without_a_value_are_left_out():
    assert facts({"a": None, "b": ""}) == ""
    assert "0" in facts({"a": 0})
