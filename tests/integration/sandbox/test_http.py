"""HTTP and REST APIs as their clients see them: boto3 deploys, httpx sends requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo, local_url
from terralive_testing.deployers.rest_api import RestApi, at, fetch, lambda_uri, rest_api
from terralive_testing.deployers.sandbox import Aws, running_sandbox, unique
from terralive_testing.drivers.signed_requests import signed_headers

# Answers with the value of the request's header x-answer, or with the event if there is none.
ANSWERS_AS_ASKED = """
import json
def handler(event, context):
    headers = {name.lower(): value for name, value in event["headers"].items()}
    asked = headers.get("x-answer")
    if asked == "fail":
        raise ValueError("asked to fail")
    if asked:
        return json.loads(asked)
    return {"statusCode": 200, "body": json.dumps(event)}
"""


@pytest.fixture(scope="module")
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


@pytest.fixture(scope="module")
def function(aws: Aws) -> str:
    return aws.function(ANSWERS_AS_ASKED)


def answer_with(**answer: object) -> dict[str, str]:
    return {"x-answer": json.dumps(answer)}


def keys_of(aws: Aws, *statements: Mapping[str, object]) -> dict[str, str]:
    """Return the keys of a new role with these permissions."""
    return aws.role_keys(aws.role(*statements), "caller")


# HTTP APIs


def test_cors_is_the_apis_and_not_the_functions(aws: Aws, function: str) -> None:
    api = aws.http_api(function, "GET /open", "ANY /any")
    aws.apis.update_api(
        ApiId=api,
        CorsConfiguration={
            "AllowOrigins": ["https://a.example"],
            "AllowMethods": ["GET"],
            "AllowHeaders": ["x-b"],
            "MaxAge": 5,
        },
    )
    origin = {"origin": "https://a.example"}
    preflight = {**origin, "access-control-request-method": "GET"}
    for path in ("/open", "/nowhere"):
        answer = fetch("OPTIONS", at(aws, api, "$default", path), headers=preflight)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert answer.headers["access-control-allow-methods"] == "GET"
        assert answer.headers["access-control-max-age"] == "5"
        assert "apigw-requestid" in answer.headers
    other = fetch(
        "OPTIONS",
        at(aws, api, "$default", "/open"),
        headers={**preflight, "origin": "https://b.example"},
    )
    assert "access-control-allow-origin" not in other.headers
    # a route that takes OPTIONS gets it, with the API's headers on top
    taken = fetch("OPTIONS", at(aws, api, "$default", "/any"), headers=preflight)
    assert taken.json()["requestContext"]["http"]["method"] == "OPTIONS"
    assert taken.headers["access-control-allow-headers"] == "x-b"
    own = answer_with(
        statusCode=200, headers={"Access-Control-Allow-Origin": "*", "access-control-max-age": "1"}
    )
    answer = fetch("GET", at(aws, api, "$default", "/open"), headers={**origin, **own})
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert "access-control-max-age" not in answer.headers
    assert (
        "access-control-allow-origin"
        not in fetch("GET", at(aws, api, "$default", "/open"), headers=own).headers
    )


def test_answers_carry_cookies_bytes_and_their_status(aws: Aws, function: str) -> None:
    api = aws.http_api(function, "$default")
    answer = fetch(
        "GET",
        at(aws, api, "$default"),
        headers=answer_with(
            statusCode=418, cookies=["a=1", "b=2; Secure"], body="AP8=", isBase64Encoded=True
        ),
    )
    assert (answer.status_code, answer.content) == (418, b"\x00\xff")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2; Secure"]
    simple = fetch("GET", at(aws, api, "$default"), headers=answer_with(message="hi"))
    assert (simple.status_code, simple.headers["content-type"]) == (200, "application/json")
    assert simple.json() == {"message": "hi"}


def test_an_answer_that_has_no_body_leaves_the_connection_usable(aws: Aws, function: str) -> None:
    rest = RestApi(aws)
    rest.method("ANY", "/", lambda_uri(aws, function))
    rest.deploy()
    aws.allow(function, "apigateway.amazonaws.com", f"{aws.execution_arn(rest.id)}/*/*")
    url = aws.lambda_.create_function_url_config(FunctionName=function, AuthType="NONE")[
        "FunctionUrl"
    ]
    for action, condition in (
        ("lambda:InvokeFunctionUrl", {"FunctionUrlAuthType": "NONE"}),
        ("lambda:InvokeFunction", {"InvokedViaFunctionUrl": True}),
    ):
        aws.lambda_.add_permission(
            FunctionName=function,
            StatementId=unique("url"),
            Action=action,
            Principal="*",
            **condition,
        )
    for address in (
        at(aws, aws.http_api(function, "$default"), "$default"),
        at(aws, rest.id, "dev"),
        local_url(aws.info, url),
    ):
        parts = urlsplit(address)
        connection = HTTPConnection(parts.netloc, timeout=30)
        connection.connect()
        connection.auto_open = 0  # a second connection would hide that the first one broke
        for method, status in (
            ("GET", 204),
            ("GET", 304),
            ("HEAD", 200),
            ("DELETE", 204),
            ("GET", 200),
        ):
            connection.request(
                method, parts.path, headers=answer_with(statusCode=status, body="{}")
            )
            answer = connection.getresponse()
            expected = b""
            if (method, status) == ("GET", 200):
                expected = b"{}"
            assert (answer.status, answer.read()) == (status, expected)
        connection.close()


def test_format_1_and_stage_variables(aws: Aws, function: str) -> None:
    api = aws.http_api(function, stage="dev")
    name = function.rpartition(":")[2]
    integration = aws.apis.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        PayloadFormatVersion="1.0",
        IntegrationUri=lambda_uri(aws, function.replace(name, "${stageVariables.fn}")),
    )["IntegrationId"]
    aws.apis.create_route(ApiId=api, RouteKey="GET /one/{x}", Target=f"integrations/{integration}")
    aws.apis.update_stage(ApiId=api, StageName="dev", StageVariables={"fn": name})
    event = fetch("GET", at(aws, api, "dev", "/one/a?q=1&q=2")).json()
    assert (event["version"], event["path"], event["resource"]) == ("1.0", "/dev/one/a", "/one/{x}")
    assert event["multiValueQueryStringParameters"] == {"q": ["1", "2"]}
    assert event["stageVariables"] == {"fn": name}
    malformed = fetch(
        "GET", at(aws, api, "dev", "/one/a"), headers=answer_with(message="no statusCode")
    )
    assert (malformed.status_code, malformed.json()) == (500, {"message": "Internal Server Error"})


def test_a_route_with_iam_knows_its_caller(aws: Aws, function: str) -> None:
    api = aws.http_api(function, "GET /a", "GET /jwt")
    routes = {
        route["RouteKey"]: route["RouteId"] for route in aws.apis.get_routes(ApiId=api)["Items"]
    }
    aws.apis.update_route(ApiId=api, RouteId=routes["GET /a"], AuthorizationType="AWS_IAM")
    aws.apis.update_route(
        ApiId=api, RouteId=routes["GET /jwt"], AuthorizationType="JWT", AuthorizerId="x"
    )
    url = at(aws, api, "$default", "/a")
    allowed = {
        "Effect": "Allow",
        "Action": "execute-api:Invoke",
        "Resource": f"{aws.execution_arn(api)}/*/GET/a",
    }
    caller = fetch(
        "GET",
        url,
        headers=signed_headers(aws.info, url, keys_of(aws, allowed), service="execute-api"),
    ).json()["requestContext"]
    assert ":assumed-role/" in caller["authorizer"]["iam"]["userArn"]
    other = {**allowed, "Resource": f"{aws.execution_arn(api)}/*/POST/a"}
    for headers in ({}, signed_headers(aws.info, url, keys_of(aws, other), service="execute-api")):
        refused = fetch("GET", url, headers=headers)
        assert (refused.status_code, refused.json()) == (403, {"message": "Forbidden"})
    jwt = fetch("GET", at(aws, api, "$default", "/jwt"))
    # The route has no authorizer.
    assert (jwt.status_code, jwt.json()) == (500, {"message": "Internal Server Error"})


def test_requests_beyond_api_gateways_limits_are_refused(aws: Aws, function: str) -> None:
    http, rest = aws.http_api(function, "POST /"), rest_api(aws, function, "POST /")
    for url in (at(aws, http, "$default"), at(aws, rest.id, "dev")):
        assert fetch("POST", url, content=b"x" * (10 * 1024 * 1024 + 1)).status_code == 413
        # what API Gateway takes and Lambda does not
        assert fetch("POST", url, content=b"x" * (7 * 1024 * 1024)).status_code == 413
        assert fetch("POST", url, headers={"x-large": "x" * 10_300}).status_code in {413, 431}


def test_what_an_http_api_cannot_do_here_is_named(aws: Aws, function: str) -> None:
    api = aws.http_api(function, "$default")
    integration = aws.apis.get_integrations(ApiId=api)["Items"][0]["IntegrationId"]
    aws.apis.update_integration(
        ApiId=api,
        IntegrationId=integration,
        RequestParameters={"overwrite:header.x": "$request.path"},
    )
    mapped = fetch("GET", at(aws, api, "$default", "/a"))
    assert (mapped.status_code, "NotEmulatedBySandbox" in mapped.text) == (501, True)
    refused: list[Callable[[], object]] = [
        lambda: aws.apis.create_api(Name="quick", ProtocolType="HTTP", Target=function),
    ]
    for call in refused:
        with pytest.raises(ClientError, match="NotEmulatedBySandbox"):
            call()


def test_a_route_sends_a_message_to_a_queue_if_its_role_may(aws: Aws, function: str) -> None:
    queue = aws.sqs.create_queue(QueueName=unique("queue"))["QueueUrl"]
    arn = aws.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    may = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn["QueueArn"]}
    api = aws.http_api(function, "GET /")
    for path, role in (("/sent", aws.role(may)), ("/denied", aws.role())):
        integration = aws.apis.create_integration(
            ApiId=api,
            IntegrationType="AWS_PROXY",
            IntegrationSubtype="SQS-SendMessage",
            PayloadFormatVersion="1.0",
            CredentialsArn=role,
            RequestParameters={"QueueUrl": queue, "MessageBody": "$request.body.order"},
        )["IntegrationId"]
        aws.apis.create_route(
            ApiId=api, RouteKey=f"POST {path}", Target=f"integrations/{integration}"
        )
    answer = fetch("POST", at(aws, api, "$default", "/sent"), json={"order": {"id": 1}})
    assert (answer.status_code, "<MessageId>" in answer.text) == (200, True)
    (message,) = aws.sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    assert json.loads(message["Body"]) == {"id": 1}
    denied = fetch("POST", at(aws, api, "$default", "/denied"), json={"order": 2})
    assert (denied.status_code, "AccessDenied" in denied.text) == (403, True)


def test_a_route_puts_an_event_on_a_bus(aws: Aws, function: str) -> None:
    role = aws.role({"Effect": "Allow", "Action": "events:PutEvents", "Resource": "*"})
    api = aws.http_api(function, "GET /")
    integration = aws.apis.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        IntegrationSubtype="EventBridge-PutEvents",
        PayloadFormatVersion="1.0",
        CredentialsArn=role,
        RequestParameters={
            "Source": "pets",
            "DetailType": "$request.header.x-type",
            "Detail": "$request.body",
        },
    )["IntegrationId"]
    aws.apis.create_route(ApiId=api, RouteKey="POST /", Target=f"integrations/{integration}")
    answer = fetch("POST", at(aws, api, "$default", "/"), json={}, headers={"x-type": "Born"})
    assert (answer.status_code, answer.json()["FailedEntryCount"]) == (200, 0)


# REST APIs


def test_a_rest_event_is_payload_format_1(aws: Aws, function: str) -> None:
    api = rest_api(
        aws, function, "GET /", "ANY /pets/{id}", "GET /pets/{id}/toys", "ANY /files/{proxy+}"
    )
    answer = api.ask(
        "POST", "/pets/a%20b?x=1&x=2", headers=[("X-Multi", "1"), ("X-Multi", "2")], json={"k": 1}
    )
    event = answer.json()
    assert (event["resource"], event["path"], event["httpMethod"]) == (
        "/pets/{id}",
        "/pets/a%20b",
        "POST",
    )
    assert event["pathParameters"] == {"id": "a%20b"}
    assert (event["queryStringParameters"], event["multiValueQueryStringParameters"]) == (
        {"x": "2"},
        {"x": ["1", "2"]},
    )
    assert event["multiValueHeaders"]["X-Multi"] == ["1", "2"]
    assert event["headers"]["Content-Type"] == "application/json"
    assert event["headers"]["Host"] == f"{api.id}.execute-api.us-east-1.amazonaws.com"
    assert (json.loads(event["body"]), event["isBase64Encoded"]) == ({"k": 1}, False)
    assert event["requestContext"]["path"] == "/dev/pets/a%20b"
    assert event["requestContext"]["requestId"] == answer.headers["x-amzn-requestid"]
    assert event["requestContext"]["extendedRequestId"] == answer.headers["x-amz-apigw-id"]
    assert api.ask("GET", "/pets/1/toys/").json()["resource"] == "/pets/{id}/toys"
    assert api.ask("PUT", "/files/a/b").json()["pathParameters"] == {"proxy": "a/b"}
    assert api.ask("GET", "").json()["path"] == "/"
    public = f"https://{api.id}.execute-api.us-east-1.amazonaws.com/dev"
    assert fetch("GET", local_url(aws.info, public)).json()["path"] == "/"
    assert fetch("GET", local_url(aws.info, f"{public}/pets/1?a=b")).json()[
        "queryStringParameters"
    ] == {"a": "b"}


@dataclass(frozen=True)
class Denied:
    """A request to a REST API that API Gateway answers with an error, and that error."""

    method: str
    path: str
    status: int
    error_type: str
    message: str
    stage: str = "dev"
    asked: str = ""  # what the function is asked to do


NO_TOKEN = "MissingAuthenticationTokenException"
NO_TOKEN_TEXT = "Missing Authentication Token"
INTERNAL = "InternalServerErrorException"
INTERNAL_TEXT = "Internal server error"
DENIED = [
    Denied("POST", "/", 403, NO_TOKEN, NO_TOKEN_TEXT),
    Denied("GET", "/nowhere", 403, NO_TOKEN, NO_TOKEN_TEXT),
    Denied("GET", "/", 403, "ForbiddenException", "Forbidden", stage="other"),
    Denied("GET", "/", 502, INTERNAL, INTERNAL_TEXT, asked="fail"),
    Denied("GET", "/", 502, INTERNAL, INTERNAL_TEXT, asked='{"message": "hi"}'),
]


def test_errors_of_a_rest_api_are_api_gateways(aws: Aws, function: str) -> None:
    api = rest_api(aws, function, "GET /")
    for denied in DENIED:
        headers: dict[str, str] = {}
        if denied.asked:
            headers["x-answer"] = denied.asked
        answer = api.ask(denied.method, denied.path, denied.stage, headers=headers)
        assert (answer.status_code, answer.json()) == (denied.status, {"message": denied.message})
        assert answer.headers["x-amzn-errortype"] == denied.error_type
        assert {"x-amzn-requestid", "x-amz-apigw-id"} <= set(answer.headers)
    unpermitted = RestApi(aws)
    unpermitted.method("GET", "/", lambda_uri(aws, aws.function(ANSWERS_AS_ASKED)))
    unpermitted.deploy()
    assert unpermitted.ask("GET", "/").status_code == 500
    api.method("POST", "/", lambda_uri(aws, function))
    assert api.ask("POST", "/").status_code == 403, "a change shows with the next deployment"
    api.redeploy()
    assert api.ask("POST", "/").status_code == 200


def test_stage_variables_choose_a_stages_function(aws: Aws, function: str) -> None:
    name = function.rpartition(":")[2]
    api = RestApi(aws)
    api.method("GET", "/", lambda_uri(aws, function.replace(name, "${stageVariables.fn}")))
    aws.allow(function, "apigateway.amazonaws.com", f"{aws.execution_arn(api.id)}/*/GET/")
    api.deploy("dev", {"fn": name})
    api.deploy("broken", {"fn": "nothing"})
    event = api.ask("GET", "/").json()
    assert (event["stageVariables"], event["requestContext"]["stage"]) == ({"fn": name}, "dev")
    assert api.ask("GET", "/", "broken").status_code == 500


def test_binary_types_are_the_apis(aws: Aws, function: str) -> None:
    api = rest_api(aws, function, "POST /", binaryMediaTypes=["image/*"])
    event = api.ask("POST", "/", content=b"\x00\xff", headers={"content-type": "image/png"}).json()
    assert (event["body"], event["isBase64Encoded"]) == ("AP8=", True)
    answer = answer_with(statusCode=200, body="AP8=", isBase64Encoded=True)
    assert api.ask("POST", "/", headers={**answer, "accept": "image/png"}).content == b"\x00\xff"
    assert api.ask("POST", "/", headers={**answer, "accept": "text/html"}).content == b"AP8="


def test_a_rest_method_with_iam_and_a_resource_policy(aws: Aws, function: str) -> None:
    api = rest_api(aws, function, "GET /open")
    api.method("GET", "/a", lambda_uri(aws, function), authorizationType="AWS_IAM")
    api.redeploy()
    url = at(aws, api.id, "dev", "/a")
    arn = f"{aws.execution_arn(api.id)}/dev/GET/a"

    def ask(*resources: str) -> httpx.Response:
        may = [
            {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resource}
            for resource in resources
        ]
        return fetch(
            "GET",
            url,
            headers=signed_headers(aws.info, url, keys_of(aws, *may), service="execute-api"),
        )

    def refusal(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.headers["x-amzn-errortype"]

    assert ask(arn).json()["requestContext"]["identity"]["userArn"].endswith("/caller")
    assert refusal(fetch("GET", url)) == (403, "MissingAuthenticationTokenException")
    denied = ask(arn.replace("GET", "POST"))
    assert refusal(denied) == (403, "AccessDeniedException")
    assert denied.json()["Message"].endswith(f"on resource: {arn.replace('12345678', '********')}")
    wrong = {**keys_of(aws), "SecretAccessKey": "wrong"}
    assert refusal(
        fetch("GET", url, headers=signed_headers(aws.info, url, wrong, service="execute-api"))
    ) == (
        403,
        "InvalidSignatureException",
    )
    elsewhere = signed_headers(aws.info, url, keys_of(aws), service="lambda")
    assert refusal(fetch("GET", url, headers=elsewhere)) == (403, "InvalidSignatureException")

    def have_policy(effect: str, path: str, principal: object = "*") -> None:
        statement = {
            "Effect": effect,
            "Principal": principal,
            "Action": "execute-api:Invoke",
            "Resource": path,
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        operation: Any = {"op": "replace", "path": "/policy", "value": document}
        aws.rest.update_rest_api(restApiId=api.id, patchOperations=[operation])
        api.redeploy()

    have_policy("Allow", "execute-api:/dev/GET/a")
    assert ask().status_code == 200
    assert refusal(api.ask("GET", "/open")) == (403, "AccessDeniedException")
    have_policy("Deny", "execute-api:/dev/GET/a")
    assert ask(arn).json()["Message"].endswith(" with an explicit deny")
    # A policy that names a role lets this role's sessions in, and no others.
    role = aws.role()
    have_policy("Allow", "execute-api:/dev/GET/a", {"AWS": role})
    headers = signed_headers(aws.info, url, aws.role_keys(role), service="execute-api")
    assert fetch("GET", url, headers=headers).status_code == 200
    assert refusal(ask()) == (403, "AccessDeniedException")
    # One that allows the account needs the caller's own policies, too; one that denies it does not.
    account = {"AWS": f"arn:aws:iam::{aws.info.account_id}:root"}
    have_policy("Allow", "execute-api:/dev/GET/a", account)
    assert refusal(ask()) == (403, "AccessDeniedException")
    assert ask(arn).status_code == 200
    have_policy("Deny", "execute-api:/dev/GET/a", account)
    assert ask(arn).json()["Message"].endswith(" with an explicit deny")


def test_a_mock_answers_preflights(aws: Aws, function: str) -> None:
    api = rest_api(aws, function, "GET /")
    where: dict[str, Any] = {
        "restApiId": api.id,
        "resourceId": api.resource("/"),
        "httpMethod": "OPTIONS",
    }
    aws.rest.put_method(**where, authorizationType="NONE")
    aws.rest.put_method_response(**where, statusCode="200")
    aws.rest.put_integration(
        **where, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'}
    )
    aws.rest.put_integration_response(
        **where,
        statusCode="200",
        responseParameters={
            "method.response.header.Access-Control-Allow-Origin": "'https://a.example'"
        },
    )
    api.redeploy()
    answer = api.ask("OPTIONS", "/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["access-control-allow-origin"] == "https://a.example"


def test_what_a_rest_api_cannot_do_here_is_named(aws: Aws, function: str) -> None:
    api = rest_api(aws, function, "GET /")
    api.method("GET", "/key", lambda_uri(aws, function), apiKeyRequired=True)
    cognito = "COGNITO_USER_POOLS"
    api.method("GET", "/cognito", lambda_uri(aws, function), authorizationType=cognito)
    api.method("GET", "/http", "https://example.com", kind="HTTP_PROXY")
    api.redeploy()
    for path in ("/key", "/cognito", "/http"):
        answer = api.ask("GET", path)
        assert (answer.status_code, "NotEmulatedBySandbox" in answer.text) == (501, True)
    with pytest.raises(ClientError, match="NotEmulatedBySandbox"):
        aws.rest.put_rest_api(
            restApiId=api.id, parameters={"basepath": "split"}, body=b'{"openapi": "3.0.1"}'
        )


def test_gateway_responses_change_what_api_gateway_answers_itself(aws: Aws, function: str) -> None:
    api = rest_api(aws, function, "GET /")
    api.method("GET", "/key", lambda_uri(aws, function), apiKeyRequired=True)
    aws.rest.put_gateway_response(
        restApiId=api.id,
        responseType="MISSING_AUTHENTICATION_TOKEN",
        statusCode="404",
        responseParameters={
            "gatewayresponse.header.Access-Control-Allow-Origin": "'*'",
            "gatewayresponse.header.X-Asked": "method.request.header.x-ask",
        },
        responseTemplates={
            "application/json": '{"type": "$context.error.responseType", '
            '"text": $context.error.messageString}'
        },
    )
    # Like everything else, they are served from the next deployment on.
    assert api.ask("GET", "/nothing").status_code == 403
    api.redeploy()
    answer = api.ask("GET", "/nothing", headers={"x-ask": "a"})
    assert answer.status_code == 404
    assert answer.json() == {
        "type": "MISSING_AUTHENTICATION_TOKEN",
        "text": "Missing Authentication Token",
    }
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-asked"] == "a"
    assert api.ask("GET", "/").status_code == 200
    # What the sandbox does not emulate stays its own answer.
    assert api.ask("GET", "/key").status_code == 501


def test_a_rest_integration_that_takes_too_long_times_out(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, time_scale=0.02) as info:
        aws = Aws(info)
        slow = aws.function("import time\ndef handler(event, context):\n    time.sleep(5)\n")
        answer = rest_api(aws, slow, "GET /").ask("GET", "/")
        assert (answer.status_code, answer.json()) == (
            504,
            {"message": "Endpoint request timed out"},
        )
