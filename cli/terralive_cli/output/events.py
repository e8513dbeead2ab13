"""Everything a command says, as typed frozen events; `--output json` prints them, the terminal tells them as a story.

The field names are the JSON field names, and scripts rely on them: they are added to, not changed.
A field that is None is left out. No event ever carries a credential, except `ready`'s sandbox keys,
which are worth nothing outside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar

from terralive_terraform.documents import Json


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events share. `at` is when it happened (UTC)."""

    type: ClassVar[str]
    at: datetime = field(default_factory=_now, compare=False)

    def to_json(self) -> dict[str, Json]:
        """Give the event as a JSON object; `at` is RFC 3339 with milliseconds."""
        at = self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        own = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "at"}
        return {
            "type": self.type,
            "at": at,
            **{name: _json(value) for name, value in own.items() if value is not None},
        }


class StackState(StrEnum):
    """Where one step of Terraform's stands."""

    STARTED = "started"
    PROGRESS = "progress"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Stack(Event):
    """Progress of Terraform.

    Attributes:
        phase: which part of the work: `debug-stack`, `app`, `restore`, `destroy`, …
        action: `init`, `synth`, `plan`, `apply`, `note`; for one resource (`address` is set)
            `create`, `update`, `delete`, `replace`, `read`; and one that ends the phase: `complete`
            or `unchanged` (nothing was to do).
        state: where that action stands.
        message: a sentence for the terminal.
        total: with `plan` done: how many resources will change.
        elapsed_s: seconds since the action (or, with `complete`, the phase) began.
    """

    type = "stack"
    phase: str
    action: str
    state: StackState = StackState.DONE
    address: str = ""
    message: str = ""
    total: int | None = None
    elapsed_s: float | None = None


@dataclass(frozen=True, slots=True)
class LiveFunction:
    """A function that runs here; `path` is its local code root.

    `debug_port`: where a debugger attaches, on 127.0.0.1; `timeout_s`: what its deployed timeout is
        raised to; 0: none.
    """

    name: str
    address: str
    runtime: str
    handler: str
    path: str
    debug_port: int = 0
    timeout_s: int = 0


@dataclass(frozen=True, slots=True)
class Plan(Event):
    """What `plan` found.

    The functions that would become live, and the ones that cannot, each with its reason.
    """

    type = "plan"
    stage: str
    functions: tuple[LiveFunction, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    changes: int = 0


@dataclass(frozen=True, slots=True)
class SandboxAccess:
    """How to reach the sandbox."""

    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ready(Event):
    """The functions are live: the next invocation runs here. `urls` answer now."""

    type = "ready"
    stage: str
    functions: tuple[LiveFunction, ...]
    outputs: Mapping[str, Json] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)
    sandbox: SandboxAccess | None = None


@dataclass(frozen=True, slots=True)
class Connection(Event):
    """The relay's connection: `connected`, `lost`, `refused`, `taken-over` or `closed`."""

    type = "connection"
    state: str
    reason: str = ""
    retry_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class InvocationEvent(Event):
    """An invocation begins; `summary` is a few words of it (`GET /orders`).

    `attempt`: the how-manieth try it is, as far as is known; `age_s`: seconds since it was first
        sent (0: not known).
    """

    type = "invocation"
    request_id: str
    function: str
    trigger: str
    summary: str = ""
    attempt: int = 1
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Log(Event):
    """A line that a handler printed."""

    type = "log"
    request_id: str
    function: str
    line: str
    stream: str = "stdout"


@dataclass(frozen=True, slots=True)
class Result(Event):
    """An invocation has ended; `error_message` and `stack` are the handler's own.

    `waited_ms`: how long it waited for a worker, apart from `handler_ms`.
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


@dataclass(frozen=True, slots=True)
class Reload(Event):
    """Files changed; the next invocation runs the new code."""

    type = "reload"
    function: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Warning_(Event):  # noqa: N801 - `Warning` is Python's own
    """Something the user should know that stops nothing."""

    type = "warning"
    reference: str
    message: str
    function: str = ""


@dataclass(frozen=True, slots=True)
class Error(Event):
    """What ended the command."""

    type = "error"
    reference: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """The relay has stopped.

    `live`: the functions are still stubs. `message` says what that means and what to do.
    """

    type = "stopped"
    stage: str
    live: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Note(Event):
    """A plain sentence of a command's (`Nothing to restore`)."""

    type = "note"
    message: str


def _json(value: object) -> Json:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_json(item) for item in value]
    if isinstance(value, LiveFunction | SandboxAccess):
        return {item.name: _json(getattr(value, item.name)) for item in fields(value)}
    raise TypeError(f"no JSON for {type(value).__name__}")
