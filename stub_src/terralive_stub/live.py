"""What a live function's `handler` setting names: `terralive_stub.live.handler`.

The managed runtime imports this module, and with the mode `takeover` (the default) the import does
not return: the stub takes the runtime's place (`takeover.py`). With the mode `handler` the managed
runtime stays in charge and calls `handler` below.

Only ever imported inside a stub's zip, beside the `terralive_settings` that terralive rendered into
it.
"""

from __future__ import annotations

import json
import os
import time
from typing import Protocol

import terralive_settings as settings
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.stub.stub import Stub
from terralive_stub.stub.takeover import make_stub, take_over


class LambdaContext(Protocol):
    """The part of Lambda's context object that the stub reads."""

    aws_request_id: str
    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int: ...


def _make_stub() -> Stub:
    return make_stub(settings.URL, settings.REGION, settings.APP, settings.STAGE)


class HandlerError(Exception):
    """The base of what `handler` raises.

    Each error is a class named after the handler's own error type.
    """


_stub: list[Stub] = []


def handler(event: object, context: LambdaContext) -> object:
    """Answer one invocation under the managed runtime (mode `handler`)."""
    if not _stub:
        _stub.append(_make_stub())
    invocation = Invocation(
        request_id=context.aws_request_id,
        function_name=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        function_arn=context.invoked_function_arn,
        deadline=Deadline.after(
            context.get_remaining_time_in_millis() / 1000, now=time.monotonic()
        ),
        event=json.dumps(event).encode(),
        environment=dict(os.environ),
    )
    return give_back(_stub[0].handle(invocation))


def give_back(outcome: Outcome) -> object:
    """Turn an outcome into what a handler returns or raises."""
    document = json.loads(outcome.body) if outcome.body else None
    if outcome.ok:
        return document
    details = document if isinstance(document, dict) else {}
    name = str(details.get("errorType") or outcome.error_type)
    raise type(name, (HandlerError,), {})(str(details.get("errorMessage", "")))


if settings.MODE == "takeover" and "AWS_LAMBDA_RUNTIME_API" in os.environ:
    take_over(_make_stub())
