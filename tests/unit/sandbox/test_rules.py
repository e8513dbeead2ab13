"""EventBridge's events and the input of targets are those of its pages.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.triggers.rules.events import EntryError, RuleMatch, event_of, target_input
from terralive_testing.oracles.samples import assert_same_shape, sample

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678, dt.UTC)
MATCH = RuleMatch("arn:aws:events:us-east-2:123456789012:rule/example", "example", NOW)
# The page's example event.
EVENT: dict[str, object] = {
    "version": "0",
    "id": "7bf73129-1428-4cd3-a780-95db273d1602",
    "detail-type": "EC2 Instance State-change Notification",
    "source": "aws.ec2",
    "account": "123456789012",
    "time": "2015-11-11T21:29:54Z",
    "region": "us-east-1",
    "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-abcd1111"],
    "detail": {
        "instance-id": "i-0123456789",
        "state": "RUNNING",
        "tags": [{"k": 1}, {"k": 2}],
        "n": 5,
        "on": True,
    },
}
PATHS = {
    "timestamp": "$.time",
    "instance": "$.detail.instance-id",
    "state": "$.detail.state",
    "tags": "$.detail.tags",
    "first": "$.detail.tags[0].k",
    "each": "$.detail.tags[*].k",
    "n": "$.detail.n",
    "on": "$.detail.on",
    "none": "$.detail.none",
    "beyond": "$.detail.tags[7]",
    "whole": "$",
}


def transformed(template: str) -> str:
    return target_input(
        {"InputTransformer": {"InputPathsMap": PATHS, "InputTemplate": template}}, EVENT, MATCH
    )


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        # the table on the page
        ('"instance <instance> is in <state>"', "instance i-0123456789 is in RUNNING"),
        (r'"instance \"<instance>\" is in <state>"', 'instance "i-0123456789" is in RUNNING'),
        (
            '{"instance" : <instance>, "state": <state>}',
            {"instance": "i-0123456789", "state": "RUNNING"},
        ),
        (
            (
                r'{"instance" : <instance>, "state": "<state>", '
                r'"status": "instance \"<instance>\" is in <state>"}'
            ),
            {
                "instance": "i-0123456789",
                "state": "RUNNING",
                "status": 'instance "i-0123456789" is in RUNNING',
            },
        ),
        (
            '{"instance" : <instance>, "state": [9, <state>, true], "Transformed" : "Yes"}',
            {"instance": "i-0123456789", "state": [9, "RUNNING", True], "Transformed": "Yes"},
        ),
        (
            (
                '{"arn": <aws.events.rule-arn>, "name": "<aws.events.rule-name>", '
                '"event": <aws.events.event>}'
            ),
            {
                "arn": MATCH.rule_arn,
                "name": "example",
                "event": {k: v for k, v in EVENT.items() if k != "detail"},
            },
        ),
        ('"<aws.events.rule-name> triggered"', "example triggered"),
        ('{"all": <aws.events.event.json>}', {"all": EVENT}),
        ('{"at": <aws.events.event.ingestion-time>}', {"at": "2026-01-02T03:04:05Z"}),
        # values of other types, and absent values
        ("[<tags>, <first>, <each>, <n>, <on>]", [[{"k": 1}, {"k": 2}], 1, [1, 2], 5, True]),
        ('"<first> <n> <on> <tags>"', "1 5 true [{k:1},{k:2}]"),
        ('{"a": <none>, "b": "<beyond>", "c": <undefined>}', {"a": "", "b": "", "c": ""}),
        ("[<whole>]", [EVENT]),
    ],
)
def test_a_template_is_filled_as_the_page_shows(template: str, expected: object) -> None:
    assert json.loads(transformed(template)) == expected


def test_a_template_that_makes_no_json_is_passed_on_as_text() -> None:
    assert transformed("instance <instance>") == 'instance "i-0123456789"'


def test_a_target_gets_the_event_a_constant_or_a_part_of_it() -> None:
    assert json.loads(target_input({}, EVENT, MATCH)) == EVENT
    assert target_input({"Input": '{"a": 1}'}, EVENT, MATCH) == '{"a": 1}'
    assert json.loads(target_input({"InputPath": "$.detail.tags[1]"}, EVENT, MATCH)) == {"k": 2}
    assert json.loads(target_input({"InputPath": "$.detail.none"}, EVENT, MATCH)) is None


@given(st.text(), st.dictionaries(st.text(min_size=1, max_size=3), st.text(max_size=5), max_size=3))
def test_no_template_and_no_path_breaks_a_rule(template: str, paths: dict[str, str]) -> None:
    transformer = {
        "InputPathsMap": {name: f"$.{path}" for name, path in paths.items()},
        "InputTemplate": template,
    }
    assert isinstance(target_input({"InputTransformer": transformer}, EVENT, MATCH), str)
    assert isinstance(target_input({"InputPath": template}, EVENT, MATCH), str)


def test_an_entry_becomes_an_event_with_the_fields_of_the_page() -> None:
    entry = {
        "Source": "shop",
        "DetailType": "order",
        "Detail": '{"a": 1}',
        "Resources": ["r"],
        "Time": 1.5,
    }
    event = event_of(entry, "id", "123456789012", "eu-west-1", NOW)
    assert list(event) == list(EVENT)
    theirs = sample("eventbridge-event")
    detail = json.dumps(theirs["detail"])
    assert_same_shape(event_of({**entry, "Detail": detail}, "id", "1", "r", NOW), theirs)
    assert event["time"] == "1970-01-01T00:00:01Z"
    without = event_of(
        {**entry, "Time": None, "Resources": None}, "id", "123456789012", "eu-west-1", NOW
    )
    assert (without["time"], without["resources"]) == ("2026-01-02T03:04:05Z", [])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Source": ""}, "InvalidArgument"),
        ({"DetailType": None}, "InvalidArgument"),
        ({"Detail": ""}, "InvalidArgument"),
        ({"Detail": "["}, "MalformedDetail"),
        ({"Detail": "[]"}, "MalformedDetail"),
        ({"Source": "aws.s3"}, "NotAuthorizedForSourceException"),
    ],
)
def test_an_entry_that_is_refused_says_why(change: dict[str, object], code: str) -> None:
    entry = {"Source": "shop", "DetailType": "order", "Detail": "{}"}
    with pytest.raises(EntryError) as raised:
        event_of({**entry, **change}, "id", "1", "r", NOW)
    assert raised.value.code == code


def test_a_scheduled_event_is_like_awss_sample() -> None:
    entry = {
        "Source": "aws.events",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "Resources": ["r"],
    }
    ours = event_of(entry, "i", "1", "us-east-1", NOW, from_aws=True)
    assert_same_shape(ours, sample("eventbridge-scheduled"))
