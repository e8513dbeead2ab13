"""WebSocket APIs: routes and events; the pages are named in the module under test."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.access.identity import Caller
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_sandbox.apigateway.websocket import events as websocket_events

CONNECTION = websocket_events.Connection(
    "L0SM9cOFvHcCIhw=",
    "abcdef",
    "stub",
    "abcdef.execute-api.us-east-1.amazonaws.com",
    "127.0.0.1",
    "agent",
    1.5,
    (("Host", "h"), ("X-A", "1"), ("X-A", "2")),
    "q=1&q=2",
    Caller("ASIA1", "arn:aws:sts::123456789012:assumed-role/r/f", "AROA1:f", ()),
)


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"action": "greet"}', "greet"),
        ('{"action": "unknown"}', "$default"),
        ('{"action": "$connect"}', "$default"),
        ('{"action": 1}', "$default"),
        ("[]", "$default"),
        ("not json", "$default"),
        ("[" * 100_000, "$default"),
    ],
)
def test_a_messages_route_is_what_the_expression_selects(body: str, expected: str) -> None:
    assert (
        websocket_events.route_of("$request.body.action", body, {"greet", "$default", "$connect"})
        == expected
    )


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$request.body.action", "join"),
        ("${request.body.action}", "join"),
        ("${request.body.service}/${request.body.action}", "chat/join"),
        ("${request.body.action}-${request.body.invalidPath}", "join-"),
        ("action", "action"),
        (r"\$default", "$default"),
        ("${request.body.data.room}", "room1234"),
        ("$request.body.data.seats", "12"),
        ("$request.body.data.open", "true"),
        ("$request.body.service.of.text", ""),
    ],
)
def test_a_selection_expression_is_evaluated_as_documented(expression: str, value: str) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html."""
    data = {"room": "room1234", "seats": 12, "open": True}
    body = json.dumps({"service": "chat", "action": "join", "data": data})
    assert websocket_events.evaluate(expression, body) == value
    assert (websocket_events.evaluate(expression, "no JSON") is None) == ("request" in expression)


@given(
    st.text() | LEAVES.map(json.dumps),
    st.sampled_from(["$request.body.a", "${request.body.}", "$", "\\", "${"]),
)
def test_no_message_breaks_the_choice_of_its_route(body: str, expression: str) -> None:
    assert websocket_events.route_of(expression, body, {"$default"}) == "$default"


@given(
    st.binary()
    | st.recursive(
        LEAVES | st.floats(),
        lambda inner: st.dictionaries(
            st.sampled_from(["statusCode", "headers", "body", "Sec-WebSocket-Protocol"]), inner
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_answer_of_a_function_is_understood_or_malformed(body: bytes) -> None:
    try:
        answer = websocket_events.answer(body)
    except MalformedAnswerError:
        return
    assert 200 <= answer.status <= 599


def test_a_functions_answer_is_read() -> None:
    headers = {"SEC-websocket-PROTOCOL": "mine"}
    body = json.dumps({"statusCode": "200", "headers": headers, "body": "\u00e4"}).encode()
    assert websocket_events.answer(body) == websocket_events.Answer(200, "\u00e4".encode(), "mine")
    for broken in (
        b'{"statusCode": 200, "body": 1}',
        b'{"statusCode": 200, "headers": {"sec-websocket-protocol": ""}}',
    ):
        with pytest.raises(MalformedAnswerError):
            websocket_events.answer(broken)


def test_without_a_default_route_a_message_has_none() -> None:
    assert websocket_events.route_of("$request.body.action", "x", {"greet"}) is None
    assert (
        websocket_events.route_of("${request.body.a.b}", '{"a": {"b": "greet"}}', {"greet"})
        == "greet"
    )


def test_the_connect_event_names_the_caller_and_no_other_event_does() -> None:
    event = websocket_events.connect_event(CONNECTION, "r", 2.0)
    context = event["requestContext"]
    assert isinstance(context, dict)
    assert (context["eventType"], context["routeKey"], context["stage"]) == (
        "CONNECT",
        "$connect",
        "stub",
    )
    assert context["identity"]["userArn"] == "arn:aws:sts::123456789012:assumed-role/r/f"
    assert context["connectedAt"] == 1500
    assert isinstance(event["headers"], dict)
    assert isinstance(event["multiValueHeaders"], dict)
    assert (event["headers"]["Host"], event["headers"]["X-A"]) == ("h", "2")
    assert (event["multiValueHeaders"]["Host"], event["multiValueHeaders"]["X-A"]) == (
        ["h"],
        ["1", "2"],
    )
    assert event["queryStringParameters"] == {"q": "2"}
    message = websocket_events.message_event(
        CONNECTION, "$default", "b", request_id="r", message_id="m", now=2.0
    )
    gone = websocket_events.disconnect_event(CONNECTION, 1006, "", "r", 2.0)
    for later in (message, gone):
        assert isinstance(later["requestContext"], dict)
        assert "userArn" not in later["requestContext"]["identity"]
    assert "headers" not in message
