"""The key that applies a changed configuration while functions are live: its ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from terralive_cli.app.live_plan import LiveApp
from terralive_cli.changes.applying import apply_while_served
from terralive_cli.deploy.accounts import AllAccounts
from terralive_cli.deploy.approval import Declined
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_stub.errors import StageHeldError, TerraformError
from terralive_testing.fakes.user import AnsweringUser

OUTPUTS = DebugStackOutputs("wss://stub", "wss://relay", "table", "broker")


@dataclass
class Relay:
    """A relay that runs, or does not."""

    is_running: bool = True


@dataclass
class Served:
    """An app that is served. It keeps what is done with it."""

    done: list[str] = field(default_factory=list)

    def serve(self, outputs: DebugStackOutputs, live: LiveApp) -> None:
        del outputs, live
        self.done.append("serve")

    def watch(self) -> None:
        self.done.append("watch")

    def pause_watch(self) -> None:
        self.done.append("pause")


@dataclass
class Applied:
    """One press of the key.

    Attributes:
        user: the user.
        failure: the end of the work; None where it succeeds.
        relay: the session's relay.
    """

    user: AnsweringUser
    failure: Exception | None = None
    relay: Relay = field(default_factory=Relay)
    served: Served = field(default_factory=Served)

    def press(self) -> bool:
        return apply_while_served(self.user.ui, self.relay, self.served, self._make_live)

    def _make_live(self) -> tuple[DebugStackOutputs, LiveApp]:
        # What was typed while Terraform plans is no answer.
        assert not self.user.ui.takes_typed_ahead
        assert self.served.done == ["pause"]
        if self.failure is not None:
            raise self.failure
        return OUTPUTS, LiveApp((), {}, {}, AllAccounts(()))


def test_what_is_live_then_is_served(tmp_path: Path) -> None:
    applied = Applied(AnsweringUser(tmp_path))
    assert applied.press()
    assert applied.served.done == ["pause", "serve", "watch"]
    assert applied.user.ui.takes_typed_ahead


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Declined("Stopped. Nothing was changed."), "Stopped. Nothing was changed. What is live"),
        (TerraformError("terraform-failed", "Unsupported argument"), "Unsupported argument"),
        (StageHeldError("stage-held-elsewhere", "ben holds plain-second"), "ben holds"),
    ],
)
def test_after_a_no_or_an_error_the_session_goes_on_and_says_why(
    tmp_path: Path, failure: Exception, words: str
) -> None:
    applied = Applied(AnsweringUser(tmp_path), failure)
    assert not applied.press()
    assert applied.served.done == ["pause", "watch"]
    shown = applied.user.screen()
    assert words in shown
    assert "What is live stays live and is served. Press a to plan again." in shown
    assert applied.user.ui.takes_typed_ahead


def test_an_error_that_has_cost_the_relay_ends_the_session(tmp_path: Path) -> None:
    failure = TerraformError("not-connected", "no network")
    applied = Applied(AnsweringUser(tmp_path), failure, Relay(is_running=False))
    with pytest.raises(TerraformError, match="no network"):
        applied.press()
