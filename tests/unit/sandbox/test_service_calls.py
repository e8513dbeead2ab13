"""First-class integrations of HTTP APIs; the pages are named in the module under test."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest

from terralive_sandbox.access import sigv4
from terralive_sandbox.access.identity import Keys
from terralive_sandbox.apigateway.http import service_calls
from terralive_sandbox.apigateway.http.service_calls import Sources
from terralive_sandbox.apigateway.http_messages import HttpRequest
from terralive_stub.shared.json_documents import Json

REQUEST = HttpRequest(
    "POST",
    "/pets/7",
    "q=1&q=2&empty=",
    (("X-A", "a"), ("x-a", "b")),
    json.dumps({"pet": {"names": ["Rex", {"n": 1}]}, "nothing": None}).encode(),
    "192.0.2.1",
    sigv4.Request("POST", "/", "", ()),
)
SOURCES = Sources(
    request=REQUEST,
    path_parameters={"id": "7"},
    context={"stage": "live", "identity": {"sourceIp": "192.0.2.1"}},
    stage_variables={"team": "pets"},
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a text", "a text"),
        ("$request.header.x-A", "a,b"),
        ("$request.querystring.q", "1,2"),
        ("$request.querystring.empty", None),
        ("$request.path.id", "7"),
        ("$request.body", REQUEST.body.decode()),
        ("$request.body.pet.names[0]", "Rex"),
        ("$request.body.pet.names[1]", '{"n": 1}'),
        ("$request.body.pet.names[2]", None),
        ("$request.body.nothing", None),
        ("$context.identity.sourceIp", "192.0.2.1"),
        ("$stageVariables.team", "pets"),
        ("$unknown.source", None),
        ("${request.path.id} of ${stageVariables.team}${request.path.x}", "7 of pets"),
    ],
)
def test_the_value_of_a_mapping(expression: str, value: str | None) -> None:
    expected = {} if value is None else {"p": value}
    assert service_calls.parameters({"p": expression}, SOURCES) == expected


def test_a_message_of_a_queue_is_sent_with_its_attributes() -> None:
    attribute = {"DataType": "String", "StringValue": "v"}
    values = {
        "QueueUrl": "u",
        "MessageBody": "b",
        "MessageAttributes": json.dumps({"a": attribute}),
    }
    call = service_calls.signed_call("SQS-SendMessage", values, Keys("k", "s", "t"), "eu-west-1")
    fields = {name: found[0] for name, found in parse_qs(call.body.decode()).items()}
    assert fields == {
        "Action": "SendMessage",
        "Version": "2012-11-05",
        "QueueUrl": "u",
        "MessageBody": "b",
        "MessageAttribute.1.Name": "a",
        "MessageAttribute.1.Value.DataType": "String",
        "MessageAttribute.1.Value.StringValue": "v",
    }
    assert sigv4.parse(call).region == "eu-west-1"


def test_an_event_is_put_in_the_region_that_the_integration_names() -> None:
    values = {"Detail": "{}", "Resources": '["arn"]', "Region": "us-west-2"}
    call = service_calls.signed_call(
        "EventBridge-PutEvents", values, Keys("k", "s", "t"), "eu-west-1"
    )
    entry: Json = {"Detail": "{}", "Resources": ["arn"]}
    assert json.loads(call.body) == {"Entries": [entry]}
    signed = sigv4.parse(call)
    assert (signed.service, signed.region) == ("events", "us-west-2")
