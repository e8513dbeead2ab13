"""The status of one stage and of its functions. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from terralive_cli.fallback.published import stale_settings
from terralive_cli.live.stub_check import DeployedCode
from terralive_cli.restoring.stub_code import Carried, carried
from terralive_cli.stages.events import (
    Connection,
    FunctionState,
    StageFunction,
    StageStatus,
)
from terralive_cli.stages.looks import (
    StackItems,
    connection_of,
    label,
    last_connected_ms,
    timestamp,
)
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.shared.json_documents import Json
from terralive_terraform.substitution.marker import StageName, stage_of

_TIMEOUT: Final = "Timeout"
_AT_HANDLER: Final = "Terraform ignores its code, which has the size of a stub"
_REPLACED: Final = "its invocations do not run here; `terralive start` makes it live again"


@dataclass(frozen=True, slots=True)
class _State:
    """The state of a function, and more about it in words."""

    state: FunctionState
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SeenFunction:
    """A function as AWS describes it now.

    Attributes:
        arn: its ARN, without a qualifier.
        code: its code; None where it does not exist, or could not be looked at.
        configuration: its configuration, as Lambda describes it; {} where that is not known.
        version: the configuration of the version that has its real code; {} where that is not
            known.
        refusal: why it could not be looked at; "" where it could.
    """

    arn: str
    code: DeployedCode | None
    configuration: Mapping[str, Json]
    version: Mapping[str, Json]
    refusal: str = ""


def status_of(stage: StageName, place: str, items: StackItems, now_ms: int) -> StageStatus:
    """Return the status of a stage, without its functions and its session on this machine.

    Args:
        stage: the app and the stage.
        place: the account and region, for a person.
        items: the items of its table.
        now_ms: AWS's time.
    """
    connection = connection_of(items, now_ms)
    status = StageStatus(
        app=stage.app,
        stage=stage.stage,
        place=place,
        deployed=items.exists,
        connection=connection,
    )
    if items.description is not None:
        known = items.description
        status = replace(status, owner=known.owner, created=known.created, version=known.version)
    lease = items.lease
    if lease is None:
        return status
    until = ""
    if connection is not Connection.CONNECTED:
        until = timestamp(last_connected_ms(lease, now_ms))
    return replace(
        status,
        holder=lease.owner,
        machine=lease.machine,
        since=timestamp(lease.since_ms),
        until=until,
    )


def stage_function(
    seen: SeenFunction, stage: StageName, record: Replaced | None, region: str
) -> StageFunction:
    """Return a function as the status shows it.

    Args:
        seen: the function.
        stage: the app and the stage.
        record: the stage's record of its real code; None where it has none.
        region: the stage's region.
    """
    found = _state(seen, stage, record)
    differs: tuple[str, ...] = ()
    version, reason = "", ""
    is_live = found.state is FunctionState.LIVE
    if is_live and record is not None:
        version = record.version
        if not record.can_answer:
            reason = record.reason
        differs = _differing(seen)
    elif is_live:
        reason = "no version of its real code is known"
    return StageFunction(
        name=label(seen.arn, region),
        arn=seen.arn,
        state=found.state,
        detail=found.detail,
        differs=differs,
        fallback_version=version,
        fallback_reason=reason,
    )


def _state(seen: SeenFunction, stage: StageName, record: Replaced | None) -> _State:
    if seen.refusal:
        return _State(FunctionState.UNKNOWN, seen.refusal)
    if seen.code is None:
        return _State(FunctionState.GONE)
    holder = stage_of(seen.code.description)
    if holder is not None and holder != stage:
        return _State(FunctionState.OTHER_STAGE, f"it is live for {holder}")
    look = carried(seen.code)
    if look is Carried.STUB:
        return _State(FunctionState.LIVE)
    has_other_code = record is not None and seen.code.sha256 != record.code_sha256
    if look is Carried.UNKNOWN and has_other_code:
        return _State(FunctionState.LIVE, _AT_HANDLER)
    return _State(FunctionState.OWN_CODE, _REPLACED)


def _differing(seen: SeenFunction) -> tuple[str, ...]:
    """Return the settings in which a function differs from the version with its real code.

    What every stub changes is left out: code, handler, runtime, layers, description.
    """
    if not seen.version or not seen.configuration:
        return ()
    names = stale_settings(seen.version, seen.configuration)
    own, now = seen.version.get(_TIMEOUT), seen.configuration.get(_TIMEOUT)
    if own == now:
        return names
    return (f"{_TIMEOUT} ({now} s, was {own} s)", *names)
