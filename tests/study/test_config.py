from __future__ import annotations

import pytest

from study.config import StudyConfig, integers, validated
from study.terminal.errors import InputError


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0-9", tuple(range(10))), ("0,3,7-9", (0, 3, 7, 8, 9)), ("5", (5,)), (" 1, 2 ", (1, 2)), ("4-4", (4,)), ("9,1", (9, 1))],
)
def test_lists_and_ranges(text, numbers):
    assert integers(text) == numbers


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("seeds", "9-0", "runs backwards"),
        ("seeds", "", "whole numbers and ranges"),
        ("seeds", "1,1", "repeated"),
        ("seeds", "-1", "whole numbers and ranges"),
        ("hidden_sizes", "0", "greater than 0"),
        ("hidden_sizes", "1.5", "whole numbers and ranges"),
        ("epochs", "abc", "integer"),
        ("learning_rate", "nan", "finite"),
        ("learning_rate", "-1", "greater than 0"),
        ("dataset", "cifar", "mnist"),
        ("device", "tpu", "'auto', 'cpu' or 'cuda'"),
        ("jobs", "0", "greater than 0"),
        ("blank_rows", "0", "greater than or equal to 1"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_was_given_and_what_is_accepted(field, value, reason):
    with pytest.raises(InputError) as caught:
        validated(StudyConfig, {field: value})
    assert str(caught.value).startswith(f"{field}={value}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_grid_is_every_size_and_seed_largest_first():
    networks = StudyConfig(seeds="0-1", hidden_sizes="8,32", device="cpu").networks()
    assert [(n.hidden_size, n.seed) for n in networks] == [(32, 0), (32, 1), (8, 0), (8, 1)]
