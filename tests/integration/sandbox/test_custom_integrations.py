"""Integrations of REST APIs that are no proxies, with a function and with services.

https://docs.aws.amazon.com/apigateway/latest/developerguide/getting-started-lambda-non-proxy-integration.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.rest_api import RestApi, lambda_uri
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.machine.waiting import eventually

ORDERS = """
def handler(event, context):
    if event.get("id") == "none":
        raise KeyError("order not found")
    return {"echo": event}
"""


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


class CustomApi(RestApi):
    """A REST API whose integrations are no proxies."""

    def custom(
        self,
        method: str,
        path: str,
        uri: str,
        responses: dict[str, dict[str, Any]],
        **integration: object,
    ) -> None:
        client: Any = self.aws.rest
        where = {"restApiId": self.id, "resourceId": self.resource(path), "httpMethod": method}
        client.put_method(**where, authorizationType="NONE")
        client.put_integration(
            **where, type="AWS", integrationHttpMethod="POST", uri=uri, **integration
        )
        for status, response in responses.items():
            client.put_method_response(**where, statusCode=status)
            client.put_integration_response(**where, statusCode=status, **response)


def test_a_function_gets_what_the_template_makes_and_its_error_chooses_the_response(
    aws: Aws,
) -> None:
    function = aws.function(ORDERS)
    api = CustomApi(aws)
    template = (
        '{"id": "$input.params(\'id\')", "body": $input.json("$"), "method": "$context.httpMethod"}'
    )
    error = "{\"problem\": $input.json('$.errorMessage')}"
    api.custom(
        "POST",
        "/orders/{id}",
        lambda_uri(aws, function),
        {
            "200": {
                "responseTemplates": {"application/json": "$input.json('$.echo')"},
                "responseParameters": {"method.response.header.X-Kind": "'order'"},
            },
            "404": {
                "selectionPattern": ".*not found.*",
                "responseTemplates": {"application/json": error},
            },
        },
        requestTemplates={"application/json": template},
        passthroughBehavior="NEVER",
    )
    aws.allow(function, "apigateway.amazonaws.com", f"{aws.execution_arn(api.id)}/*/*")
    api.deploy()

    answer = api.ask("POST", "/orders/7", json={"a": 1})
    assert (answer.status_code, answer.headers["x-kind"]) == (200, "order")
    assert answer.json() == {"id": "7", "body": {"a": 1}, "method": "POST"}
    answer = api.ask("POST", "/orders/none", json={})
    assert (answer.status_code, answer.json()) == (404, {"problem": "'order not found'"})
    answer = api.ask("POST", "/orders/7", content=b"a", headers={"content-type": "text/plain"})
    assert answer.status_code == 415


def test_a_request_becomes_a_message_of_a_queue_or_an_asynchronous_invocation(aws: Aws) -> None:
    name = unique("orders")
    queue = aws.sqs.create_queue(QueueName=name)["QueueUrl"]
    role = aws.role({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"})
    stranger = aws.role({"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Resource": "*"})
    form = {"integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"}
    send = "Action=SendMessage&MessageBody=$util.urlEncode($input.body)"
    api = CustomApi(aws)
    account = aws.info.account_id
    for path, credentials in (("/orders", role), ("/forbidden", stranger)):
        api.custom(
            "POST",
            path,
            f"arn:aws:apigateway:{aws.info.region}:sqs:path/{account}/{name}",
            {
                "202": {"responseTemplates": {"application/json": '{"ok": true}'}},
                "502": {"selectionPattern": "[45]\\d\\d"},
            },
            requestTemplates={"application/json": send},
            requestParameters=form,
            credentials=credentials,
        )
    # The function puts its event into the same queue.
    source = (
        "import boto3\n"
        "def handler(event, context):\n"
        f"    boto3.client('sqs').send_message(QueueUrl={queue!r}, MessageBody=event['text'])\n"
    )
    function = aws.function(source, role=role)
    asynchronous = {"integration.request.header.X-Amz-Invocation-Type": "'Event'"}
    api.custom(
        "POST",
        "/later",
        lambda_uri(aws, function),
        {"202": {}},
        requestTemplates={"application/json": '{"text": "later"}'},
        requestParameters=asynchronous,
    )
    aws.allow(function, "apigateway.amazonaws.com", f"{aws.execution_arn(api.id)}/*/*")
    api.deploy()

    answer = api.ask("POST", "/orders", json={"a": "b&c"})
    assert (answer.status_code, answer.json()) == (202, {"ok": True})
    assert api.ask("POST", "/forbidden", json={}).status_code == 502
    assert api.ask("POST", "/later", json={}).status_code == 202

    bodies: list[str] = []

    def received() -> bool:
        got = aws.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        bodies.extend(message["Body"] for message in got.get("Messages", []))
        return len(bodies) == 2

    eventually(received, "both messages")
    assert set(bodies) == {json.dumps({"a": "b&c"}, separators=(",", ":")), "later"}
