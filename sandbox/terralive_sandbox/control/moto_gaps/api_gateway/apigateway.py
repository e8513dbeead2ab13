"""API Gateway's REST APIs: updates that moto lacks or drops, and the API that a stage serves."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from moto.apigateway import urls as apigateway_urls
from moto.apigateway.exceptions import BadRequestException
from moto.apigateway.models import (
    APIGatewayBackend,
    Deployment,
    Integration,
    Method,
    Resource,
    RestAPI,
)
from moto.apigateway.responses import APIGatewayResponse

from terralive_sandbox.apigateway.rest.validation import BUILT_IN_MODELS
from terralive_sandbox.control.moto_gaps.api_gateway import rest_documents
from terralive_sandbox.control.moto_gaps.api_gateway.rest_documents import (
    complete_integration,
    set_transfer_mode,
)
from terralive_sandbox.control.moto_gaps.errors import not_emulated
from terralive_sandbox.control.moto_gaps.replacements import Replacements

_Operations: TypeAlias = list[dict[str, Any]]
_JsonAnswer: TypeAlias = tuple[int, dict[str, str], str]

_BINARY_MEDIA_TYPES: Final = "binaryMediaTypes"


@dataclass(frozen=True, slots=True)
class _Field:
    """One field that patch operations can change."""

    # The attribute of moto's object.
    attribute: str
    # Turns an operation's text into the attribute's value.
    convert: Callable[[str], object] = str


def _boolean(text: str) -> bool:
    return str(text).lower() == "true"


_REST_API_FIELDS: Final = {
    "name": _Field("name"),
    "description": _Field("description"),
    "policy": _Field("policy"),
    "disableExecuteApiEndpoint": _Field("disableExecuteApiEndpoint", _boolean),
    _BINARY_MEDIA_TYPES: _Field("binaryMediaTypes"),
}
# The attributes of an API that a deployment keeps.
_DEPLOYED: Final = (
    "resources",
    "binaryMediaTypes",
    "authorizers",
    "request_validators",
    "models",
    "gateway_responses",
)
_DEPLOYMENT_FIELDS: Final = {"description": _Field("description")}
_RESOURCE_FIELDS: Final = {"pathPart": _Field("path_part"), "parentId": _Field("parent_id")}
_METHOD_FIELDS: Final = {
    "authorizationType": _Field("authorization_type"),
    "authorizerId": _Field("authorizer_id"),
    "apiKeyRequired": _Field("api_key_required", _boolean),
    "requestParameters": _Field("request_parameters", _boolean),
    "requestValidatorId": _Field("request_validator_id"),
    "requestModels": _Field("request_models"),
}
_MODEL_FIELDS: Final = {"description": _Field("description"), "schema": _Field("schema")}
_METHOD_RESPONSE_FIELDS: Final = {"responseParameters": _Field("response_parameters", _boolean)}
_INTEGRATION_FIELDS: Final = {
    "uri": _Field("uri"),
    "httpMethod": _Field("http_method"),
    "credentials": _Field("credentials"),
    "passthroughBehavior": _Field("passthrough_behaviour"),
    "timeoutInMillis": _Field("timeout_in_millis", int),
    "requestParameters": _Field("request_parameters"),
    "requestTemplates": _Field("request_templates"),
    "responseTransferMode": _Field("response_transfer_mode"),
}
_INTEGRATION_RESPONSE_FIELDS: Final = {
    "responseParameters": _Field("response_parameters"),
    "responseTemplates": _Field("response_templates"),
}


def snapshot_of(deployment: Deployment) -> RestAPI:
    """Return the API as it was when the deployment was made. Its stages serve this API."""
    snapshot: RestAPI = deployment.snapshot  # type: ignore[attr-defined] # see _replace_deployments
    return snapshot


def declare(replacements: Replacements) -> None:
    """Declare the replacements."""
    _replace_methods(replacements)
    _replace_deployments(replacements)
    _replace_rest_apis(replacements)
    _add_updates(replacements)
    _replace_put_integration(replacements)
    _replace_authorizers(replacements)
    _replace_tags(replacements)
    rest_documents.declare(replacements)


def _replace_methods(replacements: Replacements) -> None:
    """Check that a method's validator and models exist.

    https://docs.aws.amazon.com/apigateway/latest/api/API_PutMethod.html
    """
    moto_put_method = APIGatewayBackend.put_method

    def put_method(
        self: APIGatewayBackend, function_id: str, *where: Any, **settings: Any
    ) -> Method:
        api = self.get_rest_api(function_id)
        validator = settings.get("request_validator_id")
        if validator and validator not in api.request_validators:
            raise BadRequestException("Invalid Request Validator identifier specified")
        for name in (settings.get("request_models") or {}).values():
            if name not in api.models and name not in BUILT_IN_MODELS:
                raise BadRequestException(f"Invalid model identifier specified: {name}")
        return moto_put_method(self, function_id, *where, **settings)

    replacements.replace(APIGatewayBackend, "put_method", put_method)


def _replace_deployments(replacements: Replacements) -> None:
    """Let a deployment keep the API as it is now, and let a stage stay when it is deployed again.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-deploy-api.html
    Moto keeps no such snapshot, and creates the stage anew when a second deployment names it.
    """
    moto_create_deployment = RestAPI.create_deployment

    def create_deployment(
        self: RestAPI, name: str, description: str, stage_variables: Any = None
    ) -> Deployment:
        stage_before = self.stages.get(name)
        deployment = moto_create_deployment(self, name, description, stage_variables)
        if stage_before is not None:
            stage_before.deployment_id = deployment.id
            stage_before.variables.update(stage_variables or {})
            self.stages[name] = stage_before
        snapshot = copy.copy(self)
        # Copied together, as they may share objects.
        copied = copy.deepcopy({name: getattr(self, name) for name in _DEPLOYED})
        vars(snapshot).update(copied)
        deployment.snapshot = snapshot  # type: ignore[attr-defined] # moto lacks it
        return deployment

    def to_json(self: Deployment) -> dict[str, Any]:
        """Describe a deployment. The stage's name is not part of it."""
        return {"id": self.id, "description": self.description, "createdDate": self.created_date}

    replacements.replace(RestAPI, "create_deployment", create_deployment)
    replacements.replace(Deployment, "to_json", to_json)


