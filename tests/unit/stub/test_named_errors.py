"""The texts that a caller reads if no handler could answer.

An HTTP caller receives a 503, every other caller an error that can be retried.
"""

from __future__ import annotations

import json

import pytest

from terralive_stub.protocol.deadline import NEVER
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.messages import NoRelay
from terralive_stub.protocol.named_errors import (
    HTTP_STREAM,
    ErrorName,
    describe_no_relay,
    outcome_for_caller,
)

SINCE, UNTIL = 1_767_258_000_000, 1_767_261_845_000  # 2026-01-01 09:00:00 and 10:04:05 UTC

HTTP = {
    "REST API, payload 1.0": {
        "resource": "/orders",
        "path": "/orders",
        "httpMethod": "GET",
        "requestContext": {
            "resourcePath": "/orders",
            "httpMethod": "GET",
            "stage": "dev",
            "identity": {},
        },
    },
    "HTTP API, payload 1.0": {
        "version": "1.0",
        "resource": "/orders",
        "httpMethod": "POST",
        "requestContext": {"resourcePath": "/orders", "httpMethod": "POST", "apiId": "a"},
    },
    "HTTP API, payload 2.0": {
        "version": "2.0",
        "routeKey": "GET /orders",
        "requestContext": {"http": {"method": "GET", "path": "/orders"}, "routeKey": "GET /orders"},
    },
    "function URL": {
        "version": "2.0",
        "routeKey": "$default",
        "requestContext": {
            "http": {"method": "GET", "path": "/"},
            "domainName": "x.lambda-url.eu-west-1.on.aws",
        },
    },
    "load balancer": {
        "requestContext": {
            "elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/t/1"}
        },
        "httpMethod": "GET",
        "path": "/",
    },
}

OTHERS: dict[str, object] = {
    "nothing": None,
    "a number": 1,
    "a list": [{"requestContext": {"http": {}}}],
    "SNS": {
        "Records": [
            {"EventSource": "aws:sns", "Sns": {"Message": '{"requestContext":{"http":{}}}'}}
        ]
    },
    "SQS": {
        "Records": [
            {"eventSource": "aws:sqs", "body": '{"httpMethod":"GET","requestContext":{"http":{}}}'}
        ]
    },
    "EventBridge": {
        "source": "app",
        "detail-type": "http",
        "detail": {"requestContext": {"http": {"method": "GET"}}},
    },
    "authorizer, payload 1.0": {
        "type": "REQUEST",
        "methodArn": "arn:aws:execute-api:eu-west-1:1:a/dev/GET/orders",
        "httpMethod": "GET",
        "requestContext": {"resourcePath": "/orders", "httpMethod": "GET"},
    },
    "authorizer, payload 2.0": {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:eu-west-1:1:a/dev/GET/orders",
        "requestContext": {"http": {"method": "GET", "path": "/orders"}},
    },
    "WebSocket": {
        "requestContext": {"eventType": "MESSAGE", "connectionId": "c", "routeKey": "$default"},
        "body": "http",
    },
    "a request context that is none": {"requestContext": "http", "httpMethod": "GET"},
    "a method that is none": {
        "requestContext": {"resourcePath": "/", "http": "GET"},
        "httpMethod": 1,
    },
}

GARBAGE = (
    b"",
    b"{",
    b"\xff\xfe",
    b'{"requestContext":{"http":',
    b'"requestContext" "http"',
    b"[" * 20_000,
)


def call(event: bytes) -> Invocation:
    return Invocation("r1", "fn", "fn", NEVER, event)


