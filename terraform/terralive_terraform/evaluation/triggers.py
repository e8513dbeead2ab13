"""Triggers of the functions of a plan that limit how long an invocation may take. Pure.

A trigger belongs to a function by the function's name or ARN in its values, or by references,
also through an alias, a variable or an output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from terralive_stub.shared.json_documents import text
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.evaluation.document import Evaluated, Evaluation
from terralive_terraform.evaluation.planned import PlannedFunction, Triggers
from terralive_terraform.evaluation.references import referred

MAPPING: Final = "aws_lambda_event_source_mapping"
QUEUE: Final = "aws_sqs_queue"
ALIAS: Final = "aws_lambda_alias"
# Each type of API Gateway integration or authorizer, and its attribute that names the function.
INTEGRATIONS: Final = {
    "aws_apigatewayv2_integration": "integration_uri",
    "aws_api_gateway_integration": "uri",
}
AUTHORIZERS: Final = {
    "aws_apigatewayv2_authorizer": "authorizer_uri",
    "aws_api_gateway_authorizer": "authorizer_uri",
}
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
_FUNCTION_ARN: Final = re.compile(r":function:(?P<name>[\w-]+)")


def with_triggers(
    functions: Iterable[PlannedFunction], evaluation: Evaluation
) -> tuple[PlannedFunction, ...]:
    """Return functions with what invokes them."""
    functions = tuple(functions)
    triggers = triggers_of(evaluation, functions)
    return tuple(replace(item, triggers=triggers[item.address]) for item in functions)


def triggers_of(
    evaluation: Evaluation, functions: Iterable[PlannedFunction]
) -> dict[str, Triggers]:
    """Return the triggers of functions, by their addresses with instance keys."""
    found = {function.address: Triggers() for function in functions}
    names = _addresses_by_name(evaluation)
    for mapping in evaluation.instances(MAPPING):
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
        if target.type == ALIAS:
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
    for queue in evaluation.instances(QUEUE):
        if source and text(queue.values, "arn") == source:
            return (_seconds(queue),)
    targets = referred(evaluation, mapping.address, mapping.module, ("event_source_arn",))
    queues = [item for item in targets if item.type == QUEUE]
    if queues:
        return tuple(_seconds(queue) for queue in queues)
    if targets and not source:
        # A stream of a table, a topic of a cluster, …
        return ()
    if not source and "event_source_arn" not in mapping.unknown:
        # A self-managed cluster has no ARN.
        return ()
    return (None,)


def _seconds(queue: Evaluated) -> int | None:
    seconds = queue.values.get("visibility_timeout_seconds")
    if isinstance(seconds, int):
        return seconds
    return None