def _replace_rest_apis(replacements: Replacements) -> None:
    """Keep every setting of a REST API.

    Moto drops binary media types, misreads some updates, and shows a policy without the escapes
    that AWS has in it.
    https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html
    """
    moto_create_rest_api = APIGatewayResponse.create_rest_api
    moto_to_dict = RestAPI.to_dict

    def create_rest_api(self: APIGatewayResponse) -> _JsonAnswer:
        status, headers, body = moto_create_rest_api(self)
        api = self.backend.apis.get(json.loads(body).get("id"))
        if api is None:
            return status, headers, str(body)
        types = self._get_param(_BINARY_MEDIA_TYPES)
        if isinstance(types, list):
            api.binaryMediaTypes = list(types)
        return status, headers, json.dumps(api.to_dict())

    def to_dict(self: RestAPI) -> dict[str, Any]:
        described = moto_to_dict(self)
        described["policy"] = json.dumps(self.policy)[1:-1] if self.policy else None
        return described

    def apply_patch_operations(self: RestAPI, patch_operations: _Operations) -> None:
        others: _Operations = []
        for operation in patch_operations:
            if operation["path"].startswith("/endpointConfiguration/types"):
                self.endpoint_configuration["types"] = [operation["value"]]
            else:
                others.append(operation)
        _patch(self, others, _REST_API_FIELDS)

    replacements.replace(APIGatewayResponse, "create_rest_api", create_rest_api)
    replacements.replace(RestAPI, "to_dict", to_dict)
    replacements.replace(RestAPI, "apply_patch_operations", apply_patch_operations)


def _add_updates(replacements: Replacements) -> None:
    """Let everything below an API be updated. Moto can update few kinds of resources.

    https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html
    """

    def add(
        name: str, fields: Mapping[str, _Field], find: Callable[..., Any], *positions: int
    ) -> None:
        """Add `update_…`, which patches the object that `find` returns for parts of the path."""

        def update(self: APIGatewayResponse) -> str:
            parts = self.path.split("/")
            target = find(self.backend, *(parts[position] for position in positions))
            _patch(target, self._get_param("patchOperations") or [], fields)
            if isinstance(target, Resource):
                return json.dumps(target.to_dict())
            return json.dumps(target.to_json())

        replacements.add(APIGatewayResponse, f"update_{name}", update)

    # Positions in the path: /restapis/{2}/resources/{4}/methods/{6}/responses/{8}, …
    backend = APIGatewayBackend
    find_response = backend.get_integration_response
    add("deployment", _DEPLOYMENT_FIELDS, backend.get_deployment, 2, 4)
    add("resource", _RESOURCE_FIELDS, backend.get_resource, 2, 4)
    add("method", _METHOD_FIELDS, backend.get_method, 2, 4, 6)
    add("method_response", _METHOD_RESPONSE_FIELDS, backend.get_method_response, 2, 4, 6, 8)
    add("model", _MODEL_FIELDS, backend.get_model, 2, 4)
    add("integration", _INTEGRATION_FIELDS, backend.get_integration, 2, 4, 6)
    add("integration_response", _INTEGRATION_RESPONSE_FIELDS, find_response, 2, 4, 6, 9)


