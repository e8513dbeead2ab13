"""What has come of one request to invoke the deployed code. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from terralive_stub.protocol.invocation import Outcome


@dataclass(frozen=True, slots=True)
class Answered:
    """The deployed code has answered.

    Attributes:
        outcome: its response, or its error, unchanged.
        log: the end of its log.
    """

    outcome: Outcome
    log: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class NotRun:
    """The deployed code did not run now, and may be asked again.

    Attributes:
        reason: why, in words for the caller.
        throttled: whether Lambda has throttled the request.
    """

    reason: str
    throttled: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Lambda refuses to run the deployed code, for a reason in words for the caller."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nobody knows whether the deployed code ran, for a reason in words for the caller."""

    reason: str


Answer: TypeAlias = Answered | NotRun | Refused | Unclear
