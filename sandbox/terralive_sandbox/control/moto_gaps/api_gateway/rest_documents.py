"""OpenAPI documents of REST APIs: PutRestApi and ImportRestApi, on moto's own objects.

https://docs.aws.amazon.com/apigateway/latest/api/API_PutRestApi.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-import-api.html
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, Final

from moto.apigateway.exceptions import BadRequestException
from moto.apigateway.models import APIGatewayBackend, Integration, Resource, RestAPI
from moto.apigateway.responses import APIGatewayResponse

from terralive_sandbox.apigateway.openapi import document, operations
from terralive_sandbox.apigateway.openapi.document import Document, DocumentError
from terralive_sandbox.apigateway.openapi.operations import Authorizer, Operation
from terralive_sandbox.control.moto_gaps.errors import not_emulated
from terralive_sandbox.control.moto_gaps.replacements import Replacements
from terralive_stub.protocol.limits import INTEGRATION_SECONDS
from terralive_stub.shared.json_documents import Json, as_object, section, text

# The address of a model in the `$ref` of another one's schema.
_MODEL_URL: Final = "https://apigateway.amazonaws.com/restapis/{}/models/"
_DEFAULT_TIMEOUT_MILLISECONDS: Final = INTEGRATION_SECONDS * 1000
# The attributes of an API that a document changes.
_CHANGED: Final = (
    "resources",
    "default",
    "authorizers",
    "models",
    "request_validators",
    "gateway_responses",
)


def declare(replacements: Replacements) -> None:
    """Declare the replacements. Moto reads OpenAPI 3 only, and little of API Gateway's extensions.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-import-api-basePath.html
    """
    moto_put_rest_api = APIGatewayResponse.put_rest_api

    def put_rest_api(self: APIGatewayResponse) -> Any:
        base_path = self._get_param("basepath", "ignore")
        if base_path != "ignore":
            raise not_emulated(f"basepath={base_path} of OpenAPI documents")
        return moto_put_rest_api(self)

    replacements.replace(APIGatewayResponse, "put_rest_api", put_rest_api)
    replacements.replace(APIGatewayBackend, "import_rest_api", _import_rest_api)
    replacements.replace(APIGatewayBackend, "put_rest_api", _put_rest_api)


def complete_integration(integration: Integration, resource_id: str) -> None:
    """Give an integration AWS's defaults: 29 seconds, and a cache's namespace.

    https://docs.aws.amazon.com/apigateway/latest/api/API_Integration.html
    """
    if not integration.timeout_in_millis:
        integration.timeout_in_millis = _DEFAULT_TIMEOUT_MILLISECONDS  # type: ignore[assignment] # a number
    if not integration.cache_namespace:
        integration.cache_namespace = resource_id


def set_transfer_mode(integration: Integration, mode: str | None) -> None:
    """Set whether an integration streams responses. Moto keeps no such mode.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html

    Raises:
        BadRequestException: an integration of this type cannot stream.
    """
    if mode == "STREAM" and integration.integration_type not in {"AWS_PROXY", "HTTP_PROXY"}:
        raise BadRequestException("Only proxy integrations can stream responses")
    integration.response_transfer_mode = mode or "BUFFERED"  # type: ignore[attr-defined]


def _import_rest_api(
    self: APIGatewayBackend, api_doc: dict[str, Any], fail_on_warnings: bool
) -> RestAPI:
    api = self.create_rest_api(name="", description="")
    try:
        return _put_rest_api(self, api.id, api_doc, fail_on_warnings)
    except Exception:
        self.delete_rest_api(api.id)
        raise


def _put_rest_api(
    self: APIGatewayBackend,
    function_id: str,
    api_doc: dict[str, Any],
    fail_on_warnings: bool,
    mode: str = "merge",
) -> RestAPI:
    """Change an API to what a document says. After an error, the API is as it was."""
    del fail_on_warnings  # the sandbox has no warnings
    api = self.get_rest_api(function_id)
    before = copy.deepcopy({name: getattr(api, name) for name in _CHANGED})
    try:
        content = json.dumps(api_doc, default=str)
        read = document.read(content, region=self.region_name, account=self.account_id)
        if mode == "overwrite":
            _clear(api)
        _Import(self, api, read).run()
    except DocumentError as error:
        vars(api).update(before)
        raise BadRequestException(str(error)) from error
    except Exception:
        vars(api).update(before)
        raise
    return api


def _clear(api: RestAPI) -> None:
    """Remove what an API has. Its root resource keeps its id, which configurations name."""
    api.default.resource_methods = {}
    api.resources = {api.default.id: api.default}
    api.authorizers = {}
    api.models = {}
    api.request_validators = {}
    api.gateway_responses = {}
    api.binaryMediaTypes = []


class _Import:
    """One import of a document into an API."""

    def __init__(self, backend: APIGatewayBackend, api: RestAPI, read: Document) -> None:
        self._backend = backend
        self._api = api
        self._document = read
        # The ids of the authorizers that the document declares, by the names of their schemes.
        self._authorizers: dict[str, str] = {}
        # The ids of the request validators that it declares, by name.
        self._validators: dict[str, str] = {}

    def run(self) -> None:
        """Create everything that the document declares.

        Raises:
            DocumentError: the document is not valid.
            JsonRESTError: moto does not take a part of it.
        """
        self._set_attributes()
        for name, schema in self._document.schemas.items():
            self._add_model(name, schema)
        for authorizer in operations.authorizers_of(self._document):
            self._authorizers[authorizer.name] = self._add_authorizer(authorizer)
        validators = as_object(self._document.extension("request-validators"))
        for name, given in validators.items():
            rules = as_object(given)
            body = bool(rules.get("validateRequestBody"))
            parameters = bool(rules.get("validateRequestParameters"))
            made = self._api.create_request_validator(name, body, parameters)
            self._validators[name] = made.id
        for kind, given in as_object(self._document.extension("gateway-responses")).items():
            settings: Any = as_object(given)
            status: Any = settings.get("statusCode")
            if status is not None:
                status = str(status)
            self._api.put_gateway_response(
                kind,
                status,
                settings.get("responseParameters"),
                settings.get("responseTemplates"),
            )
        for operation in operations.operations_of(self._document, of_http_api=False):
            self._add_method(operation)

    def _set_attributes(self) -> None:
        info = self._document.info
        self._api.name = text(info, "title") or self._api.name
        self._api.description = text(info, "description") or self._api.description
        self._api.version = self._document.version or self._api.version
        types = self._document.extension("binary-media-types")
        if isinstance(types, list):
            # A document that is merged adds its types.
            known = list(self._api.binaryMediaTypes or [])
            self._api.binaryMediaTypes = list(dict.fromkeys([*known, *map(str, types)]))
        policy = self._document.extension("policy")
        if policy:
            self._api.policy = json.dumps(policy)
        key_source = self._document.extension("api-key-source")
        if key_source:
            self._api.api_key_source = str(key_source)
        compression = self._document.extension("minimum-compression-size")
        if isinstance(compression, int):
            self._api.minimum_compression_size = compression

    def _add_model(self, name: str, schema: Json) -> None:
        """Add a model; its references to other models become API Gateway's addresses of them."""
        written = json.dumps(schema)
        for prefix in ("#/components/schemas/", "#/definitions/"):
            written = written.replace(f'"{prefix}', f'"{_MODEL_URL.format(self._api.id)}')
        description = text(as_object(schema), "description")
        self._api.add_model(name, description, written, "application/json")

    def _add_authorizer(self, authorizer: Authorizer) -> str:
        settings = authorizer.settings
        source: str | None = ",".join(authorizer.identity_sources) or None
        if authorizer.type == "token":
            # The header of the security scheme has the token.
            source = f"method.request.header.{text(authorizer.scheme, 'name')}"
        made = self._backend.create_authorizer(
            self._api.id,
            authorizer.name,
            authorizer.type.upper(),
            provider_arns=settings.get("providerARNs"),
            auth_type=authorizer.scheme.get("x-amazon-apigateway-authtype"),
            authorizer_uri=settings.get("authorizerUri"),
            authorizer_credentials=settings.get("authorizerCredentials"),
            identity_source=source,
            authorizer_result_ttl=settings.get("authorizerResultTtlInSeconds", 300),
        )
        expression = settings.get("identityValidationExpression")
        made.identity_validation_expression = expression
        return str(made.id)

    def _resource_at(self, path: str) -> Resource:
        """Return the resource of a path; those that are missing on the way are created."""
        resource = self._api.default
        for part in (part for part in path.split("/") if part):
            children = [
                child
                for child in self._api.resources.values()
                if child.parent_id == resource.id and child.path_part == part
            ]
            if children:
                resource = children[0]
            else:
                resource = self._backend.create_resource(self._api.id, resource.id, part)
        return resource

    def _add_method(self, operation: Operation) -> None:
        resource = self._resource_at(operation.path)
        access = operation.authorization
        if operation.validator and operation.validator not in self._validators:
            raise DocumentError(f"Unable to find the request validator {operation.validator}")
        self._backend.put_method(
            self._api.id,
            resource.id,
            operation.method,
            access.type,
            api_key_required=access.needs_key,
            request_parameters=dict(operation.parameters) or None,
            request_models=self._models_of(operation) or None,
            operation_name=operation.id or None,
            authorizer_id=self._authorizers.get(access.scheme),
            authorization_scopes=list(access.scopes) or None,  # type: ignore[arg-type] # a list
            request_validator_id=self._validators.get(operation.validator),
        )
        method = resource.resource_methods[operation.method]
        for status, given in operation.responses.items():
            headers = section(self._document.resolved(given), "headers")
            parameters = {f"method.response.header.{name}": False for name in headers}
            if status.isdigit():
                method.create_response(status, {}, parameters)  # type: ignore[arg-type] # booleans
        if operation.integration is not None:
            self._add_integration(resource, operation, operation.integration)

    def _models_of(self, operation: Operation) -> dict[str, str]:
        """Return the names of the models of an operation's bodies, by content type."""
        models: dict[str, str] = {}
        for content_type, schema in operation.bodies.items():
            name = text(as_object(schema), "$ref").rpartition("/")[2]
            if not name:
                # A schema that has no name gets a model of its own.
                name = f"Model{len(self._api.models) + 1}"
                self._add_model(name, schema)
            models[content_type] = name
        return models

    def _add_integration(
        self, resource: Resource, operation: Operation, given: Mapping[str, Json]
    ) -> None:
        settings: Any = given
        kind = text(given, "type").upper()
        if not kind:
            raise DocumentError(f"The integration of {operation.route_key} has no type")
        integration = self._backend.put_integration(
            self._api.id,
            resource.id,
            operation.method,
            kind,
            text(given, "uri"),
            text(given, "httpMethod") or None,  # type: ignore[arg-type] # MOCK has none
            credentials=settings.get("credentials"),
            request_templates=settings.get("requestTemplates"),
            passthrough_behavior=text(given, "passthroughBehavior").upper() or None,
            cache_namespace=settings.get("cacheNamespace"),
            timeout_in_millis=settings.get("timeoutInMillis"),
            request_parameters=settings.get("requestParameters"),
            content_handling=settings.get("contentHandling"),
            connection_type=settings.get("connectionType"),
        )
        integration.cache_key_parameters = settings.get("cacheKeyParameters") or []
        complete_integration(integration, resource.id)
        set_transfer_mode(integration, text(given, "responseTransferMode").upper())
        for pattern, value in section(given, "responses").items():
            answer: Any = as_object(value)
            integration.create_integration_response(
                str(answer.get("statusCode", "200")),
                "" if pattern == "default" else pattern,
                answer.get("responseTemplates") or {},
                answer.get("responseParameters") or {},
                answer.get("contentHandling"),
            )
