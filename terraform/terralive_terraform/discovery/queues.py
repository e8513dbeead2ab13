"""Queues that a function polls, for the Aspect of a CDKTF program, which knows no plan. Pure.

It sees only what the function's own module declares and what names the function directly. An
alias, a variable or another module in between hides a queue. What a plan says of triggers:
`evaluation/triggers`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from terralive_stub.shared.json_documents import Json, section, text
from terralive_terraform.discovery.declared import blocks

MAPPING: Final = "aws_lambda_event_source_mapping"
QUEUE: Final = "aws_sqs_queue"
KINDS: Final = (MAPPING, QUEUE)
# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/sqs_queue
_DEFAULT_VISIBILITY: Final = 30
_QUEUE: Final = re.compile(r"(?<!data\.)\baws_sqs_queue\.([\w-]+)")
# Event sources that certainly are no queue: another resource, or the ARN of another service.
_NO_QUEUE: Final = re.compile(r"\baws_(?!sqs_queue)\w+\.|^arn:[\w-]+:(?!sqs:)")


def queue_visibilities(
    label: str, function_name: str | None, resources: Mapping[str, Json]
) -> tuple[int | None, ...]:
    """Return the visibility timeout of each queue that a function polls.

    Args:
        label: the function's name in its module.
        function_name: its name on AWS, where that is a literal.
        resources: the module's resources by type and label, in Terraform's JSON syntax.

    Returns:
        Seconds, None for a queue whose visibility timeout is not known.
    """
    found: list[int | None] = []
    for _, mapping in blocks(resources, MAPPING):
        function = text(mapping, "function_name")
        is_own = _refers_to(function, label) or (bool(function) and function == function_name)
        source = text(mapping, "event_source_arn")
        if is_own and _may_be_queue(source):
            found.append(_visibility(source, section(resources, QUEUE)))
    return tuple(found)


def _refers_to(reference: str, label: str) -> bool:
    pattern = rf"\baws_lambda_function\.{re.escape(label)}(?![\w-])"
    return re.search(pattern, reference) is not None


def _may_be_queue(source: str) -> bool:
    if _QUEUE.search(source):
        return True
    return bool(source) and not _NO_QUEUE.search(source)


def _visibility(source: str, queues: Mapping[str, Json]) -> int | None:
    """Return a queue's visibility timeout in seconds, None where it is not known."""
    queue = _QUEUE.search(source)
    if queue is None:
        return None
    block = queues.get(queue[1])
    if not isinstance(block, dict):
        return None
    seconds = block.get("visibility_timeout_seconds", _DEFAULT_VISIBILITY)
    if not isinstance(seconds, int):
        # An expression, which only Terraform can compute.
        return None
    return seconds
