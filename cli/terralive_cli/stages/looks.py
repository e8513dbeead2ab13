"""One look at a debug stack, and what follows from it. Pure.

Times are milliseconds since the Unix epoch, on AWS's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from terralive_cli.joining.description import StackDescription
from terralive_cli.live.stub_check import DeployedCode
from terralive_cli.restoring.stub_code import Carried, carried
from terralive_cli.stages.events import Connection
from terralive_cli.stages.tagged import TaggedStack
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.broker.leases import LEASE_MS, Lease, LeaseState
from terralive_stub.shared.arns import place_of
from terralive_stub.shared.timestamps import format_epoch_seconds
from terralive_terraform.substitution.marker import StageName, stage_of

_MILLISECONDS: Final = 1000
_DAY_MS: Final = 24 * 60 * 60 * _MILLISECONDS
# Python knows no later year than 9999.
_END_OF_TIME_MS: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp()) * _MILLISECONDS


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions of an account and region, as `ListFunctions` describes them.

    Attributes:
        code: the code of each function by ARN.
        refusal: why they cannot be listed; "" where they are all here.
    """

    code: Mapping[str, DeployedCode] = field(default_factory=dict)
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class StackItems:
    """The items of a debug stack's table.

    Attributes:
        exists: whether there is a table.
        description: the description of the debug stack; None where it has none.
        lease: the lease of the stage; None where it has none.
        records: the records of replaced code.
        created_ms: the time at which the table was created; 0 where that is not known.
        refusal: why they cannot be read; "" where they can.
    """

    exists: bool = False
    description: StackDescription | None = None
    lease: Lease | None = None
    records: tuple[Replaced, ...] = ()
    created_ms: int = 0
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class StackLook:
    """A debug stack: its tags and the items of its table."""

    stack: TaggedStack
    items: StackItems

    def created_ms(self) -> int:
        """Return when it was created; by its tag the end of that day; 0 where nothing tells it."""
        if self.items.created_ms:
            return self.items.created_ms
        try:
            day = datetime.fromisoformat(f"{self.stack.created}T00:00:00+00:00")
        except ValueError:
            return 0
        # A later time never makes a debug stack older than it is.
        return int(day.timestamp()) * _MILLISECONDS + _DAY_MS

    def used_ms(self, now_ms: int) -> int:
        """Return when somebody was connected last, or else when it was created."""
        lease = self.items.lease
        if lease is None:
            return min(self.created_ms(), now_ms)
        return max(self.created_ms(), last_connected_ms(lease, now_ms))


def connection_of(items: StackItems, now_ms: int) -> Connection:
    """Return what the lease of a stage tells of its relay."""
    if items.refusal:
        return Connection.UNKNOWN
    lease = items.lease
    if lease is None:
        return Connection.NEVER
    if not lease.live(now_ms):
        return Connection.LEFT
    if lease.state is LeaseState.HELD:
        return Connection.CONNECTED
    return Connection.LOST


def last_connected_ms(lease: Lease, now_ms: int) -> int:
    """Return when the relay of a lease was connected last."""
    if lease.state is not LeaseState.HELD:
        return lease.until_ms
    # It is renewed as long as the relay is connected.
    return min(now_ms, lease.expires_ms - LEASE_MS)


def live_functions(stage: StageName, items: StackItems, functions: Functions) -> tuple[str, ...]:
    """Return the ARNs of functions that are probably live for a stage, without another call.

    A function whose code Terraform ignores keeps its own description. It is known by its record:
    its code is not the code that was replaced, and has the size of a stub.
    """
    found = {arn for arn, code in functions.code.items() if stage_of(code.description) == stage}
    places = {place_of(arn) for arn in functions.code}
    for record in items.records:
        code = functions.code.get(record.function)
        if code is not None:
            has_own = code.sha256 == record.code_sha256 or carried(code) is not Carried.UNKNOWN
            if not has_own:
                found.add(record.function)
        elif functions.refusal or place_of(record.function) not in places:
            # It cannot be looked at here.
            found.add(record.function)
    return tuple(sorted(found))


def known_functions(stage: StageName, items: StackItems, functions: Functions) -> tuple[str, ...]:
    """Return the ARNs of all functions that may carry the stub of a stage.

    The lease has the functions of the last relay, also those of other accounts and regions.
    """
    found = set(live_functions(stage, items, functions))
    found |= {record.function for record in items.records}
    if items.lease is not None:
        found |= items.lease.functions
    return tuple(sorted(found))


def label(arn: str, home: str = "") -> str:
    """Return a function's name for a person, with its region where that is not the stage's."""
    name = arn.rpartition(":")[2]
    place = place_of(arn)
    if home and place.region != home:
        return f"{name} ({place.region})"
    return name


def timestamp(milliseconds: int) -> str:
    """Return a point in time for an event; "" for 0, and for a year that is none."""
    if not 0 < milliseconds < _END_OF_TIME_MS:
        return ""
    return format_epoch_seconds(milliseconds / _MILLISECONDS)
