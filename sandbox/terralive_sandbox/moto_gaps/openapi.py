"""APIs from OpenAPI documents: what moto reads of them, extended to what API Gateway's extensions say.

Security that is not emulated is refused by name: a route that lost its authorizer would be open.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml  # type: ignore[import-untyped] # no stubs are installed
from moto.apigateway.models import APIGatewayBackend, RestAPI
from moto.apigatewayv2.models import Api

from .errors import not_emulated

_EXTENSION = "x-amazon-apigateway-"
_ANY = f"{_EXTENSION}any-method"
_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", _ANY}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; `method` may be ANY, `integration` is the extension's object."""

    path: str
    method: str
    authorization: str
    responses: Mapping[str, Any]
    integration: Mapping[str, Any]


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Every method of a document (OpenAPI 3 or Swagger 2). Raises the named error for security that is not emulated."""
    for path, item in document.get("paths", {}).items():
        for name, given in item.items():
            if name not in _METHODS:
                continue
            integration = {**given.get(f"{_EXTENSION}integration", {})}
            if "type" in integration:
                integration["type"] = str(integration["type"]).upper()
            yield Operation(
                path, "ANY" if name == _ANY else name.upper(), _authorization(document, given),
                given.get("responses", {}), integration,
            )  # fmt: skip


def _authorization(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    schemes = {
        **document.get("securityDefinitions", {}),
        **document.get("components", {}).get("securitySchemes", {}),
    }
    kind = "NONE"
    for requirement in operation.get("security", document.get("security", [])):
        for name in requirement:
            if schemes.get(name, {}).get(f"{_EXTENSION}authtype", "").lower() != "awssigv4":
                raise not_emulated(f"the security scheme {name} of an OpenAPI document")
            kind = "AWS_IAM"
    return kind


def _as_moto_reads_it(document: Mapping[str, Any], found: list[Operation]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for one in found:
        integration = {f"{_EXTENSION}integration": one.integration} if one.integration else {}
        paths.setdefault(one.path, {})[one.method.lower()] = {"responses": one.responses, **integration}
    kept = {name: document[name] for name in (f"{_EXTENSION}cors",) if name in document}
    return {"openapi": "3.0.1", "info": {"description": "", **document.get("info", {})}, "paths": paths, **kept}


def rest_apis_are_read() -> None:
    """https://docs.aws.amazon.com/apigateway/latest/api/API_PutRestApi.html; the root resource stays."""
    put = APIGatewayBackend.put_rest_api

    def put_rest_api(
        self: APIGatewayBackend, function_id: str, api_doc: dict[str, Any], fail_on_warnings: bool, mode: str = "merge"
    ) -> RestAPI:
        del fail_on_warnings  # moto's validator knows OpenAPI 3 alone
        found, api = list(operations(api_doc)), self.get_rest_api(function_id)
        if mode == "overwrite":
            api.default.resource_methods = {}
            api.resources = {api.default.id: api.default}
            mode = "merge"
        put(self, function_id, _as_moto_reads_it(api_doc, found), fail_on_warnings=False, mode=mode)
        for one in found:
            resource = api.get_resource_for_path(one.path)
            resource.resource_methods[one.method].authorization_type = one.authorization
        api.binaryMediaTypes = api_doc.get(f"{_EXTENSION}binary-media-types", api.binaryMediaTypes)
        policy = api_doc.get(f"{_EXTENSION}policy")
        api.policy = json.dumps(policy) if policy else api.policy
        for kind, given in api_doc.get(f"{_EXTENSION}gateway-responses", {}).items():
            self.put_gateway_response(
                function_id, kind, given.get("statusCode"), given.get("responseParameters"),
                given.get("responseTemplates"),
            )  # fmt: skip
        return api

    APIGatewayBackend.put_rest_api = put_rest_api  # type: ignore[method-assign] # the gap


def http_apis_are_read() -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-open-api.html."""
    read = Api.import_api

    def import_api(self: Api, body_str: str, fail_on_warnings: bool) -> None:
        document = yaml.safe_load(body_str)
        found = {f"{one.method} {one.path}": one for one in operations(document)}
        read(self, json.dumps(_as_moto_reads_it(document, list(found.values()))), fail_on_warnings)
        for route in self.routes.values():
            one = found[route.route_key]
            route.authorization_type = one.authorization
            route.route_key = "$default" if one.path == "/$default" else route.route_key
            integration = self.integrations.get((route.target or "").removeprefix("integrations/"))
            if integration is not None:
                integration.credentials_arn = one.integration.get("credentials")
                integration.request_parameters = one.integration.get("requestParameters")
                integration.timeout_in_millis = one.integration.get("timeoutInMillis", integration.timeout_in_millis)

    Api.import_api = import_api  # type: ignore[method-assign] # the gap
