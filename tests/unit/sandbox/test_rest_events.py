"""REST APIs; the pages are named in the module under test."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.access import sigv4
from terralive_sandbox.access.identity import Caller
from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    HttpRequest,
    HttpResponse,
)
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_sandbox.apigateway.rest import events as rest_events
from terralive_sandbox.apigateway.rest.events import MethodMatch, Resource
from terralive_testing.fakes.function_answers import TEXT, answers
from terralive_testing.oracles.samples import assert_same_shape, sample

NOW = 1519166937.665
API = ApiContext(
    id="gy415nuibc",
    stage="testStage",
    domain="gy415nuibc.execute-api.us-east-1.amazonaws.com",
    request_id="r",
    extended_id="e",
    now=NOW,
)
PROXY = Resource("roq9wj", "/{proxy+}", frozenset({"ANY"}))

# Events do not depend on the request as it came, which is there for its signature.
RECEIVED = sigv4.Request("GET", "/", "", ())


def request(
    method: str = "GET", path: str = "/", query: str = "", body: bytes = b"", **headers: str
) -> HttpRequest:
    return HttpRequest(
        method,
        path,
        query,
        tuple((k.replace("_", "-"), v) for k, v in headers.items()),
        body,
        "192.0.2.1",
        RECEIVED,
    )


def event(
    asked: HttpRequest, found: MethodMatch, api: ApiContext = API, binary: tuple[str, ...] = ()
) -> dict[str, object]:
    return rest_events.event(asked, found, api, binary)


def test_the_event_is_the_published_one() -> None:
    published = sample("apigateway-rest-proxy")
    assert isinstance(published["headers"], dict)
    front = {
        "Via",
        "X-Amz-Cf-Id",
        *(name for name in published["headers"] if name.startswith("CloudFront-")),
    }
    sent = tuple((name, value) for name, value in published["headers"].items() if name not in front)
    asked = HttpRequest(
        "POST",
        "/hello/world",
        "name=me&multivalueName=you&multivalueName=me",
        sent,
        str(published["body"]).encode(),
        "192.168.196.186",
        RECEIVED,
    )
    api = dataclasses.replace(API, variables={"stageVariableName": "stageVariableValue"})
    ours = event(asked, MethodMatch(PROXY, "ANY", {"proxy": "hello/world"}), api)
    later = (
        "later than the page's sample; a property of "
        "https://docs.aws.amazon.com/apigateway/latest/developerguide/"
        "api-gateway-mapping-template-reference.html#context-variable-reference"
    )
    context = [
        "domainName",
        "domainPrefix",
        "extendedRequestId",
        "path",
        "protocol",
        "requestTime",
        "requestTimeEpoch",
    ]
    assert_same_shape(
        ours,
        published,
        absent={
            **{
                f"{where}.{name}": "added by CloudFront"
                for where in ("headers", "multiValueHeaders")
                for name in front
            },
            "requestContext.identity.apiKey": "only with an API key",
        },
        extra={
            **{f"requestContext.{name}": later for name in context},
            "requestContext.identity.accessKey": later,
            "requestContext.identity.principalOrgId": later,
            "headers.X-Amzn-Trace-Id": "later than the page's sample",
            "multiValueHeaders.X-Amzn-Trace-Id": "later than the page's sample",
        },
    )
    for name in (
        "resource",
        "path",
        "httpMethod",
        "body",
        "pathParameters",
        "stageVariables",
        "queryStringParameters",
    ):
        assert ours[name] == published[name]
    assert ours["multiValueQueryStringParameters"] == published["multiValueQueryStringParameters"]


def test_the_context_names_the_caller_as_published() -> None:
    published = sample("apigateway-rest-proxy-iam")
    caller = Caller("A", "arn", "AIDA", (), "1")
    api = dataclasses.replace(API, id="qr2gd9cfmf", stage="test", caller=caller)
    ours = event(
        request(user_agent="x"),
        MethodMatch(Resource("yx5mhem7ye", "/", frozenset({"GET"})), "GET"),
        api,
    )
    later = ["domainName", "domainPrefix", "extendedRequestId", "identity.principalOrgId"]
    assert_same_shape(
        {"requestContext": ours["requestContext"]},
        published,
        extra={f"requestContext.{name}": "later than the page's sample" for name in later},
    )
    assert isinstance(ours["requestContext"], dict)
    assert ours["requestContext"]["path"] == "/test/"
    assert ours["requestContext"]["identity"]["user"] == "AIDA"


def test_paths_and_their_parameters_stay_encoded_and_header_names_as_sent() -> None:
    asked = request(
        path="/a%20b/", Authorization="x", user_agent="y", X_cAsE="z", content_length="1", te="t"
    )
    ours = event(asked, MethodMatch(PROXY, "ANY", {"proxy": "a%20b"}))
    assert (ours["path"], ours["pathParameters"]) == ("/a%20b/", {"proxy": "a%20b"})
    headers = ours["headers"]
    assert isinstance(headers, dict)
    assert {"Authorization", "User-Agent", "X-cAsE", "Host", "X-Forwarded-For"} <= set(headers)
    assert not {"te", "content-length"} & set(headers)
    assert ours["queryStringParameters"] is ours["stageVariables"] is ours["body"] is None


RESOURCES = [
    Resource("0", "/", frozenset({"GET"})),
    Resource("1", "/pets", frozenset({"GET", "ANY"})),
    Resource("2", "/pets/{id}", frozenset({"GET"})),
    Resource("3", "/pets/fixed", frozenset({"POST"})),
    Resource("4", "/pets/{id}/toys", frozenset()),
    Resource("5", "/files/{proxy+}", frozenset({"ANY"})),
]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", ("0", "GET", {})),
        ("POST", "/", None),
        ("GET", "/pets/", ("1", "GET", {})),
        ("PUT", "/pets", ("1", "ANY", {})),
        ("POST", "/pets/fixed", ("3", "POST", {})),
        ("GET", "/pets/fixed", ("2", "GET", {"id": "fixed"})),
        ("GET", "/pets/a%2Fb", ("2", "GET", {"id": "a%2Fb"})),
        ("GET", "/pets/1/toys", None),
        ("DELETE", "/files/a/b/", ("5", "ANY", {"proxy": "a/b"})),
        ("GET", "/files", None),
        ("GET", "/nowhere", None),
    ],
)
def test_the_most_specific_resource_with_the_method_wins(
    method: str, path: str, expected: object
) -> None:
    found = rest_events.match_resource(RESOURCES, method, path)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.resource.id, found.method, found.parameters) == expected


@pytest.mark.parametrize(
    ("binary", "content_type", "encoded"),
    [
        ((), "image/png", False),
        (("image/png",), "image/png; x=y", True),
        (("image/*",), "image/gif", True),
        (("image/*",), "text/plain", False),
        (("*/*",), "application/json", True),
        (("application/json",), "", True),
    ],
)
def test_bodies_are_base64_for_the_apis_binary_types(
    binary: tuple[str, ...], content_type: str, encoded: bool
) -> None:
    ours = event(
        request("POST", body=b"a\xff", Content_Type=content_type),
        MethodMatch(PROXY, "ANY"),
        binary=binary,
    )
    assert ours["isBase64Encoded"] == encoded
    if encoded:
        assert ours["body"] == base64.b64encode(b"a\xff").decode()
    else:
        assert ours["body"] == "a\ufffd"


def answer(accept: str = "", binary: tuple[str, ...] = (), **fields: object) -> HttpResponse:
    return rest_events.response(json.dumps(fields).encode(), accept, binary)


def test_a_binary_answer_is_decoded_for_who_accepts_it() -> None:
    fields = {"body": "AP8=", "isBase64Encoded": True}
    assert answer("image/png,*/*", ("image/*",), **fields).body == b"\x00\xff"
    assert answer("text/html,image/png", ("image/*",), **fields).body == b"AP8="
    assert answer("", ("*/*",), **fields).body == b"\x00\xff"


def test_an_answer_may_leave_everything_out_and_add_nothing() -> None:
    assert answer() == HttpResponse(200, [("content-type", "application/json")], b"")
    malformed = [
        '{"cookies": []}',
        '{"body": {}}',
        '{"headers": {"a": 1}}',
        '{"statusCode": "x"}',
        '{"other": 1}',
        '"text"',
    ]
    for text in malformed:
        with pytest.raises(MalformedAnswerError):
            rest_events.response(text.encode(), "", ())


def test_headers_that_are_the_gateways_are_remapped() -> None:
    given_headers = {"Date": "d", "WWW-Authenticate": "w", "Transfer-Encoding": "t", "X-A": "a"}
    headers = answer(headers=given_headers, multiValueHeaders={"x-a": ["b"]}).headers
    assert [value for name, value in headers if name == "x-a"] == ["b", "a"]
    assert {name: value for name, value in headers if name != "x-a"} == {
        "content-type": "application/json",
        "x-amzn-remapped-date": "d",
        "x-amzn-remapped-www-authenticate": "w",
    }


def test_refusals_are_api_gateways() -> None:
    plain = rest_events.missing_token().response
    assert (plain.status, plain.body) == (403, b'{"message":"Missing Authentication Token"}')
    assert dict(plain.headers)["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    arn = "arn:aws:execute-api:us-east-1:123456789012:a/s/GET/"
    assert json.loads(rest_events.access_denied("me", arn, explicitly=True).response.body) == {
        "Message": "User: me is not authorized to perform: execute-api:Invoke on resource: "
        "arn:aws:execute-api:us-east-1:********9012:a/s/GET/ with an explicit deny"
    }


def test_a_mock_answers_preflights_as_terraform_modules_configure_them() -> None:
    origin = {"method.response.header.Access-Control-Allow-Origin": "'https://a'"}
    response = rest_events.mock_response("{statusCode:200}", 204, origin, "")
    assert (response.status, response.body) == (204, b"")
    assert dict(response.headers) == {
        "content-type": "application/json",
        "access-control-allow-origin": "https://a",
    }
    plain = '{"statusCode": 200}'
    for template, parameters, body in (
        ("", {}, ""),
        ('#set($s = 200) {"statusCode": $s}', {}, ""),
        (plain, {"method.response.header.X": "stageVariables.x"}, ""),
        (plain, {"method.response.header.X": "'a\r\nb: c'"}, ""),
        (plain, {}, '{"gone": true}'),
    ):
        with pytest.raises(GatewayResponseError, match="NotEmulatedBySandbox"):
            rest_events.mock_response(template, 200, parameters, body)


def test_requests_beyond_the_limits_are_refused() -> None:
    rest_events.check_size(request())
    for asked in (request(body=b"x" * (10 * 1024 * 1024 + 1)), request(cookie="x" * 10240)):
        with pytest.raises(GatewayResponseError) as refused:
            rest_events.check_size(asked)
        assert refused.value.response.status == 413


def test_a_policys_shorthand_and_addresses_are_understood() -> None:
    arn = "arn:aws:execute-api:us-east-1:1:api"
    document = json.dumps(
        {
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": "*",
                    "Action": "execute-api:Invoke",
                    "Resource": "execute-api:/*",
                },
                {
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "execute-api:Invoke",
                    "Resource": "execute-api:/*",
                    "Condition": {"NotIpAddress": {"aws:SourceIp": ["192.0.2.0/24", "::1"]}},
                },
            ]
        }
    )

    def decided(address: str) -> Decision:
        asked = AccessRequest(
            "execute-api:Invoke", (f"{arn}/s/GET/",), ("anonymous",), {"aws:SourceIp": address}
        )
        return decide([rest_events.expand_policy(document, arn)], asked)

    assert [decided(a) for a in ("192.0.2.9", "::1", "203.0.113.1", "nonsense")] == [
        Decision.ALLOWED,
        Decision.ALLOWED,
        Decision.DENIED,
        Decision.DENIED,
    ]


FIELDS = ("statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded")


@given(answers(FIELDS), TEXT, st.lists(st.sampled_from(["*/*", "image/*", "a"]) | TEXT, max_size=2))
def test_any_answer_is_a_response_or_malformed(
    given_answer: bytes, accept: str, binary: list[str]
) -> None:
    try:
        response = rest_events.response(given_answer, accept, binary)
    except MalformedAnswerError:
        return
    assert 200 <= response.status <= 599
    for name, value in response.headers:
        assert not set("\r\n\0") & set(name + value)


@given(
    st.builds(
        HttpRequest,
        st.sampled_from(["GET", "OPTIONS"]),
        st.text("/%ab{}é\udcff", max_size=12).map("/".__add__),
        st.text("&=%+a;é", max_size=12),
        st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
        st.binary(max_size=8),
        st.just("192.0.2.1"),
        st.just(RECEIVED),
    ),
    st.lists(st.text("/{}+ab%", max_size=8).map("/".__add__), max_size=4),
    TEXT,
)
def test_any_request_becomes_an_event(asked: HttpRequest, paths: list[str], template: str) -> None:
    resources = [Resource(str(i), path, frozenset({"ANY"})) for i, path in enumerate(paths)]
    found = rest_events.match_resource(resources, asked.method, asked.path)
    json.dumps(event(asked, found or MethodMatch(PROXY, "ANY")), allow_nan=False)
    with contextlib.suppress(GatewayResponseError):
        rest_events.mock_response(
            '{"statusCode": 200}', 200, {f"method.response.header.{template}": f"'{template}'"}, ""
        )
