"""Event patterns match what EventBridge's page says.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.triggers.event_patterns.patterns import InvalidPatternError, matches, parse

# A field's pattern, values that match it, values that do not; `...` stands for an absent field.
FIELDS: list[tuple[object, list[object], list[object]]] = [
    (["a", "b"], ["a", "b", ["x", "b"]], ["A", "ab", "", None, ["x"], [], {"a": "a"}, ...]),
    ([1], [1, 1.0, [0, 1]], ["1", True, 2]),
    ([True], [True], ["true", 1]),
    ([None], [None], ["", "null", [], ...]),
    ([""], [""], [None, " ", ...]),
    ([{"prefix": "us-"}], ["us-east-1", "us-"], ["eu-us-", "US-east-1", 1, None, ...]),
    ([{"prefix": {"equals-ignore-case": "eventb"}}], ["EventBridge"], ["event"]),
    ([{"suffix": ".png"}], ["a.png", ".png", "a\n.png"], ["a.PNG", "a.png.txt"]),
    ([{"suffix": {"equals-ignore-case": "tbridge"}}], ["EvenTBRIDGE"], ["tbridges"]),
    ([{"equals-ignore-case": "alice"}], ["ALICE", "alice"], ["alice ", ...]),
    (
        [{"wildcard": "dir/*.png"}],
        ["dir/a.png", "dir/.png", "dir/b/c.png"],
        ["dir/a.jpg", "x/dir/a.png"],
    ),
    ([{"wildcard": r"a\*\\*"}], [r"a*\anything"], [r"ab\x", "a*"]),
    (
        [{"anything-but": "initializing"}],
        ["running", "", None, 1, ["initializing", "running"]],
        ["initializing", ...],
    ),
    ([{"anything-but": ["stopped", "overloaded"]}], ["running"], ["stopped", "overloaded", ...]),
    ([{"anything-but": [100, 200]}], [300, "100"], [100, 200.0]),
    ([{"anything-but": {"prefix": "init"}}], ["running", 5], ["initializing", ...]),
    ([{"anything-but": {"prefix": ["a", "b"]}}], ["c"], ["ab", "bc"]),
    ([{"anything-but": {"suffix": ".png"}}], ["a.jpg"], ["a.png"]),
    (
        [{"anything-but": {"equals-ignore-case": ["initializing", "stopped"]}}],
        ["running"],
        ["INITIALIZING", "Stopped"],
    ),
    ([{"anything-but": {"wildcard": "*/lib/*"}}], ["a/bin/b"], ["a/lib/b"]),
    ([{"numeric": ["=", 100]}], [100, 100.0], [101, "100", True]),
    ([{"numeric": [">", 10, "<=", 20]}], [10.5, 20], [10, 21]),
    ([{"cidr": "10.0.0.0/24"}], ["10.0.0.255"], ["10.0.1.0", "nonsense", 10, "::1"]),
    ([{"cidr": "2001:db8::/32"}], ["2001:db8::1"], ["2001:db9::1"]),
    ([{"exists": True}], ["", None, 0, ["a"]], [..., {"child": 1}, {}, []]),
    ([{"exists": False}], [..., {"child": 1}, []], ["", None, 0]),
    ([{"exists": False}, "a"], [..., "a"], ["b"]),
    (
        {"x": [1], "y": [2]},
        [{"x": 1, "y": 2}, [{"x": 1, "y": 2}]],
        [{"x": 1}, [{"x": 1}, {"y": 2}], 1, ...],
    ),
    ({"x": [{"exists": False}]}, [..., {}, {"y": 1}, 5], [{"x": 1}, [{"y": 1}, {"x": 1}]]),
    ({"$or": [{"x": [1]}, {"y": [2], "z": [3]}]}, [{"x": 1}, {"y": 2, "z": 3}], [{"y": 2}, {}]),
    ({"$or": [1]}, [{"$or": 1}], [{"x": 1}]),
    ({"$or": [{"prefix": "a"}, {"suffix": "b"}]}, [{"$or": "ab"}, {"$or": "xb"}], [{"$or": "x"}]),
]


@pytest.mark.parametrize(
    ("field", "match", "others"), FIELDS, ids=lambda value: json.dumps(value, default=str)[:60]
)
def test_a_field_matches_what_the_operators_page_says(
    field: object, match: list[object], others: list[object]
) -> None:
    pattern = parse(json.dumps({"f": field}))
    events = [
        (value, {} if value is ... else {"f": value, "other": 1}) for value in (*match, *others)
    ]
    assert [value for value, event in events if matches(pattern, event)] == match


def test_every_field_of_a_pattern_has_to_match() -> None:
    pattern = parse(
        '{"source": ["a"], "detail": {"state": ["on"], "$or": [{"x": [1]}, {"y": [1]}]}}'
    )
    assert matches(pattern, {"source": "a", "detail": {"state": "on", "y": 1}, "more": 1})
    assert not matches(pattern, {"source": "b", "detail": {"state": "on", "y": 1}})
    assert not matches(pattern, {"source": "a", "detail": {"state": "off", "y": 1}})
    assert not matches(pattern, {"source": "a", "detail": {"state": "on"}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '"a"',
        "{",
        "{}",
        '{"a": "b"}',
        '{"a": 1}',
        '{"a": []}',
        '{"a": {}}',
        '{"a": [[1]]}',
        '{"a": [{"like": "b"}]}',
        '{"a": [{"prefix": "a", "suffix": "b"}]}',
        '{"a": [{}]}',
        '{"a": [{"prefix": 1}]}',
        '{"a": [{"prefix": ["a"]}]}',
        '{"a": [{"prefix": {"suffix": "a"}}]}',
        '{"a": [{"wildcard": "a**"}]}',
        r'{"a": [{"wildcard": "a\\b"}]}',
        '{"a": [{"wildcard": ["a"]}]}',
        '{"a": [{"equals-ignore-case": ["a"]}]}',
        '{"a": [{"anything-but": []}]}',
        '{"a": [{"anything-but": null}]}',
        '{"a": [{"anything-but": [1, "a"]}]}',
        '{"a": [{"anything-but": {"prefix": ""}}]}',
        '{"a": [{"anything-but": {"cidr": "10.0.0.0/8"}}]}',
        '{"a": [{"anything-but": {"prefix": 1}}]}',
        '{"a": [{"numeric": []}]}',
        '{"a": [{"numeric": [">"]}]}',
        '{"a": [{"numeric": [">", "0"]}]}',
        '{"a": [{"numeric": [">", 0, ">", 0]}]}',
        '{"a": [{"numeric": ["<", 1, ">", 0]}]}',
        '{"a": [{"numeric": [">", 5, "<", 5]}]}',
        '{"a": [{"numeric": ["~", 5]}]}',
        '{"a": [{"numeric": 5}]}',
        '{"a": [{"cidr": "10.0.0.0"}]}',
        '{"a": [{"cidr": "10.0.0/8"}]}',
        '{"a": [{"cidr": "10.0.0.0/33"}]}',
        '{"a": [{"exists": "yes"}]}',
        '{"$or": [{"a": [1]}, {"b": 1}]}',
    ],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(InvalidPatternError):
        parse(text)


_SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
)


@given(_JSON, _JSON)
def test_any_json_is_refused_or_decides(pattern: object, event: object) -> None:
    try:
        parsed = parse(json.dumps({"f": pattern}))
    except InvalidPatternError:
        return
    assert matches(parsed, {"f": event}) in {True, False}


@given(st.dictionaries(st.sampled_from("abc"), _SCALARS, min_size=1))
def test_an_event_matches_the_pattern_made_of_its_own_values(event: dict[str, object]) -> None:
    pattern = parse(json.dumps({name: [value] for name, value in event.items()}))
    assert matches(pattern, event)
    assert not matches(
        pattern, {name: value for name, value in event.items() if name != min(event)}
    )
