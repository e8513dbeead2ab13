"""Descriptions of invocations are short, and no event and no error can end the relay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_relay.describe.causes import ErrorWithCauses, describe_causes
from terralive_relay.describe.errors import describe_error, describe_place
from terralive_relay.describe.events import describe_event
from terralive_stub.protocol.invocation import Outcome
from terralive_testing.fakes.messages import JSON

_KEYS = (
    "methodArn",
    "routeArn",
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
EVENTS = st.recursive(
    JSON, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner)
)


@given(EVENTS.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=100), st.text())
def test_any_event_and_any_error_can_be_described(data: bytes, trace_id: str) -> None:
    event = describe_event(data, trace_id)
    assert len(event.trigger) + len(event.summary) <= 400
    describe_error(Outcome(data, "Unhandled"))
    describe_place(Outcome(data, "Unhandled"), data.decode("latin-1"), Path("/code"))
    describe_place(Outcome(b"{}", "Unhandled"), trace_id, Path("/code"))


@pytest.mark.parametrize("depth", [900, 990, 5000, 100_000])
def test_nesting_of_any_depth_raises_nothing(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    for event in (
        f'{{"httpMethod":{deep}}}',
        f'{{"requestContext":{{"http":{{"path":{deep}}}}}}}',
        deep,
    ):
        describe_event(event.encode())
        describe_error(Outcome(event.encode(), "Unhandled"))


def test_a_long_path_is_cut() -> None:
    event = json.dumps(
        {"requestContext": {"http": {"method": "GET", "path": "/" + "a" * 10_000}}}
    ).encode()
    summary = describe_event(event).summary
    assert summary.startswith("GET /aaa")
    assert len(summary) == 200


def test_an_ordinary_request_is_named_in_full() -> None:
    event = json.dumps({"requestContext": {"http": {"method": "GET", "path": "/orders"}}}).encode()
    description = describe_event(event)
    assert (description.trigger, description.summary) == ("http", "GET /orders")


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (
            {
                "stackTrace": [
                    '  File "/code/app.py", line 1, in <module>\n',
                    '  File "/code/lib/x.py", line 7, in f\n',
                ]
            },
            "lib/x.py:7",
        ),
        (
            {
                "stackTrace": [
                    '  File "/code/app.py", line 2\n',
                    '  File "/usr/lib/json/x.py", line 9, in f\n',
                ]
            },
            "app.py:2",
        ),
        (
            {
                "stackTrace": [
                    '  File "/code/app.py", line 2\n',
                    '  File "/code/v/site-packages/x.py", line 9\n',
                ]
            },
            "app.py:2",
        ),
        ({"stackTrace": ['  File "/code/app.py" Line 3\n    def f(:']}, "app.py:3"),
        ({"stackTrace": ['  File "/shared/x.py", line 4, in f\n']}, "/shared/x.py:4"),
        ({"trace": ["Error: no", "    at f (/code/b.js:2:7)", "    at /code/a.js:9:1"]}, "b.js:2"),
        (
            {
                "trace": [
                    "Error: no",
                    "    at f (node:internal/x:2:7)",
                    "    at file:///code/a.mjs:9:1",
                ]
            },
            "a.mjs:9",
        ),
        ({"trace": ["Error: no", "    at f (node:internal/modules/x:2:7)"]}, ""),
        ({"stackTrace": []}, "cause.py:5"),
    ],
)
def test_the_place_of_an_error_is_the_innermost_of_the_functions_own_code(
    document: dict[str, object], place: str
) -> None:
    cause = json.dumps(
        {
            "exceptions": [
                {"stack": [{"path": "/code/cause.py", "line": 5}, {"path": "<x>", "line": 1}]}
            ]
        }
    )
    cause = cause if document == {"stackTrace": []} else ""
    assert (
        describe_place(Outcome(json.dumps(document).encode(), "E"), cause, Path("/code")) == place
    )


@pytest.mark.parametrize(
    ("event", "summary"),
    [
        ({"type": "TOKEN", "methodArn": "GET/a/b"}, "GET /a/b"),
        ({"type": "REQUEST", "methodArn": "GET/", "httpMethod": "GET"}, "GET /"),
        ({"type": "REQUEST", "routeArn": "POST/a", "requestContext": {"http": {}}}, "POST /a"),
        (
            {"type": "REQUEST", "methodArn": "$connect", "requestContext": {"connectionId": "c"}},
            "$connect",
        ),
    ],
)
def test_a_question_to_an_authorizer_names_the_method_that_the_client_calls(
    event: dict[str, object], summary: str
) -> None:
    for name in ("methodArn", "routeArn"):
        if name in event:
            event = {**event, name: f"arn:aws:execute-api:r:1:api/live/{event[name]}"}
    description = describe_event(json.dumps(event).encode())
    assert (description.trigger, description.summary) == ("authorizer", summary)


@pytest.mark.parametrize("causes", ["", "no JSON", "{}", "[" * 100_000, "[1, null]"])
def test_causes_that_cannot_be_read_are_left_out(causes: str) -> None:
    found = describe_causes(ErrorWithCauses(b"{}", "Unhandled", causes=causes))

    assert all(not cause.error_type and not cause.stack for cause in found)
    assert describe_causes(Outcome(b"{}", "Unhandled")) == ()
