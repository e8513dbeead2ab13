"""What invokes the functions of a plan, for people. Pure.

What the plan does not tell is left out. It does not tell what a `dynamic` block or a `local` refers
to: then only values that are known count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from terralive_stub.shared.json_documents import Json, items, section, text
from terralive_terraform.evaluation.document import DATA, Evaluated, Evaluation
from terralive_terraform.evaluation.references import referred
from terralive_terraform.evaluation.triggers.named import NamedFunctions, at
from terralive_terraform.evaluation.triggers.services import (
    BY_ATTRIBUTE,
    BY_PART,
    MAPPING,
    PRINCIPALS,
    SOURCE_TYPES,
    SOURCES,
)

_PERMISSION: Final = "aws_lambda_permission"
_PIPELINE: Final = "aws_codepipeline"
_STACK: Final = "aws_cloudformation_stack"
_INVOCATION: Final = "aws_lambda_invocation"
_SERVICE: Final = re.compile(r"^(?P<name>[a-z0-9-]+)(\.[a-z0-9-]+)*\.amazon(aws)?\.com(\.cn)?$")
_UNKNOWN_SOURCE: Final = "an event source mapping"
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
_SERVICE_OF_ARN: Final = 2
# A custom resource of a template, in JSON or YAML:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
_CUSTOM_RESOURCE: Final = re.compile(
    r"ServiceToken[\"']?\s*:\s*[\"']?arn:[\w:-]+:function:(?P<name>[\w-]+)"
)


def invokers_of(evaluation: Evaluation) -> dict[str, tuple[str, ...]]:
    """Return the services that invoke functions, by the functions' addresses with instance keys."""
    found: dict[str, dict[str, None]] = {}
    for address, service in _invocations(evaluation, NamedFunctions(evaluation)):
        found.setdefault(address, {})[service] = None
    return {address: tuple(sorted(services)) for address, services in found.items()}


def _invocations(evaluation: Evaluation, functions: NamedFunctions) -> Iterator[tuple[str, str]]:
    """Yield the address of a function, and a service that invokes it."""
    yield from _by_table(evaluation, functions)
    yield from _by_mapping(evaluation, functions)
    yield from _by_permission(evaluation, functions)
    for address in functions.called(_INVOCATION, "function_name", DATA):
        yield address, "Terraform"
    for pipeline in evaluation.instances(_PIPELINE):
        for address in _in_pipeline(evaluation, pipeline, functions):
            yield address, "CodePipeline"
    for stack in evaluation.instances(_STACK):
        for match in _CUSTOM_RESOURCE.finditer(text(stack.values, "template_body")):
            for address in functions.with_name(match["name"]):
                yield address, "CloudFormation"


def _by_table(evaluation: Evaluation, functions: NamedFunctions) -> Iterator[tuple[str, str]]:
    permitted = _permitted(evaluation, functions)
    for kind, attribute, service in BY_ATTRIBUTE:
        for item in evaluation.instances(kind):
            addresses = tuple(functions.of(item, attribute))
            # Before an apply, `module.fn[each.value].arn` may be any function of the module. Only
            # a function with a permission can be the one.
            some = [address for address in addresses if (address, service) in permitted]
            for address in some or addresses:
                yield address, service
    for kind, path, service in BY_PART:
        for item in evaluation.instances(kind):
            for address in functions.within(item, path):
                yield address, service


def _by_mapping(evaluation: Evaluation, functions: NamedFunctions) -> Iterator[tuple[str, str]]:
    for mapping in evaluation.instances(MAPPING):
        for address in functions.of(mapping, "function_name"):
            yield address, _event_source(evaluation, mapping)


def _by_permission(evaluation: Evaluation, functions: NamedFunctions) -> Iterator[tuple[str, str]]:
    for permission in evaluation.instances(_PERMISSION):
        service = _permitted_service(permission)
        if service is not None:
            for address in functions.of(permission, "function_name"):
                yield address, service


def _permitted(evaluation: Evaluation, functions: NamedFunctions) -> frozenset[tuple[str, str]]:
    """Return functions with the services that a permission certainly lets invoke them."""
    found: set[tuple[str, str]] = set()
    for permission in evaluation.instances(_PERMISSION):
        service = _permitted_service(permission)
        addresses = tuple(functions.of(permission, "function_name"))
        if service is not None and len(addresses) == 1:
            found.add((addresses[0], service))
    return frozenset(found)


def _permitted_service(permission: Evaluated) -> str | None:
    """Return the service that a permission is for; None for an account or a role."""
    principal = _SERVICE.match(text(permission.values, "principal"))
    if principal is None:
        return None
    return PRINCIPALS.get(principal["name"], principal[0])


def _event_source(evaluation: Evaluation, mapping: Evaluated) -> str:
    """Return the service that a mapping reads from."""
    arn = text(mapping.values, "event_source_arn").split(":")
    if len(arn) > _SERVICE_OF_ARN:
        return SOURCES.get(arn[_SERVICE_OF_ARN], _UNKNOWN_SOURCE)
    if items(mapping.values, "self_managed_event_source"):
        return "Kafka"
    for source in referred(evaluation, mapping.address, mapping.module, ("event_source_arn",)):
        if source.type in SOURCE_TYPES:
            return SOURCE_TYPES[source.type]
    return _UNKNOWN_SOURCE


def _in_pipeline(
    evaluation: Evaluation, pipeline: Evaluated, functions: NamedFunctions
) -> Iterator[str]:
    """Yield the functions that actions of a pipeline invoke. Other actions may name functions, too.

    https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-Lambda.html
    """
    expressions = section(evaluation.block(pipeline.address), "expressions")
    parts: list[list[Json]] = []
    for document in (dict(pipeline.values), expressions):
        actions = at(document, ("stage", "action"))
        parts.append([action for action in actions if _is_invocation(action)])
    values, written = parts
    is_known = "stage" not in pipeline.unknown
    yield from functions.in_parts(pipeline, values, written, is_known=is_known)


def _is_invocation(action: Json) -> bool:
    """Tell whether an action, as values or as expressions, is one of Lambda's."""
    return isinstance(action, dict) and action.get("provider") in (
        "Lambda",
        {"constant_value": "Lambda"},
    )
