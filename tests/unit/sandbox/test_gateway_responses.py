"""Gateway responses of REST APIs; the pages are named in the module under test."""

from __future__ import annotations

import pytest

from terralive_sandbox.access import sigv4
from terralive_sandbox.apigateway.authorizers.decisions import AuthorizerFailure
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http_messages import (
    GatewayResponseError,
    HttpRequest,
    not_emulated,
)
from terralive_sandbox.apigateway.rest import events, gateway_responses
from terralive_sandbox.apigateway.rest.gateway_responses import GatewayResponse

CONTEXT = ApiContext("api", "live", "api.example", "r", "e", 0.0, variables={"team": "pets"})
REQUEST = HttpRequest(
    "GET",
    "/a",
    "q=1",
    (("Accept", "text/html, application/json"), ("X-A", "a")),
    b"",
    "192.0.2.1",
    sigv4.Request("GET", "/", "", ()),
)
TYPES = [
    (events.missing_token(), "MISSING_AUTHENTICATION_TOKEN"),
    (events.access_denied("arn", "a:b:c:d:123456789012:f", explicitly=True), "ACCESS_DENIED"),
    (events.authorizer_failed(AuthorizerFailure.UNAUTHORIZED, ""), "UNAUTHORIZED"),
    (events.authorizer_failed(AuthorizerFailure.DENIED, ""), "ACCESS_DENIED"),
    (events.authorizer_failed(AuthorizerFailure.BROKEN, ""), "AUTHORIZER_CONFIGURATION_ERROR"),
    (events.integration_failed(500), "API_CONFIGURATION_ERROR"),
    (events.integration_failed(502), "INTEGRATION_FAILURE"),
    (
        GatewayResponseError(400, "Invalid request body", error_type="BadRequestException"),
        "BAD_REQUEST_BODY",
    ),
    (not_emulated("API keys"), ""),
]


@pytest.mark.parametrize(("error", "kind"), TYPES)
def test_the_type_of_each_answer(error: GatewayResponseError, kind: str) -> None:
    assert gateway_responses.type_of(error) == kind


def test_the_default_for_all_errors_of_a_class_is_used_where_a_type_has_no_own() -> None:
    declared = {
        "DEFAULT_4XX": GatewayResponse(410, {}, {}),
        "DEFAULT_5XX": GatewayResponse(0, {"gatewayresponse.header.X": "'5'"}, {}),
        "UNAUTHORIZED": GatewayResponse(0, {}, {}),
    }
    statuses = [
        gateway_responses.changed(error, declared, REQUEST, CONTEXT).status for error, _ in TYPES
    ]
    assert statuses == [410, 410, 401, 410, 500, 500, 502, 410, 501]


def test_headers_and_templates_name_parts_of_the_request() -> None:
    declared = {
        "DEFAULT_4XX": GatewayResponse(
            0,
            {
                "gatewayresponse.header.One": "'$context.stage'",
                "gatewayresponse.header.Two": "method.request.querystring.q",
                "gatewayresponse.header.Three": "context.nothing",
            },
            {
                "application/json": "$context.error.messageString $stageVariables.team",
                "text/html": "$context.error.message from $method.request.header.X-A$",
            },
        )
    }
    answer = gateway_responses.changed(events.missing_token(), declared, REQUEST, CONTEXT)
    assert answer.body == b"Missing Authentication Token from a$"
    assert dict(answer.headers) == {
        "content-type": "text/html",
        "x-amzn-errortype": "MissingAuthenticationTokenException",
        "one": "$context.stage",
        "two": "1",
        "three": "",
    }
