"""The tenant that a REST API names to a function that isolates its tenants. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation-invoke.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/request-response-data-mappings.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from terralive_sandbox.apigateway.rest.custom_requests import value_of
from terralive_sandbox.apigateway.rest.mapping_templates import Scope

_HEADER: Final = "integration.request.header.x-amz-tenant-id"


def tenant_of(mappings: Mapping[str, str], scope: Scope) -> str:
    """Return the tenant's id that an integration maps from a request; "" for none.

    Args:
        mappings: the integration's request parameters.
        scope: the parts of the request that their sources name.
    """
    for parameter, source in mappings.items():
        if parameter.lower() == _HEADER:
            return value_of(source, scope) or ""
    return ""
