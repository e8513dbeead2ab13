"""Findings of the checks, and the events that show them. Pure.

The field names are the names in JSON; see `terralive_cli.output.events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from terralive_relay.events import Event
from terralive_stub.errors import TerraliveError


class CheckState(StrEnum):
    """Result of a check, or of one finding."""

    OK = "ok"
    SKIPPED = "skipped"  # it could not be checked, and nothing is known to be wrong
    WARNING = "warning"
    FAILED = "failed"


# From the best to the worst.
_ORDER = (CheckState.OK, CheckState.SKIPPED, CheckState.WARNING, CheckState.FAILED)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a check has found.

    Attributes:
        state: `warning` or `failed`; `ok` where `--fix` has removed the cause.
        reference: kebab-case name of the finding (`clock-differs`).
        message: what was found.
        why: why it matters.
        fix: what to do.
        fixed: what `--fix` has done; "" for nothing.
    """

    state: CheckState
    reference: str
    message: str
    why: str
    fix: str
    fixed: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one check.

    Attributes:
        message: what was checked and found, in one line.
        findings: what needs attention.
        is_skipped: true if it could not be checked; `message` says why.
    """

    message: str
    findings: tuple[Finding, ...] = ()
    is_skipped: bool = False

    @property
    def state(self) -> CheckState:
        """The worst state of the findings."""
        if self.is_skipped:
            return CheckState.SKIPPED
        states = [finding.state for finding in self.findings]
        return max(states, key=_ORDER.index, default=CheckState.OK)


class SkippedError(Exception):
    """A check cannot be made. The message says why."""


@dataclass(frozen=True, slots=True)
class CheckDone(Event):
    """One check of `terralive doctor` has ended.

    Attributes:
        check: name of the check (`credentials`).
        state: its result: the worst of its findings.
        message: what was checked and found, in one line.
        findings: what needs attention.
    """

    type = "check"
    check: str
    state: CheckState
    message: str
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, check: str, outcome: Outcome) -> CheckDone:
        """Return the event of a check's result."""
        return cls(check, outcome.state, outcome.message, outcome.findings)


@dataclass(frozen=True, slots=True)
class DoctorDone(Event):
    """All checks of `terralive doctor` have ended.

    Attributes:
        ok: number of checks that have found nothing.
        warnings: number of checks with warnings.
        failed: number of checks that failed.
        skipped: number of checks that could not be made.
    """

    type = "doctor"
    ok: int
    warnings: int
    failed: int
    skipped: int

    @classmethod
    def of(cls, states: Sequence[CheckState]) -> DoctorDone:
        """Return the event of the results of all checks."""
        return cls(
            ok=states.count(CheckState.OK),
            warnings=states.count(CheckState.WARNING),
            failed=states.count(CheckState.FAILED),
            skipped=states.count(CheckState.SKIPPED),
        )


def warning(reference: str, message: str, *, why: str, fix: str) -> Finding:
    """Return a finding that stops nothing."""
    return Finding(CheckState.WARNING, reference, message, why, fix)


def failed(reference: str, message: str, *, why: str, fix: str) -> Finding:
    """Return a finding that stops other commands."""
    return Finding(CheckState.FAILED, reference, message, why, fix)


def of_error(error: TerraliveError, why: str) -> Finding:
    """Return the finding for an error that other commands would end with."""
    return Finding(CheckState.FAILED, error.reference, error.message, why, error.hint)
