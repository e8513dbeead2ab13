"""OpenAPI documents of HTTP APIs: ImportApi and ReimportApi, on moto's own objects.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid.html (PUT)
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-open-api.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from moto.apigatewayv2.exceptions import BadRequestException
from moto.apigatewayv2.models import Api, ApiGatewayV2Backend
from moto.apigatewayv2.responses import ApiGatewayV2Response

from terralive_sandbox.apigateway.openapi import document, operations
from terralive_sandbox.apigateway.openapi.document import Document, DocumentError
from terralive_sandbox.apigateway.openapi.operations import Authorizer, Operation
from terralive_sandbox.control.moto_gaps.replacements import Replacements
from terralive_stub.shared.json_documents import Json, text

_Answer: TypeAlias = tuple[int, dict[str, str], str]
# Checks the settings of an authorizer; it may raise BadRequestException.
_CheckAuthorizer: TypeAlias = Callable[[Api, dict[str, Any]], None]


def declare(replacements: Replacements, check_authorizer: _CheckAuthorizer) -> None:
    """Declare the replacements. Moto reads little of what a document says of a route."""

    def import_document(backend: ApiGatewayV2Backend, api: Api, content: str) -> None:
        """Replace what an API has. After an error, the API is as it was; its stages stay."""
        before = dict(api.routes), dict(api.integrations), dict(api.authorizers)
        try:
            place: Any = backend
            read = document.read(content, region=place.region_name, account=place.account_id)
            _import(api, read, check_authorizer)
        except Exception as error:
            api.routes, api.integrations, api.authorizers = before
            if isinstance(error, DocumentError):
                raise BadRequestException(str(error)) from error
            raise

    def reimport_api(
        self: ApiGatewayV2Backend, api_id: str, body: str, fail_on_warnings: bool
    ) -> Api:
        del fail_on_warnings  # the sandbox has no warnings
        api = self.get_api(api_id)
        import_document(self, api, body)
        return api

    def import_api(self: ApiGatewayV2Response) -> _Answer:
        backend = self.apigatewayv2_backend
        settings: dict[str, Any] = dict.fromkeys(
            (
                "api_key_selection_expression",
                "cors_configuration",
                "description",
                "disable_execute_api_endpoint",
                "disable_schema_validation",
                "route_selection_expression",
                "version",
            )
        )
        api = backend.create_api(name="", protocol_type="HTTP", tags={}, **settings)
        try:
            import_document(backend, api, json.loads(self.body).get("body") or "")
        except Exception:
            backend.delete_api(api.api_id)
            raise
        return 201, {}, json.dumps(api.to_json())

    replacements.replace(ApiGatewayV2Backend, "reimport_api", reimport_api)
    replacements.add(ApiGatewayV2Response, "import_api", import_api)


def _import(api: Api, read: Document, check_authorizer: _CheckAuthorizer) -> None:
    """Create everything that a document declares.

    Raises:
        DocumentError, BadRequestException: the document is not valid.
    """
    if read.is_swagger:
        raise DocumentError("Invalid OpenAPI input: HTTP APIs take OpenAPI 3.0 only")
    api.routes, api.integrations, api.authorizers = {}, {}, {}
    authorizers: dict[str, str] = {}
    for authorizer in operations.authorizers_of(read):
        authorizers[authorizer.name] = _add_authorizer(api, authorizer, check_authorizer)
    for operation in operations.operations_of(read, of_http_api=True):
        _add_route(api, operation, authorizers)
    api.name = text(read.info, "title") or api.name
    api.description = text(read.info, "description") or api.description
    api.version = read.version or api.version
    cors: Any = read.extension("cors")
    if cors:
        api.cors_configuration = cors


def _add_authorizer(api: Api, authorizer: Authorizer, check: _CheckAuthorizer) -> str:
    """Add an authorizer and return its id."""
    settings: Any = authorizer.settings
    sources = list(authorizer.identity_sources)
    if authorizer.type == "jwt" and not sources:
        sources = ["$request.header.Authorization"]
    ttl = settings.get("authorizerResultTtlInSeconds")
    check(api, {"identitySource": sources, "authorizerResultTtlInSeconds": ttl})
    made = api.create_authorizer(
        auth_creds_arn=settings.get("authorizerCredentials"),
        auth_payload_format_version=settings.get("authorizerPayloadFormatVersion"),
        auth_result_ttl=ttl,
        authorizer_type=authorizer.type.upper(),
        authorizer_uri=settings.get("authorizerUri"),
        enable_simple_response=settings.get("enableSimpleResponses"),
        identity_source=sources,  # type: ignore[arg-type] # a list, whatever moto says
        identity_validation_expr=settings.get("identityValidationExpression"),
        jwt_config=settings.get("jwtConfiguration"),
        name=authorizer.name,
    )
    return str(made.id)


def _add_route(api: Api, operation: Operation, authorizers: Mapping[str, str]) -> None:
    """Add a route, and its integration if it has one."""
    target = ""
    if operation.integration is not None:
        target = f"integrations/{_add_integration(api, operation, operation.integration)}"
    access = operation.authorization
    api.create_route(
        api_key_required=access.needs_key,
        authorization_scopes=list(access.scopes),
        route_key=operation.route_key,
        target=target,
        authorization_type=access.type,
        authorizer_id=authorizers.get(access.scheme),
        operation_name=operation.id or None,
    )


def _add_integration(api: Api, operation: Operation, given: Mapping[str, Json]) -> str:
    """Add an integration and return its id."""
    settings: Any = given
    kind = text(given, "type").upper()
    if not kind:
        raise DocumentError(f"The integration of {operation.route_key} has no type")
    made = api.create_integration(
        connection_type=settings.get("connectionType", "INTERNET"),
        description=settings.get("description"),
        integration_method=settings.get("httpMethod"),
        integration_type=kind,
        integration_uri=settings.get("uri"),
        credentials_arn=settings.get("credentials"),
        payload_format_version=str(settings.get("payloadFormatVersion", "1.0")),
        integration_subtype=settings.get("integrationSubtype"),
        request_parameters=settings.get("requestParameters"),
        response_parameters=settings.get("responseParameters"),
        timeout_in_millis=settings.get("timeoutInMillis"),
    )
    return str(made.id)
