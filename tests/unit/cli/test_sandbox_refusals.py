"""Each refusal of the sandbox is announced by a plan, or a plan cannot show it."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import terralive_sandbox
from terralive_cli.app.sandbox_gaps import sandbox_warnings
from terralive_stub.shared.json_documents import Json
from terralive_terraform.evaluation.functions import planned_functions
from terralive_testing.fakes.plan_document import PlanDocument

ARN = "arn:aws:{}:eu-west-1:123456789012:x"
MAPPING = "aws_lambda_event_source_mapping"
INVOKE_CONFIG = "aws_lambda_function_event_invoke_config"
SCHEDULE = "aws_scheduler_schedule"
HTTP_API = "aws_apigatewayv2_api"
REST_API = "aws_api_gateway_rest_api"


def document(integration: dict[str, Json], **operation: Json) -> dict[str, Json]:
    """The attribute `body` of an API with one operation."""
    declared = {"x-amazon-apigateway-integration": integration, **operation}
    schemes = {
        "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        "jwt": {"type": "oauth2", "x-amazon-apigateway-authorizer": {"type": "jwt"}},
        "pool": {
            "type": "apiKey",
            "x-amazon-apigateway-authorizer": {"type": "cognito_user_pools"},
        },
    }
    described = {
        "openapi": "3.0.1",
        "paths": {"/a": {"get": declared}},
        "components": {"securitySchemes": schemes},
    }
    return {"body": json.dumps(described)}


STREAMING_URI = (
    "arn:aws:apigateway:eu-west-1:lambda:path/2021-11-15/functions/"
    "arn:aws:lambda:eu-west-1:123456789012:function:x/response-streaming-invocations"
)
TENANT = "integration.request.header.X-Amz-Tenant-Id"
PROXY: dict[str, Json] = {"type": "aws_proxy", "httpMethod": "POST"}
# What the sandbox says -> resources of a plan that it says it of.
SHOWN: dict[str, tuple[tuple[str, dict[str, Json]], ...]] = {
    "f'{kind} authorizers'": (
        ("aws_api_gateway_authorizer", {"type": "COGNITO_USER_POOLS"}),
        (REST_API, document(PROXY, security=[{"pool": []}])),
    ),
    "f'JWT authorizers with an issuer elsewhere ({rules.issuer})'": (
        (
            "aws_apigatewayv2_authorizer",
            {"jwt_configuration": [{"issuer": "https://issuer.example"}]},
        ),
        (HTTP_API, document(PROXY, security=[{"jwt": []}])),
    ),
    "'API keys'": (
        ("aws_api_gateway_method", {"api_key_required": True}),
        ("aws_apigatewayv2_route", {"api_key_required": True}),
        (REST_API, document(PROXY, security=[{"key": []}])),
    ),
    "f'{kind} integrations'": (
        ("aws_apigatewayv2_integration", {"integration_type": "HTTP_PROXY"}),
        (
            "aws_apigatewayv2_integration",
            {"integration_type": "AWS_PROXY", "integration_subtype": "SQS-PurgeQueue"},
        ),
        (HTTP_API, document({"type": "http_proxy"})),
        (HTTP_API, document({**PROXY, "integrationSubtype": "SQS-PurgeQueue"})),
    ),
    "'parameter mappings of HTTP APIs'": (
        ("aws_apigatewayv2_integration", {"request_parameters": {"append:header.a": "b"}}),
        ("aws_apigatewayv2_integration", {"response_parameters": [{"status_code": "200"}]}),
        (HTTP_API, document({**PROXY, "requestParameters": {"append:header.a": "b"}})),
    ),
    "f'{integration.integration_type} integrations of REST APIs'": (
        ("aws_api_gateway_integration", {"type": "HTTP"}),
        (REST_API, document({"type": "http_proxy"})),
    ),
    "'quick create of HTTP APIs; declare their route, integration and stage'": (
        ("aws_apigatewayv2_api", {"target": ARN.format("lambda")}),
    ),
    "'EventBridge archives and replays'": (("aws_cloudwatch_event_archive", {}),),
    "'EventBridge API destinations'": (("aws_cloudwatch_event_api_destination", {}),),
    "f'the target {arn} of EventBridge rules'": (
        ("aws_cloudwatch_event_target", {"arn": ARN.format("states")}),
    ),
    "f'the target {arn} of EventBridge Scheduler'": (
        (SCHEDULE, {"target": [{"arn": "arn:aws:scheduler:::aws-sdk:sqs:purgeQueue"}]}),
    ),
    "f\"{', '.join(unknown)} of targets of EventBridge Scheduler\"": (
        (SCHEDULE, {"target": [{"arn": None, "ecs_parameters": [{"task_count": 1}]}]}),
    ),
    "_OTHER_SOURCES[service]": (
        (MAPPING, {"topics": ["t"]}),
        (MAPPING, {"queues": ["q"]}),
        (MAPPING, {"document_db_event_source_config": [{"database_name": "d"}]}),
        (MAPPING, {"event_source_arn": f"{ARN.format('kinesis')}/consumer/c:1"}),
    ),
    "'self-managed Kafka as an event source'": ((MAPPING, {"topics": ["t"]}),),
    "'tumbling windows'": ((MAPPING, {"tumbling_window_in_seconds": 30}),),
    "'on-failure destinations of event source mappings'": (
        (MAPPING, {"destination_config": [{"on_failure": [{}]}]}),
    ),
    "'aliases with more than one version'": (("aws_lambda_alias", {"routing_config": [{}]}),),
    "f'{service} as a destination of asynchronous invocations'": (
        (
            INVOKE_CONFIG,
            {"destination_config": [{"on_success": [{"destination": ARN.format("events")}]}]},
        ),
        (
            INVOKE_CONFIG,
            {"destination_config": [{"on_failure": [{"destination": "arn:aws:s3:::bucket"}]}]},
        ),
    ),
    "f'{service_of(source)} as a source of EventBridge Pipes'": (
        ("aws_pipes_pipe", {"source": ARN.format("mq")}),
    ),
    "f'{service_of(target)} as a target of EventBridge Pipes'": (
        ("aws_pipes_pipe", {"source": ARN.format("sqs"), "target": ARN.format("states")}),
    ),
    "f'{service_of(enrichment)} as an enrichment of EventBridge Pipes'": (
        ("aws_pipes_pipe", {"enrichment": ARN.format("states"), "target": ARN.format("lambda")}),
    ),
    '"container images other than terralive\'s stub"': (
        ("aws_lambda_function", {"function_name": "f", "package_type": "Image"}),
    ),
    "f'the runtime {function.run_time}'": (
        ("aws_lambda_function", {"function_name": "f", "runtime": "java21"}),
    ),
}
# What the sandbox says of something that no plan shows, and what that is.
NOT_SHOWN = {
    "f'an authorizer with {authorizer.uri}'": "an ARN that a plan of a new app does not know",
    "f'an integration with {uri}'": "an ARN that a plan of a new app does not know",
    "'MOCK integrations that do more than answer a preflight'": "templates of several resources",
    "f'{parameter} = {value} of a MOCK integration'": "templates of several resources",
    "f'basepath={base_path} of OpenAPI documents'": "an argument of one request",
    "f\"an update of {operation['path']}\"": "one request of a later change",
    "'resharding of a Kinesis stream that a function reads'": "one request of a later change",
    "'this trigger of a Lambda function'": "moto's own way of invoking, which nothing uses",
    "f'extensions in layers ({names})'": "the content of a layer",
    "f'layers that another account publishes ({arn})'": "the code of functions that are not live",
    "'Node.js functions without the program `node` on its PATH'": "this machine",
    "f'Node.js functions with the Node.js {version} of its PATH'": "this machine",
}


def refusals() -> Iterator[str]:
    """Yield what the sandbox says in its code of that which it does not emulate."""
    (folder,) = terralive_sandbox.__path__
    for file in Path(folder).rglob("*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield from said(node)


def said(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    if name in ("not_emulated", "not_emulated_method"):
        yield ast.unparse(call.args[0])
    if name == "IntegrationError" and ast.unparse(call.args[0]) == "Failure.NOT_EMULATED":
        yield ast.unparse(call.args[1])


def test_each_refusal_is_announced_by_a_plan_or_no_plan_shows_it() -> None:
    known = {*SHOWN, *NOT_SHOWN}
    # `what` is the parameter of the function that says it.
    assert set(refusals()) - {"what"} == known


@pytest.mark.parametrize("refusal", SHOWN)
def test_a_plan_announces_what_the_sandbox_will_refuse(refusal: str) -> None:
    for kind, values in SHOWN[refusal]:
        plan = PlanDocument()
        plan.managed(f"{kind}.x", values)
        evaluation = plan.evaluation(Path("/srv/app"))
        functions = tuple(planned_functions(evaluation))
        found = [item.message for item in sandbox_warnings(evaluation, functions, frozenset())]
        assert len(found) == 1, (kind, values)
        assert f"{kind}.x." in found[0]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("aws_cloudwatch_event_target", {"arn": ARN.format("sqs")}),
        ("aws_cloudwatch_event_target", {}),
        (SCHEDULE, {"target": [{"arn": ARN.format("lambda"), "ecs_parameters": []}]}),
        (INVOKE_CONFIG, {"destination_config": [{"on_failure": [{"destination": None}]}]}),
        (MAPPING, {"event_source_arn": ARN.format("sqs"), "tumbling_window_in_seconds": 0}),
        ("aws_lambda_function_url", {"invoke_mode": "RESPONSE_STREAM"}),
        ("aws_api_gateway_integration", {"type": "AWS"}),
        (REST_API, document({"type": "aws"})),
        ("aws_pipes_pipe", {"source": ARN.format("sqs"), "target": ARN.format("lambda")}),
        ("aws_pipes_pipe", {"source": ARN.format("kinesis"), "target": None}),
        (
            "aws_api_gateway_integration",
            {"request_parameters": {TENANT: "context.identity.sourceIp"}},
        ),
        (
            "aws_api_gateway_integration",
            {"type": "AWS_PROXY", "response_transfer_mode": "STREAM", "uri": STREAMING_URI},
        ),
        (REST_API, document({**PROXY, "uri": STREAMING_URI, "responseTransferMode": "STREAM"})),
        (
            "aws_s3_bucket_notification",
            {"lambda_function": [{"events": ["s3:ObjectCreated:Put"]}], "queue": []},
        ),
    ],
)
def test_what_the_sandbox_takes_is_not_announced(kind: str, values: dict[str, Json]) -> None:
    plan = PlanDocument()
    plan.managed(f"{kind}.x", values)
    evaluation = plan.evaluation(Path("/srv/app"))
    assert not list(sandbox_warnings(evaluation, (), frozenset()))


def test_a_notification_of_other_events_than_objects_own_is_named() -> None:
    plan = PlanDocument()
    plan.managed(
        "aws_s3_bucket_notification.x",
        {"queue": [{"events": ["s3:ObjectCreated:*", "s3:ReducedRedundancyLostObject"]}]},
    )
    evaluation = plan.evaluation(Path("/srv/app"))
    (warning,) = sandbox_warnings(evaluation, (), frozenset())
    assert "sent only for objects that are created or removed" in warning.message
