"""Events of the command line itself, beside the relay's.

`terralive_relay.events` holds the base class and the events of the relay. `--output json` prints
every event as a JSON object; the formats `rich` and `plain` print it as text. The field names are
the names in JSON, and scripts rely on them: fields may be added, and none may be renamed or
removed.

No event carries a credential, except `ready`: it holds the sandbox's keys, which open nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from terralive_relay.events import Event, Json


class Emit(Protocol):
    """Shows events to the user. The same warning in one call is shown only once."""

    def __call__(self, *events: Event) -> None: ...


class StepState(StrEnum):
    """Where one step of Terraform's stands."""

    STARTED = "started"
    PROGRESS = "progress"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TerraformProgress(Event):
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
    state: StepState = StepState.DONE
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
class PlanMade(Event):
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
class Failed(Event):
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
class Message(Event):
    """A plain sentence of a command's (`Nothing to restore`)."""

    type = "note"
    message: str
