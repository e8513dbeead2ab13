"""The stub as an ordinary handler, for runtimes that call the handler themselves.

Lambda has the Runtime API, and there the stub takes the runtime's place (`takeover.py`). Some
emulators of AWS have none: they import the handler's module and call the handler. An event is
parsed there before the stub sees it, and so its text may differ from the caller's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Final, Protocol

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.shared.json_documents import Json, parse_object, text

# It differs between invocations. An environment without it travels once.
_TRACE_ID: Final = "_X_AMZN_TRACE_ID"


class Context(Protocol):
    """The part of a handler's context that the stub reads.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    function_name: str
    invoked_function_arn: str
    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int: ...


class HandlesInvocations(Protocol):
    """A stub; see `Stub.handle`."""

    def handle(self, invocation: Invocation) -> Outcome: ...
    def abandon(self) -> None: ...


def as_handler(stub: HandlesInvocations) -> Callable[[Json, Context], Json]:
    """Return a handler that has the stub run each invocation."""

    def handler(event: Json, context: Context) -> Json:
        try:
            outcome = stub.handle(_invocation(event, context))
        except BaseException:
            # An emulator may raise its time-out here, in the middle of a message.
            stub.abandon()
            raise
        if outcome.ok:
            answer: Json = json.loads(outcome.body)
            return answer
        raise _error(outcome)

    return handler


def _invocation(event: Json, context: Context) -> Invocation:
    left_s = context.get_remaining_time_in_millis() / 1000
    environment = dict(os.environ)
    trace_id = environment.pop(_TRACE_ID, "")
    return Invocation(
        request_id=context.aws_request_id,
        function_name=context.function_name,
        function_arn=context.invoked_function_arn,
        deadline=Deadline.after(left_s, now=time.monotonic()),
        event=json.dumps(event).encode(),
        environment=environment,
        trace_id=trace_id,
        # Not every emulator's context has it.
        tenant_id=getattr(context, "tenant_id", None) or "",
    )


def _error(outcome: Outcome) -> Exception:
    """Return an exception of the type that the handler's runtime has named."""
    document = parse_object(outcome.body)
    name = text(document, "errorType") or outcome.error_type
    kind: type[Exception] = type(name, (Exception,), {})
    return kind(text(document, "errorMessage") or name)
