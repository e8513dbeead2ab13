"""OpenAPI documents of REST and HTTP APIs, as a client of the API sees them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.authorizers import AuthorizerFunction, policy
from terralive_testing.deployers.rest_api import at, fetch, lambda_uri
from terralive_testing.deployers.sandbox import Aws

ECHO = """
import json
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event)}
"""
INTEGRATION = "x-amazon-apigateway-integration"
ANY = "x-amazon-apigateway-any-method"
AUTHORIZER = "x-amazon-apigateway-authorizer"
# The preflight that nearly every document of a REST API has.
PREFLIGHT = {
    "type": "mock",
    "requestTemplates": {"application/json": '{"statusCode": 200}'},
    "responses": {
        "default": {
            "statusCode": "200",
            "responseParameters": {"method.response.header.Access-Control-Allow-Origin": "'*'"},
        }
    },
}


@pytest.fixture(scope="module")
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


@pytest.fixture(scope="module")
def echo(aws: Aws) -> str:
    function = aws.function(ECHO)
    aws.allow(function, "apigateway.amazonaws.com", aws.execution_arn("*") + "/*")
    return function


@pytest.fixture(scope="module")
def authorizer(aws: Aws) -> AuthorizerFunction:
    return AuthorizerFunction(aws)


def deployed(aws: Aws, api: str) -> str:
    """Deploy a REST API and return the address of its stage."""
    aws.rest.create_deployment(restApiId=api, stageName="live")
    return at(aws, api, "live", "")


def http_api(aws: Aws, document: dict[str, Any]) -> str:
    """An HTTP API with a document and a stage that exists before it."""
    api: str = aws.apis.create_api(Name="openapi", ProtocolType="HTTP")["ApiId"]
    aws.apis.create_stage(ApiId=api, StageName="live", AutoDeploy=True)
    aws.apis.reimport_api(ApiId=api, Body=json.dumps(document))
    return api


def rest_document(aws: Aws, echo: str, authorizer: AuthorizerFunction) -> dict[str, Any]:
    proxy = {"type": "aws_proxy", "httpMethod": "POST", "uri": lambda_uri(aws, echo)}
    return {
        "openapi": "3.0.1",
        "info": {"title": "pets", "description": "all pets", "version": "7"},
        "x-amazon-apigateway-binary-media-types": ["image/*"],
        "x-amazon-apigateway-request-validators": {
            "all": {"validateRequestBody": True, "validateRequestParameters": True}
        },
        "paths": {
            "/pets/{id}": {
                "parameters": [{"$ref": "#/components/parameters/id"}],
                "get": {INTEGRATION: proxy, "responses": {"200": {"description": "a pet"}}},
                "options": {INTEGRATION: PREFLIGHT},
            },
            "/pets": {
                "post": {
                    "x-amazon-apigateway-request-validator": "all",
                    "parameters": [{"name": "q", "in": "query", "required": True}],
                    "requestBody": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}
                        }
                    },
                    INTEGRATION: proxy,
                }
            },
            "/files/{proxy+}": {ANY: {INTEGRATION: proxy}},
            "/secret": {"get": {"security": [{"tokens": []}], INTEGRATION: proxy}},
            "/signed": {"get": {"security": [{"sigv4": []}], INTEGRATION: proxy}},
        },
        "components": {
            "parameters": {"id": {"name": "id", "in": "path", "required": True}},
            "schemas": {
                "Name": {"type": "string"},
                "Pet": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"$ref": "#/components/schemas/Name"}},
                },
            },
            "securitySchemes": {
                "sigv4": {
                    "type": "apiKey",
                    "name": "Authorization",
                    "in": "header",
                    "x-amazon-apigateway-authtype": "awsSigv4",
                },
                "tokens": {
                    "type": "apiKey",
                    "name": "X-Token",
                    "in": "header",
                    "x-amazon-apigateway-authtype": "custom",
                    AUTHORIZER: {
                        "type": "token",
                        "authorizerUri": lambda_uri(aws, authorizer.arn),
                        "authorizerResultTtlInSeconds": 0,
                        "identityValidationExpression": r"^\{.*",
                    },
                },
            },
        },
    }


def test_a_rest_api_serves_what_its_document_declares(
    aws: Aws, echo: str, authorizer: AuthorizerFunction
) -> None:
    api = aws.rest.create_rest_api(name="before")["id"]
    root = aws.rest.get_rest_api(restApiId=api)["rootResourceId"]
    document = rest_document(aws, echo, authorizer)
    made = aws.rest.put_rest_api(
        restApiId=api, mode="overwrite", body=json.dumps(document).encode()
    )
    assert (made["name"], made["description"], made["version"]) == ("pets", "all pets", "7")
    assert (made["binaryMediaTypes"], made["rootResourceId"]) == (["image/*"], root)
    url = deployed(aws, api)
    pet = fetch("GET", f"{url}/pets/7").json()
    assert (pet["resource"], pet["pathParameters"]) == ("/pets/{id}", {"id": "7"})
    assert fetch("PUT", f"{url}/files/a/b").json()["resource"] == "/files/{proxy+}"
    assert fetch("OPTIONS", f"{url}/pets/7").headers["access-control-allow-origin"] == "*"
    assert fetch("DELETE", f"{url}/pets/7").status_code == 403
    # The validator of the document, and its model that refers to another one.
    assert fetch("POST", f"{url}/pets?q=1", json={"name": "Rex"}).status_code == 200
    assert fetch("POST", f"{url}/pets?q=1", json={"name": 1}).status_code == 400
    assert fetch("POST", f"{url}/pets", json={"name": "Rex"}).status_code == 400
    assert fetch("GET", f"{url}/signed").status_code == 403


def test_an_authorizer_of_a_document_decides(
    aws: Aws, echo: str, authorizer: AuthorizerFunction
) -> None:
    document = json.dumps(rest_document(aws, echo, authorizer)).encode()
    api = aws.rest.import_rest_api(body=document)["id"]
    (declared,) = aws.rest.get_authorizers(restApiId=api)["items"]
    authorizer.allow(api, declared["id"])
    url = deployed(aws, api)
    assert fetch("GET", f"{url}/secret").status_code == 401
    assert fetch("GET", f"{url}/secret", headers={"X-Token": "other"}).status_code == 401
    assert fetch("GET", f"{url}/secret", headers={"X-Token": policy("Allow")}).status_code == 200


def test_a_swagger_document_in_yaml_is_merged_into_an_api(aws: Aws, echo: str) -> None:
    api = aws.rest.create_rest_api(name="swagger")["id"]
    for path in ("/old", "/new"):
        document = f"""
