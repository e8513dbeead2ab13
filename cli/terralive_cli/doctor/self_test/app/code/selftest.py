"""Handlers of the self-test's app. The self-test edits EDITION to measure how soon an edit runs."""

import json
import os
from typing import Any

EDITION = 1


def echo(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001  # Lambda's
    """Return the event's padding, and the edition of this code."""
    return {"edition": EDITION, "padding": event.get("padding", "")}


def call(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001  # Lambda's
    """Invoke the other function by the credentials of this function's role."""
    import boto3  # noqa: PLC0415  # the other handler needs no SDK

    answer = boto3.client("lambda").invoke(
        FunctionName=os.environ["ECHO"], Payload=json.dumps(event).encode()
    )
    return {"called": json.loads(answer["Payload"].read())}
