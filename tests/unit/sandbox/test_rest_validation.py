"""Request validators: parameters that are missing, and bodies that do not match a model.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-method-request-validation.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from terralive_sandbox.access.sigv4 import Request
from terralive_sandbox.apigateway.http_messages import GatewayResponseError, HttpRequest
from terralive_sandbox.apigateway.rest.validation import BUILT_IN_MODELS, RequestRules, check

JSON = "application/json"


def request(
    body: str = "", query: str = "", headers: tuple[tuple[str, str], ...] = ()
) -> HttpRequest:
    received = Request("POST", "/items", query, headers, body.encode())
    return HttpRequest.below("/items", received, "127.0.0.1")


def refusal(given: HttpRequest, asked: RequestRules, **path: str) -> tuple[int, Any]:
    with pytest.raises(GatewayResponseError) as error:
        check(given, path, asked)
    response = error.value.response
    return response.status, json.loads(response.body)["message"]


def test_parameters_of_the_path_the_query_and_the_headers_are_required() -> None:
    asked = RequestRules(
        "api",
        ("method.request.path.id", "method.request.querystring.a.b", "method.request.header.X-Id"),
    )
    check(request(query="a.b=1", headers=(("x-id", "2"),)), {"id": "3"}, asked)
    missing = "Missing required request parameters: [{}]"
    assert refusal(request(), asked) == (400, missing.format("id, a.b, X-Id"))
    assert refusal(request(query="a.b=%20", headers=(("x-id", "2"),)), asked, id="%20") == (
        400,
        missing.format("id, a.b"),
    )


def test_the_model_is_that_of_the_content_type_or_the_default() -> None:
    schemas = {"Number": '{"type": "number"}', "Text": '{"type": "string"}'}
    asked = RequestRules(
        "api", (), checks_body=True, models={JSON: "Number", "$default": "Text"}, schemas=schemas
    )
    check(request("1"), {}, asked)
    check(request("1", headers=(("Content-Type", "application/json; charset=utf-8"),)), {}, asked)
    check(request('"a"', headers=(("content-type", "text/json"),)), {}, asked)
    assert refusal(request('"a"'), asked) == (400, "Invalid request body")


def test_a_model_that_every_api_has_asks_for_an_object() -> None:
    asked = RequestRules(
        "api", (), checks_body=True, models={JSON: "Empty"}, schemas=BUILT_IN_MODELS
    )
    check(request("{}"), {}, asked)
    for body in ("", "[]", "no"):
        assert refusal(request(body), asked) == (400, "Invalid request body")


@pytest.mark.parametrize("schema", ['{"type": 1}', "no JSON", '{"$ref": "https://a.example/b"}'])
def test_a_schema_that_cannot_be_used_is_no_fault_of_the_client(schema: str) -> None:
    asked = RequestRules(
        "api", (), checks_body=True, models={JSON: "Broken"}, schemas={"Broken": schema}
    )
    assert refusal(request("{}"), asked) == (500, "Internal server error")
