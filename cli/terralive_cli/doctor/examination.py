"""Runs the checks one after the other. A check that fails by itself does not end the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from terralive_cli.doctor.findings import (
    CheckDone,
    CheckState,
    DoctorDone,
    Outcome,
    SkippedError,
    failed,
    of_error,
)
from terralive_cli.output.events import Emit
from terralive_stub.errors import TerraliveError

_log: Final = logging.getLogger("terralive.cli")


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: its name in the output.
        run: looks, and returns what it has found. It raises `SkippedError` where it cannot look.
        why: why a failure of it matters.
    """

    name: str
    run: Callable[[], Outcome]
    why: str


def examine(checks: Sequence[Check], emit: Emit) -> DoctorDone:
    """Run all checks in their order, emit the result of each, and return the sum of them."""
    states: list[CheckState] = []
    for check in checks:
        outcome = _outcome(check)
        _log.debug("check %s: %s", check.name, outcome.state)
        states.append(outcome.state)
        emit(CheckDone.of(check.name, outcome))
    return DoctorDone.of(states)


def _outcome(check: Check) -> Outcome:
    try:
        return check.run()
    except SkippedError as skipped:
        return Outcome(str(skipped), is_skipped=True)
    except TerraliveError as error:
        return Outcome("", (of_error(error, check.why),))
    except Exception as error:  # noqa: BLE001  # the other checks are worth more than this one
        _log.debug("check %s failed", check.name, exc_info=error)
        finding = failed(
            "check-failed",
            f"The check itself failed: {type(error).__name__}: {error}",
            why="Nothing is known about what it checks.",
            fix="This is a bug in terralive. Please report it, with the output of "
            "`TERRALIVE_LOG=debug terralive doctor`.",
        )
        return Outcome("", (finding,))
