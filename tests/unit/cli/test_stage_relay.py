"""Functions that `start` serves while Terraform still runs, and failures that do not end it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from terralive_cli.deploy import record
from terralive_cli.deploy.debug_stack import NO_SECRET, DebugStackOutputs
from terralive_cli.live import last_session
from terralive_cli.live.stage_relay import StageRelay
from terralive_relay.stage_errors import forbidden, held_by, not_connected
from terralive_stub.errors import ConfigurationError, StageHeldError, TerraliveError
from terralive_stub.shared.trust_store import UNTRUSTED
from terralive_workers.function import LocalFunction

OUTPUTS = DebugStackOutputs("wss://stub", "wss://relay", "table", "broker", b"secret")


@dataclass
class FakeRelay:
    """Does what it is told, and keeps it."""

    outputs: DebugStackOutputs
    served: list[tuple[LocalFunction, ...]]
    failure: TerraliveError | None = None
    stopped: bool = False
    restarts: int = 0
    waiting: int = 0

    def start(self) -> None:
        """It is connected at once."""

    def wait_connected(self, timeout_s: float) -> None:
        del timeout_s
        if self.failure is not None:
            raise self.failure

    def serve(self, functions: Sequence[LocalFunction], timeout_s: float) -> None:
        self.wait_connected(timeout_s)
        self.served.append(tuple(functions))

    def wait(self, timeout_s: float | None = None) -> bool:
        del timeout_s
        return False

    def restart_workers(self) -> None:
        self.restarts += 1

    def stop(self) -> None:
        self.stopped = True


@dataclass
class Machine:
    """A work folder, and the relays that were made."""

    work: Path
    failure: TerraliveError | None = None
    cannot_run: str = ""
    relays: list[FakeRelay] = field(default_factory=list)

    def make(self, outputs: DebugStackOutputs, functions: tuple[LocalFunction, ...]) -> FakeRelay:
        if self.cannot_run in [function.runtime for function in functions]:
            raise ConfigurationError("runtime-unsupported", self.cannot_run)
        self.relays.append(FakeRelay(outputs, [functions], self.failure))
        return self.relays[-1]

    def function(self, name: str, handler: str = "app.handler") -> LocalFunction:
        return LocalFunction(
            name=name,
            arn=f"arn:aws:lambda:eu-west-1:123456789012:function:{name}",
            address=f"aws_lambda_function.{name}",
            runtime="python3.12",
            handler=handler,
            path=self.work,
            python=Path(sys.executable),
        )

    def remember(self, *functions: LocalFunction) -> None:
        last_session.write(record.session(self.work), OUTPUTS.relay_url, functions)

    def relay(self) -> StageRelay:
        return StageRelay(self.work, self.make)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_where_nothing_was_live_here_nobody_connects_before_the_end(machine: Machine) -> None:
    relay = machine.relay()
    relay.resume(OUTPUTS)
    assert machine.relays == []
    relay.serve(OUTPUTS, (machine.function("orders"),))
    assert [made.served for made in machine.relays] == [[(machine.function("orders"),)]]


def test_a_relay_connects_before_functions_are_changed_also_where_none_of_them_is_known(
    machine: Machine,
) -> None:
    relay = machine.relay()
    relay.resume(OUTPUTS)
    relay.serve_planned(OUTPUTS, ())
    assert relay.is_running
    relay.serve(OUTPUTS, (machine.function("orders"),))
    assert [made.served for made in machine.relays] == [[(), (machine.function("orders"),)]]


def test_one_relay_serves_what_the_last_session_knew_then_the_plans_functions_then_the_live_ones(
    machine: Machine,
) -> None:
    old, kept, new = (machine.function(name) for name in ("old", "kept", "new"))
    changed = replace(kept, handler="app.other")
    machine.remember(old, kept)
    relay = machine.relay()
    relay.resume(OUTPUTS)
    relay.serve_planned(OUTPUTS, (changed, new))
    relay.serve(OUTPUTS, (changed, new))
    (made,) = machine.relays
    assert made.served == [(old, kept), (old, changed, new), (changed, new)]
    relay.stop()
    assert made.stopped


def test_a_relay_that_serves_a_live_app_stays_where_the_debug_stack_cannot_be_reached(
    machine: Machine,
) -> None:
    kept, new = machine.function("kept"), machine.function("new")
    relay = machine.relay()
    relay.serve(OUTPUTS, (kept,))
    (made,) = machine.relays
    made.failure = not_connected(60, "wss://relay", "no network")
    with pytest.raises(TerraliveError, match="no network"):
        relay.serve_planned(OUTPUTS, (new,))
    assert relay.is_running
    assert not made.stopped
    made.failure = None
    relay.serve(OUTPUTS, (kept, new))
    assert [relay.served for relay in machine.relays] == [[(kept,), (kept, new)]]


def test_a_debug_stack_with_another_address_is_connected_to_anew(machine: Machine) -> None:
    function = machine.function("orders")
    machine.remember(function)
    relay = machine.relay()
    relay.resume(OUTPUTS)
    moved = replace(OUTPUTS, relay_url="wss://moved")
    relay.serve(moved, (function,))
    first, second = machine.relays
    assert first.stopped
    assert (second.outputs, second.stopped) == (moved, False)


def test_another_users_stage_is_refused_before_anything_is_changed(machine: Machine) -> None:
    machine.remember(machine.function("orders"))
    machine.failure = held_by("dev", "ben", "bens-laptop", 0)
    with pytest.raises(StageHeldError):
        machine.relay().resume(OUTPUTS)


def test_a_stage_that_is_taken_over_before_the_apply_is_not_changed(machine: Machine) -> None:
    machine.remember(machine.function("orders"))
    relay = machine.relay()
    relay.resume(OUTPUTS)
    machine.relays[0].failure = held_by("dev", "ben", "bens-laptop", 0)
    with pytest.raises(StageHeldError):
        relay.serve_planned(OUTPUTS, (machine.function("orders"),))


@pytest.mark.parametrize(
    "failure",
    [
        not_connected(60, OUTPUTS.relay_url, "the proxy refused"),
        not_connected(60, OUTPUTS.relay_url, f"{UNTRUSTED}: unknown authority"),
        forbidden(403, "no permission"),
        forbidden(401, "its time is 400 s off"),
    ],
    ids=["proxy", "certificates", "permission", "clock"],
)
def test_a_debug_stack_that_cannot_be_reached_stops_a_start_before_a_function_is_changed(
    machine: Machine, failure: TerraliveError
) -> None:
    message, hint = failure.message, failure.hint
    machine.remember(machine.function("orders"))
    machine.failure = failure
    relay = machine.relay()
    relay.resume(OUTPUTS)
    assert [made.stopped for made in machine.relays] == [True]
    with pytest.raises(type(failure)) as caught:
        relay.serve_planned(OUTPUTS, (machine.function("orders"),))
    assert caught.value.message == message
    assert caught.value.hint == (
        f"{hint} The relay connects before functions are changed, so none was changed."
    )
    assert [made.stopped for made in machine.relays] == [True, True]
    assert not relay.is_running


def test_a_runtime_of_the_last_session_that_cannot_run_here_any_more_stops_nothing(
    machine: Machine,
) -> None:
    new = machine.function("new")
    machine.remember(replace(machine.function("old"), runtime="nodejs22.x"))
    machine.cannot_run = "nodejs22.x"
    relay = machine.relay()
    relay.resume(OUTPUTS)
    assert machine.relays == []
    relay.serve_planned(OUTPUTS, (new,))
    assert [made.served for made in machine.relays] == [[(new,)]]


def test_a_runtime_of_the_plan_that_cannot_run_here_stops_a_start_before_anything_is_changed(
    machine: Machine,
) -> None:
    machine.cannot_run = "python3.12"
    relay = machine.relay()
    with pytest.raises(ConfigurationError):
        relay.serve_planned(OUTPUTS, (machine.function("orders"),))
    assert machine.relays == []


def test_a_debug_stack_without_a_secret_is_not_connected_to(machine: Machine) -> None:
    machine.remember(machine.function("orders"))
    machine.relay().resume(replace(OUTPUTS, secret=NO_SECRET))
    assert machine.relays == []
