"""Function URLs as their clients see them.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo, local_url
from terralive_testing.deployers.rest_api import fetch
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.drivers.signed_requests import signed_headers

ECHO = """
import base64
def handler(event, context):
    path = event["rawPath"]
    if path == "/fail":
        raise ValueError("broken")
    if path == "/simple":
        return {"plain": True}
    if path == "/malformed":
        return {"statusCode": "what"}
    if path == "/full":
        body = base64.b64encode(bytes(range(256))).decode()
        return {"statusCode": 201, "headers": {"X-A": "1"}, "cookies": ["a=1", "b=2"],
                "isBase64Encoded": True, "body": body}
    return {**event, "id": context.aws_request_id, "arn": context.invoked_function_arn}
"""


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


def allow(aws: Aws, arn: str, auth_type: str, principal: str, qualifier: str = "") -> None:
    """Add both permissions that a function URL needs since October 2025."""
    where: dict[str, Any] = {}
    if qualifier:
        where["Qualifier"] = qualifier
    aws.lambda_.add_permission(
        FunctionName=arn,
        StatementId=unique("url"),
        Action="lambda:InvokeFunctionUrl",
        Principal=principal,
        FunctionUrlAuthType=auth_type,  # type: ignore[arg-type] # a literal of the stubs
        **where,
    )
    aws.lambda_.add_permission(
        FunctionName=arn,
        StatementId=unique("url"),
        Action="lambda:InvokeFunction",
        Principal=principal,
        InvokedViaFunctionUrl=True,
        **where,
    )


def test_a_public_url_answers_with_what_the_function_returns(aws: Aws) -> None:
    arn = aws.function(ECHO)
    made = aws.lambda_.create_function_url_config(FunctionName=arn, AuthType="NONE")
    url = local_url(aws.info, made["FunctionUrl"])
    assert fetch("GET", url).status_code == 403  # nobody may, yet
    allow(aws, arn, "NONE", "*")
    answer = fetch(
        "POST",
        f"{url}a/b%20c?x=1&x=2&y=",
        content=b"hello",
        headers={"cookie": "one=1; two=2", "content-type": "text/plain"},
    )
    event = answer.json()
    assert answer.status_code == 200
    assert (event["rawPath"], event["rawQueryString"], event["body"]) == (
        "/a/b c",
        "x=1&x=2&y=",
        "hello",
    )
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert event["cookies"] == ["one=1", "two=2"]
    context = event["requestContext"]
    host = made["FunctionUrl"].removeprefix("https://").rstrip("/")
    assert (context["domainName"], context["domainPrefix"]) == (host, host.partition(".")[0])
    assert (context["accountId"], context["stage"], context["routeKey"]) == (
        "anonymous",
        "$default",
        "$default",
    )
    assert (event["id"], event["arn"]) == (answer.headers["x-amzn-requestid"], arn)
    full = fetch("GET", f"{url}full")
    assert (full.status_code, full.headers["x-a"], full.content) == (201, "1", bytes(range(256)))
    assert full.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert fetch("GET", f"{url}simple").json() == {"plain": True}
    for path in ("fail", "malformed"):
        broken = fetch("GET", url + path)
        assert (broken.status_code, broken.text) == (502, "Internal Server Error")


def test_a_signed_url_takes_whom_identity_or_resource_policy_allow(aws: Aws) -> None:
    arn = aws.function(ECHO)
    made = aws.lambda_.create_function_url_config(FunctionName=arn, AuthType="AWS_IAM")
    url = local_url(aws.info, made["FunctionUrl"])
    event = fetch("GET", url, headers=signed_headers(aws.info, url, service="lambda")).json()
    caller = event["requestContext"]["authorizer"]["iam"]
    assert caller["userArn"] == aws.sts.get_caller_identity()["Arn"]
    assert event["requestContext"]["accountId"] == aws.info.account_id
    role = aws.role()
    keys = aws.role_keys(role)
    wrong_key = {"AccessKeyId": aws.info.access_key_id, "SecretAccessKey": "x" * 40}
    refused = [
        fetch("GET", url),
        fetch("GET", url, headers=signed_headers(aws.info, url, service="execute-api")),
        fetch("GET", url, headers=signed_headers(aws.info, url, wrong_key, service="lambda")),
        fetch("GET", url, headers=signed_headers(aws.info, url, keys, service="lambda")),
    ]
    assert [(r.status_code, r.json(), r.headers["x-amzn-errortype"]) for r in refused] == [
        (403, {"Message": "Forbidden"}, "AccessDeniedException")
    ] * 4
    allow(aws, arn, "AWS_IAM", role)
    answer = fetch("GET", url, headers=signed_headers(aws.info, url, keys, service="lambda"))
    assert answer.status_code == 200


def test_one_permission_of_the_two_is_not_enough(aws: Aws) -> None:
    arn = aws.function(ECHO)
    url = local_url(
        aws.info,
        aws.lambda_.create_function_url_config(FunctionName=arn, AuthType="NONE")["FunctionUrl"],
    )
    aws.lambda_.add_permission(
        FunctionName=arn,
        StatementId="one",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    assert fetch("GET", url).status_code == 403
    policy = json.loads(aws.lambda_.get_policy(FunctionName=arn)["Policy"])
    assert policy["Statement"][0]["Condition"] == {
        "StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}
    }


def test_cors_of_a_url_answers_preflights_and_covers_the_functions_own_headers(aws: Aws) -> None:
    arn = aws.function(ECHO)
    made = aws.lambda_.create_function_url_config(
        FunctionName=arn,
        AuthType="NONE",
        Cors={
            "AllowOrigins": ["https://a.example"],
            "AllowMethods": ["POST"],
            "AllowHeaders": ["x-b"],
            "MaxAge": 60,
        },
    )
    allow(aws, arn, "NONE", "*")
    url = local_url(aws.info, made["FunctionUrl"])
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    preflight = fetch("OPTIONS", url, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://a.example"
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert preflight.headers["access-control-max-age"] == "60"
    assert (
        fetch("GET", url, headers=asked).headers["access-control-allow-origin"]
        == "https://a.example"
    )
    assert (
        "access-control-allow-origin"
        not in fetch("GET", url, headers={"origin": "https://b.example"}).headers
    )


def test_an_alias_has_a_url_and_permissions_of_its_own(aws: Aws) -> None:
    arn = aws.function(ECHO)
    aws.lambda_.publish_version(FunctionName=arn)
    aws.lambda_.create_alias(FunctionName=arn, Name="live", FunctionVersion="1")
    made = aws.lambda_.create_function_url_config(
        FunctionName=arn, AuthType="NONE", Qualifier="live"
    )
    assert made["FunctionArn"] == f"{arn}:live"
    url = local_url(aws.info, made["FunctionUrl"])
    allow(aws, arn, "NONE", "*")
    assert fetch("GET", url).status_code == 403
    allow(aws, arn, "NONE", "*", "live")
    assert fetch("GET", url).json()["arn"] == f"{arn}:live"


def test_a_url_is_listed_changed_and_gone(aws: Aws) -> None:
    arn = aws.function(ECHO)
    made = aws.lambda_.create_function_url_config(FunctionName=arn, AuthType="NONE")
    with pytest.raises(ClientError, match="ResourceConflictException"):
        aws.lambda_.create_function_url_config(FunctionName=arn, AuthType="NONE")
    aws.lambda_.update_function_url_config(FunctionName=arn, AuthType="AWS_IAM")
    (listed,) = aws.lambda_.list_function_url_configs(FunctionName=arn)["FunctionUrlConfigs"]
    assert (listed["FunctionUrl"], listed["AuthType"]) == (made["FunctionUrl"], "AWS_IAM")
    assert listed["InvokeMode"] == "BUFFERED"
    aws.lambda_.update_function_url_config(FunctionName=arn, InvokeMode="RESPONSE_STREAM")
    aws.lambda_.update_function_url_config(FunctionName=arn, AuthType="NONE")
    found = aws.lambda_.get_function_url_config(FunctionName=arn)
    assert (found["InvokeMode"], found["AuthType"]) == ("RESPONSE_STREAM", "NONE")
    aws.lambda_.delete_function_url_config(FunctionName=arn)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        aws.lambda_.get_function_url_config(FunctionName=arn)
    assert fetch("GET", local_url(aws.info, made["FunctionUrl"])).status_code == 403


def test_the_event_has_the_fields_that_the_documentation_names(aws: Aws) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads.

    What is null there is absent.
    """
    arn = aws.function(ECHO)
    made = aws.lambda_.create_function_url_config(FunctionName=arn, AuthType="AWS_IAM")
    url = local_url(aws.info, made["FunctionUrl"]) + "path?a=1"
    event: dict[str, Any] = fetch(
        "GET", url, headers={**signed_headers(aws.info, url, service="lambda"), "cookie": "a=b"}
    ).json()
    assert set(event) - {"id", "arn"} == {
        "version",
        "routeKey",
        "rawPath",
        "rawQueryString",
        "cookies",
        "headers",
        "queryStringParameters",
        "requestContext",
        "isBase64Encoded",
    }
    assert set(event["requestContext"]) == {
        "accountId",
        "apiId",
        "authorizer",
        "domainName",
        "domainPrefix",
        "http",
        "requestId",
        "routeKey",
        "stage",
        "time",
        "timeEpoch",
    }
    assert set(event["requestContext"]["authorizer"]["iam"]) == {
        "accessKey",
        "accountId",
        "callerId",
        "cognitoIdentity",
        "principalOrgId",
        "userArn",
        "userId",
    }
    assert set(event["requestContext"]["http"]) == {
        "method",
        "path",
        "protocol",
        "sourceIp",
        "userAgent",
    }
