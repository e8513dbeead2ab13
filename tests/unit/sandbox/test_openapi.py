"""OpenAPI documents; the pages are named in the modules under test."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terralive_sandbox.apigateway.openapi import document, gaps, operations
from terralive_sandbox.apigateway.openapi.document import DocumentError
from terralive_sandbox.apigateway.openapi.operations import Authorization, Operation
from terralive_stub.shared.json_documents import Json

AUTHORIZER = "x-amazon-apigateway-authorizer"
SCHEMES: Mapping[str, Json] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "jwt": {"type": "oauth2", AUTHORIZER: {"type": "jwt", "identitySource": "$a, $b"}},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "sigv4": {
        "type": "apiKey",
        "name": "Authorization",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
}


def operations_of(*, of_http_api: bool = True, **root: object) -> list[Operation]:
    read = document.read(json.dumps({"openapi": "3.0.1", **root}))
    return list(operations.operations_of(read, of_http_api=of_http_api))


def operation(of_http_api: bool, general: Json, **declared: object) -> Operation:
    root: dict[str, object] = {
        "paths": {"/a": {"get": declared}},
        "components": {"securitySchemes": SCHEMES},
    }
    if general is not None:
        root["security"] = general
    (found,) = operations_of(of_http_api=of_http_api, **root)
    return found


@pytest.mark.parametrize(
    ("of_http_api", "general", "own", "expected"),
    [
        (True, None, None, Authorization()),
        (True, [{"jwt": ["a"]}], None, Authorization("JWT", "jwt", ("a",))),
        (True, [{"jwt": []}], [], Authorization()),
        # REST APIs ignore what the top of a document requires.
        (False, [{"jwt": []}], None, Authorization()),
        (False, None, [{"sigv4": []}], Authorization("AWS_IAM")),
        (False, None, [{"jwt": [], "key": []}], Authorization("JWT", "jwt", (), needs_key=True)),
        # A scheme without a word of API Gateway's has no effect, as on AWS.
        (False, None, [{"bearer": []}], Authorization()),
    ],
)
def test_the_access_control_of_an_operation(
    of_http_api: bool,
    general: Json,
    own: Json,
    expected: Authorization,
) -> None:
    declared = {} if own is None else {"security": own}
    assert operation(of_http_api, general, **declared).authorization == expected


def test_api_gateways_own_word_for_access_control_comes_first() -> None:
    declared = {"x-amazon-apigateway-auth": {"type": "AWS_IAM"}, "security": [{"jwt": []}]}
    assert operation(True, None, **declared).authorization == Authorization("AWS_IAM")


def test_parameters_of_the_path_and_of_the_operation_belong_to_the_operation() -> None:
    (found,) = operations_of(
        paths={
            "/a/{id}": {
                "parameters": [{"name": "id", "in": "path", "required": True}],
                "get": {
                    "parameters": [
                        {"$ref": "#/components/parameters/q"},
                        {"name": "c", "in": "cookie"},
                    ]
                },
            }
        },
        components={"parameters": {"q": {"name": "q", "in": "query"}}},
    )
    assert found.parameters == {
        "method.request.path.id": True,
        "method.request.querystring.q": False,
    }


def test_a_swagger_document_has_its_body_among_the_parameters() -> None:
    body = {"in": "body", "name": "b", "schema": {"$ref": "#/definitions/Pet"}}
    read = document.read(
        json.dumps({"swagger": "2.0", "paths": {"/a": {"post": {"parameters": [body]}}}})
    )
    (found,) = operations.operations_of(read, of_http_api=False)
    assert found.bodies == {"application/json": {"$ref": "#/definitions/Pet"}}


def test_aws_variables_are_filled_in() -> None:
    content = (
        '{"openapi": "3.0.1", "a": "arn:${AWS::Partition}:x:${AWS::Region}:${AWS::AccountId}"}'
    )
    read = document.read(content, region="eu-west-1", account="123456789012")
    assert read.root["a"] == "arn:aws:x:eu-west-1:123456789012"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "a: [",
        '{"openapi": "3.1.0"}',
        '{"swagger": "1.2"}',
        '{"openapi": "3.0.1", "paths": []}',
    ],
)
def test_what_api_gateway_does_not_import_is_an_error(content: str) -> None:
    with pytest.raises(DocumentError):
        document.read(content)


def test_references_that_lead_nowhere_or_to_themselves_are_errors() -> None:
    read = document.read('{"openapi": "3.0.1", "a": {"$ref": "#/a"}}')
    for reference in ("#/a", "#/b", "other.yaml#/a", "#"):
        with pytest.raises(DocumentError):
            read.resolved({"$ref": reference})


def test_what_the_sandbox_lacks_is_named_with_the_operation() -> None:
    content = """
openapi: 3.0.1
paths:
  /a:
    get:
      x-amazon-apigateway-integration: {type: http_proxy, uri: 'https://a.example'}
    post:
      x-amazon-apigateway-integration: {type: mock}
"""
    assert gaps.missing_parts(content, of_http_api=False) == ["HTTP_PROXY integrations (GET /a)"]
    assert gaps.missing_parts("what", of_http_api=False) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "get",
                    "security",
                    "$ref",
                    "in",
                    "name",
                    "parameters",
                    "requestBody",
                    "content",
                    "jwt",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["/a", "/b"]), JSON, max_size=2), JSON)
def test_any_document_is_read_or_refused(paths: object, schemes: object) -> None:
    root = {"openapi": "3.0.1", "paths": paths, "components": {"securitySchemes": schemes}}
    gaps.missing_parts(json.dumps(root), of_http_api=True)
