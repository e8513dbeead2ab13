"""HTTP APIs; the pages are named in the modules under test."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.access import sigv4
from terralive_sandbox.access.identity import Caller
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http import events as http_events
from terralive_sandbox.apigateway.http.events import RouteMatch
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    HttpRequest,
)
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_stub.protocol.limits import BODY_BYTES, HEADER_BYTES
from terralive_testing.fakes.function_answers import TEXT, answers
from terralive_testing.oracles.samples import assert_same_shape, sample

MakeEvent: TypeAlias = Callable[[HttpRequest, RouteMatch, ApiContext], dict[str, object]]
NOW = 1583348638.39
API = ApiContext(
    id="id",
    stage="$default",
    domain="id.execute-api.us-east-1.amazonaws.com",
    request_id="r",
    extended_id="r",
    now=NOW,
)
CALLER = Caller("ASIA1", "arn", "AROA1:f", (), "1")

# Events do not depend on the request as it came, which is there for its signature.
RECEIVED = sigv4.Request("GET", "/", "", ())


def request(
    method: str = "GET", path: str = "/", query: str = "", body: bytes = b"", **headers: str
) -> HttpRequest:
    given_headers = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return HttpRequest(method, path, query, given_headers, body, "192.0.2.1", RECEIVED)


def ask_for(
    sample_event: dict[str, object], api: ApiContext, make: object = http_events.event_v2
) -> dict[str, object]:
    """Our event for the request that a published sample describes."""
    context = sample_event["requestContext"]
    assert isinstance(context, dict)
    asked = HttpRequest(
        str(sample_event.get("httpMethod") or context["http"]["method"]),
        "/my/path",
        "parameter1=value1&parameter1=value2&parameter2=value",
        (
            ("Header1", "value1"),
            ("Header2", "value1"),
            ("Header2", "value2"),
            ("Cookie", "cookie1; cookie2"),
            ("User-Agent", "agent"),
            ("Content-Type", "text/plain"),
        ),
        str(sample_event["body"]).encode(),
        "192.0.2.1",
        RECEIVED,
    )
    assert callable(make)
    parameters: dict[str, str] = {}
    if sample_event.get("pathParameters"):
        parameters["parameter1"] = "value1"
    event = make(asked, RouteMatch("$default", parameters), api)
    assert isinstance(event, dict)
    return event


def test_the_event_of_format_2_is_the_published_one() -> None:
    published = sample("apigateway-http-2.0")
    variables = {"stageVariable1": "value1", "stageVariable2": "value2"}
    event = ask_for(published, dataclasses.replace(API, variables=variables))
    assert_same_shape(
        event,
        published,
        absent={
            "requestContext.authentication": "only with mutual TLS, which is not emulated",
            "requestContext.authorizer": "only with an authorizer; JWT is not emulated",
        },
        extra={
            f"headers.{name}": "a header of the request, or of every request" for name in ARRIVING
        },
    )
    for field in (
        "rawPath",
        "rawQueryString",
        "cookies",
        "queryStringParameters",
        "pathParameters",
        "body",
    ):
        assert event[field] == published[field]
    assert isinstance(published["headers"], dict)
    assert isinstance(event["headers"], dict)
    assert published["headers"].items() <= event["headers"].items()


ARRIVING = [
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-amzn-trace-id",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
]


def test_the_event_of_format_1_is_the_published_one() -> None:
    published = sample("apigateway-http-1.0")
    event = ask_for(published, API, http_events.event_v1)
    assert_same_shape(
        event,
        published,
        absent={
            "requestContext.identity.clientCert": "only with mutual TLS, which is not emulated"
        },
        extra={
            **{
                f"headers.{name}": "a header of the request, or of every request"
                for name in [*ARRIVING, "cookie"]
            },
            **{f"multiValueHeaders.{name}": "likewise" for name in [*ARRIVING, "cookie"]},
            "requestContext.resourceId": "the page has null; AWS sends the route's key",
        },
    )
    assert event["multiValueQueryStringParameters"] == published["multiValueQueryStringParameters"]
    assert (event["body"], event["path"]) == (published["body"], published["path"])


def test_a_named_stage_shows_in_the_path_and_a_caller_in_the_context() -> None:
    api = dataclasses.replace(API, stage="dev", caller=CALLER)
    asked = request(path="/a%20b/")
    event = http_events.event_v2(asked, RouteMatch("ANY /{x+}", {"x": "a b/"}), api)
    context = event["requestContext"]
    assert isinstance(context, dict)
    assert event["rawPath"] == context["http"]["path"] == "/dev/a b/"
    assert context["authorizer"]["iam"] == {
        "accessKey": "ASIA1",
        "accountId": "1",
        "callerId": "AROA1:f",
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": "arn",
        "userId": "AROA1:f",
    }
    assert (event["isBase64Encoded"], "body" in event, "cookies" in event) == (False, False, False)
    older = http_events.event_v1(asked, RouteMatch("ANY /{x+}", {"x": "a b/"}), api)
    assert (older["path"], older["resource"], older["pathParameters"]) == (
        "/dev/a b/",
        "/{x+}",
        {"x": "a b/"},
    )
    assert isinstance(older["requestContext"], dict)
    assert older["requestContext"]["identity"]["userArn"] == "arn"


def test_the_front_tells_where_a_request_came_from() -> None:
    asked = request(
        host="127.0.0.1:1",
        x_forwarded_for="203.0.113.7",
        x_forwarded_proto="http",
        connection="close",
    )
    headers = http_events.event_v2(asked, RouteMatch("$default"), API)["headers"]
    assert isinstance(headers, dict)
    assert headers["host"] == API.domain
    assert headers["x-forwarded-for"] == "203.0.113.7, 192.0.2.1"
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("https", "443")
    assert "connection" not in headers
    assert headers["x-amzn-trace-id"].startswith("Root=1-")
    traced = http_events.event_v2(
        request(x_amzn_trace_id="Root=1-2-3"), RouteMatch("$default"), API
    )["headers"]
    assert isinstance(traced, dict)
    assert traced["x-amzn-trace-id"] == "Root=1-2-3"


@pytest.mark.parametrize(
    ("content_type", "encoded"),
    [
        ("text/html; charset=utf-8", False),
        ("application/json", False),
        ("application/JSON ;x=y", False),
        ("application/xml", False),
        ("application/javascript", False),
        ("application/x-www-form-urlencoded", True),
        ("application/json-patch+json", True),
        ("image/png", True),
        ("", True),
    ],
)
def test_bodies_of_other_types_than_text_are_base64(content_type: str, encoded: bool) -> None:
    event = http_events.event_v2(
        request("POST", body=b"a=b", content_type=content_type),
        RouteMatch("$default"),
        API,
    )
    assert event["isBase64Encoded"] == encoded
    if encoded:
        assert event["body"] == "YT1i"
    else:
        assert event["body"] == "a=b"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", None),
        ("/pets", "GET /pets"),
        ("/pets/", "GET /pets/{proxy+}"),
        ("/pets/1", "GET /pets/{id}"),
        ("/pets/1/", "GET /pets/{proxy+}"),
        ("/pets/1/toys", "GET /pets/{proxy+}"),
        ("/owners/", None),
        ("/owners", "ANY /owners"),
        ("//pets", None),
    ],
)
def test_a_slash_at_the_end_is_part_of_the_path(path: str, expected: str | None) -> None:
    found = http_events.match_route(
        ["GET /pets", "GET /pets/{id}", "GET /pets/{proxy+}", "ANY /owners"], "GET", path
    )
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found.route_key == expected


def test_format_1_demands_the_whole_answer_and_knows_many_values() -> None:
    answer = {
        "statusCode": 200,
        "headers": {"A": "1", "B": True, "Set-Cookie": "b=2"},
        "multiValueHeaders": {"b": ["x", "y"], "set-cookie": ["a=1", "b=2"]},
        "body": "text",
    }
    response = http_events.response_v1(json.dumps(answer).encode())
    # A name in both maps has the values of both; the pair that is in both is sent once.
    assert [pair for pair in response.headers if pair[0] != "content-type"] == [
        ("b", "x"),
        ("b", "y"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("a", "1"),
        ("b", "true"),
    ]
    for malformed in ('"text"', '{"a": 1}', "null", ""):
        with pytest.raises(MalformedAnswerError):
            http_events.response_v1(malformed.encode())


@pytest.mark.parametrize(
    "answer",
    [
        '{"statusCode": "what"}',
        '{"statusCode": 99}',
        '{"statusCode": 200, "body": {"a": 1}}',
        '{"statusCode": 200, "headers": {"a": "b\\r\\nc: d"}}',
        '{"statusCode": 200, "headers": {"a b": "c"}}',
        '{"statusCode": 200, "headers": {"a": {}}}',
        '{"statusCode": 200, "headers": []}',
        '{"statusCode": 200, "headers": [1]}',
        '{"statusCode": 200, "cookies": {"a": 1}}',
        '{"statusCode": 200, "body": "%", "isBase64Encoded": true}',
        "not json",
    ],
)
def test_malformed_answers_are_none(answer: str) -> None:
    with pytest.raises(MalformedAnswerError):
        http_events.response_v2(answer.encode())


def test_requests_beyond_the_limits_are_refused() -> None:
    http_events.check_size(request())
    too_large = (
        request(body=b"x" * (BODY_BYTES + 1)),
        request(cookie="x" * HEADER_BYTES),
    )
    for asked, status in zip(too_large, (413, 431), strict=True):
        with pytest.raises(GatewayResponseError) as refused:
            http_events.check_size(asked)
        assert refused.value.response.status == status


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "GET /"),
        ("/pets/dog/1", "GET /pets/dog/1"),
        ("/pets/dog/2", "GET /pets/dog/{id}"),
        ("/pets/dog/2/toys", "GET /pets/{proxy+}"),
        ("/pets/cat", "GET /pets/{proxy+}"),
        ("/other", "ANY /{proxy+}"),
    ],
)
def test_the_most_specific_route_wins(path: str, expected: str) -> None:
    routes = [
        "GET /pets/dog/1",
        "GET /pets/dog/{id}",
        "GET /pets/{proxy+}",
        "ANY /{proxy+}",
        "GET /",
        "$default",
    ]
    found = http_events.match_route(routes, "GET", path)
    assert found is not None
    assert found.route_key == expected


def test_the_default_route_takes_the_rest_and_without_it_nothing_does() -> None:
    assert http_events.match_route(["GET /a", "$default"], "POST", "/a") == RouteMatch("$default")
    assert http_events.match_route(["GET /a", "GET /{x}"], "POST", "/a") is None
    found = http_events.match_route(["GET /{a}/{rest+}"], "GET", "/x%2Fy/b/c")
    assert found is not None
    assert found.parameters == {"a": "x/y", "rest": "b/c"}


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        ({"statusCode": 201, "body": "made"}, 201, b"made"),
        ({"statusCode": "204"}, 204, b""),
        ({"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}, 200, b"\x00\xff"),
        ("text", 200, b"text"),
        ({"a": 1}, 200, b'{"a": 1}'),
        (None, 200, b"null"),
    ],
)
def test_a_functions_answer_becomes_a_response(answer: object, status: int, body: bytes) -> None:
    response = http_events.response_v2(json.dumps(answer).encode())
    assert (response.status, response.body) == (status, body)


def test_headers_and_cookies_of_an_answer_are_kept() -> None:
    answer = {"statusCode": 200, "headers": {"X-A": 1}, "cookies": ["a=1", "b=2"]}
    response = http_events.response_v2(json.dumps(answer).encode())
    assert ("x-a", "1") in response.headers
    assert [v for k, v in response.headers if k == "set-cookie"] == ["a=1", "b=2"]
    assert ("content-type", "text/plain; charset=utf-8") in response.headers


def test_cookies_of_an_answer_come_before_its_set_cookie_header() -> None:
    answer = {"statusCode": 200, "headers": {"Set-Cookie": "h=1"}, "cookies": ["b=2", "a=1"]}
    response = http_events.response_v2(json.dumps(answer).encode())
    assert [v for k, v in response.headers if k == "set-cookie"] == ["b=2", "a=1", "h=1"]


def test_a_header_that_is_null_is_not_sent() -> None:
    """A Node.js handler writes `null` for a header that it does not have."""
    answer = {"statusCode": 200, "headers": {"X-A": None, "X-B": "b"}}
    with_cookies = {**answer, "cookies": [None]}
    response = http_events.response_v2(json.dumps(with_cookies).encode())
    assert response.headers[:-1] == [("x-b", "b")]
    lists = {**answer, "multiValueHeaders": {"X-A": [None], "X-C": ["c", None]}}
    response = http_events.response_v1(json.dumps(lists).encode())
    assert response.headers[:-1] == [("x-c", "c"), ("x-b", "b")]


@pytest.mark.parametrize("make", [http_events.event_v2, http_events.event_v1])
def test_repeated_headers_and_cookies_of_a_request_keep_their_order(make: MakeEvent) -> None:
    sent = (("X-B", "z"), ("Cookie", "z=1; b=2"), ("x-b", "a"), ("cookie", "a=3"), ("X-A", "1"))
    asked = dataclasses.replace(request(), headers=sent)
    event = make(asked, RouteMatch("$default"), API)
    if event["version"] == "2.0":
        headers = event["headers"]
        assert isinstance(headers, dict)
        assert (headers["x-b"], event["cookies"]) == ("z,a", ["z=1", "b=2", "a=3"])
    else:
        headers = event["multiValueHeaders"]
        assert isinstance(headers, dict)
        assert (headers["x-b"], headers["cookie"]) == (["z", "a"], ["z=1; b=2", "a=3"])


# Whatever comes

KEYS = st.lists(
    st.tuples(st.sampled_from(["GET", "ANY", "POST", ""]), st.text("/{}+ab%", max_size=8)).map(
        " ".join
    )
    | st.just("$default"),
    max_size=4,
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Cookie", "cookie", "Content-Type", "Host", "X-Forwarded-For", "x"]), TEXT
    ),
    max_size=5,
)
REQUESTS = st.builds(
    HttpRequest,
    st.sampled_from(["GET", "OPTIONS"]),
    st.text("/%ab{}é\udcff", max_size=12).map("/".__add__),
    st.text("&=%+a;é", max_size=12),
    HEADERS.map(tuple),
    st.binary(max_size=8),
    st.just("192.0.2.1"),
    st.just(RECEIVED),
)


@given(KEYS, REQUESTS, st.sampled_from(["$default", "dev"]))
def test_any_request_becomes_an_event(keys: list[str], asked: HttpRequest, stage: str) -> None:
    found = http_events.match_route(keys, asked.method, asked.path)
    assert found is None or found.route_key in keys
    api = dataclasses.replace(API, stage=stage)
    for make in (http_events.event_v2, http_events.event_v1):
        json.dumps(make(asked, found or RouteMatch("$default"), api), allow_nan=False)


FIELDS = ("headers", "multiValueHeaders", "body", "cookies", "isBase64Encoded")


@given(answers([*FIELDS, "statusCode"]))
def test_any_answer_is_a_response_or_malformed(answer: bytes) -> None:
    for read in (http_events.response_v2, http_events.response_v1):
        try:
            response = read(answer)
        except MalformedAnswerError:
            continue
        assert 200 <= response.status <= 599
        for name, value in response.headers:
            assert name == name.lower().strip()
            assert not set("\r\n\0") & set(name + value)


@given(answers(FIELDS, required=["statusCode"]))
def test_any_answer_with_a_status_code_is_a_response_or_malformed(answer: bytes) -> None:
    try:
        response = http_events.response_v2(answer)
    except MalformedAnswerError:
        return
    assert 100 <= response.status <= 599
