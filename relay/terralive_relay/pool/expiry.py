"""Decide what ends by the passing of time: late invocations, and workers without work. Pure.

All times are on the monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from terralive_relay.pool.records import (
    ANSWERED_SECONDS,
    PendingInvocation,
    Worker,
    WorkerState,
)
from terralive_stub.protocol.limits import INIT_SECONDS


@dataclass(frozen=True)
class Expired:
    """Workers and invocations whose time is over.

    Attributes:
        overrunning: workers whose invocation is past its deadline.
        unused: workers that have been idle for too long.
        unserved: waiting invocations that are past their deadline.
        hanging: workers that do not come up, although an invocation has waited to its deadline.
            Lambda gives up on such an init, too.
    """

    overrunning: tuple[Worker, ...]
    unused: tuple[Worker, ...]
    unserved: tuple[PendingInvocation, ...]
    hanging: tuple[Worker, ...]


def expired(
    waiting: Sequence[PendingInvocation],
    workers: Sequence[Worker],
    now: float,
    *,
    idle_s: float,
    starts_may_take_longer: bool,
) -> Expired:
    """Find what ends now.

    Args:
        waiting: the invocations that no worker has taken.
        workers: all workers.
        now: the present time.
        idle_s: the number of seconds for which a worker may be idle.
        starts_may_take_longer: a start may wait for a person with a debugger, so it never hangs.
    """
    unserved = tuple(pending for pending in waiting if pending.deadline.has_passed(now))
    overrunning: list[Worker] = []
    unused: list[Worker] = []
    hanging: list[Worker] = []
    for worker in workers:
        in_state_s = now - worker.since
        if worker.pending is not None and worker.pending.deadline.has_passed(now):
            overrunning.append(worker)
        elif worker.state is WorkerState.IDLE and worker.since + idle_s <= now:
            unused.append(worker)
        elif worker.state is WorkerState.STARTING and in_state_s >= INIT_SECONDS:
            hanging.append(worker)
    if starts_may_take_longer or not unserved:
        hanging.clear()
    return Expired(tuple(overrunning), tuple(unused), unserved, tuple(hanging))


def next_due(
    waiting: Sequence[PendingInvocation],
    workers: Sequence[Worker],
    now: float,
    *,
    idle_s: float,
) -> float:
    """Return the time at which the pool has something to do next; infinite if it has nothing."""
    due = math.inf
    for pending in waiting:
        due = min(due, pending.deadline.at)
    for worker in workers:
        if worker.pending is not None:
            due = min(due, worker.pending.deadline.at)
        if worker.state is WorkerState.IDLE:
            due = min(due, worker.since + idle_s)
        # An invocation that counts on this worker's return needs another one from then on.
        late_at = worker.since + ANSWERED_SECONDS
        if worker.state is WorkerState.ANSWERED and waiting and late_at > now:
            due = min(due, late_at)
    return due
