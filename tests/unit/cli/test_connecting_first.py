"""The relay connects before the functions of an app are changed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from terralive_cli.app.live_plan import AppGuard, LiveApp, LivePlan
from terralive_cli.app.stage_app import StageApp
from terralive_cli.configuration.tables import TerraformConfig
from terralive_cli.configuration.values import Config
from terralive_cli.deploy.accounts import AllAccounts
from terralive_cli.deploy.aws import Caller
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.target import Stage, Target
from terralive_cli.output.events import TerraformProgress
from terralive_cli.output.progress import Phase
from terralive_cli.stacks.stage_apps import StageApps
from terralive_relay.events import Event
from terralive_relay.stage_errors import not_connected
from terralive_stub.errors import TerraliveError
from terralive_terraform.substitution.app import App, Part
from terralive_workers.function import LocalFunction

OUTPUTS = DebugStackOutputs("wss://stub", "wss://relay", "table", "broker", b"secret")


class Deployment:
    """The apply of an app's plan. It keeps what happens, in order.

    Args:
        work: the stage's work folder.
        failure: the reason why the relay cannot connect; None where it can.
    """

    def __init__(self, work: Path, failure: TerraliveError | None = None) -> None:
        self.done: list[str] = []
        self._failure = failure
        config = Config(work, "orders", "dev-ana", "ana", TerraformConfig(work))
        nobody = cast("Caller", None)
        target = Target("account", "eu-west-1", {}, nobody, work)
        stage = Stage(config, target, self._emit, {})
        self._apps = StageApps(stage, cast("AppGuard", None), serve=self._serve)
        self._app = cast(
            "StageApp",
            SimpleNamespace(
                stack="", part=Part("", cast("App", None)), apply_live=self._apply_live
            ),
        )
        self._apps.stacks = (self._app,)

    def apply(self, *, has_changes: bool = True) -> None:
        ready = SimpleNamespace(phase=Phase("app", self._emit))
        plan = SimpleNamespace(
            stack="", outputs=OUTPUTS, has_changes=has_changes, expected=(), ready=ready
        )
        self._apps.apply_live(self._app, cast("LivePlan", plan))

    def _emit(self, *events: Event) -> None:
        for event in events:
            if isinstance(event, TerraformProgress):
                self.done.append(f"{event.action} {event.state}")

    def _serve(self, outputs: DebugStackOutputs, functions: tuple[LocalFunction, ...]) -> None:
        del outputs, functions
        if self._failure is not None:
            raise self._failure
        self.done.append("connected")

    def _apply_live(self, plan: LivePlan) -> LiveApp:
        del plan
        self.done.append("applied")
        return LiveApp((), {}, {}, AllAccounts(()))


def test_a_relay_is_connected_before_functions_are_changed_and_the_screen_says_so(
    tmp_path: Path,
) -> None:
    deployment = Deployment(tmp_path)
    deployment.apply()
    assert deployment.done == ["connect started", "connected", "connect done", "applied"]


def test_a_relay_that_cannot_connect_leaves_all_functions_as_they_are(tmp_path: Path) -> None:
    failure = not_connected(60, OUTPUTS.relay_url, "the proxy refused")
    deployment = Deployment(tmp_path, failure)
    with pytest.raises(TerraliveError, match="the proxy refused"):
        deployment.apply()
    assert deployment.done == ["connect started", "connect failed"]


def test_where_nothing_changes_nobody_waits_for_the_relay(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.apply(has_changes=False)
    assert deployment.done == ["applied"]
