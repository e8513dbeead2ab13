"""The checker of answers finds what is wrong, and nothing where nothing is."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore.model import OperationModel

from terralive_testing.oracles import shapes


@cache
def operation(service: str, name: str) -> OperationModel:
    return botocore.session.get_session().get_service_model(service).operation_model(name)


def found(service: str, name: str, body: object, status: int = 200, **headers: str) -> list[str]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer: dict[str, Any] = {
        "status_code": status,
        "headers": headers,
        "body": content,
        "context": {},
    }
    return [str(violation) for violation in shapes.violations(operation(service, name), answer)]


def test_a_good_answer_has_no_violation() -> None:
    function = {
        "FunctionName": "f",
        "Runtime": "python3.12",
        "Timeout": 3,
        "Environment": {"Variables": {"A": "b"}},
    }
    assert found("lambda", "GetFunctionConfiguration", {**function, "VpcConfig": None}) == []
    assert found("dynamodb", "GetItem", {"Item": {"pk": {"S": "x"}}}) == []
    assert found("sqs", "SendMessage", {"MessageId": "m", "MD5OfMessageBody": "d"}) == []
    assert found("lambda", "Invoke", b"not JSON: the payload is the function's") == []
    assert found("lambda", "TagResource", b"", 204) == []


@pytest.mark.parametrize(
    ("service", "name", "body", "wrong"),
    [
        (
            "lambda",
            "GetFunctionConfiguration",
            {"Timeout": "3"},
            'Timeout is "3", the model wants integer',
        ),
        (
            "lambda",
            "GetFunctionConfiguration",
            {"Timeout": True},
            "Timeout is true, the model wants integer",
        ),
        ("lambda", "GetFunctionConfiguration", {"timeout": 3}, "timeout is not in the model"),
        (
            "lambda",
            "GetFunctionConfiguration",
            {"Runtime": "cobol"},
            "Runtime is 'cobol', the model knows",
        ),
        (
            "lambda",
            "GetFunction",
            {"Configuration": {"Layers": [{"Size": 1}]}},
            ".Layers[].Size is not in",
        ),
        ("lambda", "GetFunction", [], "the body is [], the model wants structure"),
        (
            "dynamodb",
            "GetItem",
            {"Item": {"pk": {"N": 1}}},
            "Item{}.N is 1, the model wants string",
        ),
        (
            "events",
            "PutEvents",
            {"FailedEntryCount": None, "Entries": {}},
            "Entries is {}, the model wants list",
        ),
        (
            "apigatewayv2",
            "GetApi",
            {"createdDate": 5},
            "createdDate is 5, the model wants timestamp",
        ),
        ("kms", "Encrypt", b"<html>", "the body is not JSON"),
        (
            "logs",
            "DescribeLogGroups",
            {"logGroups": [{"creationTime": 1.5}]},
            "creationTime is 1.5",
        ),
    ],
)
def test_json_that_an_sdk_would_drop_or_misread_is_found(
    service: str, name: str, body: object, wrong: str
) -> None:
    assert any(
        f"{service} {name}: {wrong}" in line or wrong in line for line in found(service, name, body)
    )


def test_what_an_answer_has_to_have_is_missed_also_in_xml() -> None:
    role = (
        b"<CreateRoleResponse><CreateRoleResult><Role><Path>/</Path><RoleName>r</RoleName><RoleId>AROA0123456789ABCDEF"
        b"</RoleId><CreateDate>2026-01-01T00:00:00Z</CreateDate></Role></CreateRoleResult></CreateRoleResponse>"
    )
    assert found("iam", "CreateRole", role) == [
        'iam CreateRole: Missing required member in Role: "Arn"'
    ]


@pytest.mark.parametrize(
    ("service", "name", "code", "status", "wrong"),
    [
        (
            "lambda",
            "Invoke",
            "ResourceNotFoundException",
            400,
            "has the status 400, the model says 404",
        ),
        ("lambda", "Invoke", "NoSuchFunction", 404, "the error NoSuchFunction is none of"),
        ("lambda", "Invoke", "", 500, "the error (500) has no code"),
        ("sqs", "SendMessage", "com.amazonaws.sqs#NotThere", 400, "the error NotThere is none of"),
    ],
)
def test_a_refusal_that_aws_would_not_give_is_found(
    service: str, name: str, code: str, status: int, wrong: str
) -> None:
    errors = found(service, name, {"message": "no", "__type": code}, status)
    assert [wrong in line for line in errors] == [True]


def test_a_refusal_that_aws_gives_is_none() -> None:
    no_function = {"Type": "User", "Message": "Function not found"}
    assert (
        found(
            "lambda",
            "Invoke",
            no_function,
            404,
            **{"x-amzn-errortype": "ResourceNotFoundException"},
        )
        == []
    )
    assert (
        found("lambda", "Invoke", {"message": "no", "__type": "AccessDeniedException"}, 403) == []
    )
    no_queue = {"message": "no", "__type": "com.amazonaws.sqs#QueueDoesNotExist"}
    in_query = {"x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender"}
    assert found("sqs", "SendMessage", no_queue, 400, **in_query) == []


def test_an_error_without_a_message_is_found() -> None:
    assert found("lambda", "Invoke", {"__type": "ServiceException"}, 500) == [
        "lambda Invoke: the error ServiceException (500) has no message"
    ]


def test_a_violation_fails_the_call_and_an_exception_of_the_table_does_not() -> None:
    with pytest.raises(shapes.ShapeError, match="lambda Invoke: the wrong"):
        shapes.fail([shapes.Violation("lambda", "Invoke", "the wrong")])
    gone = found(
        "apigatewaymanagementapi",
        "PostToConnection",
        {"message": None, "__type": "GoneException"},
        410,
    )
    assert gone == []
