"""Functions that carry the stub of another stage: who holds them, and since when."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from terralive_cli.deploy.aws import Caller
from terralive_cli.deploy.target import Stage
from terralive_stub.broker.leases import Lease, LeaseState
from terralive_stub.errors import StageHeldError
from terralive_stub.shared.arns import place_of
from terralive_terraform.addresses import short_address
from terralive_terraform.debug_stack.settings import DebugStackSettings
from terralive_terraform.output.state import DeployedFunction
from terralive_terraform.substitution.marker import StageName, stage_of

_log: Final = logging.getLogger("terralive.cli")


@dataclass(frozen=True, slots=True)
class Holder:
    """The debug stack of a stage, as far as this user may see it.

    Attributes:
        owner: the user who deployed it; "" if it is not known.
        created: the day of its deployment (ISO date); "" if it is not known.
        lease: its relay's lease; None where nobody is connected.
    """

    owner: str = ""
    created: str = ""
    lease: Lease | None = None


def stages_of(functions: Mapping[str, DeployedFunction]) -> dict[StageName, list[str]]:
    """Return the addresses of live functions by the stage that they are live for."""
    found: dict[StageName, list[str]] = {}
    for address, function in functions.items():
        name = stage_of(function.description)
        if name is not None:
            found.setdefault(name, []).append(address)
    return found


def still_held(
    caller: Caller, name: StageName, functions: Mapping[str, DeployedFunction]
) -> list[str]:
    """Return the addresses of functions that a stage holds, as Lambda describes them now.

    Terraform's state may be older than the functions: a job without a build, or `terralive gc`, has
    put them back by Lambda's API. What cannot be looked at counts as held.

    Args:
        caller: the caller.
        name: the stage.
        functions: functions, by address, that a state or a plan describes as live for it.
    """
    held: list[str] = []
    for address, function in functions.items():
        description = _description_now(caller, function.arn)
        if description is None or stage_of(description) == name:
            held.append(address)
        else:
            _log.debug("%s is not live for %s any more", address, name)
    return held


def _description_now(caller: Caller, arn: str) -> str | None:
    """Return the description of a function; None where it is not known.

    https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # heavy

    place = place_of(arn)
    if place.account != caller.account:
        return None
    client = caller.session.client(
        "lambda", region_name=place.region, endpoint_url=caller.endpoint_url
    )
    try:
        return client.get_function_configuration(FunctionName=arn).get("Description", "")
    except (ClientError, BotoCoreError) as error:
        _log.debug("%s cannot be looked at: %s", arn, type(error).__name__)
        return None


def find_holder(stage: Stage, name: StageName, now_ms: int) -> Holder:
    """Look at the debug stack of another stage, in the account and region of this one.

    Args:
        stage: the stage at work.
        name: the other stage.
        now_ms: milliseconds since the Unix epoch.
    """
    settings = DebugStackSettings.for_names(
        name.app, name.stage, stage.config.debug_stack.name_prefix
    )
    caller = stage.target.caller
    tags = caller.function_tags(settings.name("broker"))
    lease = caller.lease(settings.name("connections"))
    if lease is not None and not (lease.state is LeaseState.HELD and lease.live(now_ms)):
        lease = None
    return Holder(tags.get("terralive:owner", ""), tags.get("terralive:created", ""), lease)


def held_elsewhere(name: StageName, addresses: Sequence[str], holder: Holder) -> StageHeldError:
    """Return the error for functions that another stage holds."""
    functions = ", ".join(short_address(address) for address in addresses)
    owner = holder.owner or "its owner"
    state = "Its debug stack is not in this account and region, or you may not see it."
    if holder.lease is not None:
        owner = holder.lease.owner
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(holder.lease.since_ms / 1000))
        state = f"{owner} on {holder.lease.machine} is connected since {since}."
    elif holder.created:
        state = f"{owner} deployed it on {holder.created}; nobody is connected now."
    return StageHeldError(
        "stage-held-elsewhere",
        f"These functions are live for stage {name}: {functions}. {state}",
        hint=f"Ask {owner} to run `terralive restore --stage {name.stage}`, work on a copy of the "
        "app of your own, or take the functions over with `--takeover`.",
    )
