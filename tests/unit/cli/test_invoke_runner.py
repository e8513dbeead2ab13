from __future__ import annotations

import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from terralive_cli.invoking.answers import Runner
from terralive_cli.invoking.deployed import DeployedSettings
from terralive_cli.invoking.finding import KnownFunction
from terralive_cli.invoking.runners import runner_of
from terralive_stub.broker.leases import Lease, LeaseState
from terralive_stub.errors import StageHeldError
from terralive_terraform.substitution.marker import StageName, live_description
from terralive_testing.fakes.user import AnsweringUser

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders-api"
FUNCTION = KnownFunction("orders-api", ARN, "aws_lambda_function.api")
OWN = StageName("orders", "dev-ana")


def settings(description: str, handler: str = "app.handler") -> DeployedSettings:
    return DeployedSettings(description, handler, 3, 128, "role", {})


def lease(owner: str, machine: str, *functions: str) -> Lease:
    later_ms = int(time.time() * 1000) + 60_000
    return Lease(
        "relay", "connection", owner, machine, "arn", frozenset(functions), LeaseState.HELD,
        since_ms=1, until_ms=0, expires_ms=later_ms, version=1,
    )  # fmt: skip


def runner(
    folder: Path,
    found: DeployedSettings | None,
    held: Lease | None = None,
    *,
    allows_held: bool = False,
) -> tuple[Runner, list[str]]:
    """Return where an invocation runs, and the tables whose lease was read."""
    stage = AnsweringUser(folder).stage
    tables: list[str] = []

    def read(table: str) -> Lease | None:
        tables.append(table)
        return held

    object.__setattr__(stage.target, "caller", SimpleNamespace(lease=read))
    object.__setattr__(stage.target, "region", "eu-west-1")
    return runner_of(stage, FUNCTION, found, allows_held=allows_held), tables


def test_deployed_code_runs_in_lambda_and_nobody_is_asked(tmp_path: Path) -> None:
    assert runner(tmp_path, settings("Orders")) == (Runner.DEPLOYED, [])
    assert runner(tmp_path, None) == (Runner.UNKNOWN, [])


def test_a_live_function_runs_here_while_the_session_of_this_machine_serves_it(
    tmp_path: Path,
) -> None:
    live = settings(live_description(OWN))
    mine = lease("ana", socket.gethostname(), ARN)

    assert runner(tmp_path, live, mine) == (
        Runner.HERE,
        ["terralive-orders-dev-ana-connections"],
    )
    assert runner(tmp_path, live)[0] is Runner.NOBODY
    other = lease("ana", socket.gethostname(), f"{ARN}-2")
    assert runner(tmp_path, live, other)[0] is Runner.NOBODY


@pytest.mark.parametrize("name", [OWN, StageName("orders", "dev-ben")])
def test_an_invocation_does_not_run_on_the_machine_of_another_user_unasked(
    name: StageName, tmp_path: Path
) -> None:
    live = settings(live_description(name))
    held = lease("ben", "bens-laptop", ARN)

    with pytest.raises(StageHeldError) as raised:
        runner(tmp_path, live, held)

    assert raised.value.reference == "stage-held"
    assert f"is live as {name} for ben on bens-laptop" in raised.value.message
    assert "--local" in raised.value.hint
    assert runner(tmp_path, live, held, allows_held=True)[0] is Runner.ELSEWHERE
