"""REST APIs' control plane: updates that moto lacks or drops, and what a deployment serves."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote

from moto.apigateway import urls as apigateway_urls
from moto.apigateway.models import (
    APIGatewayBackend,
    Deployment,
    Integration,
    Method,
    Resource,
    RestAPI,
)
from moto.apigateway.responses import APIGatewayResponse
from moto.apigatewayv2 import urls as apigatewayv2_urls

from terralive_sandbox.control.moto_gaps.errors import not_emulated, refusing

Operations: TypeAlias = list[dict[str, Any]]
Fields: TypeAlias = Mapping[str, tuple[str, Callable[[str], object]]]
_JsonAnswer: TypeAlias = tuple[int, dict[str, str], str]


def snapshot_of(deployment: Deployment) -> RestAPI:
    """The API as it was when the deployment was made, which is what its stages serve."""
    snapshot: RestAPI = deployment.snapshot  # type: ignore[attr-defined] # the gap
    return snapshot


def apply() -> None:
    """Close all of them, after API Gateway v2's.

    Moto serves its paths from a copy in the older API's table.
    """
    apigateway_urls.url_paths.update(apigatewayv2_urls.url_paths)
    what_is_left_out_is_named()
    deployments_take_a_snapshot()
    rest_apis_keep_everything()
    everything_below_can_be_updated()
    integrations_have_defaults()
    rest_apis_can_be_tagged()


def what_is_left_out_is_named() -> None:
    """A method that lost its validator, or an API its configured refusals, would answer what AWS never answers."""
    put_method = APIGatewayBackend.put_method

    def put(self: APIGatewayBackend, *where: Any, **settings: Any) -> Method:
        if settings.get("request_validator_id"):
            raise not_emulated("request validators of REST APIs")
        return put_method(self, *where, **settings)

    APIGatewayBackend.put_method = put  # type: ignore[method-assign] # the gap
    documents = refusing(
        "OpenAPI documents of REST APIs; declare resources, methods and integrations"
    )
    APIGatewayBackend.import_rest_api = APIGatewayBackend.put_rest_api = documents  # type: ignore[method-assign] # the gap
    APIGatewayBackend.put_gateway_response = refusing("gateway responses of REST APIs")  # type: ignore[method-assign] # the gap


def deployments_take_a_snapshot() -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-deploy-api.html.

    moto keeps none, and makes a stage anew that a second deployment names.
    """
    create = RestAPI.create_deployment

    def create_deployment(
        self: RestAPI,
        name: str,
        description: str,
        stage_variables: Any = None,
    ) -> Deployment:
        before = self.stages.get(name)
        deployment = create(self, name, description, stage_variables)
        if before is not None:
            before.deployment_id = deployment.id
            before.variables.update(stage_variables or {})
            self.stages[name] = before
        snapshot = copy.copy(self)
        snapshot.resources, snapshot.binaryMediaTypes = copy.deepcopy(
            (self.resources, self.binaryMediaTypes)
        )
        deployment.snapshot = snapshot  # type: ignore[attr-defined] # the gap
        return deployment

    def to_json(self: Deployment) -> dict[str, Any]:  # the stage's name is none of its members
        return {"id": self.id, "description": self.description, "createdDate": self.created_date}

    RestAPI.create_deployment = create_deployment  # type: ignore[method-assign] # the gap
    Deployment.to_json = to_json  # type: ignore[method-assign] # the gap
    _update(
        "deployment",
        {"description": ("description", str)},
        lambda a, p: a.get_deployment(p[2], p[4]),
    )


def rest_apis_keep_everything() -> None:
    """Moto drops binary types, misreads some updates, and shows a policy other than AWS does (escaped).

    https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html
    """
    fields: Fields = {
        "name": ("name", str),
        "description": ("description", str),
        "policy": ("policy", str),
        "disableExecuteApiEndpoint": ("disableExecuteApiEndpoint", _boolean),
        "binaryMediaTypes": ("binaryMediaTypes", str),
    }
    create, shown = APIGatewayResponse.create_rest_api, RestAPI.to_dict

    def create_rest_api(self: APIGatewayResponse) -> _JsonAnswer:
        status, headers, body = create(self)
        made = json.loads(body)
        api = self.backend.apis.get(made.get("id"))
        if api is None:
            return status, headers, str(body)
        given = self._get_param("binaryMediaTypes")
        api.binaryMediaTypes = list(given) if isinstance(given, list) else api.binaryMediaTypes
        return status, headers, json.dumps(api.to_dict())

    def to_dict(self: RestAPI) -> dict[str, Any]:
        result = shown(self)
        result["policy"] = json.dumps(self.policy)[1:-1] if self.policy else None
        return result

    def apply_patch_operations(self: RestAPI, patch_operations: Operations) -> None:
        types = [
            op for op in patch_operations if op["path"].startswith("/endpointConfiguration/types")
        ]
        for operation in types:
            self.endpoint_configuration["types"] = [operation["value"]]
        _patch(self, [op for op in patch_operations if op not in types], fields)

    APIGatewayResponse.create_rest_api = create_rest_api  # type: ignore[method-assign] # the gap
    RestAPI.to_dict = to_dict  # type: ignore[method-assign] # the gap
    RestAPI.apply_patch_operations = apply_patch_operations  # type: ignore[method-assign] # the gap


