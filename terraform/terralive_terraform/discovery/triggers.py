"""What a module's configuration says of a function's triggers, as far as it bounds how long an invocation may take.

Pure. It sees what stands in the function's own module and names the function directly; an alias, a
variable or another module between the two hides a trigger.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from terralive_terraform.documents import Json, section, text

MAPPING: Final = "aws_lambda_event_source_mapping"
QUEUE: Final = "aws_sqs_queue"
HTTP: Final = "aws_apigatewayv2_integration"
REST: Final = "aws_api_gateway_integration"
KINDS: Final = (MAPPING, QUEUE, HTTP, REST)
NOT_KNOWN: Final = 0
_DEFAULT_VISIBILITY: Final = (
    30  # https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/sqs_queue
)
_QUEUE: Final = re.compile(r"(?<!data\.)\baws_sqs_queue\.([\w-]+)")
_ELSE: Final = re.compile(r"\baws_(?!sqs_queue)\w+\.|^arn:[\w-]+:(?!sqs:)")


def shortest_visibility(label: str, name: str, resources: Mapping[str, Json]) -> int | None:
    """Give the shortest visibility timeout of the queues that a function polls, in seconds.

    Args:
        label: the function's name in its module.
        name: its name on AWS, where that is a literal.
        resources: the module's resources by type and label, in Terraform's JSON syntax.

    Returns:
        None where it polls none, NOT_KNOWN where that of a queue is not known.
    """
    found = [
        _visibility(text(block, "event_source_arn"), section(resources, QUEUE))
        for block in section(resources, MAPPING).values()
        if isinstance(block, dict) and _names(text(block, "function_name"), label, name)
    ]
    return min((seconds for seconds in found if seconds is not None), default=None)


def gateways(label: str, resources: Mapping[str, Json]) -> tuple[str, ...]:
    """Give the types of the API Gateway integrations that call a function."""
    uris = {HTTP: "integration_uri", REST: "uri"}
    return tuple(
        kind
        for kind, attribute in uris.items()
        if any(
            isinstance(block, dict) and _names(text(block, attribute), label)
            for block in section(resources, kind).values()
        )
    )


def _names(reference: str, label: str, name: str = "") -> bool:
    return (bool(name) and reference == name) or bool(
        re.search(rf"\baws_lambda_function\.{re.escape(label)}(?![\w-])", reference)
    )


def _visibility(source: str, queues: Mapping[str, Json]) -> int | None:
    queue = _QUEUE.search(source)
    if queue is None:
        return None if not source or _ELSE.search(source) else NOT_KNOWN
    block = queues.get(queue[1])
    seconds = (
        block.get("visibility_timeout_seconds", _DEFAULT_VISIBILITY)
        if isinstance(block, dict)
        else NOT_KNOWN
    )
    return seconds if isinstance(seconds, int) else NOT_KNOWN
