"""Payloads: invocations, outcomes and handlers' output as bytes. Pure.

A payload is one line of JSON (the header), and the raw body after it: megabytes of an event or a
response are never parsed. `chunks.py` cuts payloads into messages.

An invocation's environment contains credentials, and is the same for all invocations of one
execution environment. It travels with the first of them only. The others have its digest.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import (
    NOTHING_PRINTED,
    Invocation,
    Outcome,
    Printed,
    Streamed,
)
from terralive_stub.protocol.limits import STREAMED_RESPONSE_BYTES
from terralive_stub.protocol.messages import ProtocolError

# `digest_environment` returns such names. A relay keeps them, so a peer must not make them large.
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_DIGEST_PURPOSE: Final = b"terralive environment\0"
_MOST_MS: Final = 2**42  # far beyond every timeout and every time of this century


class EnvironmentUnknownError(Exception):
    """An invocation has the digest of an environment that its reader does not know."""


def digest_environment(environment: Mapping[str, str], key: bytes) -> str:
    """Return the name of an environment in messages.

    It is keyed, so that it reveals nothing of the variables to who can read messages.
    """
    content = json.dumps(dict(environment), sort_keys=True).encode()
    return hmac.digest(key, _DIGEST_PURPOSE + content, "sha256").hex()


def pack_invocation(invocation: Invocation, *, now: float, with_environment: bool = True) -> bytes:
    """Return the payload of an invocation. It carries the time that is left at `now`.

    Args:
        invocation: the invocation.
        now: the time.
        with_environment: whether the environment travels, too, and not its digest alone.
    """
    header: dict[str, object] = {
        "request_id": invocation.request_id,
        "function_name": invocation.function_name,
        "function_arn": invocation.function_arn,
        "remaining_ms": int(invocation.deadline.remaining(now) * 1000),
        "environment_digest": invocation.environment_digest,
        "trace_id": invocation.trace_id,
        "client_context": invocation.client_context,
        "cognito_identity": invocation.cognito_identity,
        "began_ms": invocation.began_ms,
        "streams": invocation.streams,
        "tenant_id": invocation.tenant_id,
    }
    if with_environment:
        header["environment"] = dict(invocation.environment)
    return _pack(header, invocation.event)


def unpack_invocation(
    payload: bytes,
    *,
    now: float,
    environment_of: Callable[[str], Mapping[str, str] | None] = lambda _: None,
) -> Invocation:
    """Read an invocation's payload. Its deadline is the time left, counted from `now`.

    Args:
        payload: the payload.
        now: the time.
        environment_of: returns the environment with a digest; None where it is not known.

    Raises:
        EnvironmentUnknownError: the payload has only the digest of an environment, and it is not
            known.
        ProtocolError: the header is not one that `pack_invocation` makes.
    """
    header, event = _unpack(payload)
    digest = _text(header, "environment_digest")
    if digest and not _DIGEST.fullmatch(digest):
        raise ProtocolError("invocation.environment_digest must be a digest")
    remaining_ms = _milliseconds(header.get("remaining_ms"), "remaining_ms")
    return Invocation(
        request_id=_text(header, "request_id"),
        function_name=_text(header, "function_name"),
        function_arn=_text(header, "function_arn"),
        deadline=Deadline.after(remaining_ms / 1000, now=now),
        event=event,
        environment=_environment(header, environment_of(digest)),
        trace_id=_text(header, "trace_id"),
        client_context=_text(header, "client_context"),
        cognito_identity=_text(header, "cognito_identity"),
        environment_digest=digest,
        began_ms=_milliseconds(header.get("began_ms", 0), "began_ms"),
        streams=header.get("streams") is True,
        # A stub of a former version sends none.
        tenant_id=_text({"tenant_id": "", **header}, "tenant_id"),
    )


def pack_outcome(outcome: Outcome) -> bytes:
    header: dict[str, object] = {"error_type": outcome.error_type}
    if outcome.logs.text:
        header["logs"] = outcome.logs.text
        header["logs_start"] = outcome.logs.start
    if outcome.streamed is not None:
        header["streamed_bytes"] = outcome.streamed.size
        header["content_type"] = outcome.streamed.content_type
        header["relay"] = outcome.streamed.relay
    return _pack(header, outcome.body)


def unpack_outcome(payload: bytes) -> Outcome:
    """Read an outcome's payload.

    Raises:
        ProtocolError: the header is not one that `pack_outcome` makes.
    """
    header, body = _unpack(payload)
    logs = _printed(header.get("logs_start"), header.get("logs"))
    return Outcome(body, _text(header, "error_type"), logs, _streamed(header))


def _streamed(header: dict[str, object]) -> Streamed | None:
    if "streamed_bytes" not in header:
        return None
    size = header["streamed_bytes"]
    if type(size) is not int or not 0 <= size <= STREAMED_RESPONSE_BYTES:
        raise ProtocolError("a payload's streamed_bytes must be a size of a streamed response")
    return Streamed(_text(header, "content_type"), size, _text(header, "relay"))


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


def _environment(header: dict[str, object], known: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the environment that travels in a header, or the known one."""
    if "environment" not in header:
        if known is None:
            raise EnvironmentUnknownError
        return known
    environment = header["environment"]
    if not isinstance(environment, dict):
        raise ProtocolError("invocation.environment must map texts to texts")
    for value in environment.values():
        if not isinstance(value, str):
            raise ProtocolError("invocation.environment must map texts to texts")
    return environment


def _milliseconds(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value <= _MOST_MS:
        raise ProtocolError(f"invocation.{name} must be a number of milliseconds")
    return value


def _text(header: dict[str, object], name: str) -> str:
    value = header.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"a payload's {name} must be a text")
    return value
