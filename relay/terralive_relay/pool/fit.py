"""Decide how well a worker fits an invocation. Pure.

A worker keeps the credentials that it was started with, as an execution environment in Lambda does.
Lambda's execution environments of one function have different credentials that are equally valid.
So other credentials alone are no reason for a new worker, as long as an invocation has brought the
worker's own ones not long ago. After that they may have expired, and the worker serves only
invocations that bring the very same ones.
"""

from __future__ import annotations

import math
from enum import IntEnum

from terralive_relay.pool.records import PendingInvocation, Worker


class Fit(IntEnum):
    """The larger, the better. The values are those that `place` expects."""

    NONE = 0
    OTHER_CREDENTIALS = 1
    SAME_CREDENTIALS = 2


class CredentialsSeen:
    """The times at which invocations brought credentials. Holds digests only.

    Args:
        valid_s: the number of seconds for which credentials count as valid after that.
    """

    def __init__(self, valid_s: float) -> None:
        self._valid_s = valid_s
        # By the credentials' digest: the last time an invocation brought them (monotonic clock).
        self._seen: dict[str, float] = {}

    def record(self, credentials_key: str, now: float) -> None:
        """Record that an invocation has brought these credentials."""
        self._seen[credentials_key] = now

    def valid(self, credentials_key: str, now: float) -> bool:
        """Return whether these credentials were seen so recently that they are valid still."""
        return now - self._seen.get(credentials_key, -math.inf) < self._valid_s


def fit_of(
    pending: PendingInvocation,
    worker: Worker,
    generation: int,
    credentials: CredentialsSeen,
    now: float,
) -> Fit:
    """Return how well `worker` fits `pending`, where the code's generation is `generation`."""
    if worker.generation != generation:
        return Fit.NONE
    if worker.environment_key != pending.environment_key:
        return Fit.NONE
    if worker.credentials_key == pending.credentials_key:
        return Fit.SAME_CREDENTIALS
    if credentials.valid(worker.credentials_key, now):
        return Fit.OTHER_CREDENTIALS
    return Fit.NONE
