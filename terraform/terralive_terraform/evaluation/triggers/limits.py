"""Triggers of the functions of a plan that limit how, and how long, they may answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from terralive_stub.shared.json_documents import text
from terralive_terraform.evaluation.document import Evaluated, Evaluation
from terralive_terraform.evaluation.planned import PlannedFunction, Triggers
from terralive_terraform.evaluation.references import referred
from terralive_terraform.evaluation.triggers.invokers import invokers_of
from terralive_terraform.evaluation.triggers.named import NamedFunctions
from terralive_terraform.evaluation.triggers.services import (
    AUTHORIZERS,
    INTEGRATIONS,
    MAPPING,
    QUEUE,
)
from terralive_terraform.evaluation.triggers.streaming import streamed


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


def triggers_of(
    evaluation: Evaluation, functions: Iterable[PlannedFunction]
) -> dict[str, Triggers]:
    """Return the triggers of functions, by their addresses with instance keys."""
    found = {function.address: Triggers() for function in functions}
    named = NamedFunctions(evaluation)
    for mapping in evaluation.instances(MAPPING):
        visibilities = _visibilities(evaluation, mapping)
        for address in named.of(mapping, "function_name"):
            if address in found:
                of_function = found[address]
                several = (*of_function.queue_visibilities, *visibilities)
                found[address] = replace(of_function, queue_visibilities=several)
    _add_gateways(found, named)
    for address in streamed(evaluation, named):
        if address in found:
            found[address] = replace(found[address], streams=True)
    return found


def _add_gateways(found: dict[str, Triggers], named: NamedFunctions) -> None:
    """Add the API Gateway integrations and authorizers to the triggers of the functions."""
    for kind, attribute in INTEGRATIONS.items():
        for address in named.called(kind, attribute):
            if address in found:
                of_function = found[address]
                found[address] = replace(of_function, gateways=(*of_function.gateways, kind))
    for kind, attribute in AUTHORIZERS.items():
        for address in named.called(kind, attribute):
            if address in found:
                of_function = found[address]
                found[address] = replace(of_function, authorizers=(*of_function.authorizers, kind))


def _visibilities(evaluation: Evaluation, mapping: Evaluated) -> tuple[int | None, ...]:
    """Return the visibility timeout of a mapping's queue; empty where it polls no queue."""
    source = text(mapping.values, "event_source_arn")
    if source and ":sqs:" not in source:
        return ()
    for queue in evaluation.instances(QUEUE):
        if source and text(queue.values, "arn") == source:
            return (_seconds(queue),)
    targets = referred(evaluation, mapping.address, mapping.module, ("event_source_arn",))
    visibilities = tuple(_seconds(item) for item in targets if item.type == QUEUE)
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
