"""The live app as `start` serves it: its relay, its `ready` event, and the watch of its stubs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from terralive_cli.app.live_plan import LiveApp
from terralive_cli.configuration.values import LEAVES_OUT
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.functions.code_checks import handler_warning, interpreter_warning
from terralive_cli.layers.download import download_missing
from terralive_cli.layers.literal_paths import literal_path_warnings
from terralive_cli.layers.native import native_warnings
from terralive_cli.layers.store import users_store
from terralive_cli.live.stage_relay import StageRelay
from terralive_cli.live.stage_stub import stub_of
from terralive_cli.live.stub_watch import StubWatch
from terralive_cli.output.events import LiveFunction, Ready, SandboxAccess
from terralive_cli.output.ui import Ui
from terralive_relay.events import Warned
from terralive_terraform.substitution.rules import NotLive

_URL_SCHEMES: Final = ("https://", "http://", "wss://", "ws://")


class ServedApp:
    """The live app that is served. One thread uses it.

    Args:
        stage: the stage.
        ui: shows events.
        relay: the stage's relay.
        in_background: whether the command leaves its terminal when the app is live.
    """

    def __init__(
        self, stage: Stage, ui: Ui, relay: StageRelay, *, in_background: bool = False
    ) -> None:
        self._stage = stage
        self._ui = ui
        self._relay = relay
        self._in_background = in_background
        # What is served; None before the first `serve`.
        self._served: tuple[DebugStackOutputs, LiveApp] | None = None
        # Looks whether stubs were replaced; None while it does not run.
        self._watch: StubWatch | None = None
        # The ARNs of the functions whose stub was replaced when the watch last ran.
        self._without_stub: frozenset[str] = frozenset()

    @property
    def live(self) -> LiveApp | None:
        """The live app that is served; None before the first `serve`."""
        if self._served is None:
            return None
        return self._served[1]

    @property
    def outputs(self) -> DebugStackOutputs | None:
        """The debug stack that its stubs connect to; None before the first `serve`."""
        if self._served is None:
            return None
        return self._served[0]

    @property
    def without_stub(self) -> frozenset[str]:
        """The ARNs of the functions whose stub was replaced, as far as the watch has seen it."""
        if self._watch is None:
            return self._without_stub
        return self._watch.without_stub

    def serve(self, outputs: DebugStackOutputs, live: LiveApp) -> None:
        """Serve an app that is live, in the place of the one before, and show it.

        Raises:
            StageHeldError: another user holds the stage.
            TerraliveError: see `StageRelay.serve`.
        """
        self.pause_watch()
        self._without_stub = frozenset()
        self._served = (outputs, live)
        choice = self._stage.config.download_layers
        download_missing(live.functions, choice, live.accounts, self._ui, users_store())
        _warn(self._ui, live)
        self._relay.serve(outputs, live.functions)
        ready = _ready(self._stage, live)
        self._ui.emit(replace(ready, in_background=self._in_background))
        self.watch()

    def watch(self) -> None:
        """Look from now on whether stubs were replaced."""
        if self._served is None or self._watch is not None:
            return
        outputs, live = self._served
        self._watch = StubWatch.of(
            self._stage, self._ui.emit, stub_of(self._stage, outputs, live.stubs), live
        )
        self._watch.start()

    def pause_watch(self) -> None:
        """Do not look, because Terraform may replace stubs now, or because this is the end."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
            self._without_stub = watch.without_stub


def _warn(ui: Ui, live: LiveApp) -> None:
    """Show why functions stay as they are, and what may be wrong with live ones."""
    warnings = list(reasons_to_tell(live.refused))
    for code in live.code.values():
        found = {
            "runtime-differs": interpreter_warning(code),
            "handler-doubtful": handler_warning(code),
        }
        for reference, text in found.items():
            if text is not None:
                warnings.append(Warned(reference=reference, message=text, function=code.address))
    warnings += literal_path_warnings(live.code.values())
    warnings += native_warnings(live.code.values())
    # Together, so that the same warning for several functions is shown once.
    ui.emit(*warnings)


def reasons_to_tell(refused: Mapping[str, NotLive]) -> Iterator[Warned]:
    """Yield why functions stay as they are, but for those that the user leaves out.

    Args:
        refused: the functions that stay as they are, by address.
    """
    for address, item in refused.items():
        if LEAVES_OUT not in item.reason:
            yield Warned(reference="not-live", message=_why(item), function=address)


def _why(item: NotLive) -> str:
    """Return why a function stays as it is, in words that all functions with this reason share."""
    if not item.lines:
        return item.reason
    return f"{item.reason}. `terralive plan` shows the lines to add to terralive.toml"


def _ready(stage: Stage, live: LiveApp) -> Ready:
    urls = {}
    for name, value in live.outputs.items():
        if isinstance(value, str) and value.startswith(_URL_SCHEMES):
            urls[name] = stage.target.url(value)
    info = stage.target.sandbox
    sandbox = SandboxAccess.of(info) if info else None
    account, alias = None, None
    if info is None:
        account = stage.target.caller.account
        alias = stage.target.caller.known_alias or None
    found_by = live.found_by
    return Ready(
        stage=stage.config.stage,
        functions=tuple(
            LiveFunction.of(function, found_by=found_by.get(function.address, ""))
            for function in live.functions
        ),
        outputs=live.outputs,
        urls=urls,
        sandbox=sandbox,
        region=stage.target.region,
        account=account,
        account_alias=alias,
        schedules=live.schedules or None,
    )
