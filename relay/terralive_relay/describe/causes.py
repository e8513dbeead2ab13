"""Describes the exceptions that led to an error: its causes, and the parts of a group."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

from terralive_relay.describe.values import as_text
from terralive_relay.events import ErrorCause
from terralive_stub.protocol.invocation import Outcome
from terralive_stub.shared.json_documents import as_object, items, text

_MOST_CAUSES: Final = 10


@dataclass(frozen=True, slots=True)
class ErrorWithCauses(Outcome):
    """The error of a handler whose runtime has told what led to it.

    Attributes:
        causes: JSON text as in `CAUSES_HEADER`; "" for none. No stub gets it.
    """

    causes: str = field(repr=False, default="")


def describe_causes(outcome: Outcome) -> tuple[ErrorCause, ...]:
    """Return the exceptions that led to an error, the nearest first."""
    if not isinstance(outcome, ErrorWithCauses) or not outcome.causes:
        return ()
    try:
        found = json.loads(outcome.causes)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(found, list):
        return ()
    causes: list[ErrorCause] = []
    for item in found[:_MOST_CAUSES]:
        cause = as_object(item)
        stack = tuple(as_text(line).rstrip("\n") for line in items(cause, "stackTrace"))
        causes.append(
            ErrorCause(
                error_type=text(cause, "errorType"),
                error_message=text(cause, "errorMessage"),
                stack=stack,
                relation=text(cause, "relation") or "cause",
            )
        )
    return tuple(causes)
