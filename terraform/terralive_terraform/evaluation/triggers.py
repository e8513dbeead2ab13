"""Triggers of the functions of a plan: what they are, and how long an invocation may take. Pure.

A trigger belongs to a function by the function's name or ARN in its values, or by references,
also through an alias, a variable or an output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from terralive_stub.shared.json_documents import items, section, text
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.evaluation.aliases import ALIAS_TYPE
from terralive_terraform.evaluation.document import Evaluated, Evaluation
from terralive_terraform.evaluation.planned import PlannedFunction, Triggers
from terralive_terraform.evaluation.references import referred, referred_in

_MAPPING: Final = "aws_lambda_event_source_mapping"
_QUEUE: Final = "aws_sqs_queue"
HTTP: Final = "aws_apigatewayv2_integration"
REST: Final = "aws_api_gateway_integration"
# Each type of API Gateway integration or authorizer, and its attribute that names the function.
INTEGRATIONS: Final = {HTTP: "integration_uri", REST: "uri"}
AUTHORIZERS: Final = {
    "aws_apigatewayv2_authorizer": "authorizer_uri",
    "aws_api_gateway_authorizer": "authorizer_uri",
}
PERMISSION: Final = "aws_lambda_permission"
SCHEDULE: Final = "aws_scheduler_schedule"
_API_GATEWAY: Final = "API Gateway"
# Each resource type that makes a service invoke a function, its attribute that names the function,
# and the service.
_INVOKERS: Final = (
    *((kind, attribute, _API_GATEWAY) for kind, attribute in INTEGRATIONS.items()),
    *((kind, attribute, "API Gateway (authorizer)") for kind, attribute in AUTHORIZERS.items()),
    ("aws_lambda_function_url", "function_name", "function URL"),
    ("aws_sns_topic_subscription", "endpoint", "SNS"),
    ("aws_cloudwatch_event_target", "arn", "EventBridge"),
    ("aws_cloudwatch_log_subscription_filter", "destination_arn", "CloudWatch Logs"),
)
# Services by the first part of the principal in a permission:
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html
_PRINCIPALS: Final = {
    "apigateway": _API_GATEWAY,
    "cloudfront": "CloudFront",
    "cognito-idp": "Cognito",
    "config": "AWS Config",
    "elasticloadbalancing": "Application Load Balancer",
    "events": "EventBridge",
    "iot": "IoT",
    "logs": "CloudWatch Logs",
    "s3": "S3",
    "scheduler": "EventBridge Scheduler",
    "secretsmanager": "Secrets Manager",
    "ses": "SES",
    "sns": "SNS",
}
_SERVICE: Final = re.compile(r"^(?P<name>[a-z0-9-]+)(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?$")
# Event sources by the service in their ARN, and by their resource type:
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
_SOURCES: Final = {
    "sqs": "SQS",
    "kinesis": "Kinesis",
    "dynamodb": "DynamoDB",
    "kafka": "MSK",
    "mq": "Amazon MQ",
    "rds": "DocumentDB",
}
_SOURCE_TYPES: Final = {
    _QUEUE: "SQS",
    "aws_kinesis_stream": "Kinesis",
    "aws_kinesis_stream_consumer": "Kinesis",
    "aws_dynamodb_table": "DynamoDB",
    "aws_msk_cluster": "MSK",
    "aws_msk_serverless_cluster": "MSK",
    "aws_mq_broker": "Amazon MQ",
    "aws_docdb_cluster": "DocumentDB",
}
_UNKNOWN_SOURCE: Final = "an event source mapping"
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
_SERVICE_OF_ARN: Final = 2
_FUNCTION_ARN: Final = re.compile(r":function:(?P<name>[\w-]+)")


def with_triggers(
    functions: Iterable[PlannedFunction], evaluation: Evaluation
) -> tuple[PlannedFunction, ...]:
    """Return functions with what invokes them."""
    functions = tuple(functions)
    triggers = triggers_of(evaluation, functions)
    invokers = invokers_of(evaluation)
    found: list[PlannedFunction] = []
    for item in functions:
        invoked_by = invokers.get(item.address, ())
        found.append(replace(item, triggers=triggers[item.address], invoked_by=invoked_by))
    return tuple(found)


def invokers_of(evaluation: Evaluation) -> dict[str, tuple[str, ...]]:
    """Return the services that invoke functions, by the functions' addresses with instance keys.

    They are named for people. What the plan does not tell is left out.
    """
    names = _addresses_by_name(evaluation)
    found: dict[str, dict[str, None]] = {}
    for address, service in _invocations(evaluation, names):
        found.setdefault(address, {})[service] = None
    return {address: tuple(sorted(services)) for address, services in found.items()}


def _invocations(
    evaluation: Evaluation, names: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[str, str]]:
    """Yield the address of a function, and a service that invokes it."""
    for kind, attribute, service in _INVOKERS:
        for address in _called(evaluation, kind, attribute, names):
            yield address, service
    for mapping in evaluation.instances(_MAPPING):
        for address in _functions_of(evaluation, mapping, "function_name", names):
            yield address, _event_source(evaluation, mapping)
    for permission in evaluation.instances(PERMISSION):
        principal = _SERVICE.match(text(permission.values, "principal"))
        if principal is None:
            # An account or a role.
            continue
        service = _PRINCIPALS.get(principal["name"], principal[0])
        for address in _functions_of(evaluation, permission, "function_name", names):
            yield address, service
    for schedule in evaluation.instances(SCHEDULE):
        for address in _scheduled(evaluation, schedule, names):
            yield address, "EventBridge Scheduler"


def _event_source(evaluation: Evaluation, mapping: Evaluated) -> str:
    """Return the service that a mapping reads from."""
    arn = text(mapping.values, "event_source_arn").split(":")
    if len(arn) > _SERVICE_OF_ARN:
        return _SOURCES.get(arn[_SERVICE_OF_ARN], _UNKNOWN_SOURCE)
    if items(mapping.values, "self_managed_event_source"):
        return "Kafka"
    for source in referred(evaluation, mapping.address, mapping.module, ("event_source_arn",)):
        if source.type in _SOURCE_TYPES:
            return _SOURCE_TYPES[source.type]
    return _UNKNOWN_SOURCE


def _scheduled(
    evaluation: Evaluation, schedule: Evaluated, names: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    """Yield the addresses of the functions that are the target of a schedule."""
    block = section(evaluation.block(schedule.address), "expressions").get("target")
    for target in referred_in(evaluation, block, schedule.address, schedule.module):
        if target.type == FUNCTION_TYPE:
            yield target.address
    for item in items(schedule.values, "target"):
        if isinstance(item, dict):
            arn = _FUNCTION_ARN.search(text(item, "arn"))
            if arn is not None:
                yield from names.get(arn["name"], ())


def triggers_of(
    evaluation: Evaluation, functions: Iterable[PlannedFunction]
) -> dict[str, Triggers]:
    """Return the triggers of functions, by their addresses with instance keys."""
    found = {function.address: Triggers() for function in functions}
    names = _addresses_by_name(evaluation)
    for mapping in evaluation.instances(_MAPPING):
        visibilities = _visibilities(evaluation, mapping)
        for address in _functions_of(evaluation, mapping, "function_name", names):
            if address in found:
                of_function = found[address]
                several = (*of_function.queue_visibilities, *visibilities)
                found[address] = replace(of_function, queue_visibilities=several)
    for kind, attribute in INTEGRATIONS.items():
        for address in _called(evaluation, kind, attribute, names):
            if address in found:
                of_function = found[address]
                found[address] = replace(of_function, gateways=(*of_function.gateways, kind))
    for kind, attribute in AUTHORIZERS.items():
        for address in _called(evaluation, kind, attribute, names):
            if address in found:
                of_function = found[address]
                found[address] = replace(of_function, authorizers=(*of_function.authorizers, kind))
    return found


def _called(
    evaluation: Evaluation, kind: str, attribute: str, names: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return the functions that instances of a type call, each of them once."""
    addresses: dict[str, None] = {}
    for item in evaluation.instances(kind):
        addresses.update(dict.fromkeys(_functions_of(evaluation, item, attribute, names)))
    return tuple(addresses)


