"""Events that the relay reports, and `Event`, the base class of all events of terralive.

The same objects travel from the relay to the terminal and to `--output json`: the command line adds
events of its own (`terralive_cli.output.events`) and copies none. The field names are the names in
JSON, and scripts rely on them: fields may be added, and none may be renamed or removed.

No event carries a credential or an environment variable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar

from terralive_stub.shared.json_documents import Json
from terralive_stub.shared.timestamps import format_datetime


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base class of all events.

    Attributes:
        type: name of the kind of event in JSON.
        at: time of the event (UTC). It is not compared, so that tests can compare events.
    """

    type: ClassVar[str]
    at: datetime = field(default_factory=_now, compare=False)

    def to_json(self) -> dict[str, Json]:
        """Return the event as a JSON object.

        `at` is in RFC 3339 format with milliseconds. Fields that are None are left out.
        """
        document: dict[str, Json] = {"type": self.type, "at": format_datetime(self.at)}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name != "at" and value is not None:
                document[item.name] = _json(value)
        return document


class ConnectionState(StrEnum):
    """State of the relay's connection to the debug stack."""

    CONNECTED = "connected"
    LOST = "lost"
    REFUSED = "refused"
    TAKEN_OVER = "taken-over"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class ConnectionChanged(Event):
    """The state of the relay's connection has changed.

    Attributes:
        state: the new state.
        reason: cause of the change; with `refused` and `taken-over`, the holder of the stage.
        retry_in_s: with `lost`, seconds until the next attempt to connect.
    """

    type = "connection"
    state: ConnectionState
    reason: str = ""
    retry_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class InvocationStarted(Event):
    """An invocation begins.

    Attributes:
        request_id: AWS request id.
        function: name of the function.
        trigger: source of the event, guessed from its shape (`http`, `sns`, …, `invoke`).
        summary: a few words about the event (`GET /orders`).
        attempt: attempt number, starting at 1, as far as it is known.
        age_s: seconds since the event was first sent; 0 if this is not known.
        after_first_s: seconds since the first attempt; 0 for the first, and if this is not known.
        payload: names of the payload's fields without their values (`{orderId, items}`), or "".
        payload_bytes: size of the payload: of a request's body, or of the whole event.
    """

    type = "invocation"
    request_id: str
    function: str
    trigger: str
    summary: str = ""
    attempt: int = 1
    age_s: float = 0.0
    after_first_s: float = 0.0
    payload: str = ""
    payload_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LogLine(Event):
    """One line of a worker's output, without its newline.

    Attributes:
        request_id: AWS request id of the invocation; "" for a line outside an invocation.
        function: name of the function.
        line: the text.
        stream: `stdout` or `stderr`.
    """

    type = "log"
    request_id: str
    function: str
    line: str
    stream: str = "stdout"


@dataclass(frozen=True, slots=True)
class ErrorCause:
    """An exception that led to the error of an invocation.

    Attributes:
        error_type: type of the exception.
        error_message: its message.
        stack: its stack trace, one frame per item.
        relation: its relation to the exception before it: `cause` (`raise … from`, `cause` of
            Node.js), `context` (that one was raised while this one was handled), or `part` (it is
            one of a group).
    """

    error_type: str
    error_message: str
    stack: tuple[str, ...] = ()
    relation: str = "cause"


@dataclass(frozen=True, slots=True)
class InvocationFinished(Event):
    """An invocation has ended.

    Attributes:
        request_id: AWS request id.
        function: name of the function.
        ok: true if the handler returned a result.
        error_type: type of the error; "" for a success.
        handler_ms: run time of the handler, without `waited_ms`.
        error_message: message of the handler's error, for the terminal.
        stack: stack trace of the handler's error, one frame per item, for the terminal.
        waited_ms: time that the invocation waited for a worker.
        attempt: attempt number, as in `InvocationStarted`.
        streamed_bytes: size of a streamed response; left out for another one.
        first_byte_ms: time from the handler's start to its first byte; left out without one.
        status: HTTP status that the result names; left out for another result.
        failed_items: number of items of a batch that the result reports as failed.
        result_bytes: size of the result that is no stream and no error.
        causes: the exceptions that led to the handler's error, the nearest first, where its runtime
            is terralive's for Python or Node.js.
    """

    type = "result"
    request_id: str
    function: str
    ok: bool
    error_type: str
    handler_ms: float
    error_message: str = ""
    stack: tuple[str, ...] = ()
    waited_ms: float = 0.0
    attempt: int = 1
    streamed_bytes: int | None = None
    first_byte_ms: float | None = None
    status: int | None = None
    failed_items: int = 0
    result_bytes: int = 0
    causes: tuple[ErrorCause, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivered(Event):
    """The result of an invocation has arrived at its function on AWS.

    It follows the event `result`, but where nobody waits for the result any more.

    Attributes:
        request_id: AWS request id.
        function: name of the function.
        round_trip_ms: time from the invocation's arrival here to this confirmation. It has the
            handler's time and one way to AWS and back in it, as the caller's time has.
    """

    type = "delivered"
    request_id: str
    function: str
    round_trip_ms: float


@dataclass(frozen=True, slots=True)
class Reloaded(Event):
    """Files of a function have changed. Its next invocation runs the new code.

    Attributes:
        function: name of the function.
        paths: changed files, relative to the folder of the function's code.
    """

    type = "reload"
    function: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FallbackAnswered(Event):
    """The deployed code has answered invocations of a function that no relay could take.

    The relay learns it when it connects.

    Attributes:
        function: name of the function.
        answered: number of these invocations.
        failed: number of those that ended in an error of the deployed handler.
        since: time of the first of them, in RFC 3339 format (UTC).
    """

    type = "fallback"
    function: str
    answered: int
    failed: int
    since: str


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """A warning: the user should know about it, and the command continues.

    Attributes:
        reference: kebab-case name of the kind of warning.
        message: the text; its first line is a full sentence.
        function: name or address of the function that it is about; "" if it is about none.
    """

    type = "warning"
    reference: str
    message: str
    function: str = ""


RelayEvent = (
    ConnectionChanged
    | InvocationStarted
    | LogLine
    | InvocationFinished
    | Delivered
    | Reloaded
    | FallbackAnswered
    | Warned
)
# Receives the events. It is called by many threads and must never block.
Sink = Callable[[RelayEvent], None]


def _json(value: object) -> Json:
    """Return a field's value as JSON.

    Raises:
        TypeError: the value is of a type that events do not use.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_json(item) for item in value]
    if is_dataclass(value):
        known = {item.name: getattr(value, item.name) for item in fields(value)}
        return {name: _json(item) for name, item in known.items() if item is not None}
    raise TypeError(f"events hold no {type(value).__name__}")
