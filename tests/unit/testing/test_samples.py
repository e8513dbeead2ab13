"""The comparer that event tests rely on must be able to fail."""

from __future__ import annotations

import pytest

from terralive_testing.oracles.samples import assert_same_shape

SAMPLE = {"a": {"b": 1, "c.d": None}, "list": [{"x": "1"}, {"x": "2"}]}


def test_the_same_shape_passes_whatever_the_values() -> None:
    assert_same_shape({"a": {"b": 2.5, "c.d": None}, "list": [{"x": ""}]}, SAMPLE)


@pytest.mark.parametrize(
    ("actual", "message"),
    [
        ({"a": {"b": 1}, "list": [{"x": ""}]}, "lacks a.c.d"),
        ({"a": {"b": 1, "c.d": None, "e": 1}, "list": [{"x": ""}]}, r"has a.e \(number\) beyond"),
        ({"a": {"b": True, "c.d": None}, "list": [{"x": ""}]}, "has a.b as boolean, not number"),
        (
            {"a": {"b": 1, "c.d": None}, "list": [{"x": ""}, {"x": None}]},
            r"has list\[\].x as null or string",
        ),
        ({"a": {"b": 1, "c.d": None}, "list": []}, r"lacks list\[\]"),
    ],
)
def test_every_difference_is_named(actual: object, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_same_shape(actual, SAMPLE)


def test_a_difference_is_allowed_with_a_reason_and_only_while_it_is_one() -> None:
    assert_same_shape(
        {"list": [{"x": ""}], "more": {"y": 1}}, SAMPLE, absent={"a": "why"}, extra={"more": "why"}
    )
    with pytest.raises(AssertionError, match="does not lack a"):
        assert_same_shape(SAMPLE, SAMPLE, absent={"a": "why"})
    with pytest.raises(AssertionError, match="has nothing else at more"):
        assert_same_shape(SAMPLE, SAMPLE, extra={"more": "why"})
