"""Triggers of the functions of a plan: how long an invocation may take."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.evaluation.functions import planned_functions
from terralive_terraform.evaluation.planned import Triggers
from terralive_terraform.evaluation.triggers import invokers_of, triggers_of
from terralive_testing.fakes.plan_document import PlanDocument

API = "aws_lambda_function.api"
QUEUE = "aws_sqs_queue.orders"
MAPPING = "aws_lambda_event_source_mapping.orders"
TO_API = {"function_name": [f"{API}.arn", API]}
TO_QUEUE = {"event_source_arn": [f"{QUEUE}.arn", QUEUE]}
NEW: dict[str, Json] = {"function_name": True, "event_source_arn": True}


def triggers(plan: PlanDocument, address: str = API) -> Triggers:
    evaluation = plan.evaluation(Path("/app"))
    return triggers_of(evaluation, planned_functions(evaluation))[address]


@pytest.fixture
def plan() -> PlanDocument:
    """A plan with one function and one queue."""
    document = PlanDocument()
    document.managed(API, {"function_name": "api"}, unknown={"arn": True})
    document.managed(QUEUE, {"visibility_timeout_seconds": 60}, unknown={"arn": True})
    return document


def test_the_visibility_timeout_of_a_new_queue_is_known(plan: PlanDocument) -> None:
    plan.managed(MAPPING, {}, unknown=NEW, references={**TO_API, **TO_QUEUE})
    assert triggers(plan).queue_visibilities == (60,)


def test_a_mapping_names_a_deployed_function_and_queue_by_their_arns() -> None:
    plan = PlanDocument()
    arn = "arn:aws:sqs:eu-west-1:1:orders"
    plan.managed(API, {"function_name": "api"})
    plan.managed(QUEUE, {"visibility_timeout_seconds": 90, "arn": arn})
    function = "arn:aws:lambda:eu-west-1:1:function:api:live"
    plan.managed(MAPPING, {"function_name": function, "event_source_arn": arn})
    assert triggers(plan).queue_visibilities == (90,)


def test_a_queue_of_another_configuration_may_have_any_visibility_timeout(
    plan: PlanDocument,
) -> None:
    other = "arn:aws:sqs:eu-west-1:1:other"
    plan.managed(MAPPING, {"function_name": "api", "event_source_arn": other})
    assert triggers(plan).queue_visibilities == (None,)


@pytest.mark.parametrize(
    "references",
    [
        {**TO_API, "event_source_arn": ["aws_dynamodb_table.t.stream_arn", "aws_dynamodb_table.t"]},
        {"function_name": ["aws_lambda_function.other.arn"], **TO_QUEUE},
    ],
)
def test_streams_and_other_functions_count_for_nothing(
    plan: PlanDocument, references: dict[str, list[str]]
) -> None:
    plan.managed("aws_dynamodb_table.t", {})
    plan.managed("aws_lambda_function.other", {"function_name": "other"})
    plan.managed(MAPPING, {}, unknown=NEW, references=references)
    assert triggers(plan) == Triggers()


def test_a_trigger_behind_an_alias_in_another_module_is_the_functions() -> None:
    plan = PlanDocument()
    function = "module.fn.aws_lambda_function.this[0]"
    plan.managed(function, {"function_name": "fn"})
    plan.managed(
        "module.fn.aws_lambda_alias.live",
        {},
        references={"function_name": ["aws_lambda_function.this[0].function_name"]},
    )
    plan.output("module.fn", "arn", ["aws_lambda_alias.live.arn"])
    plan.call("module.api", {"uri": ["module.fn.arn", "module.fn"]})
    plan.managed(
        "module.api.aws_apigatewayv2_integration.fn",
        {},
        unknown={"integration_uri": True},
        references={"integration_uri": ["var.uri"]},
    )
    assert triggers(plan, function).gateways == ("aws_apigatewayv2_integration",)


def test_integrations_and_authorizers_are_told_apart(plan: PlanDocument) -> None:
    plan.managed("aws_api_gateway_integration.get", {}, references={"uri": [f"{API}.invoke_arn"]})
    plan.managed("aws_api_gateway_integration.post", {}, references={"uri": [f"{API}.invoke_arn"]})
    uri = "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/"
    uri += "arn:aws:lambda:eu-west-1:1:function:api/invocations"
    plan.managed("aws_apigatewayv2_authorizer.a", {"authorizer_uri": uri})
    assert triggers(plan) == Triggers(
        gateways=("aws_api_gateway_integration",), authorizers=("aws_apigatewayv2_authorizer",)
    )


def test_each_function_of_a_for_each_has_its_own_queue() -> None:
    plan = PlanDocument()
    for key, seconds in (("a", 30), ("b", 300)):
        plan.managed(f'{API}["{key}"]', {"function_name": key})
        plan.managed(f'{QUEUE}["{key}"]', {"visibility_timeout_seconds": seconds})
        references = {
            "function_name": [API, "each.key"],
            "event_source_arn": [QUEUE, "each.key"],
        }
        plan.managed(f'{MAPPING}["{key}"]', {}, unknown=NEW, references=references)
    assert triggers(plan, f'{API}["a"]').queue_visibilities == (30,)
    assert triggers(plan, f'{API}["b"]').queue_visibilities == (300,)


@pytest.mark.parametrize("written", ['module.fn["b"].arn', "module.fn"])
def test_a_trigger_of_one_call_of_a_module_is_that_calls_functions(written: str) -> None:
    plan = PlanDocument()
    for key in ("a", "b"):
        plan.managed(f'module.fn["{key}"].aws_lambda_function.this[0]', {"function_name": key})
    plan.output("module.fn", "arn", ["aws_lambda_function.this[0].arn", "aws_lambda_function.this"])
    plan.managed(
        'aws_api_gateway_integration.all["b"]', {}, references={"uri": [written, "each.key"]}
    )
    integration = ("aws_api_gateway_integration",)
    other = 'module.fn["a"].aws_lambda_function.this[0]'
    assert triggers(plan, 'module.fn["b"].aws_lambda_function.this[0]').gateways == integration
    assert triggers(plan, other).gateways == ()


# What invokes a function, for people


def invokers(plan: PlanDocument, address: str = API) -> tuple[str, ...]:
    return invokers_of(plan.evaluation(Path("/app"))).get(address, ())


def test_nothing_is_said_of_a_function_that_nothing_in_the_plan_invokes(
    plan: PlanDocument,
) -> None:
    assert invokers(plan) == ()


@pytest.mark.parametrize(
    ("kind", "values", "service"),
    [
        ("aws_lambda_permission", {"principal": "s3.amazonaws.com"}, "S3"),
        ("aws_lambda_permission", {"principal": "logs.eu-west-1.amazonaws.com"}, "CloudWatch Logs"),
        ("aws_lambda_permission", {"principal": "lex.amazonaws.com"}, "lex.amazonaws.com"),
        ("aws_lambda_function_url", {}, "function URL"),
        (MAPPING.partition(".")[0], {"event_source_arn": "arn:aws:mq:eu-west-1:1:b"}, "Amazon MQ"),
        (MAPPING.partition(".")[0], {"self_managed_event_source": [{"endpoints": {}}]}, "Kafka"),
        (MAPPING.partition(".")[0], {}, "an event source mapping"),
    ],
)
def test_a_service_is_named_as_aws_names_it(
    plan: PlanDocument, kind: str, values: dict[str, Json], service: str
) -> None:
    plan.managed(f"{kind}.x", {"function_name": "api", **values})
    assert invokers(plan) == (service,)


@pytest.mark.parametrize("principal", ["123456789012", "arn:aws:iam::1:role/x", "*"])
def test_a_permission_for_an_account_or_a_role_is_no_trigger(
    plan: PlanDocument, principal: str
) -> None:
    values: dict[str, Json] = {"function_name": "api", "principal": principal}
    plan.managed("aws_lambda_permission.x", values)
    assert invokers(plan) == ()


def test_each_service_is_named_once(plan: PlanDocument) -> None:
    plan.managed(MAPPING, {}, unknown=NEW, references={**TO_API, **TO_QUEUE})
    plan.managed(f"{MAPPING}_2", {}, unknown=NEW, references={**TO_API, **TO_QUEUE})
    plan.managed("aws_apigatewayv2_integration.a", {}, references={"integration_uri": [API]})
    allowed: dict[str, Json] = {"function_name": "api", "principal": "apigateway.amazonaws.com"}
    plan.managed("aws_lambda_permission.a", allowed)
    plan.managed("aws_sns_topic_subscription.s", {}, references={"endpoint": [f"{API}.arn"]})
    assert invokers(plan) == ("API Gateway", "SNS", "SQS")


def test_the_target_of_a_schedule_is_in_a_nested_block(plan: PlanDocument) -> None:
    plan.managed("aws_scheduler_schedule.new", {}, unknown={"target": True})
    plan.nested("aws_scheduler_schedule.new", "target", {"arn": []})
    assert invokers(plan) == ()
    arn = "arn:aws:lambda:eu-west-1:1:function:api"
    plan.managed("aws_scheduler_schedule.old", {"target": [{"arn": arn, "role_arn": "r"}]})
    assert invokers(plan) == ("EventBridge Scheduler",)
