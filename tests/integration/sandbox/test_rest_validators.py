"""Request validators of REST APIs answer before the function runs.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.rest_api import RestApi, lambda_uri, rest_api
from terralive_testing.deployers.sandbox import Aws

ECHO = """
def handler(event, context):
    return {"statusCode": 200, "body": event["body"] or "nothing"}
"""
ITEM = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


@pytest.fixture
def api(aws: Aws) -> RestApi:
    """An API with two models, of which one names the other, and a method for each validator."""
    function = aws.function(ECHO)
    api = rest_api(aws, function, "GET /open")
    client: Any = aws.rest
    item = f"https://apigateway.amazonaws.com/restapis/{api.id}/models/Item"
    models = {"Item": ITEM, "Items": {"type": "array", "items": {"$ref": item}}}
    for name, schema in models.items():
        client.create_model(
            restApiId=api.id, name=name, contentType="application/json", schema=json.dumps(schema)
        )
    for path, body, parameters in (
        ("/body", True, False),
        ("/parameters", False, True),
        ("/both", True, True),
        ("/neither", False, False),
    ):
        validator = client.create_request_validator(
            restApiId=api.id,
            name=path[1:],
            validateRequestBody=body,
            validateRequestParameters=parameters,
        )["id"]
        api.method(
            "POST",
            path,
            lambda_uri(aws, function),
            requestValidatorId=validator,
            requestModels={"application/json": "Items"},
            requestParameters={
                "method.request.querystring.page": True,
                "method.request.header.X-Shop": True,
                "method.request.querystring.size": False,
            },
        )
    api.redeploy()
    return api


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["message"]


INVALID = (400, "Invalid request body")


def test_required_parameters_are_there_and_not_blank(api: RestApi) -> None:
    both = "Missing required request parameters: [X-Shop, page]"
    assert said(api.ask("POST", "/parameters")) == (400, both)
    answer = api.ask("POST", "/parameters", params={"page": " "}, headers={"x-shop": "a"})
    assert said(answer) == (400, "Missing required request parameters: [page]")
    assert answer.headers["x-amzn-errortype"] == "BadRequestException"
    found = api.ask("POST", "/parameters", params={"page": "1"}, headers={"x-shop": "a"})
    assert (found.status_code, found.text) == (200, "nothing")
    assert said(api.ask("POST", "/both", json=[])) == (400, both)


def test_a_body_matches_the_model_of_its_content_type(api: RestApi) -> None:
    assert api.ask("POST", "/body", json=[{"id": 1}]).status_code == 200
    assert said(api.ask("POST", "/body", json=[{"id": "1"}])) == INVALID
    assert said(api.ask("POST", "/body", json={"id": 1})) == INVALID
    assert said(api.ask("POST", "/body", content="[")) == INVALID
    assert said(api.ask("POST", "/body")) == INVALID
    # A content type without a model is not checked.
    plain = api.ask("POST", "/body", content="[", headers={"content-type": "text/plain"})
    assert (plain.status_code, plain.text) == (200, "[")


def test_a_validator_that_checks_nothing_and_a_method_without_one_let_everything_pass(
    api: RestApi,
) -> None:
    assert api.ask("POST", "/neither", content="[").status_code == 200
    assert api.ask("GET", "/open").status_code == 200


def test_a_stage_validates_as_it_was_deployed(aws: Aws, api: RestApi) -> None:
    where: dict[str, Any] = {
        "restApiId": api.id,
        "resourceId": api.resource("/body"),
        "httpMethod": "POST",
    }
    aws.rest.update_method(
        **where, patchOperations=[{"op": "replace", "path": "/requestValidatorId", "value": ""}]
    )
    aws.rest.update_model(
        restApiId=api.id,
        modelName="Item",
        patchOperations=[{"op": "replace", "path": "/schema", "value": '{"type": "string"}'}],
    )
    assert said(api.ask("POST", "/body", json=["a"])) == INVALID
    api.redeploy()
    assert api.ask("POST", "/body", content="[").status_code == 200


def test_a_validator_or_model_that_does_not_exist_is_refused(aws: Aws, api: RestApi) -> None:
    uri = lambda_uri(aws, "orders")
    with pytest.raises(ClientError, match="Invalid Request Validator identifier"):
        api.method("PUT", "/body", uri, requestValidatorId="nobody")
    with pytest.raises(ClientError, match="Invalid model identifier specified: Nobody"):
        api.method("PUT", "/body", uri, requestModels={"application/json": "Nobody"})
    api.method("PUT", "/body", uri, requestModels={"application/json": "Empty"})
