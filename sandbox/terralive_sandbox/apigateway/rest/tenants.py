"""The tenant that a REST API names to a function that isolates its tenants. Everything is pure.

https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation-invoke.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote

from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http_messages import HttpRequest, not_emulated

_HEADER: Final = "integration.request.header.x-amz-tenant-id"


def tenant_of(
    mappings: Mapping[str, str],
    request: HttpRequest,
    path_parameters: Mapping[str, str],
    context: ApiContext,
) -> str:
    """Return the tenant's id that an integration maps from a request; "" for none.

    Args:
        mappings: the integration's request parameters.
        request: the client's request.
        path_parameters: the values of the path parameters, percent-encoded.
        context: the stage that the request came to, and its caller.

    Raises:
        GatewayResponseError: the sandbox does not emulate the source.
    """
    for parameter, source in mappings.items():
        if parameter.lower() == _HEADER:
            return _value(source, request, path_parameters, context)
    return ""


def _value(
    source: str, request: HttpRequest, path_parameters: Mapping[str, str], context: ApiContext
) -> str:
    if source.startswith("'") and source.endswith("'"):
        return source[1:-1]
    kind, _, name = source.rpartition(".")
    match kind:
        case "method.request.header":
            return request.header(name.lower())
        case "method.request.querystring":
            return dict(parse_qsl(request.query)).get(name, "")
        case "method.request.path":
            return unquote(path_parameters.get(name, ""))
        case "stageVariables":
            return context.variables.get(name, "")
        case "context.authorizer" if context.authorizer is not None:
            return str(context.authorizer.fields().get(name, ""))
        case _:
            raise not_emulated(f"a tenant's id from {source}")
