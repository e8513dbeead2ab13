"""The answer of an invoked function, as events show it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from terralive_relay.describe.errors import describe_error
from terralive_relay.events import Event
from terralive_stub.protocol.invocation import Outcome
from terralive_stub.protocol.named_errors import ErrorName
from terralive_stub.shared.json_documents import Json, number, parse_object, text

_UNAVAILABLE: Final = 503
_OF_TERRALIVE: Final = "Terralive."
# The beginnings of Lambda's own first and last line in an invocation's log.
_FRAME_LINES: Final = ("START RequestId:", "END RequestId:")
_NOBODY: Final = "Without a session, `--local` runs the code of this folder, without Lambda."
_HINTS: Final[Mapping[str, str]] = {
    ErrorName.NO_RELAY: _NOBODY,
    ErrorName.NOT_SERVED: "Start `terralive start` again: the session that is connected does not "
    "serve this function.",
    ErrorName.RELAY_LOST: "The session has stopped or lost its connection meanwhile. The handler "
    "may have run to its end. See the terminal of `terralive start`, then invoke it again.",
    ErrorName.FALLBACK_THROTTLED: "Run `terralive start`, or wait until the function has free "
    "concurrency again.",
    ErrorName.TOO_LARGE: "Lambda takes a response of at most 6 MB. Return a smaller one, or put it "
    "into a bucket.",
}


class Runner(StrEnum):
    """Place where an invocation runs."""

    LOCAL = "local"  # on this machine, without AWS (`--local`)
    HERE = "here"  # on this machine, in the session that is connected
    ELSEWHERE = "elsewhere"  # on the machine of another user
    NOBODY = "nobody"  # it is live, and nobody is connected: the deployed code may answer
    DEPLOYED = "deployed"  # in Lambda, by the deployed code
    UNKNOWN = "unknown"  # the caller may not see it


@dataclass(frozen=True, slots=True)
class Invoking(Event):
    """An invocation is sent.

    Attributes:
        function: name of the function.
        address: its Terraform address.
        runner: where it runs; see `Runner`.
        event_bytes: size of the event.
    """

    type = "invoke"
    function: str
    address: str
    runner: Runner
    event_bytes: int


@dataclass(frozen=True, slots=True)
class Answered(Event):
    """A function has answered `terralive invoke`, or Lambda has accepted the event (`--async`).

    Attributes:
        function: name of the function.
        address: its Terraform address.
        request_id: AWS request id; one of this machine with `--local`.
        ok: true if the handler returned a result.
        runner: where it ran; see `Runner`.
        took_ms: milliseconds until the answer; with `--local`, those of the handler.
        accepted: true if the invocation is asynchronous: Lambda has the event, and no answer comes.
        payload: the result or the error document, where it is JSON. It is left out for `null`.
        payload_text: the same, where it is not JSON; left out otherwise.
        error_type: type of the error; "" for a success.
        error_message: its message.
        stack: its stack trace, one frame per item.
        hint: what to do next; "" for nothing.
        version: version of the function that ran (`$LATEST`); left out with `--local`.
        logged: true if the log lines before this event have the error with its stack.
        payload_bytes: size of the payload; left out where the event does not have the payload,
            because it goes to standard output by itself.
    """

    type = "answer"
    function: str
    address: str
    request_id: str
    ok: bool
    runner: Runner
    took_ms: float
    accepted: bool = False
    payload: Json = None
    payload_text: str | None = None
    error_type: str = ""
    error_message: str = ""
    stack: tuple[str, ...] = ()
    hint: str = ""
    version: str | None = None
    logged: bool = False
    payload_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class EventShown(Event):
    """The event of an invocation, which `--print-event` shows instead of sending it.

    Attributes:
        event: the event.
    """

    type = "event"
    event: Json


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of an answer.

    Attributes:
        type: the type of the error.
        message: its message.
        stack: its stack trace, one frame per item.
    """

    type: str
    message: str
    stack: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        """Return what to do next; "" where only the handler's author can tell."""
        return _HINTS.get(self.type, "")


def failure_of(outcome: Outcome) -> Failure | None:
    """Return the error of an answer; None for a result.

    The 503 with which a stub answers HTTP events is an error, too: no handler has given it.
    """
    if not outcome.ok:
        error = describe_error(outcome)
        return Failure(error.type, error.message, error.stack)
    document = parse_object(outcome.body)
    body = text(document, "body")
    if number(document, "statusCode") == _UNAVAILABLE and body.startswith(_OF_TERRALIVE):
        name, _, message = body.partition(": ")
        return Failure(name, message.strip())
    return None


def payload_of(body: bytes) -> tuple[Json, str | None]:
    """Return an answer's payload: as JSON, or else as a text."""
    try:
        return json.loads(body), None
    except (ValueError, RecursionError):
        return None, body.decode("utf-8", "replace")


def lines_of_tail(tail: str) -> list[str]:
    """Return the handler's lines of a log's end, without Lambda's own lines and empty ones.

    https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
    """
    return [
        line.rstrip("\r")
        for line in tail.splitlines()
        if line.strip() and not line.startswith(_FRAME_LINES)
    ]


def has_error(lines: Iterable[str]) -> bool:
    """Tell whether a log has the error of its handler, as Lambda's runtimes write it."""
    return any(line.startswith("[ERROR]") or "\tERROR\t" in line for line in lines)
