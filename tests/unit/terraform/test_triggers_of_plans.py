"""Triggers of the functions of a plan: how long an invocation may take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terralive_stub.shared.json_documents import Json
from terralive_terraform.evaluation.functions import planned_functions
from terralive_terraform.evaluation.planned import Triggers
from terralive_terraform.evaluation.triggers.invokers import invokers_of
from terralive_terraform.evaluation.triggers.limits import triggers_of
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


@pytest.mark.parametrize(
    ("address", "values", "references"),
    [
        (
            "aws_lambda_function_url.api",
            {"invoke_mode": "RESPONSE_STREAM"},
            {"function_name": [f"{API}.function_name"]},
        ),
        (
            "aws_api_gateway_integration.get",
            {"response_transfer_mode": "STREAM"},
            {"uri": [f"{API}.response_streaming_invoke_arn"]},
        ),
        # Of a provider that does not know the transfer mode yet.
        (
            "aws_api_gateway_integration.get",
            {},
            {"uri": [f"{API}.response_streaming_invoke_arn"]},
        ),
        (
            "aws_api_gateway_integration.get",
            {
                "uri": "arn:aws:apigateway:eu-west-1:lambda:path/2021-11-15/functions/"
                "arn:aws:lambda:eu-west-1:1:function:api/response-streaming-invocations"
            },
            {},
        ),
        # In an OpenAPI document, before an apply and after it.
        (
            "aws_api_gateway_rest_api.shop",
            {},
            {"body": [f"{API}.response_streaming_invoke_arn", API]},
        ),
        (
            "aws_api_gateway_rest_api.shop",
            {
                "body": '{"uri": "arn:aws:apigateway:eu-west-1:lambda:path/2021-11-15/functions/'
                'arn:aws:lambda:eu-west-1:1:function:api:live/response-streaming-invocations"}'
            },
            {},
        ),
    ],
)
def test_a_function_url_or_a_rest_api_may_take_streamed_responses(
    plan: PlanDocument, address: str, values: dict[str, Json], references: dict[str, list[str]]
) -> None:
    plan.managed(address, values, references=references)
    assert triggers(plan).streams


@pytest.mark.parametrize(
    ("address", "values", "references"),
    [
        (
            "aws_lambda_function_url.api",
            {"invoke_mode": "BUFFERED"},
            {"function_name": [f"{API}.function_name"]},
        ),
        (
            "aws_lambda_function_url.other",
            {"invoke_mode": "RESPONSE_STREAM", "function_name": "other"},
            {},
        ),
        ("aws_api_gateway_integration.get", {}, {"uri": [f"{API}.invoke_arn"]}),
        ("aws_apigatewayv2_integration.get", {}, {"integration_uri": [f"{API}.invoke_arn"]}),
        ("aws_api_gateway_rest_api.shop", {}, {"body": [f"{API}.invoke_arn", API]}),
        (
            "aws_api_gateway_rest_api.shop",
            {
                "body": '{"uri": "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/'
                'arn:aws:lambda:eu-west-1:1:function:api/invocations"}'
            },
            {},
        ),
    ],
)
def test_other_callers_take_a_response_as_a_whole(
    plan: PlanDocument, address: str, values: dict[str, Json], references: dict[str, list[str]]
) -> None:
    plan.managed(address, values, references=references)
    assert not triggers(plan).streams


def test_the_value_of_a_for_each_over_queues_is_the_queue_of_the_same_key() -> None:
    plan = PlanDocument()
    for key, seconds in (("a", 30), ("b", 300)):
        plan.managed(f'{API}["{key}"]', {"function_name": key})
        plan.managed(f'{QUEUE}["{key}"]', {"visibility_timeout_seconds": seconds})
        references = {"function_name": [API, "each.key"], "event_source_arn": ["each.value"]}
        plan.managed(f'{MAPPING}["{key}"]', {}, unknown=NEW, references=references)
        plan.for_each(MAPPING, [QUEUE])
    assert triggers(plan, f'{API}["b"]').queue_visibilities == (300,)
    assert invokers_of(plan.evaluation(Path("/app"))) == {
        f'{API}["a"]': ("SQS",),
        f'{API}["b"]': ("SQS",),
    }


def test_the_key_of_an_output_that_is_a_map_is_the_key_of_the_instance() -> None:
    plan = PlanDocument()
    for key in ("a", "b"):
        plan.managed(f'module.service.module.fn["{key}"].aws_lambda_function.this', {})
    plan.output("module.service.module.fn", "arn", ["aws_lambda_function.this.arn"])
    plan.output("module.service", "arns", ["module.fn"])
    endpoint = ['module.service.arns["a"]', "module.service.arns", "module.service"]
    unknown: dict[str, Json] = {"endpoint": True}
    subscription = "aws_sns_topic_subscription.s"
    plan.managed(subscription, {}, unknown=unknown, references={"endpoint": endpoint})
    assert invoked(plan) == {"a": ("SNS",)}


def several_in_a_module(**uris: str) -> PlanDocument:
    """Return a plan of a module with `for_each`, an integration for two of its three functions.

    Args:
        uris: the value of an integration's URI, by the function; "" while it is not known.
    """
    plan = PlanDocument()
    plan.output("module.fn", "arn", ["aws_lambda_function.this.arn"])
    plan.output("module.fn", "name", ["aws_lambda_function.this.function_name"])
    for key in ("intake", "report", "worker"):
        plan.managed(f'module.fn["{key}"].aws_lambda_function.this', {"function_name": key})
    for key, uri in uris.items():
        integration = f'aws_apigatewayv2_integration.this["GET /{key}"]'
        known: dict[str, Json] = {"integration_uri": uri} if uri else {}
        unknown: dict[str, Json] = {} if uri else {"integration_uri": True}
        references = {"integration_uri": ["module.fn", "each.value"]}
        plan.managed(integration, known, unknown=unknown, references=references)
    return plan


def permit(plan: PlanDocument, key: str, name: str) -> None:
    """Add a permission for API Gateway, whose function is known by its name."""
    values: dict[str, Json] = {"function_name": name, "principal": "apigateway.amazonaws.com"}
    references = {"function_name": ["module.fn", "each.value"]}
    plan.managed(f'aws_lambda_permission.http["GET /{key}"]', values, references=references)


def invoked(plan: PlanDocument) -> dict[str, tuple[str, ...]]:
    """Return the services that invoke a function, by the key of its module."""
    found = invokers_of(plan.evaluation(Path("/app")))
    return {address.split('"')[1]: services for address, services in found.items()}


def test_a_function_of_a_module_has_no_trigger_of_the_others_while_values_are_unknown() -> None:
    plan = several_in_a_module(intake="", report="")
    permit(plan, "intake", "intake")
    permit(plan, "report", "report")
    assert invoked(plan) == {"intake": ("API Gateway",), "report": ("API Gateway",)}


def test_a_function_of_a_module_has_no_trigger_of_the_others_once_values_are_known() -> None:
    arn = "arn:aws:lambda:eu-west-1:1:function:"
    plan = several_in_a_module(intake=f"{arn}intake", report=f"{arn}report")
    assert invoked(plan) == {"intake": ("API Gateway",), "report": ("API Gateway",)}


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


@pytest.mark.parametrize("written", ['module.fn["b"].arn', 'module.fn["b"]', "module.fn"])
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
        ("aws_lambda_permission", {"principal": "other.amazonaws.com"}, "other.amazonaws.com"),
        ("aws_lambda_permission", {"principal": "lexv2.amazonaws.com"}, "Lex"),
        ("aws_lambda_permission", {"principal": "alexa-appkit.amazon.com"}, "Alexa"),
        (
            "aws_lambda_permission",
            {"principal": "lambda.alarms.cloudwatch.amazonaws.com"},
            "CloudWatch alarm",
        ),
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


# State machines, and other documents and blocks that name functions


MACHINE = "aws_sfn_state_machine.orders"
OF_API = [f"{API}.arn", API]
LAMBDA_API = "arn:aws:states:::lambda:invoke"


def state(**fields: Json) -> str:
    """Return the definition of a state machine with one state."""
    return json.dumps({"StartAt": "One", "States": {"One": {"Type": "Task", **fields}}})


@pytest.mark.parametrize(
    "references",
    [
        OF_API,
        [f"{API}.function_name", API],
        # `templatefile("…", {functions = {for k, f in aws_lambda_function.api : k => f.arn}})`
        ["path.module", API],
        ["aws_lambda_alias.live.arn", "aws_lambda_alias.live"],
    ],
)
def test_the_functions_of_a_new_state_machine_are_those_its_definition_refers_to(
    plan: PlanDocument, references: list[str]
) -> None:
    to_function: dict[str, list[str]] = {"function_name": OF_API}
    plan.managed("aws_lambda_alias.live", {}, references=to_function)
    plan.managed("aws_lambda_function.other", {"function_name": "other"})
    plan.managed(MACHINE, {}, unknown={"definition": True}, references={"definition": references})
    assert invokers(plan) == ("Step Functions",)
    assert invokers(plan, "aws_lambda_function.other") == ()


@pytest.mark.parametrize(
    "definition",
    [
        state(Resource="arn:aws:lambda:eu-west-1:1:function:api"),
        state(Resource="arn:aws:lambda:eu-west-1:1:function:api:live"),
        state(Resource=LAMBDA_API, Parameters={"FunctionName": "api"}),
        state(Resource=LAMBDA_API, Parameters={"FunctionName": "api:live"}),
        state(
            Resource=LAMBDA_API,
            Arguments={"FunctionName": "arn:aws:lambda:eu-west-1:1:function:api:$LATEST"},
        ),
    ],
)
def test_the_functions_of_a_deployed_state_machine_are_those_its_definition_names(
    plan: PlanDocument, definition: str
) -> None:
    """Its expression may refer to more functions than the definition has."""
    plan.managed("aws_lambda_function.apis", {"function_name": "apis"})
    other = ["aws_lambda_function.apis"]
    plan.managed(MACHINE, {"definition": definition}, references={"definition": [*OF_API, *other]})
    assert invokers(plan) == ("Step Functions",)
    assert invokers(plan, "aws_lambda_function.apis") == ()


def test_one_instance_in_a_definition_is_not_every_instance() -> None:
    """Terraform also writes the reference without the key, and without the attribute."""
    plan = PlanDocument()
    for key in ("a", "b"):
        plan.managed(f'{API}["{key}"]', {"function_name": key})
    references = [f'{API}["a"].arn', f'{API}["a"]', API]
    plan.managed(MACHINE, {}, unknown={"definition": True}, references={"definition": references})
    assert invokers(plan, f'{API}["a"]') == ("Step Functions",)
    assert invokers(plan, f'{API}["b"]') == ()


def test_a_state_machine_of_a_module_gets_its_definition_by_a_variable() -> None:
    plan = PlanDocument()
    plan.managed(API, {"function_name": "api"})
    plan.call("module.flow", {"definition": OF_API})
    plan.managed(
        "module.flow.aws_sfn_state_machine.this[0]",
        {},
        unknown={"definition": True},
        references={"definition": ["var.definition"]},
    )
    assert invokers(plan) == ("Step Functions",)


ARN: Json = "arn:aws:lambda:eu-west-1:1:function:api"
# A resource type, its values, and the service that invokes the function.
DOCUMENTS: list[tuple[str, dict[str, Json], str]] = [
    ("aws_appsync_datasource", {"lambda_config": [{"function_arn": ARN}]}, "AppSync"),
    (
        "aws_appsync_graphql_api",
        {"lambda_authorizer_config": [{"authorizer_uri": ARN}]},
        "AppSync (authorizer)",
    ),
    (
        "aws_bedrockagent_agent_action_group",
        {"action_group_executor": [{"lambda": ARN}]},
        "Bedrock",
    ),
    (
        "aws_cloudformation_stack",
        {"template_body": f"Resources:\n  Own:\n    Properties:\n      ServiceToken: {ARN}\n"},
        "CloudFormation",
    ),
    (
        "aws_cloudformation_stack",
        {"template_body": json.dumps({"Properties": {"ServiceToken": ARN}})},
        "CloudFormation",
    ),
    (
        "aws_cloudfront_distribution",
        {"ordered_cache_behavior": [{"lambda_function_association": [{"lambda_arn": f"{ARN}:1"}]}]},
        "CloudFront",
    ),
    ("aws_cloudwatch_metric_alarm", {"alarm_actions": [ARN]}, "CloudWatch alarm"),
    ("aws_cloudwatch_composite_alarm", {"ok_actions": [ARN]}, "CloudWatch alarm"),
    ("aws_cognito_user_pool", {"lambda_config": [{"pre_sign_up": ARN}]}, "Cognito"),
    (
        "aws_cognito_user_pool",
        {"lambda_config": [{"custom_email_sender": [{"lambda_arn": ARN}]}]},
        "Cognito",
    ),
    ("aws_config_config_rule", {"source": [{"source_identifier": ARN}]}, "AWS Config"),
    ("aws_config_organization_custom_rule", {"lambda_function_arn": ARN}, "AWS Config"),
    ("aws_connect_lambda_function_association", {"function_arn": ARN}, "Amazon Connect"),
    ("aws_iot_topic_rule", {"lambda": [{"function_arn": ARN}]}, "IoT"),
    ("aws_iot_topic_rule", {"error_action": [{"lambda": [{"function_arn": ARN}]}]}, "IoT"),
    (
        "aws_kinesis_firehose_delivery_stream",
        {
            "extended_s3_configuration": [
                {
                    "processing_configuration": [
                        {
                            "processors": [
                                {
                                    "type": "Lambda",
                                    "parameters": [
                                        {
                                            "parameter_name": "LambdaArn",
                                            "parameter_value": f"{ARN}:$LATEST",
                                        }
                                    ],
                                }
                            ]
                        }
                    ]
                }
            ]
        },
        "Firehose",
    ),
    ("aws_lambda_invocation", {"function_name": "api"}, "Terraform"),
    (
        "aws_lambda_function_event_invoke_config",
        {
            "function_name": "other",
            "destination_config": [{"on_success": [{"destination": ARN}]}],
        },
        "Lambda (destination)",
    ),
    ("aws_lb_target_group_attachment", {"target_id": ARN}, "Application Load Balancer"),
    ("aws_lex_intent", {"fulfillment_activity": [{"code_hook": [{"uri": ARN}]}]}, "Lex"),
    ("aws_pipes_pipe", {"target": ARN}, "EventBridge Pipes"),
    ("aws_pipes_pipe", {"enrichment": ARN}, "EventBridge Pipes"),
    ("aws_s3_bucket_notification", {"lambda_function": [{"lambda_function_arn": ARN}]}, "S3"),
    (
        "aws_s3control_object_lambda_access_point",
        {
            "configuration": [
                {
                    "transformation_configuration": [
                        {"content_transformation": [{"aws_lambda": [{"function_arn": ARN}]}]}
                    ]
                }
            ]
        },
        "S3 Object Lambda",
    ),
    (
        "aws_scheduler_schedule",
        {
            "target": [
                {
                    "arn": "arn:aws:scheduler:::aws-sdk:lambda:invoke",
                    "input": json.dumps({"FunctionName": "api", "Payload": "{}"}),
                }
            ]
        },
        "EventBridge Scheduler",
    ),
    ("aws_secretsmanager_secret_rotation", {"rotation_lambda_arn": ARN}, "Secrets Manager"),
    ("aws_ses_receipt_rule", {"lambda_action": [{"function_arn": ARN}]}, "SES"),
    ("aws_ssm_maintenance_window_task", {"task_arn": ARN}, "Systems Manager"),
    ("aws_transfer_server", {"function": ARN}, "Transfer Family"),
    ("aws_vpclattice_target_group_attachment", {"target": [{"id": ARN}]}, "VPC Lattice"),
]


@pytest.mark.parametrize(("kind", "values", "service"), DOCUMENTS)
def test_a_service_is_named_by_the_resource_that_makes_it_invoke_a_function(
    plan: PlanDocument, kind: str, values: dict[str, Json], service: str
) -> None:
    plan.managed(f"{kind}.x", values)
    assert invokers(plan) == (service,)


def test_a_block_of_a_new_resource_refers_to_its_function(plan: PlanDocument) -> None:
    plan.managed("aws_cognito_user_pool.users", {}, unknown={"lambda_config": True})
    plan.nested("aws_cognito_user_pool.users", "lambda_config", {"custom_email_sender": []})
    assert invokers(plan) == ()
    sender = {"lambda_arn": OF_API, "lambda_version": []}
    plan.nested("aws_cognito_user_pool.users", "lambda_config", {"custom_email_sender": [sender]})
    assert invokers(plan) == ("Cognito",)


def test_terraform_itself_may_invoke_a_function_while_it_plans(plan: PlanDocument) -> None:
    plan.data("data.aws_lambda_invocation.now", {"function_name": "api"})
    assert invokers(plan) == ("Terraform",)


@pytest.mark.parametrize(("provider", "found"), [("Lambda", ("CodePipeline",)), ("CodeBuild", ())])
def test_a_pipeline_invokes_the_functions_of_its_lambda_actions(
    plan: PlanDocument, provider: str, found: tuple[str, ...]
) -> None:
    """An action that deploys a function names it, too, and does not invoke it."""
    action: Json = {"provider": provider, "configuration": {"FunctionName": "api"}}
    plan.managed("aws_codepipeline.p", {"stage": [{"name": "s", "action": [action]}]})
    assert invokers(plan) == found
