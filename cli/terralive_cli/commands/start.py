"""`terralive start`: make the app live, connect, and run every invocation here until Ctrl-C."""

from __future__ import annotations

import os
import socket
import time
import uuid
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import approval, record, workflows
from terralive_cli.deploy.app import LiveApp, StageApp
from terralive_cli.deploy.debug_stack import DebugStack, DebugStackOutputs
from terralive_cli.deploy.stage import Stage
from terralive_cli.deploy.target import Target, opened, work_folder
from terralive_cli.functions.code_warnings import handler_warning, interpreter_warning
from terralive_cli.functions.debugging import Debugging
from terralive_cli.functions.live import live_function
from terralive_cli.output import failures
from terralive_cli.output.events import Message, Ready, SandboxAccess, Stopped
from terralive_cli.output.logfiles import LogFiles
from terralive_cli.output.ui import Ui
from terralive_relay.connection.leasing import RelayIdentity
from terralive_relay.events import RelayEvent, Warned
from terralive_relay.relay import Relay, RelaySettings
from terralive_relay.stage_errors import held_by
from terralive_stub.broker.leases import LeaseState
from terralive_stub.errors import StageHeldError

_CONNECT_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 1.0


def run(
    config: Config,
    ui: Ui,
    *,
    takeover: bool = False,
    debugged: tuple[str, ...] = (),
    debug_wait: bool = False,
    debug_freeze_time: bool = False,
) -> int:
    """Deploy what is missing, connect, and stay until Ctrl-C or until the stage is somebody else's."""
    debugging = Debugging.of(debugged, wait=debug_wait, freeze_time=debug_freeze_time)
    with opened(config, may_start_sandbox=True) as target:
        stage = Stage.of(config, target, ui.emit)
        app = StageApp(stage, debugging)
        try:
            debug_stack = DebugStack.opened(stage)
            deployed = debug_stack.outputs()
            if deployed is not None and not takeover:
                _require_free(config, target, deployed)
            outputs = workflows.deploy_debug_stack(debug_stack, app, ui, deployed)
            live = workflows.make_live(stage, app, ui, outputs)
        except approval.Declined:
            ui.emit(
                Message(
                    message="Stopped: nothing more is changed. `terralive destroy` takes back what is deployed."
                )
            )
            return 1
        _warn(ui, live)
        return _serve(config, target, ui, outputs, live, takeover=takeover)


def _require_free(config: Config, target: Target, outputs: DebugStackOutputs) -> None:
    """Find out that somebody else is connected before anything of theirs is changed.

    The broker has the last word.
    """
    lease = target.caller.lease(outputs.table_name)
    now_ms = int(time.time() * 1000)
    if lease is None or lease.state is not LeaseState.HELD or not lease.live(now_ms):
        return
    if (lease.owner, lease.machine) != (config.user, socket.gethostname()):
        raise held_by(config.stage, lease.owner, lease.machine, lease.since_ms)


def _warn(ui: Ui, live: LiveApp) -> None:
    warnings = []
    for address, reason in live.refused.items():
        warnings.append(Warned(reference="not-live", message=reason, function=address))
    for code in live.code.values():
        differs = interpreter_warning(code)
        if differs is not None:
            warnings.append(
                Warned(reference="runtime-differs", message=differs, function=code.address)
            )
        doubtful = handler_warning(code)
        if doubtful is not None:
            warnings.append(
                Warned(reference="handler-doubtful", message=doubtful, function=code.address)
            )
    # Together, so that the same warning for several functions is shown once.
    ui.emit(*warnings)


def _serve(
    config: Config,
    target: Target,
    ui: Ui,
    outputs: DebugStackOutputs,
    live: LiveApp,
    *,
    takeover: bool,
) -> int:
    identity = RelayIdentity(
        relay=uuid.uuid4().hex,
        functions=tuple(function.name for function in live.functions),
        owner=config.user,
        machine=socket.gethostname(),
        takeover=takeover,
    )
    journal = record.journal(target.work)
    settings = RelaySettings(
        outputs.relay_url,
        target.region,
        config.stage,
        identity,
        live.functions,
        journal,
        config.forward_logs,
    )
    logs = LogFiles(
        work_folder(config.project) / "logs",
        warn=lambda text: ui.emit(Warned(reference="logs-not-kept", message=text)),
    )

    def tell(event: RelayEvent) -> None:
        ui.emit(event)
        logs(event)

    relay = Relay(settings, target.caller.credentials, tell)
    held = False
    try:
        relay.start()
        relay.wait_connected(_CONNECT_SECONDS)
        ui.emit(_ready(config, target, live))
        while not relay.wait(_LOOK_SECONDS):
            if ui.output_gone:
                break
    except KeyboardInterrupt:
        pass
    except StageHeldError:
        held = True
        raise
    finally:
        _stop(relay)
        logs.close()
        said = _farewell(config, target, held=held)
        ui.emit(Stopped(stage=config.stage, live=not target.own_sandbox, message=said))
    return failures.INTERRUPTED


def _stop(relay: Relay) -> None:
    try:
        relay.stop()
    except KeyboardInterrupt:
        os._exit(
            failures.INTERRUPTED
        )  # asked for twice: at once; the workers see their pipes close and end


def _ready(config: Config, target: Target, live: LiveApp) -> Ready:
    addresses = {
        name: value
        for name, value in live.outputs.items()
        if isinstance(value, str) and _is_url(value)
    }
    access = target.sandbox
    return Ready(
        stage=config.stage,
        functions=tuple(live_function(function) for function in live.functions),
        outputs=live.outputs,
        urls={name: target.url(value) for name, value in addresses.items()},
        sandbox=SandboxAccess(
            access.endpoint, access.region, access.access_key_id, access.secret_access_key
        )
        if access is not None
        else None,
    )


def _is_url(value: str) -> bool:
    return value.startswith(("https://", "http://", "wss://", "ws://"))


def _farewell(config: Config, target: Target, *, held: bool) -> str:
    if target.own_sandbox:
        return "The sandbox and everything in it is gone."
    if held:
        return f"Stage {config.stage} stays live for whoever holds it."
    place = " --sandbox" if target.sandbox is not None else ""
    return (
        f"The functions of stage {config.stage} are still stubs: their invocations fail until somebody connects. "
        f"`terralive start --stage {config.stage}{place}` goes on; "
        f"`terralive restore --stage {config.stage}{place}` puts the deployed code back."
    )
