"""Warnings about resources of a configuration that the sandbox does not emulate."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_cli.app.sandbox_gaps import sandbox_warnings
from terralive_stub.shared.json_documents import Json
from terralive_terraform.evaluation.functions import planned_functions
from terralive_testing.fakes.plan_document import PlanDocument

FUNCTION: dict[str, Json] = {"function_name": "f", "handler": "app.handler"}


def warnings_of(plan: PlanDocument, *live: str) -> list[str]:
    evaluation = plan.evaluation(Path("/srv/app"))
    functions = tuple(planned_functions(evaluation))
    found = list(sandbox_warnings(evaluation, functions, frozenset(live)))
    assert all(warning.reference == "sandbox-lacks" for warning in found)
    return [warning.message for warning in found]


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("aws_sfn_state_machine", {}, "no execution of them runs"),
        (
            "aws_apigatewayv2_authorizer",
            {"jwt_configuration": [{"issuer": "https://issuer.example"}]},
            "issuer is not on this machine",
        ),
        ("aws_api_gateway_authorizer", {"type": "COGNITO_USER_POOLS"}, "answered with 501"),
        ("aws_api_gateway_integration", {"type": "HTTP"}, "answered with 501"),
        ("aws_lambda_event_source_mapping", {"topics": ["t"]}, "Kafka"),
        ("aws_lb_target_group", {"target_type": "lambda"}, "invoke no function"),
    ],
)
def test_what_the_sandbox_lacks_is_named_with_its_resource(
    kind: str, values: dict[str, Json], said: str
) -> None:
    plan = PlanDocument()
    plan.managed(f"{kind}.x", values)
    (message,) = warnings_of(plan)
    assert said in message
    assert f"{kind}.x." in message


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("aws_apigatewayv2_authorizer", {"authorizer_type": "REQUEST"}),
        ("aws_apigatewayv2_authorizer", {"authorizer_type": "JWT", "jwt_configuration": [{}]}),
        (
            "aws_apigatewayv2_authorizer",
            {"jwt_configuration": [{"issuer": "http://localhost:8080/realms/a"}]},
        ),
        (
            "aws_apigatewayv2_authorizer",
            {"jwt_configuration": [{"issuer": "https://cognito-idp.eu-west-1.amazonaws.com/p_1"}]},
        ),
        ("aws_api_gateway_authorizer", {"type": "TOKEN"}),
        ("aws_api_gateway_integration", {"type": "AWS_PROXY"}),
        ("aws_apigatewayv2_integration", {"integration_type": "AWS_PROXY"}),
        (
            "aws_apigatewayv2_integration",
            {
                "integration_type": "AWS_PROXY",
                "integration_subtype": "SQS-SendMessage",
                "request_parameters": {"MessageBody": "$request.body"},
            },
        ),
        ("aws_apigatewayv2_api", {"body": None, "protocol_type": "HTTP"}),
        ("aws_apigatewayv2_api", {"body": "{}"}),
        ("aws_lambda_event_source_mapping", {"topics": None, "queues": []}),
        ("aws_lb_target_group", {"target_type": "ip"}),
        ("aws_sqs_queue", {}),
    ],
)
def test_what_the_sandbox_does_is_no_warning(kind: str, values: dict[str, Json]) -> None:
    plan = PlanDocument()
    plan.managed(f"{kind}.x", values)
    assert warnings_of(plan) == []


def test_many_resources_are_one_warning_with_their_number() -> None:
    plan = PlanDocument()
    for number in range(8):
        plan.managed(f"aws_sfn_state_machine.flow[{number}]", {})
    (message,) = warnings_of(plan)
    assert "aws_sfn_state_machine.flow[4] and 3 more." in message


def test_deployed_code_that_cannot_run_here_is_named_unless_its_function_is_live() -> None:
    plan = PlanDocument()
    plan.managed("aws_lambda_function.java", {**FUNCTION, "runtime": "java21"})
    plan.managed("aws_lambda_function.image[0]", {**FUNCTION, "package_type": "Image"})
    plan.managed("aws_lambda_function.python", {**FUNCTION, "runtime": "python3.12"})
    plan.managed("aws_lambda_function.go", {**FUNCTION, "runtime": "provided.al2023"})
    (message,) = warnings_of(plan, "aws_lambda_function.image")
    assert "not run: their runtime is not in the sandbox: aws_lambda_function.java." in message