def _replace_put_integration(replacements: Replacements) -> None:
    """Give integrations AWS's defaults, the keys of a cache, and the response transfer mode."""
    moto_put_integration = APIGatewayResponse.put_integration
    moto_to_json = Integration.to_json

    def put_integration(self: APIGatewayResponse) -> _JsonAnswer:
        status, headers, _ = moto_put_integration(self)
        parts = self.path.split("/")
        integration: Integration = self.backend.get_integration(parts[2], parts[4], parts[6])
        complete_integration(integration, parts[4])
        integration.cache_key_parameters = self._get_param("cacheKeyParameters") or []
        set_transfer_mode(integration, self._get_param("responseTransferMode"))
        return status, headers, json.dumps(integration.to_json())

    def to_json(self: Integration) -> dict[str, Any]:
        mode = getattr(self, "response_transfer_mode", "BUFFERED")
        return {**moto_to_json(self), "responseTransferMode": mode}

    replacements.replace(APIGatewayResponse, "put_integration", put_integration)
    replacements.replace(Integration, "to_json", to_json)


def _replace_authorizers(replacements: Replacements) -> None:
    """Keep the validation expression of an authorizer, and check its identity source.

    Moto drops the expression when it creates an authorizer.
    https://docs.aws.amazon.com/apigateway/latest/api/API_CreateAuthorizer.html
    """
    moto_create_authorizer = APIGatewayResponse.create_authorizer

    def create_authorizer(self: APIGatewayResponse) -> _JsonAnswer:
        kind = self._get_param("type")
        source = self._get_param("identitySource")
        ttl = self._get_param("authorizerResultTtlInSeconds", if_none=300)
        if not source and (kind == "TOKEN" or (kind == "REQUEST" and int(ttl) > 0)):
            message = "Identity source is required by TOKEN authorizers, and where answers are kept"
            raise BadRequestException(message)
        status, headers, body = moto_create_authorizer(self)
        authorizer_id = json.loads(body).get("id")
        if authorizer_id is None:
            return status, headers, str(body)
        authorizer = self.backend.get_authorizer(self.path.split("/")[2], authorizer_id)
        expression = self._get_param("identityValidationExpression")
        authorizer.identity_validation_expression = expression
        return status, headers, json.dumps(authorizer.to_json())

    replacements.replace(APIGatewayResponse, "create_authorizer", create_authorizer)


def _replace_tags(replacements: Replacements) -> None:
    """Let REST APIs have tags. In moto only stages have them.

    https://docs.aws.amazon.com/apigateway/latest/api/API_TagResource.html
    """

    def tagged(self: APIGatewayResponse) -> Any:
        """Return the API or stage that the ARN in the path names."""
        parts = unquote(self.path.split("/tags/")[1]).split("/")
        names = dict(zip(parts[1::2], parts[2::2], strict=False))
        api = self.backend.get_rest_api(names["restapis"])
        if "stages" in names:
            return self.backend.get_stage(api.id, names["stages"])
        return api

    def get_tags(self: APIGatewayResponse) -> str:
        return json.dumps({"tags": tagged(self).tags or {}})

    def tag_resource(self: APIGatewayResponse) -> _JsonAnswer:
        target = tagged(self)
        target.tags = {**(target.tags or {}), **(self._get_param("tags") or {})}
        return 204, {}, ""

    def untag_resource(self: APIGatewayResponse) -> _JsonAnswer:
        target = tagged(self)
        removed = self.querystring.get("tagKeys") or []
        kept = {name: value for name, value in (target.tags or {}).items() if name not in removed}
        target.tags = kept
        return 204, {}, ""

    path = "{0}/tags/(?P<arn>[^/]+)/restapis/(?P<function_id>[^/]+)$"
    replacements.add_path(apigateway_urls.url_paths, path, APIGatewayResponse.dispatch)
    replacements.replace(APIGatewayResponse, "get_tags", get_tags)
    replacements.replace(APIGatewayResponse, "tag_resource", tag_resource)
    replacements.replace(APIGatewayResponse, "untag_resource", untag_resource)


def _patch(target: object, operations: _Operations, fields: Mapping[str, _Field]) -> None:
    """Apply patch operations to an object of moto.

    A path is a field, or a field and a key of its mapping, or a field and an element of its list.

    Raises:
        JsonRESTError: the sandbox has no such field.
    """
    for operation in operations:
        parts = operation["path"].split("/")[1:]  # a JSON pointer
        name, *keys = [part.replace("~1", "/").replace("~0", "~") for part in parts]
        if name not in fields:
            raise not_emulated(f"an update of {operation['path']}")
        field = fields[name]
        value = operation.get("value")
        removes = operation["op"] == "remove"
        before = getattr(target, field.attribute)
        after: Any
        if name == _BINARY_MEDIA_TYPES:
            after = _patched_list(before or [], operation, keys)
        elif keys:
            after = dict(before or {})
            after.pop(keys[0], None)
            if not removes:
                after[keys[0]] = field.convert(value or "")
        elif removes or value in {None, ""}:
            after = None
        else:
            after = field.convert(value)
        setattr(target, field.attribute, after)


def _patched_list(items: list[Any], operation: dict[str, Any], keys: list[str]) -> list[Any]:
    """Return a list after one operation. A key, if there is one, is an element of the list."""
    value = operation.get("value")
    element = keys[0] if keys else value
    kept = [item for item in items if item != element]
    if operation["op"] == "remove":
        return kept
    if operation["op"] == "replace":
        element = value
    return [*kept, element]
