"""The tenant that a REST API maps from a request."""

from __future__ import annotations

import pytest

from terralive_sandbox.access import sigv4
from terralive_sandbox.apigateway.authorizers.decisions import Answer
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http_messages import GatewayResponseError, HttpRequest
from terralive_sandbox.apigateway.rest.tenants import tenant_of

HEADER = "integration.request.header.X-Amz-Tenant-Id"
REQUEST = HttpRequest(
    "GET",
    "/orders",
    "tenant=query%20one&tenant=second",
    (("x-tenant-id", "header"),),
    b"",
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
        ("'always'", "always"),
    ],
)
def test_a_tenant_is_mapped_from_a_part_of_the_request(source: str, tenant: str) -> None:
    mappings = {"integration.request.header.other": "'no'", HEADER: source}
    assert tenant_of(mappings, REQUEST, {"tenant": "in%20path"}, CONTEXT) == tenant


def test_without_a_mapping_there_is_no_tenant() -> None:
    """A client's own header is none: it is not API Gateway's to Lambda."""
    assert tenant_of({}, REQUEST, {}, CONTEXT) == ""


@pytest.mark.parametrize("source", ["context.identity.sourceIp", "method.request.body.tenant"])
def test_a_source_that_is_not_emulated_is_named(source: str) -> None:
    with pytest.raises(GatewayResponseError) as raised:
        tenant_of({HEADER: source}, REQUEST, {}, CONTEXT)
    assert raised.value.response.status == 501
    assert source in raised.value.response.body.decode()
