"""Debug stacks in the account and the region: those of this user that nobody uses any more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import aws
from terralive_cli.doctor.findings import Finding, Outcome, SkippedError, warning
from terralive_cli.output.formats.words import plural
from terralive_cli.stages.reading import AccountReader
from terralive_cli.stages.tagged import TaggedStack
from terralive_stub.broker.leases import Lease, LeaseState
from terralive_stub.errors import CredentialsError
from terralive_terraform.substitution.marker import StageName

_STALE_DAYS: Final = 3
_MILLISECONDS: Final = 1000.0
_REFUSED: Final = "aws-refused"


def check_stages(config: Config, caller: aws.Caller, now: float) -> Outcome:
    """Look for debug stacks of this user, other than this stage's, that nobody uses.

    Args:
        config: the configuration.
        caller: the caller.
        now: seconds since the Unix epoch.

    Raises:
        SkippedError: the caller may not ask.
        CredentialsError: AWS did not answer.
    """
    try:
        found = AccountReader(caller).stacks()
    except CredentialsError as error:
        if error.reference == _REFUSED:
            raise SkippedError("the caller may not list tags (tag:GetResources)") from None
        raise
    own = StageName(config.app, config.stage)
    stale: list[tuple[TaggedStack, dt.date]] = []
    for item in found:
        if item.owner != config.user or item.stage == own or not item.table:
            continue
        last = last_used(item, caller.lease(item.table), now)
        if last is not None and is_stale(last, now):
            stale.append((item, last))
    return stages_outcome(found, stale, config.user)


def last_used(stack: TaggedStack, lease: Lease | None, now: float) -> dt.date | None:
    """Return the day when somebody was connected last; None where somebody is, or nobody knows.

    Args:
        stack: the debug stack. Where nobody has connected yet, the day of its deployment counts.
        lease: its relay's lease; None where there is none.
        now: seconds since the Unix epoch.
    """
    if lease is not None:
        if lease.state is LeaseState.HELD and lease.live(int(now * _MILLISECONDS)):
            return None
        last_ms = lease.until_ms or lease.since_ms
        try:
            return dt.datetime.fromtimestamp(last_ms / _MILLISECONDS, dt.UTC).date()
        except (ValueError, OverflowError, OSError):
            return None  # no time that terralive has written
    try:
        return dt.date.fromisoformat(stack.created)
    except ValueError:
        return None


def is_stale(last: dt.date, now: float) -> bool:
    """Tell whether a day is so long ago that its stage is likely forgotten."""
    today = dt.datetime.fromtimestamp(now, dt.UTC).date()
    return today - last >= dt.timedelta(days=_STALE_DAYS)


def stages_outcome(
    found: Sequence[TaggedStack], stale: Sequence[tuple[TaggedStack, dt.date]], user: str
) -> Outcome:
    """Return the result for the debug stacks of the account and the region.

    Args:
        found: all of them.
        stale: those that nobody uses, with the day when somebody did.
        user: name of the user.
    """
    findings: list[Finding] = []
    for item, last in stale:
        findings.append(
            warning(
                "stage-stale",
                f"Nobody has used the stage {item.stage} since {last}. It is yours ({user}).",
                why="While its functions are live and nobody is connected, their deployed code "
                "answers for them, or nothing does. Its debug stack costs little.",
                fix=f"In the project of {item.stage.app}: `terralive destroy --stage "
                f"{item.stage.stage}`. In any folder: `terralive gc --older-than 1w --match "
                f"'{item.stage}'`.",
            )
        )
    own = sum(item.owner == user for item in found)
    count = plural(len(found), "debug stack")
    return Outcome(f"{count} in this region, {own} of them yours", tuple(findings))