@pytest.mark.parametrize("event", HTTP.values(), ids=HTTP)
def test_an_http_caller_gets_a_503_with_the_text(event: object) -> None:
    outcome = outcome_for_caller(
        call(json.dumps(event).encode()), ErrorName.NO_RELAY, "Ännä has gone home."
    )
    assert outcome.ok
    response = json.loads(outcome.body)
    assert response["statusCode"] == 503
    assert response["isBase64Encoded"] is False
    assert response["headers"]["cache-control"] == "no-store"
    # A browser shows the text of another origin's response only with this header.
    assert response["headers"]["access-control-allow-origin"] == "*"
    assert response["body"] == "Terralive.NoRelay: Ännä has gone home.\n"


@pytest.mark.parametrize("event", OTHERS.values(), ids=OTHERS)
def test_everything_else_gets_an_error_so_that_it_is_retried(event: object) -> None:
    outcome = outcome_for_caller(call(json.dumps(event).encode()), ErrorName.NO_RELAY, "text")
    assert outcome.error_type == "Terralive.NoRelay"
    assert json.loads(outcome.body) == {
        "errorType": "Terralive.NoRelay",
        "errorMessage": "text",
        "stackTrace": [],
    }


@pytest.mark.parametrize("event", [*GARBAGE, b'{"requestContext":{"http":' + b"[" * 50_000])
def test_what_is_no_json_gets_an_error_too(event: bytes) -> None:
    assert not outcome_for_caller(call(event), ErrorName.PROTOCOL, "text").ok


@pytest.mark.parametrize("refusal", ErrorName)
def test_no_refusal_ever_looks_like_a_success(refusal: ErrorName) -> None:
    assert outcome_for_caller(call(b"{}"), refusal, "text").error_type == str(refusal)
    response = json.loads(
        outcome_for_caller(call(json.dumps(HTTP["function URL"]).encode()), refusal, "text").body
    )
    assert response["statusCode"] == 503
    assert response["body"].startswith(f"{refusal}: ")


def notice(reason: str, owner: str = "ana") -> NoRelay:
    return NoRelay("r1", owner, "anas-laptop", SINCE, UNTIL, 0, reason)


@pytest.mark.parametrize("reason", ["lost", "released", "expired"])
def test_who_was_connected_when_and_what_to_do_is_said(reason: str) -> None:
    text = describe_no_relay(notice(reason), app="orders", stage="dev-ana")
    for part in (
        "'orders'",
        "'dev-ana'",
        "ana's on anas-laptop",
        "2026-01-01 09:00:00 UTC",
        "2026-01-01 10:04:05 UTC",
        "`terralive start --stage dev-ana`",
        "`terralive restore --stage dev-ana`",
    ):
        assert part in text


def test_a_stage_that_never_had_a_relay_says_so_and_names_no_time() -> None:
    text = describe_no_relay(NoRelay("r1", "", "", 0, 0, 0, "never"), app="orders", stage="dev")
    assert "none has been yet" in text
    assert "1970" not in text
    assert "`terralive start --stage dev`" in text


def test_a_function_that_a_connected_relay_does_not_serve_says_whose_relay_to_restart() -> None:
    text = describe_no_relay(notice("not-served"), app="orders", stage="dev")
    assert "ana on anas-laptop" in text
    assert "restart" in text


@pytest.mark.parametrize("name", HTTP)
def test_a_caller_that_takes_streams_gets_a_503_with_a_prelude(name: str) -> None:
    event = json.dumps(HTTP[name]).encode()
    call = Invocation("r1", "fn", "fn", NEVER, event)
    outcome = outcome_for_caller(call, ErrorName.NO_RELAY, "nobody", streams=True)
    assert outcome.ok
    if name not in {"REST API, payload 1.0", "function URL"}:  # the others never stream
        assert outcome.streamed is None
        assert json.loads(outcome.body)["statusCode"] == 503
        return
    prelude, _, body = outcome.body.partition(bytes(8))
    assert json.loads(prelude)["statusCode"] == 503
    assert json.loads(prelude)["headers"]["retry-after"] == "5"
    assert body == b"Terralive.NoRelay: nobody\n"
    assert outcome.streamed is not None
    assert outcome.streamed.content_type == HTTP_STREAM
