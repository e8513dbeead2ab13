"""`terralive start`: make the app live, and run every invocation here until Ctrl-C."""

from __future__ import annotations

import os
import time
from typing import Final

from terralive_cli.app.live_plan import LiveApp
from terralive_cli.changes.in_session import saved_changes
from terralive_cli.configuration.values import Config
from terralive_cli.deploy.debug_stack import DebugStack, DebugStackOutputs
from terralive_cli.deploy.target import Stage, opened, work_folder
from terralive_cli.functions.debugging import Debugging
from terralive_cli.live.holder import held, require_mine
from terralive_cli.live.served_app import ServedApp
from terralive_cli.live.stage_relay import StageRelay
from terralive_cli.output import failures
from terralive_cli.output.events import Message, Stopped
from terralive_cli.output.interrupts import options_of
from terralive_cli.output.logfiles import LogFiles
from terralive_cli.output.ui import Ui
from terralive_cli.protection.accounts import check_target
from terralive_cli.unchanged.again import Start, again
from terralive_cli.unchanged.heard import Heard
from terralive_relay.events import RelayEvent, Warned
from terralive_sandbox.refusals import RefusalReader
from terralive_stub.errors import StageHeldError
from terralive_workers import loopback

_LOOK_SECONDS: Final = 0.5


def run(
    config: Config,
    ui: Ui,
    *,
    takeover: bool = False,
    refresh: bool = False,
    debugged: tuple[str, ...] = (),
    debug_wait: bool = False,
    debug_freeze_time: bool = False,
) -> int:
    """Deploy what is missing, connect, and stay until Ctrl-C or until another user takes the stage.

    Args:
        config: the configuration.
        ui: shows events and asks questions.
        takeover: take the stage from the user who is connected, and functions from other stages.
        refresh: run Terraform also where nothing has changed.
        debugged: functions that a debugger may attach to, as `FUNCTION[:PORT]`.
        debug_wait: import the code of debugged functions only when a debugger is attached.
        debug_freeze_time: stop the remaining time of debugged functions.
    """
    debugging = Debugging.of(debugged, wait=debug_wait, freeze_time=debug_freeze_time)
    debugging.require_private(loopback.other_users())
    with opened(config, may_start_sandbox=True) as target:
        heard = Heard(ui.emit)
        stage = Stage.of(config, target, heard)
        check_target(stage, ui, changes=True)
        logs = LogFiles(
            work_folder(config.project) / "logs",
            warn=lambda text: ui.emit(Warned(reference="logs-not-kept", message=text)),
        )

        def publish(event: RelayEvent) -> None:
            ui.emit(event)
            logs(event)

        relay = StageRelay.of(stage, publish, takeover=takeover)
        began_ns = time.time_ns()
        try:
            this_start = Start(stage, heard, debugging, takeover)
            found = again(this_start, refresh=refresh)
            if found is None:
                found = _made_live(this_start, ui, relay, refresh=refresh)
            if found is None:
                return failures.FAILED
            outputs, live = found
            return _serve(this_start, ui, outputs, live, relay, began_ns=began_ns)
        finally:
            _stop(relay)
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
    outputs: DebugStackOutputs,
    live: LiveApp,
    relay: StageRelay,
    *,
    began_ns: int,
) -> int:
    """Run the relay until Ctrl-C, or until nobody reads the output any more.

    Raises:
        StageHeldError: another user holds the stage, or takes it over.
    """
    stage = start.stage
    refusals = None
    if stage.target.sandbox is not None:
        refusals = RefusalReader(stage.target.sandbox)
    is_held = False
    served = ServedApp(stage, ui, relay)
    changes = saved_changes(start, ui, relay, served, began_ns)
    try:
        served.serve(outputs, live)
        while not relay.wait(_LOOK_SECONDS):
            if refusals is not None:
                _show_refusals(ui, refusals)
            if ui.output_gone:
                break
            changes.look()
    except KeyboardInterrupt:
        pass  # the normal end
    except StageHeldError:
        is_held = True
        raise
    finally:
        changes.release()
        served.pause_watch()
        _stop(relay)
        ui.emit(
            Stopped(
                stage=stage.config.stage,
                live=not stage.target.own_sandbox,
                message=_last_message(stage, is_held=is_held),
            )
        )
    return failures.INTERRUPTED


def _stop(relay: StageRelay) -> None:
    """Stop the relay, if it runs."""
    try:
        relay.stop()
    except KeyboardInterrupt:
        # The second Ctrl-C ends at once. The workers see their pipes close, and end too.
        os._exit(failures.INTERRUPTED)


def _show_refusals(ui: Ui, refusals: RefusalReader) -> None:
    """Show what the sandbox has refused meanwhile: its callers often get no reason."""
    for text in refusals.read():
        message = f"The sandbox refused a request: {text}"
        ui.emit(Warned(reference="refused-by-sandbox", message=message))


def _last_message(stage: Stage, *, is_held: bool) -> str:
    """Return what the end of the relay means, and what to type next."""
    if stage.target.own_sandbox:
        return "The sandbox has stopped, and everything in it is deleted."
    name = stage.config.stage
    if is_held:
        return f"Stage {name} is still live: another `terralive start` holds it."
    options = options_of(stage.config)
    return (
        f"The functions of stage {name} are still live: their invocations fail until somebody "
        f"connects. `terralive start {options}` connects again, and `terralive restore {options}` "
        "puts the functions' own code back."
    )
