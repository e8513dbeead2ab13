"""Deploys the app and the debug stack of a `start`: at its beginning, and again while it serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from terralive_cli.app.live_plan import LiveApp
from terralive_cli.changes.saved_changes import KEY
from terralive_cli.deploy import approval, workflows
from terralive_cli.deploy.debug_stack import DebugStack, DebugStackOutputs
from terralive_cli.live.stage_relay import StageRelay
from terralive_cli.output import failures
from terralive_cli.output.events import Message
from terralive_cli.output.ui import Ui
from terralive_cli.protection.guard import Guard
from terralive_cli.stacks.stage_apps import StageApps
from terralive_cli.unchanged.again import Start, begin
from terralive_cli.unchanged.remembering import remember
from terralive_stub.errors import TerraliveError

_GOES_ON: Final = f"What is live stays live and is served. Press {KEY} to plan again."


class RunningRelay(Protocol):
    """The relay of a session; see `StageRelay`."""

    @property
    def is_running(self) -> bool:
        """Tell whether there is a relay."""


class Served(Protocol):
    """The app that a session serves; see `ServedApp`."""

    def serve(self, outputs: DebugStackOutputs, live: LiveApp) -> None:
        """Serve an app that is live, in the place of the one before."""

    def watch(self) -> None:
        """Look from now on whether stubs were replaced."""

    def pause_watch(self) -> None:
        """Do not look, because Terraform may replace stubs now."""


def made_live(
    start: Start,
    ui: Ui,
    relay: StageRelay,
    debug_stack: DebugStack,
    deployed: DebugStackOutputs | None,
) -> tuple[DebugStackOutputs, LiveApp]:
    """Deploy the debug stack and the stubs, as the user agrees, and remember what they depend on.

    Functions that are known are served during the apply.

    Args:
        start: the start.
        ui: asks the user.
        relay: the stage's relay.
        debug_stack: the debug stack.
        deployed: the outputs of the debug stack that is deployed; None where there is none.

    Raises:
        Declined: the user said no.
        StageHeldError: another user holds the stage.
        TerraliveError: see `workflows.make_live`.
    """
    stage = start.stage
    guard = Guard(stage, ui, takeover=start.takeover)
    apps = StageApps(stage, guard, start.debugging, relay.serve_planned)
    outputs, live = workflows.make_live(debug_stack, apps, ui, deployed)
    remember(start, outputs, live)
    return outputs, live


def made_live_again(start: Start, ui: Ui, relay: StageRelay) -> tuple[DebugStackOutputs, LiveApp]:
    """Deploy the changed configuration while functions are live; it raises what `made_live` does.

    Args:
        start: the start that the session began with.
        ui: asks the user.
        relay: the stage's relay, which serves.
    """
    begin(start)
    debug_stack = DebugStack.opened(start.stage, trusts_mark=True)
    return made_live(start, ui, relay, debug_stack, debug_stack.outputs())


def apply_while_served(
    ui: Ui,
    relay: RunningRelay,
    served: Served,
    make_live: Callable[[], tuple[DebugStackOutputs, LiveApp]],
) -> bool:
    """Make the changed configuration live, and serve it in the place of what is served.

    Where the user says no, or something fails, what was served stays served, and the user reads
    why.

    Args:
        ui: shows events and asks questions.
        relay: the stage's relay, which serves.
        served: the app that is served.
        make_live: plans, asks and applies; see `made_live_again`.

    Returns:
        Whether the changed configuration is live.

    Raises:
        TerraliveError: the relay does not run any more.
    """
    served.pause_watch()
    # The plan takes seconds. What is typed meanwhile is no answer to its question.
    ui.takes_typed_ahead = False
    try:
        served.serve(*make_live())
    except approval.Declined as declined:
        ui.emit(Message(message=f"{declined} {_GOES_ON}"))
    except TerraliveError as error:
        if not relay.is_running:
            raise
        ui.emit(failures.describe(error), Message(message=_GOES_ON))
    else:
        return True
    finally:
        ui.takes_typed_ahead = True
        served.watch()
    return False
