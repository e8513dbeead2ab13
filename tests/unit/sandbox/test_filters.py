"""Event filters.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

import base64
import json

import pytest

from terralive_sandbox.triggers.event_patterns.patterns import InvalidPatternError
from terralive_sandbox.triggers.event_source_mappings.settings import Filters


def filters(*patterns: object) -> Filters:
    return Filters.parse({"Filters": [{"Pattern": json.dumps(pattern)} for pattern in patterns]})


def message(body: str) -> dict[str, object]:
    return {"body": body, "eventSource": "aws:sqs"}


# The page's table of bodies and patterns.
@pytest.mark.parametrize(
    ("body", "pattern", "passes"),
    [
        ("plain", {"body": ["plain"]}, True),
        ("plain", {"body": ["other"]}, False),
        ("plain", {"eventSource": ["aws:sqs"]}, True),
        ("plain", {"body": {"a": [1]}}, False),
        ("plain", {"body": {"a": [{"exists": False}]}}, False),
        ('{"a": 1}', {"body": ['{"a": 1}']}, False),
        ('{"a": 1}', {"eventSource": ["aws:sqs"]}, True),
        ('{"a": 1}', {"body": {"a": [1]}}, True),
        ('{"a": 2}', {"body": {"a": [1]}}, False),
        ('{"a": {"b": "xy"}}', {"body": {"a": {"b": [{"prefix": "x"}]}}}, True),
    ],
)
def test_a_pattern_for_json_drops_plain_bodies_and_the_other_way_round(
    body: str, pattern: object, passes: bool
) -> None:
    assert filters(pattern).passes(message(body)) is passes


def test_one_matching_filter_is_enough_and_none_lets_everything_through() -> None:
    either = filters({"body": {"a": [1]}}, {"body": {"a": [2]}})
    assert [either.passes(message(f'{{"a": {a}}}')) for a in (1, 2, 3)] == [True, True, False]
    assert Filters.parse({}).passes(message("anything"))
    assert Filters.parse({"Filters": []}).passes({"eventName": "INSERT"})


def test_a_streams_record_is_matched_by_its_name_and_its_image() -> None:
    record = {"eventName": "INSERT", "dynamodb": {"Keys": {"Id": {"N": "101"}}}}
    assert filters({"eventName": ["INSERT"], "dynamodb": {"Keys": {"Id": {"N": ["101"]}}}}).passes(
        record
    )
    assert not filters({"dynamodb": {"Keys": {"Id": {"N": [101]}}}}).passes(record)


@pytest.mark.parametrize(
    "criteria", [{"Filters": [{}]}, {"Filters": [{"Pattern": "{"}]}, {"Filters": ["x"]}]
)
def test_what_is_no_pattern_is_refused(criteria: dict[str, object]) -> None:
    with pytest.raises(InvalidPatternError):
        Filters.parse(criteria)


@pytest.mark.parametrize(
    ("data", "pattern", "passes"),
    [
        ('{"kind": "order"}', {"data": {"kind": ["order"]}}, True),
        ('{"kind": "other"}', {"data": {"kind": ["order"]}}, False),
        ("plain", {"data": {"kind": [{"exists": False}]}}, False),
        ("plain", {"data": ["plain"]}, True),
        ('{"kind": "order"}', {"data": ['{"kind": "order"}']}, False),
        ("plain", {"partitionKey": ["vip"]}, True),
        ("plain", {"partitionKey": ["vip"], "data": ["other"]}, False),
    ],
)
def test_a_pattern_for_kinesis_describes_the_data_as_it_was_put(
    data: str, pattern: object, passes: bool
) -> None:
    record = {
        "kinesis": {"partitionKey": "vip", "data": base64.b64encode(data.encode()).decode()},
        "eventSource": "aws:kinesis",
    }
    assert filters(pattern).passes(record) is passes
