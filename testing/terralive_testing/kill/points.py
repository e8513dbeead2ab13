"""The points at which a command is struck: what is on the screen then, as JSON events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from terralive_testing.drivers.command import Event


class Before(Enum):
    """The stage before a command."""

    # Nothing is deployed.
    NOTHING = "nothing"
    # The app is deployed with its own code, and nothing of terralive's is.
    APP = "app"
    # The app is live, and was deployed with its own code before.
    LIVE = "live"
    # The app is live, and nothing of it was there before.
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Point:
    """A moment in a command.

    Attributes:
        name: its name in the table.
        before: the stage before the command.
        words: the command.
        phase: the phase of the event; "" for an event that is none of Terraform's.
        action: the action, or the type of another event.
        state: the state of the action.
        address: a part of the address of the resource; "" for an event without one.
    """

    name: str
    before: Before
    words: tuple[str, ...]
    phase: str
    action: str
    state: str = "started"
    address: str = ""

    @property
    def removes_app(self) -> bool:
        """Whether the app is removed afterwards, as nothing of it was there before."""
        return self.before in (Before.NOTHING, Before.ALL)

    def is_reached(self, event: Event) -> bool:
        """Tell whether an event says that the command is there."""
        if not self.phase:
            return bool(event["type"] == self.action)
        if event["type"] != "stack" or event["phase"] != self.phase:
            return False
        if event["state"] != self.state or event["action"] != self.action:
            return False
        if not self.address:
            return not event["address"]
        return self.address in event["address"]


_START: Final = ("start",)
_RESTORE: Final = ("restore",)
_DESTROY: Final = ("destroy",)
_DESTROY_APP: Final = ("destroy", "--app")
_STACK: Final = "debug-stack"
_FUNCTION: Final = "aws_lambda_function."
POINTS: Final = (
    Point("the debug stack's apply begins", Before.NOTHING, _START, _STACK, "apply"),
    Point("the broker is created", Before.NOTHING, _START, _STACK, "create", "started", "n.broker"),
    Point("the broker is there", Before.NOTHING, _START, _STACK, "create", "done", "n.broker"),
    Point("the debug stack is there", Before.NOTHING, _START, _STACK, "complete", "done"),
    Point("the app's apply begins", Before.NOTHING, _START, "app", "apply"),
    Point("a role is created", Before.NOTHING, _START, "app", "create", "started", "_role."),
    Point("a function is created", Before.NOTHING, _START, "app", "create", "started", _FUNCTION),
    Point("live for the first time", Before.NOTHING, _START, "", "ready"),
    Point("the live apply begins", Before.APP, _START, "app", "apply"),
    Point("a function changes", Before.APP, _START, "app", "update", "started", _FUNCTION),
    Point("live", Before.APP, _START, "", "ready"),
    Point("the restore is planned", Before.LIVE, _RESTORE, "restore", "plan"),
    Point(
        "a function is restored", Before.LIVE, _RESTORE, "restore", "update", "started", _FUNCTION
    ),
    Point("the restore is applied", Before.LIVE, _RESTORE, "restore", "complete", "done"),
    Point(
        "destroy restores a function",
        Before.LIVE,
        _DESTROY,
        "restore",
        "update",
        "started",
        _FUNCTION,
    ),
    Point("destroy begins with the debug stack", Before.LIVE, _DESTROY, _STACK, "apply"),
    Point(
        "destroy removes the broker", Before.LIVE, _DESTROY, _STACK, "delete", "started", "n.broker"
    ),
    Point(
        "destroy --app removes a function",
        Before.ALL,
        _DESTROY_APP,
        "app",
        "delete",
        "started",
        _FUNCTION,
    ),
)
