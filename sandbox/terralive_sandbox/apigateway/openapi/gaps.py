"""Parts of an OpenAPI document that the sandbox does not emulate. A plan names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from terralive_sandbox.apigateway.authorizers import issuers
from terralive_sandbox.apigateway.openapi import operations
from terralive_sandbox.apigateway.openapi.document import Document, DocumentError, read
from terralive_sandbox.apigateway.openapi.operations import Operation
from terralive_stub.shared.json_documents import Json, section, text

# First-class integrations of HTTP APIs that the sandbox runs.
EMULATED_SUBTYPES: Final = ("SQS-SendMessage", "EventBridge-PutEvents", "Kinesis-PutRecord")
# The kinds of integrations that the sandbox runs.
_KINDS_OF_HTTP_APIS: Final = ("AWS_PROXY",)
_KINDS_OF_REST_APIS: Final = ("AWS", "AWS_PROXY", "MOCK")
_EMULATED: Final = {"NONE", "AWS_IAM", "CUSTOM", "JWT"}


def missing_parts(content: str, *, of_http_api: bool) -> list[str]:
    """Return what the sandbox answers with 501 in an API with this document.

    Each text names the feature and an operation. A document that cannot be read has none.
    """
    try:
        document = read(content)
        return list(_missing(document, of_http_api=of_http_api))
    except (DocumentError, ImportError):
        return []


def _missing(document: Document, *, of_http_api: bool) -> Iterator[str]:
    issuers_of = {
        found.name: text(section(found.settings, "jwtConfiguration"), "issuer")
        for found in operations.authorizers_of(document)
    }
    for operation in operations.operations_of(document, of_http_api=of_http_api):
        issuer = issuers_of.get(operation.authorization.scheme, "")
        if operation.authorization.type == "JWT" and not issuers.is_emulated(issuer):
            yield f"JWT authorizers with an issuer elsewhere ({operation.route_key})"
        for what in _missing_of(operation, of_http_api=of_http_api):
            yield f"{what} ({operation.route_key})"


def _missing_of(operation: Operation, *, of_http_api: bool) -> Iterator[str]:
    if operation.authorization.needs_key:
        yield "API keys"
    if operation.authorization.type not in _EMULATED:
        yield f"{operation.authorization.type} authorizers"
    if operation.integration is not None:
        yield from _missing_of_integration(operation.integration, of_http_api=of_http_api)


def _missing_of_integration(integration: Mapping[str, Json], *, of_http_api: bool) -> Iterator[str]:
    kind = text(integration, "type").upper()
    subtype = text(integration, "integrationSubtype")
    if subtype in EMULATED_SUBTYPES:
        return
    emulated: tuple[str, ...] = _KINDS_OF_REST_APIS
    if of_http_api:
        emulated = _KINDS_OF_HTTP_APIS
    if subtype:
        yield f"{subtype} integrations"
    elif kind not in emulated:
        yield f"{kind} integrations"
    if of_http_api and (
        section(integration, "requestParameters") or section(integration, "responseParameters")
    ):
        yield "parameter mappings of HTTP APIs"
