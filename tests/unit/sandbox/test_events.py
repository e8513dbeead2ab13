"""Event shapes; the pages are named in the modules under test."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.access.actions import asks_for
from terralive_sandbox.access.identity import Caller
from terralive_sandbox.access.sigv4 import Request, Signed
from terralive_sandbox.apigateway.http import events as httpapi
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_sandbox.apigateway.websocket import events as websocketapi
from terralive_sandbox.info import SandboxInfo, local_url
from terralive_sandbox.triggers.sns import sns_event, sns_message

CONNECTION = websocketapi.Connection(
    "L0SM9cOFvHcCIhw=", "abcdef", "stub", "abcdef.execute-api.us-east-1.amazonaws.com", "127.0.0.1", "agent", 1.5,
    (("Host", "h"), ("X-A", "1"), ("X-A", "2")), "q=1&q=2",
    Caller("ASIA1", "arn:aws:sts::123456789012:assumed-role/r/f", "AROA1:f", ()),
)  # fmt: skip
INFO = SandboxInfo(
    "http://127.0.0.1:1", "us-east-1", 1, "http://127.0.0.1:1/_sandbox/http/{api}/{stage}",
    "ws://127.0.0.1:1/_sandbox/websocket/{api}/{stage}", "http://127.0.0.1:1/m/{api}/{stage}", "k", "s", "1", "i",
)  # fmt: skip


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
    found = httpapi.match(routes, "GET", path)
    assert found is not None
    assert found.route_key == expected


def test_the_default_route_takes_the_rest_and_without_it_nothing_does() -> None:
    assert httpapi.match(["GET /a", "$default"], "POST", "/a") == httpapi.Match("$default")
    assert httpapi.match(["GET /a", "GET /{x}"], "POST", "/a") is None
    found = httpapi.match(["GET /{a}/{rest+}"], "GET", "/x%2Fy/b/c")
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
    response = httpapi.response(json.dumps(answer).encode())
    assert (response.status, response.body) == (status, body)


def test_headers_and_cookies_of_an_answer_are_kept() -> None:
    answer = {"statusCode": 200, "headers": {"X-A": 1}, "cookies": ["a=1", "b=2"]}
    response = httpapi.response(json.dumps(answer).encode())
    assert ("x-a", "1") in response.headers
    assert [v for k, v in response.headers if k == "set-cookie"] == ["a=1", "b=2"]
    assert ("content-type", "text/plain; charset=utf-8") in response.headers


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = (
    LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(st.text(max_size=5), LEAVES, max_size=3)
)
FIELDS = ["headers", "multiValueHeaders", "body", "cookies", "isBase64Encoded"]
ANSWERS = st.fixed_dictionaries({"statusCode": JSON}, optional=dict.fromkeys(FIELDS, JSON))


@given(st.binary(max_size=20) | ANSWERS.map(lambda answer: json.dumps(answer).encode()))
def test_any_answer_is_a_response_or_malformed(answer: bytes) -> None:
    try:
        response = httpapi.response(answer)
    except MalformedAnswerError:
        return
    assert 100 <= response.status <= 599


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
        websocketapi.route_of("$request.body.action", body, {"greet", "$default", "$connect"})
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
    assert websocketapi.evaluate(expression, body) == value
    assert (websocketapi.evaluate(expression, "no JSON") is None) == ("request" in expression)


@given(
    st.text() | LEAVES.map(json.dumps),
    st.sampled_from(["$request.body.a", "${request.body.}", "$", "\\", "${"]),
)
def test_no_message_breaks_the_choice_of_its_route(body: str, expression: str) -> None:
    assert websocketapi.route_of(expression, body, {"$default"}) == "$default"


@given(st.binary() | st.recursive(LEAVES | st.floats(), lambda inner: st.dictionaries(
    st.sampled_from(["statusCode", "headers", "body", "Sec-WebSocket-Protocol"]), inner)).map(
        lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_answer_of_a_function_is_understood_or_malformed(body: bytes) -> None:
    try:
        answer = websocketapi.answer(body)
    except MalformedAnswerError:
        return
    assert 200 <= answer.status <= 599


def test_a_functions_answer_is_read() -> None:
    headers = {"SEC-websocket-PROTOCOL": "mine"}
    body = json.dumps({"statusCode": "200", "headers": headers, "body": "\u00e4"}).encode()
    assert websocketapi.answer(body) == websocketapi.Answer(200, "\u00e4".encode(), "mine")
    for broken in (
        b'{"statusCode": 200, "body": 1}',
        b'{"statusCode": 200, "headers": {"sec-websocket-protocol": ""}}',
    ):
        with pytest.raises(MalformedAnswerError):
            websocketapi.answer(broken)


def test_without_a_default_route_a_message_has_none() -> None:
    assert websocketapi.route_of("$request.body.action", "x", {"greet"}) is None
    assert (
        websocketapi.route_of("${request.body.a.b}", '{"a": {"b": "greet"}}', {"greet"}) == "greet"
    )


def test_the_connect_event_names_the_caller_and_no_other_event_does() -> None:
    event = websocketapi.connect_event(CONNECTION, "r", 2.0)
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
    message = websocketapi.message_event(
        CONNECTION, "$default", "b", request_id="r", message_id="m", now=2.0
    )
    gone = websocketapi.disconnect_event(CONNECTION, 1006, "", "r", 2.0)
    for later in (message, gone):
        assert isinstance(later["requestContext"], dict)
        assert "userArn" not in later["requestContext"]["identity"]
    assert "headers" not in message


def test_the_sns_event_is_that_of_the_documentation() -> None:
    message = sns_message(
        "arn:aws:sns:us-east-2:1:t:s", "id", "m", "s", {"a": {"Type": "String", "Value": "b"}},
        now=dt.datetime(2019, 1, 2, 12, 45, 7, tzinfo=dt.UTC),
    )  # fmt: skip
    records = sns_event("arn:aws:sns:us-east-2:1:t:s", message)["Records"]
    assert isinstance(records, list)
    assert set(records[0]) == {"EventSource", "EventVersion", "EventSubscriptionArn", "Sns"}
    assert records[0]["Sns"]["Timestamp"] == "2019-01-02T12:45:07.000Z"
    assert set(records[0]["Sns"]) == {
        "Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature",
        "SigningCertUrl", "UnsubscribeUrl", "MessageAttributes",
    }  # fmt: skip


def asked(
    service: str,
    body: bytes,
    *headers: tuple[str, str],
    path: str = "/",
    operation: str | None = None,
) -> object:
    signed = Signed("k", "20260101", "us-east-1", service, ("host",), "", "20260101T000000Z", "")
    request = Request("POST", path, "", headers, body)
    return [(a.action, *a.resources) for a in asks_for(request, signed, "1", operation or None)]


def test_a_request_asks_for_the_actions_and_resources_of_the_service_authorization_reference() -> (
    None
):
    form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    table = "arn:aws:dynamodb:us-east-1:1:table/t"
    assert asked("sns", b"Action=Publish&TopicArn=arn%3At&Message=x", form) == [
        ("SNS:Publish", "arn:t")
    ]
    assert asked(
        "dynamodb", b'{"TableName": "t"}', ("x-amz-target", "DynamoDB_20120810.GetItem")
    ) == [("dynamodb:GetItem", table)]
    transaction = (
        b'{"TransactItems": [{"Put": {"TableName": "t"}}, {"ConditionCheck": {"TableName": "t"}}]}'
    )
    assert asked(
        "dynamodb", transaction, ("x-amz-target", "DynamoDB_20120810.TransactWriteItems")
    ) == [
        ("dynamodb:PutItem", table),
        ("dynamodb:ConditionCheckItem", table),
    ]
    assert asked(
        "lambda", b"{}", path="/2015-03-31/functions/f/invocations", operation="Invoke"
    ) == [("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:1:function:f")]
    batch = b'{"QueueUrl": "http://127.0.0.1/1/q", "Entries": []}'
    assert asked("sqs", batch, ("x-amz-target", "AmazonSQS.SendMessageBatch")) == [
        ("sqs:sendmessage", "arn:aws:sqs:us-east-1:1:q")
    ]
    stream = f"{table}/stream/2026"
    for name, fields in (
        ("GetRecords", {"ShardIterator": f"{stream}|1|abc"}),
        ("DescribeStream", {"StreamArn": stream}),
    ):
        body = json.dumps(fields).encode()
        assert asked("dynamodb", body, ("x-amz-target", f"DynamoDBStreams_20120810.{name}")) == [
            (f"dynamodb:{name}", stream)
        ]
    mappings = "/2015-03-31/event-source-mappings/"
    for path, resource in (
        (mappings, "*"),
        (f"{mappings}u", "arn:aws:lambda:us-east-1:1:event-source-mapping:u"),
    ):
        assert asked("lambda", b"{}", path=path, operation="X") == [("lambda:X", resource)]
    cbor = ("smithy-protocol", "rpc-v2-cbor")
    assert asked(
        "monitoring",
        b"",
        cbor,
        path="/service/GraniteServiceVersion20100801/operation/PutMetricData",
    ) == [("cloudwatch:PutMetricData",)]
    assert asked("sts", b"Action=GetCallerIdentity", form) == []
    assert asked("apigateway", b"{}", path="/v2/apis/a/stages") == [
        ("apigateway:POST", "arn:aws:apigateway:us-east-1::/apis/a/stages")
    ]


def test_public_addresses_map_to_loopback_and_others_stay() -> None:
    host = "abc.execute-api.us-east-1.amazonaws.com"
    assert (
        local_url(INFO, f"wss://{host}/relay?x=1")
        == "ws://127.0.0.1:1/_sandbox/websocket/abc/relay?x=1"
    )
    assert local_url(INFO, f"https://{host}") == "http://127.0.0.1:1/_sandbox/http/abc/~"
    assert (
        local_url(INFO, f"https://{host}/a/b?c") == "http://127.0.0.1:1/_sandbox/http/abc/~/a/b?c"
    )
    assert local_url(INFO, "https://example.com/a") == "https://example.com/a"


def test_the_info_survives_its_file_and_hides_its_secret() -> None:
    assert SandboxInfo.from_json(INFO.to_json()) == INFO
    assert "secret_access_key" not in repr(INFO)
    for broken in ("", "[]", "{}", "nonsense"):
        with pytest.raises(ValueError):  # noqa: PT011 - any malformed text
            SandboxInfo.from_json(broken)