def everything_below_can_be_updated() -> None:
    """https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html, which moto has for few resources."""
    _update("resource", {"pathPart": ("path_part", str), "parentId": ("parent_id", str)}, _resource)
    _update("method", _METHOD, lambda a, p: _resource(a, p).get_method(p[6]))
    _update(
        "method_response",
        {"responseParameters": ("response_parameters", _boolean)},
        lambda a, p: a.get_method_response(p[2], p[4], p[6], p[8]),
    )
    _update("integration", _INTEGRATION, lambda a, p: a.get_integration(p[2], p[4], p[6]))
    _update(
        "integration_response",
        {
            "responseParameters": ("response_parameters", str),
            "responseTemplates": ("response_templates", str),
        },
        lambda a, p: a.get_integration_response(p[2], p[4], p[6], p[9]),
    )


def integrations_have_defaults() -> None:
    """https://docs.aws.amazon.com/apigateway/latest/api/API_Integration.html.

    29 s, a namespace, keys of the cache.
    """
    put = APIGatewayResponse.put_integration

    def put_integration(self: APIGatewayResponse) -> _JsonAnswer:
        status, headers, _ = put(self)
        parts = self.path.split("/")
        integration: Integration = self.backend.get_integration(parts[2], parts[4], parts[6])
        integration.timeout_in_millis = integration.timeout_in_millis or 29_000  # type: ignore[assignment] # a number
        integration.cache_namespace = integration.cache_namespace or parts[4]
        integration.cache_key_parameters = self._get_param("cacheKeyParameters") or []
        return status, headers, json.dumps(integration.to_json())

    APIGatewayResponse.put_integration = put_integration  # type: ignore[method-assign] # the gap


def rest_apis_can_be_tagged() -> None:
    """Not only stages have tags.

    Https://docs.aws.amazon.com/apigateway/latest/api/API_TagResource.html.
    """

    def tagged(self: APIGatewayResponse) -> Any:
        parts = unquote(self.path.split("/tags/")[1]).split("/")
        where = dict(zip(parts[1::2], parts[2::2], strict=False))
        api = self.backend.get_rest_api(where["restapis"])
        return self.backend.get_stage(api.id, where["stages"]) if "stages" in where else api

    def get_tags(self: APIGatewayResponse) -> str:
        return json.dumps({"tags": tagged(self).tags or {}})

    def tag_resource(self: APIGatewayResponse) -> _JsonAnswer:
        target = tagged(self)
        target.tags = {**(target.tags or {}), **(self._get_param("tags") or {})}
        return 204, {}, ""

    def untag_resource(self: APIGatewayResponse) -> _JsonAnswer:
        target, gone = tagged(self), self.querystring.get("tagKeys") or []
        target.tags = {
            name: value for name, value in (target.tags or {}).items() if name not in gone
        }
        return 204, {}, ""

    path = "{0}/tags/(?P<arn>[^/]+)/restapis/(?P<function_id>[^/]+)$"
    apigateway_urls.url_paths[path] = APIGatewayResponse.dispatch
    APIGatewayResponse.get_tags = get_tags  # type: ignore[method-assign] # the gap
    APIGatewayResponse.tag_resource = tag_resource  # type: ignore[assignment,method-assign] # the gap
    APIGatewayResponse.untag_resource = untag_resource  # type: ignore[assignment,method-assign] # the gap


def _boolean(text: str) -> bool:
    return str(text).lower() == "true"


_METHOD: Fields = {
    "authorizationType": ("authorization_type", str),
    "apiKeyRequired": ("api_key_required", _boolean),
    "requestParameters": ("request_parameters", _boolean),
}
_INTEGRATION: Fields = {
    "uri": ("uri", str),
    "httpMethod": ("http_method", str),
    "credentials": ("credentials", str),
    "passthroughBehavior": ("passthrough_behaviour", str),
    "timeoutInMillis": ("timeout_in_millis", int),
    "requestParameters": ("request_parameters", str),
    "requestTemplates": ("request_templates", str),
}


def _resource(backend: APIGatewayBackend, parts: list[str]) -> Resource:
    return backend.get_resource(parts[2], parts[4])


def _update(what: str, fields: Fields, find: Callable[[APIGatewayBackend, list[str]], Any]) -> None:
    """Make moto answer `update_…` by patching what `find` finds by the path's parts."""

    def update(self: APIGatewayResponse) -> str:
        target = find(self.backend, self.path.split("/"))
        _patch(target, self._get_param("patchOperations") or [], fields)
        return json.dumps((target.to_dict if isinstance(target, Resource) else target.to_json)())

    setattr(APIGatewayResponse, f"update_{what}", update)


def _patch(target: object, operations: Operations, fields: Fields) -> None:
    """Apply patch operations.

    Each path is a field, or a field and its key, or a field and its list's element.
    """
    for operation in operations:
        name, *keys = [
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
        ]
        if name not in fields:
            raise not_emulated(f"an update of {operation['path']}")
        attribute, convert = fields[name]
        value, removes = operation.get("value"), operation["op"] == "remove"
        if name == "binaryMediaTypes":
            element = keys[0] if keys else value
            kept = [item for item in getattr(target, attribute) or [] if item != element]
            added = [] if removes else [value if keys and operation["op"] == "replace" else element]
            setattr(target, attribute, kept + added)
        elif keys:
            items = {k: v for k, v in (getattr(target, attribute) or {}).items() if k != keys[0]}
            setattr(
                target, attribute, items if removes else {**items, keys[0]: convert(value or "")}
            )
        else:
            setattr(
                target, attribute, None if removes or value in {None, ""} else convert(value or "")
            )
