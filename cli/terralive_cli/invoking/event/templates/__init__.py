"""Example events of the services that invoke functions, one JSON file for each. Pure.

AWS documents the events: https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html links
them. `${name}` in a text is filled in; a text that is nothing else takes the value with its type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Template
from typing import Final, TypeAlias

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import Json

Value: TypeAlias = str | int | float
# Each name with what the event is.
TEMPLATES: Final[Mapping[str, str]] = {
    "alb": "a request of an Application Load Balancer",
    "cognito": "a sign-up in a Cognito user pool",
    "dynamodb": "a new item in a DynamoDB stream",
    "eventbridge": "an event of an EventBridge bus",
    "http": "a request of an HTTP API (payload format 2.0)",
    "kinesis": "a record of a Kinesis stream",
    "rest": "a request of a REST API",
    "s3": "a new object in an S3 bucket",
    "schedule": "an EventBridge rule's schedule",
    "sns": "a message of an SNS topic",
    "sqs": "a message of an SQS queue",
    "url": "a request of a function URL",
    "websocket": "a message of a WebSocket API",
}


def event_of_template(name: str, values: Mapping[str, Value]) -> Json:
    """Return a template's event, filled in.

    Args:
        name: name of the template (`sqs`).
        values: what stands in the place of each `${name}`; see `triggers.values_for`.

    Raises:
        ConfigurationError: `template-unknown`.
    """
    if name not in TEMPLATES:
        known = ", ".join(f"@{template}" for template in TEMPLATES)
        raise ConfigurationError(
            "template-unknown",
            f"There is no event @{name}.",
            hint=f"Events that terralive knows: {known}; @last is the last event that the "
            "function got in a session here.",
        )
    return _filled(json.loads(_text_of(name)), values)


@cache
def _text_of(name: str) -> str:
    return files(__name__).joinpath(f"{name}.json").read_text("utf-8")


def _filled(document: Json, values: Mapping[str, Value]) -> Json:
    if isinstance(document, dict):
        return {key: _filled(item, values) for key, item in document.items()}
    if isinstance(document, list):
        return [_filled(item, values) for item in document]
    if not isinstance(document, str):
        return document
    for name, value in values.items():
        if document == f"${{{name}}}":
            return value
    return Template(document).substitute(values)
