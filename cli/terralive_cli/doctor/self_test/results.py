"""Results of the self-test, and the events that show them. Pure.

The field names are the names in JSON; see `terralive_cli.output.events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from terralive_relay.events import Event

_MILLISECONDS = 1000.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A time that was measured, once or several times.

    Attributes:
        name: name of the time, for a person.
        count: number of measurements.
        median_ms: their median, in milliseconds.
        fastest_ms: the shortest one.
        slowest_ms: the longest one.
    """

    name: str
    count: int
    median_ms: float
    fastest_ms: float
    slowest_ms: float


def measured(name: str, seconds: Sequence[float]) -> Measured:
    """Return the measurement of one or more times in seconds."""
    import statistics  # noqa: PLC0415  # heavy: `--help` imports this module

    return Measured(
        name=name,
        count=len(seconds),
        median_ms=_ms(statistics.median(seconds)),
        fastest_ms=_ms(min(seconds)),
        slowest_ms=_ms(max(seconds)),
    )


@dataclass(frozen=True, slots=True)
class SelfTestStep(Event):
    """One step of the self-test has ended.

    Attributes:
        step: name of the step (`deploy`).
        ok: false if it failed.
        elapsed_s: how long it took, in seconds.
        message: what was done, or why it failed.
        measured: times that were measured in it.
    """

    type = "self-test-step"
    step: str
    ok: bool
    elapsed_s: float
    message: str
    measured: tuple[Measured, ...] = ()


@dataclass(frozen=True, slots=True)
class SelfTestDone(Event):
    """The self-test has ended.

    Attributes:
        ok: true if all steps succeeded.
        is_clean: true if everything that it had deployed is removed.
        report: file of the report.
        folder: folder that still holds the Terraform state of what is not removed; "" for none.
        command: the command that removes it; "" if nothing is left.
    """

    type = "self-test"
    ok: bool
    is_clean: bool
    report: str
    folder: str = ""
    command: str = ""


def _ms(seconds: float) -> float:
    return round(seconds * _MILLISECONDS, 1)
