"""Payloads: invocations, outcomes and handlers' output as bytes. Pure.

A payload is one line of JSON (the header), and the raw body after it: megabytes of an event or a
response are never parsed. `chunks.py` cuts payloads into messages.
"""

from __future__ import annotations

import json
from typing import Final

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import NOTHING_PRINTED, Invocation, Outcome, Printed
from terralive_stub.protocol.messages import ProtocolError

_MOST_REMAINING_MS: Final = 2**40  # far beyond every timeout, and safe for arithmetic


def pack_invocation(invocation: Invocation, *, now: float) -> bytes:
    """Return the payload of an invocation. It carries the time that is left at `now`."""
    header = {
        "request_id": invocation.request_id,
        "function_name": invocation.function_name,
        "function_arn": invocation.function_arn,
        "remaining_ms": int(invocation.deadline.remaining(now) * 1000),
        "environment": dict(invocation.environment),
        "trace_id": invocation.trace_id,
        "client_context": invocation.client_context,
        "cognito_identity": invocation.cognito_identity,
    }
    return _pack(header, invocation.event)


def unpack_invocation(payload: bytes, *, now: float) -> Invocation:
    """Read an invocation's payload. Its deadline is the time left, counted from `now`.

    Raises:
        ProtocolError: the header is not one that `pack_invocation` makes.
    """
    header, event = _unpack(payload)
    remaining_ms = header.get("remaining_ms")
    if type(remaining_ms) is not int or not 0 <= remaining_ms <= _MOST_REMAINING_MS:
        raise ProtocolError("invocation.remaining_ms must be a number of milliseconds")
    return Invocation(
        request_id=_text(header, "request_id"),
        function_name=_text(header, "function_name"),
        function_arn=_text(header, "function_arn"),
        deadline=Deadline.after(remaining_ms / 1000, now=now),
        event=event,
        environment=_environment(header),
        trace_id=_text(header, "trace_id"),
        client_context=_text(header, "client_context"),
        cognito_identity=_text(header, "cognito_identity"),
    )


def pack_outcome(outcome: Outcome) -> bytes:
    header: dict[str, object] = {"error_type": outcome.error_type}
    if outcome.logs.text:
        header["logs"] = outcome.logs.text
        header["logs_start"] = outcome.logs.start
    return _pack(header, outcome.body)


def unpack_outcome(payload: bytes) -> Outcome:
    """Read an outcome's payload.

    Raises:
        ProtocolError: the header is not one that `pack_outcome` makes.
    """
    header, body = _unpack(payload)
    logs = _printed(header.get("logs_start"), header.get("logs"))
    return Outcome(body, _text(header, "error_type"), logs)


def pack_logs(printed: Printed) -> bytes:
    return _pack({"start": printed.start}, printed.text.encode())


def unpack_logs(payload: bytes) -> Printed:
    """Read a part of a handler's output.

    Raises:
        ProtocolError: the payload has no header.
    """
    header, text = _unpack(payload)
    return _printed(header.get("start"), text.decode("utf-8", "replace"))


def _printed(start: object, text: object) -> Printed:
    """Return the part, or nothing if it is malformed: a result is worth more than its logs."""
    if type(start) is int and start >= 0 and isinstance(text, str):
        return Printed(start, text)
    return NOTHING_PRINTED


def _pack(header: dict[str, object], body: bytes) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode() + b"\n" + body


def _unpack(payload: bytes) -> tuple[dict[str, object], bytes]:
    line, newline, body = payload.partition(b"\n")
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("a payload's header is not JSON") from None
    if not newline or not isinstance(header, dict):
        raise ProtocolError("a payload has no header")
    return header, body


def _environment(header: dict[str, object]) -> dict[str, str]:
    environment = header.get("environment")
    if not isinstance(environment, dict):
        raise ProtocolError("invocation.environment must map texts to texts")
    for value in environment.values():
        if not isinstance(value, str):
            raise ProtocolError("invocation.environment must map texts to texts")
    return environment


def _text(header: dict[str, object], name: str) -> str:
    value = header.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"a payload's {name} must be a text")
    return value
