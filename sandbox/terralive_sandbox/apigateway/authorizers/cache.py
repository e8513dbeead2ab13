"""Answers of authorizers that are kept for some time. No I/O; the time is a parameter.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html#http-api-lambda-authorizer.caching
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from terralive_sandbox.apigateway.authorizers.decisions import Answer


@dataclass(frozen=True, slots=True)
class CacheKey:
    """The requests that share an answer.

    Attributes:
        authorizer: the ARN of the authorizer.
        stage: the stage's name.
        identity: the values of the identity sources, in their order.
    """

    authorizer: str
    stage: str
    identity: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _KeptAnswer:
    answer: Answer
    # The time from which on the answer is too old, on the clock of the caller.
    expires: float


class AnswerCache:
    """The kept answers of all authorizers of one kind of API."""

    def __init__(self) -> None:
        self._kept: dict[CacheKey, _KeptAnswer] = {}

    def find(self, key: CacheKey, now: float) -> Answer | None:
        """Return the kept answer for these requests, or None."""
        kept = self._kept.get(key)
        if kept is None or kept.expires <= now:
            return None
        return kept.answer

    def keep(self, key: CacheKey, answer: Answer, *, expires: float, now: float) -> None:
        """Keep an answer until the time `expires`."""
        current = {key: kept for key, kept in self._kept.items() if kept.expires > now}
        current[key] = _KeptAnswer(dataclasses.replace(answer, latency=0), expires)
        self._kept = current
