"""The tenant that a REST API maps from a request."""

from __future__ import annotations

import pytest

from terralive_sandbox.access import sigv4
from terralive_sandbox.apigateway.authorizers.decisions import Answer
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http_messages import HttpRequest
from terralive_sandbox.apigateway.rest.custom_requests import scope_of
from terralive_sandbox.apigateway.rest.events import MethodMatch, Resource, event
from terralive_sandbox.apigateway.rest.tenants import tenant_of

HEADER = "integration.request.header.X-Amz-Tenant-Id"
REQUEST = HttpRequest(
    "GET",
    "/orders",
    "tenant=query%20one&tenant=second",
    (("x-tenant-id", "header"),),
    b'{"tenant": "body"}',
    "192.0.2.1",
    sigv4.Request("GET", "/", "", ()),
)
CONTEXT = ApiContext(
    id="a",
    stage="dev",
    domain="d",
    request_id="r",
    extended_id="e",
    now=0.0,
    variables={"tenant": "stage"},
    authorizer=Answer("{}", "ana", {"tenant": "authorizer"}),
)


MATCH = MethodMatch(Resource("r1", "/{tenant}", frozenset({"GET"})), "GET", {"tenant": "in%20path"})
SCOPE = scope_of(REQUEST, MATCH.parameters, event(REQUEST, MATCH, CONTEXT, ()), CONTEXT.variables)


@pytest.mark.parametrize(
    ("source", "tenant"),
    [
        ("method.request.header.X-Tenant-Id", "header"),
        ("method.request.header.Other", ""),
        ("method.request.querystring.tenant", "second"),
        ("method.request.path.tenant", "in path"),
        ("stageVariables.tenant", "stage"),
        ("context.authorizer.tenant", "authorizer"),
        ("context.authorizer.principalId", "ana"),
        ("context.identity.sourceIp", "192.0.2.1"),
        ("method.request.body.tenant", "body"),
        ("'always'", "always"),
    ],
)
def test_a_tenant_is_mapped_from_a_part_of_the_request(source: str, tenant: str) -> None:
    mappings = {"integration.request.header.other": "'no'", HEADER: source}
    assert tenant_of(mappings, SCOPE) == tenant


def test_without_a_mapping_there_is_no_tenant() -> None:
    """A client's own header is none: it is not API Gateway's to Lambda."""
    assert tenant_of({}, SCOPE) == ""
