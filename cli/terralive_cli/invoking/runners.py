"""Finds out where the invocation of a deployed function runs, before it is sent."""

from __future__ import annotations

import time

from terralive_cli.deploy.target import Stage
from terralive_cli.invoking.answers import Runner
from terralive_cli.invoking.deployed import DeployedSettings
from terralive_cli.invoking.finding import KnownFunction
from terralive_cli.live.holder import held, is_of_another
from terralive_stub.broker.leases import Lease
from terralive_stub.errors import StageHeldError
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.substitution.marker import StageName, is_stub, stage_of


def runner_of(
    stage: Stage,
    function: KnownFunction,
    settings: DeployedSettings | None,
    *,
    allows_held: bool,
) -> Runner:
    """Return where an invocation runs, as far as the caller may see it.

    Args:
        stage: the stage.
        function: the function.
        settings: its settings; None if the caller may not see them.
        allows_held: whether it may run on the machine of another user.

    Raises:
        StageHeldError: `stage-held`: it would run on the machine of another user.
    """
    if settings is None:
        return Runner.UNKNOWN
    if not is_stub(settings.handler, settings.description):
        return Runner.DEPLOYED
    name = stage_of(settings.description)
    if name is None:
        return Runner.UNKNOWN
    now_ms = int(time.time() * 1000)
    lease = held(stage.target.caller.lease(_table_of(stage, name)), now_ms)
    if lease is None or not lease.serves(function.arn, now_ms):
        return Runner.NOBODY
    if not is_of_another(stage.config, lease):
        return Runner.HERE
    if not allows_held:
        raise _held(function, name, lease)
    return Runner.ELSEWHERE


def _table_of(stage: Stage, name: StageName) -> str:
    """Return the name of a stage's table, in the account and region of this one."""
    prefix = stage.config.debug_stack.name_prefix
    return DebugStackSettings.for_names(name.app, name.stage, prefix).name("connections")


def _held(function: KnownFunction, name: StageName, lease: Lease) -> StageHeldError:
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(lease.since_ms / 1000))
    return StageHeldError(
        "stage-held",
        f"{function.shown_name} is live as {name} for {lease.owner} on {lease.machine} since "
        f"{since}: the invocation would run there. Nothing was invoked.",
        hint="Use a stage of your own (`--stage`), run the code of this folder (`--local`), or add "
        f"`--held` to run it on the machine of {lease.owner}.",
    )
