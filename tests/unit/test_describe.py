"""What the terminal says of an invocation is short, and no event or error of anybody's can end the relay by it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.messages import JSON
from terralive_relay.describe import Trigger, describe_delivery, describe_error, describe_trigger
from terralive_stub.invocation import Outcome

_KEYS = (
    "requestContext",
    "http",
    "httpMethod",
    "path",
    "routeKey",
    "connectionId",
    "Records",
    "eventSource",
    "source",
    "detail-type",
    "attributes",
    "ApproximateReceiveCount",
    "SentTimestamp",
    "dynamodb",
    "ApproximateCreationDateTime",
    "errorType",
    "errorMessage",
    "stackTrace",
    "trace",
)
EVENTS = st.recursive(JSON, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner))


@given(EVENTS.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=100), st.text())
def test_any_event_and_any_error_can_be_described(data: bytes, trace_id: str) -> None:
    trigger = describe_trigger(data)
    assert len(trigger.name) + len(trigger.summary) <= 400
    describe_delivery(data, trace_id)
    describe_error(Outcome(data, "Unhandled"))


@pytest.mark.parametrize("depth", [900, 990, 5000, 100_000])
def test_nesting_of_any_depth_is_survived(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    for event in (f'{{"httpMethod":{deep}}}', f'{{"requestContext":{{"http":{{"path":{deep}}}}}}}', deep):
        describe_trigger(event.encode())
        describe_error(Outcome(event.encode(), "Unhandled"))


def test_a_long_path_is_cut() -> None:
    event = json.dumps({"requestContext": {"http": {"method": "GET", "path": "/" + "a" * 10_000}}}).encode()
    trigger = describe_trigger(event)
    assert trigger.summary.startswith("GET /aaa")
    assert len(trigger.summary) == 200


def test_an_ordinary_request_is_named_in_full() -> None:
    event = json.dumps({"requestContext": {"http": {"method": "GET", "path": "/orders"}}}).encode()
    assert describe_trigger(event) == Trigger("http", "GET /orders")