swagger: "2.0"
info: {{title: swagger, version: 2024-01-01}}
paths:
  {path}:
    get:
      responses: {{200: {{description: all}}}}
      x-amazon-apigateway-integration:
        type: aws_proxy
        httpMethod: POST
        uri: "{lambda_uri(aws, echo).replace(aws.info.region, "${AWS::Region}", 1)}"
"""
        aws.rest.put_rest_api(restApiId=api, mode="merge", body=document.encode())
    url = deployed(aws, api)
    assert [fetch("GET", url + path).status_code for path in ("/old", "/new")] == [200, 200]
    # The definition of now replaces all of it.
    aws.rest.put_rest_api(restApiId=api, mode="overwrite", body=document.encode())
    deployed(aws, api)
    assert [fetch("GET", url + path).status_code for path in ("/old", "/new")] == [403, 200]


def http_document(aws: Aws, echo: str, authorizer: AuthorizerFunction) -> dict[str, Any]:
    return {
        "openapi": "3.0.1",
        "info": {"title": "pets", "version": 2.0},
        "x-amazon-apigateway-cors": {"allowOrigins": ["https://a.example"], "maxAge": 5},
        "paths": {
            "/pets/{id}": {"get": {INTEGRATION: {"$ref": "#/components/integrations/echo"}}},
            "/$default": {
                ANY: {
                    "isDefaultRoute": True,
                    INTEGRATION: {
                        "type": "AWS_PROXY",
                        "httpMethod": "POST",
                        "uri": echo,
                        "payloadFormatVersion": "1.0",
                    },
                }
            },
            "/secret": {
                "get": {
                    "security": [{"lambda": []}],
                    INTEGRATION: {"$ref": "#/components/integrations/echo"},
                }
            },
            "/other": {"get": {INTEGRATION: {"type": "http_proxy", "uri": "https://a.example"}}},
        },
        "components": {
            "integrations": {
                "echo": {
                    "type": "aws_proxy",
                    "httpMethod": "POST",
                    "uri": lambda_uri(aws, echo),
                    "payloadFormatVersion": "2.0",
                }
            },
            "securitySchemes": {
                "lambda": {
                    "type": "apiKey",
                    "name": "X-Token",
                    "in": "header",
                    AUTHORIZER: {
                        "type": "request",
                        "identitySource": "$request.header.X-Token",
                        "authorizerUri": lambda_uri(aws, authorizer.arn),
                        "authorizerPayloadFormatVersion": "2.0",
                        "authorizerResultTtlInSeconds": 0,
                        "enableSimpleResponses": True,
                    },
                }
            },
        },
    }


def test_an_http_api_serves_what_its_document_declares(
    aws: Aws, echo: str, authorizer: AuthorizerFunction
) -> None:
    api = http_api(aws, http_document(aws, echo, authorizer))
    described = aws.apis.get_api(ApiId=api)
    assert (described["Name"], described["Version"]) == ("pets", "2.0")
    assert described["CorsConfiguration"]["AllowOrigins"] == ["https://a.example"]
    url = at(aws, api, "live", "")
    pet = fetch("GET", f"{url}/pets/7", headers={"Origin": "https://a.example"})
    assert pet.json()["routeKey"] == "GET /pets/{id}"
    assert pet.headers["access-control-allow-origin"] == "https://a.example"
    assert fetch("PUT", f"{url}/anything").json()["version"] == "1.0"
    other = fetch("GET", f"{url}/other")
    assert (other.status_code, "HTTP_PROXY integrations" in other.text) == (501, True)
    # The authorizer of the document.
    (declared,) = aws.apis.get_authorizers(ApiId=api)["Items"]
    authorizer.allow(api, declared["AuthorizerId"])
    assert fetch("GET", f"{url}/secret").status_code == 401
    token = json.dumps({"isAuthorized": True, "context": {"team": "pets"}})
    secret = fetch("GET", f"{url}/secret", headers={"X-Token": token}).json()
    assert secret["requestContext"]["authorizer"] == {"lambda": {"team": "pets"}}


def test_a_document_that_is_not_imported_changes_nothing(aws: Aws, echo: str) -> None:
    integration = {"type": "AWS_PROXY", "httpMethod": "POST", "uri": lambda_uri(aws, echo)}
    good = {"openapi": "3.0.1", "paths": {"/a": {"get": {INTEGRATION: integration}}}}
    broken = [
        {"openapi": "3.1.0", "paths": {}},
        {"openapi": "3.0.1", "paths": {"/b": {"$ref": "#/nowhere"}}},
        {**good, "paths": {"/b": {"get": {INTEGRATION: {"uri": "x"}}}}},
        {**good, "paths": {"/b": {"get": {"security": [{"nobody": []}]}}}},
    ]
    http = http_api(aws, good)
    rest = aws.rest.import_rest_api(body=json.dumps(good).encode())["id"]
    for document in broken:
        with pytest.raises(ClientError, match="BadRequest"):
            aws.apis.reimport_api(ApiId=http, Body=json.dumps(document))
        with pytest.raises(ClientError, match="BadRequest"):
            aws.rest.put_rest_api(
                restApiId=rest, mode="overwrite", body=json.dumps(document).encode()
            )
    assert [item["RouteKey"] for item in aws.apis.get_routes(ApiId=http)["Items"]] == ["GET /a"]
    resources = aws.rest.get_resources(restApiId=rest)["items"]
    assert sorted(item["path"] for item in resources) == ["/", "/a"]
