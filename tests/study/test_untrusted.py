"""Texts that anyone may have written."""

from __future__ import annotations

import pytest

from study.files.untrusted import Refused, json_object, one_line, strings


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "[]",
        '"text"',
        "3",
        "null",
        "{",
        '{"a": NaN}',
        '{"a": Infinity}',
        b"\xff",
        "{" + " " * 5_000_000 + "}",
        '{"a": 1' + "0" * 5000 + "}",
    ],
)
def test_what_is_no_json_object_of_ordinary_size_is_refused(text):
    with pytest.raises(Refused):
        json_object(text)


def test_an_object_of_texts():
    assert strings(json_object('{"a": "b"}')) == {"a": "b"}
    with pytest.raises(Refused, match="'a' that is not a text"):
        strings(json_object('{"a": 5}'))


def test_a_text_from_outside_is_one_line():
    assert one_line("a\nb\x1b[31m\tc" + "d" * 1000, 10) == "a b [31m c"
