"""`terralive start`: make the app live, and run every invocation here until Ctrl-C."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import Final

from terralive_cli.app.live_plan import LiveApp
from terralive_cli.changes.in_session import saved_changes
from terralive_cli.changes.saved_changes import SavedChanges
from terralive_cli.commands.live.leaving import Leaving
from terralive_cli.configuration.values import Config
from terralive_cli.deploy.debug_stack import DebugStack, DebugStackOutputs
from terralive_cli.deploy.target import Stage, opened, work_folder
from terralive_cli.functions.debugging import Debugging
from terralive_cli.invoking.event.kept import EventKeeper
from terralive_cli.live.holder import held, require_mine
from terralive_cli.live.served_app import ServedApp
from terralive_cli.live.stage_relay import StageRelay
from terralive_cli.output import failures
from terralive_cli.output.events import Message, Stopped
from terralive_cli.output.interrupts import Interrupts
from terralive_cli.output.logfiles import LogFiles
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target
from terralive_cli.sessions.background import Foreground
from terralive_cli.sessions.folders import running
from terralive_cli.sessions.others import wait_until_live
from terralive_cli.sessions.own import OwnSession
from terralive_cli.sessions.texts import SessionRunningError
from terralive_cli.unchanged.again import Start, again
from terralive_cli.unchanged.heard import Heard
from terralive_cli.view.pressing import Action
from terralive_cli.view.session_view import SessionView
from terralive_relay.events import RelayEvent, Warned
from terralive_sandbox.refusals import RefusalReader
from terralive_stub.errors import StageHeldError
from terralive_workers import loopback

_LOOK_SECONDS: Final = 0.5
# Deploying an app again takes a minute: it is said before the first time.
_OWN_SANDBOX: Final = (
    "No sandbox ran, so this session has started one. It ends with the session, and everything in "
    "it is deleted. To keep an app for longer, run `terralive sandbox` in another terminal first."
)


def run(
    config: Config,
    ui: Ui,
    *,
    takeover: bool = False,
    refresh: bool = False,
    debugged: tuple[str, ...] = (),
    debug_wait: bool = False,
    debug_freeze_time: bool = False,
    until_ready: bool = False,
    **_: object,
) -> int:
    """Deploy what is missing, connect, and stay until Ctrl-C or until another user takes the stage.

    In the background it stays until `terralive stop`; see `start_in_background`.

    Args:
        config: the configuration.
        ui: shows events and asks questions.
        takeover: take the stage from the user who is connected, and functions from other stages.
        refresh: run Terraform also where nothing has changed.
        debugged: functions that a debugger may attach to, as `FUNCTION[:PORT]`.
        debug_wait: import the code of debugged functions only when a debugger is attached.
        debug_freeze_time: stop the remaining time of debugged functions.
        until_ready: whether a session serves as well that runs already.
    """
    foreground = Foreground.of(os.environ)
    debugging = Debugging.of(debugged, wait=debug_wait, freeze_time=debug_freeze_time)
    debugging.require_private(loopback.other_users())
    folder = work_folder(config.project)
    try:
        session = OwnSession.begin(config, ui, foreground, takeover=takeover)
    except SessionRunningError:
        # Two scripts have started it at the same moment, and the other one was first.
        other = running(config.project, config.stage, is_sandbox=config.sandbox)
        if not until_ready or other is None:
            raise
        wait_until_live(other, ui)
        return 0
    with opened(config, may_start_sandbox=True) as target:
        heard = Heard(ui.emit)
        stage = Stage.of(config, target, heard)
        check_target(stage, ui, changes=True)
        if target.own_sandbox:
            ui.emit(Message(message=_OWN_SANDBOX))
        logs = LogFiles(
            folder / "logs",
            warn=lambda text: ui.emit(Warned(reference="logs-not-kept", message=text)),
        )

        kept = EventKeeper(target.work, is_on=config.keep_events)

        def publish(event: RelayEvent) -> None:
            ui.emit(event)
            logs(event)

        relay = StageRelay.of(stage, publish, takeover=takeover, taken=kept.keep)
        began_ns = time.time_ns()
        try:
            this_start = Start(stage, heard, debugging, takeover)
            found = again(this_start, refresh=refresh)
            if found is None:
                found = _made_live(this_start, ui, relay, refresh=refresh)
            if found is None:
                return failures.FAILED
            return _serve(this_start, ui, found, relay, session, began_ns=began_ns)
        finally:
            _stop(relay)
            kept.close()
            logs.close()


def _made_live(
    start: Start, ui: Ui, relay: StageRelay, *, refresh: bool
) -> tuple[DebugStackOutputs, LiveApp] | None:
    """Deploy the debug stack and the stubs, while what is live already is served.

    Args:
        start: the start.
        ui: asks the user.
        relay: the stage's relay.
        refresh: plan the debug stack in any case.

    Returns:
        The debug stack and the live app; None where the user said no.

    Raises:
        StageHeldError: another user holds the stage.
        TerraliveError: see `workflows.make_live`.
    """
    # An unchanged start does not wait for these.
    from terralive_cli.changes.applying import made_live  # noqa: PLC0415  # heavy
    from terralive_cli.deploy import approval  # noqa: PLC0415  # heavy

    stage, takeover = start.stage, start.takeover
    # The debug stack comes first, because the stubs contain its address.
    debug_stack = DebugStack.opened(stage, trusts_mark=not refresh)
    deployed = debug_stack.outputs()
    if deployed is not None:
        lease = held(stage.target.caller.lease(deployed.table_name), int(time.time() * 1000))
        if not takeover:
            require_mine(stage.config, lease)
        if lease is None or not takeover:
            # A relay that is connected is taken over when the user has agreed to the plan.
            relay.resume(deployed)
    try:
        return made_live(start, ui, relay, debug_stack, deployed)
    except approval.Declined as declined:
        ui.emit(Message(message=str(declined)))
        return None


def _serve(
    start: Start,
    ui: Ui,
    made: tuple[DebugStackOutputs, LiveApp],
    relay: StageRelay,
    session: OwnSession,
    *,
    began_ns: int,
) -> int:
    """Run the relay until its end, then leave.

    It ends by Ctrl-C, by `terralive stop`, or when nobody reads the output any more.

    Invocations are served until the functions are restored, where that is wanted.

    Raises:
        StageHeldError: another user holds the stage, or takes it over.
        TerraliveError: the functions could not be restored.
    """
    stage, (outputs, live) = start.stage, made
    served = ServedApp(stage, ui, relay, in_background=session.is_detached)
    changes = saved_changes(start, ui, relay, served, began_ns)
    view = SessionView.of(ui, changes, relay)
    leaving = Leaving(start, ui, served, session)
    try:
        with Interrupts() as interrupts, view:
            try:
                with interrupts.raised():
                    served.serve(outputs, live)
                session.go_live(_functions_left(stage, live))
                view.open(interrupts.wake)
                parts = _Serving(stage, ui, relay, changes, view)
                number = _until_the_end(parts, interrupts)
            except KeyboardInterrupt:
                # While the relay connected, or Terraform applied a saved change.
                number = interrupts.last
        # It would take restored functions for replaced ones.
        served.pause_watch()
        if number is not None:
            leaving.leave(number)
    except KeyboardInterrupt:
        pass  # the second Ctrl-C
    except StageHeldError:
        leaving.is_held = True
        raise
    finally:
        served.pause_watch()
        ended = leaving.ended()
        _stop(relay, ui, ended)
        ui.emit(ended)
    return failures.INTERRUPTED


def _functions_left(stage: Stage, live: LiveApp) -> int:
    """Return how many functions keep their stub at the end, unless they are restored."""
    if stage.target.own_sandbox:
        return 0
    return len(live.functions)


@dataclass(frozen=True, slots=True)
class _Serving:
    """The parts of a session that are looked at while the relay serves.

    Attributes:
        stage: the stage.
        ui: shows events.
        relay: the relay.
        changes: the saved changes of the configuration.
        view: footer and keys.
    """

    stage: Stage
    ui: Ui
    relay: StageRelay
    changes: SavedChanges
    view: SessionView


def _until_the_end(parts: _Serving, interrupts: Interrupts) -> signal.Signals | None:
    """Wait while the relay serves; return the signal that ends this, or None for another end.

    Output that nobody reads any more counts as a closed terminal: the terminal takes nothing some
    time before the shell passes the signal on. The key to leave counts as Ctrl-C.

    Raises:
        KeyboardInterrupt: a signal has come while saved changes were looked at, or applied.
    """
    refusals = None
    if parts.stage.target.sandbox is not None:
        refusals = RefusalReader(parts.stage.target.sandbox)
    while not parts.relay.wait(0):
        number = interrupts.wait(_LOOK_SECONDS, parts.view.file)
        if number is not None:
            return number
        if refusals is not None:
            _show_refusals(parts.ui, refusals)
        if parts.ui.output_gone:
            return signal.SIGHUP
        action = parts.view.look()
        if action is Action.LEAVE:
            return signal.SIGINT
        # It may run Terraform, which an interrupt stops.
        with interrupts.raised():
            parts.changes.look()
            if action is Action.APPLY:
                parts.changes.apply()
    return None


def _stop(relay: StageRelay, ui: Ui | None = None, ended: Stopped | None = None) -> None:
    """Stop the relay, if it runs. Say what stays before a second Ctrl-C ends the command."""
    try:
        relay.stop()
    except KeyboardInterrupt:
        if ui is not None and ended is not None:
            ui.emit(ended)
            ui.flush()
        # The second Ctrl-C ends at once. The workers see their pipes close, and end too.
        os._exit(failures.INTERRUPTED)


def _show_refusals(ui: Ui, refusals: RefusalReader) -> None:
    """Show what the sandbox has refused meanwhile: its callers often get no reason."""
    for text in refusals.read():
        message = f"The sandbox refused a request: {text}"
        ui.emit(Warned(reference="refused-by-sandbox", message=message))
