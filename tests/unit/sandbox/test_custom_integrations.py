"""Integrations of REST APIs that are no proxies: templates, parameters and responses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from terralive_sandbox.apigateway.http_messages import GatewayResponseError
from terralive_sandbox.apigateway.rest import custom_requests
from terralive_sandbox.apigateway.rest.custom_requests import MappedResponse, ServiceUri
from terralive_sandbox.apigateway.rest.mapping_templates import Scope, TemplateError, filled

SCOPE = Scope(
    body=json.dumps({"id": 7, "who": 'Ana "A" O\'Neill', "lines": [{"n": 1}, {"n": 2}]}),
    parameters={
        "path": {"order": "o 1"},
        "querystring": {"q": "a&b"},
        "header": {"X-Tenant": "blue"},
    },
    context={"requestId": "r1", "identity": {"sourceIp": "10.0.0.1"}, "authorizer": {"id": "u"}},
    stage_variables={"queue": "orders"},
)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("$input.body", SCOPE.body),
        ('{"id": $input.json("$.id")}', '{"id": 7}'),
        ("$input.json('$')", SCOPE.body.replace(": ", ":").replace(", ", ",")),
        ("$input.json('$.lines[*].n')", "[1,2]"),
        ("$input.path('$.lines').size()", "2"),
        ("#set($all = $input.path('$'))$all.lines[1].n", "2"),
        ("#foreach($line in $input.path('$.lines'))$line.n#if($foreach.hasNext),#end#end", "1,2"),
        ("$input.params('order') $input.params('q') $input.params('X-Tenant')", "o 1 a&b blue"),
        ("$input.params().path.order", "o 1"),
        ("[$input.params('none')]", "[]"),
        ("Body=$util.urlEncode($input.params('q'))", "Body=a%26b"),
        ("$util.escapeJavaScript($input.path('$.who'))", 'Ana \\"A\\" O\\\'Neill'),
        ("$util.base64Decode($util.base64Encode('ä'))", "ä"),
        ("$util.parseJson('{\"a\": 1}').a", "1"),
        ("$context.identity.sourceIp $context.authorizer.id", "10.0.0.1 u"),
        ("$stageVariables.queue ${stageVariables.queue}", "orders orders"),
    ],
)
def test_a_template_is_filled(template: str, text: str) -> None:
    assert filled(template, SCOPE).text == text


def test_a_template_may_override_the_status_and_headers_of_the_response() -> None:
    template = (
        "#set($context.responseOverride.status = 404)"
        '#set($context.responseOverride.header.Reason = "gone")none'
    )
    made = filled(template, SCOPE)
    assert (made.text, made.status, made.headers) == ("none", 404, {"Reason": "gone"})
    # The next one starts anew.
    assert filled("x", SCOPE).status == 0


@pytest.mark.parametrize("template", ["$input.json('$[')", "#foreach($x in )#end"])
def test_a_template_that_cannot_be_filled_is_an_error(template: str) -> None:
    with pytest.raises(TemplateError):
        filled(template, SCOPE)


@pytest.mark.parametrize(
    ("templates", "content_type", "passthrough", "found"),
    [
        ({"application/json": "a"}, "application/json; charset=utf-8", "NEVER", "a"),
        ({"application/json": "a"}, "", "NEVER", "a"),
        ({"application/json": "a"}, "text/plain", "WHEN_NO_MATCH", None),
        ({}, "text/plain", "WHEN_NO_TEMPLATES", None),
    ],
)
def test_the_content_type_of_a_request_chooses_its_template(
    templates: Mapping[str, str], content_type: str, passthrough: str, found: str | None
) -> None:
    assert custom_requests.template_for(templates, content_type, passthrough) == found


@pytest.mark.parametrize(
    ("templates", "passthrough"), [({"a/b": ""}, "WHEN_NO_TEMPLATES"), ({}, "NEVER")]
)
def test_a_content_type_without_a_template_may_be_refused(
    templates: Mapping[str, str], passthrough: str
) -> None:
    with pytest.raises(GatewayResponseError) as refused:
        custom_requests.template_for(templates, "text/plain", passthrough)
    assert refused.value.status == 415


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("'application/x-www-form-urlencoded'", "application/x-www-form-urlencoded"),
        ("method.request.path.order", "o 1"),
        ("method.request.querystring.q", "a&b"),
        ("method.request.header.x-tenant", "blue"),
        ("method.request.header.none", None),
        ("method.request.body.who", 'Ana "A" O\'Neill'),
        ("method.request.body", SCOPE.body),
        ("context.identity.sourceIp", "10.0.0.1"),
        ("context.none.deeper", None),
        ("stageVariables.queue", "orders"),
    ],
)
def test_a_parameter_has_the_value_of_its_source(source: str, value: str | None) -> None:
    assert custom_requests.value_of(source, SCOPE) == value


def test_parameters_without_a_value_are_left_out() -> None:
    sent = custom_requests.sent_parameters(
        {
            "integration.request.header.Content-Type": "'a/b'",
            "integration.request.querystring.q": "method.request.querystring.q",
            "integration.request.path.none": "method.request.path.none",
        },
        SCOPE,
    )
    assert sent == {"header": {"Content-Type": "a/b"}, "querystring": {"q": "a&b"}, "path": {}}


def test_an_error_chooses_the_response_whose_pattern_it_matches_as_a_whole() -> None:
    default = MappedResponse(200, "", {}, {})
    missing = replace(default, status=404, pattern=".*not found.*")
    responses = [missing, default]
    assert custom_requests.chosen(responses, "") is default
    assert custom_requests.chosen(responses, "order 7\nnot found here") is missing
    assert custom_requests.chosen(responses, "broken") is default
    assert custom_requests.chosen([missing], "") is None


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        (
            "arn:aws:apigateway:eu-west-1:sqs:path/123456789012/orders",
            ServiceUri("eu-west-1", "sqs", "/123456789012/orders", ""),
        ),
        (
            "arn:aws:apigateway:eu-west-1:dynamodb:action/PutItem",
            ServiceUri("eu-west-1", "dynamodb", "/", "PutItem"),
        ),
        ("https://example.com", None),
    ],
)
def test_the_uri_of_an_integration_names_the_service(uri: str, parts: ServiceUri | None) -> None:
    assert ServiceUri.parse(uri) == parts