def _functions_of(
    evaluation: Evaluation, item: Evaluated, attribute: str, names: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    """Yield the addresses of the functions that an attribute names."""
    by_reference: dict[str, None] = {}
    for target in referred(evaluation, item.address, item.module, (attribute,)):
        if target.type == FUNCTION_TYPE:
            by_reference[target.address] = None
        if target.type == ALIAS_TYPE:
            of_alias = referred(evaluation, target.address, target.module, ("function_name",))
            by_reference.update(
                dict.fromkeys(one.address for one in of_alias if one.type == FUNCTION_TYPE)
            )
    if by_reference:
        yield from by_reference
        return
    value = text(item.values, attribute)
    arn = _FUNCTION_ARN.search(value)
    if arn is not None:
        value = arn["name"]
    yield from names.get(value.partition(":")[0], ())


def _addresses_by_name(evaluation: Evaluation) -> dict[str, tuple[str, ...]]:
    """Return the addresses of the functions of each name: regions and accounts may share one."""
    found: dict[str, tuple[str, ...]] = {}
    for item in evaluation.instances(FUNCTION_TYPE):
        name = text(item.values, "function_name")
        if name:
            found[name] = (*found.get(name, ()), item.address)
    return found


def _visibilities(evaluation: Evaluation, mapping: Evaluated) -> tuple[int | None, ...]:
    """Return the visibility timeout of a mapping's queue; empty where it polls no queue."""
    source = text(mapping.values, "event_source_arn")
    if source and ":sqs:" not in source:
        return ()
    for queue in evaluation.instances(_QUEUE):
        if source and text(queue.values, "arn") == source:
            return (_seconds(queue),)
    targets = referred(evaluation, mapping.address, mapping.module, ("event_source_arn",))
    visibilities = tuple(_seconds(item) for item in targets if item.type == _QUEUE)
    if visibilities or source:
        return visibilities or (None,)
    # Without a queue: a stream of a table, a topic of a cluster, …; a self-managed cluster has no
    # ARN at all.
    if targets or "event_source_arn" not in mapping.unknown:
        return ()
    return (None,)


def _seconds(queue: Evaluated) -> int | None:
    seconds = queue.values.get("visibility_timeout_seconds")
    if isinstance(seconds, int):
        return seconds
    return None
