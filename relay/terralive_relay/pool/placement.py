"""Decide which invocation gets which worker. Pure.

Waiting invocations are served in their order. Each gets, in this order of preference:

1. an idle worker that fits;
2. a worker that fits and is idle soon (it starts, or has just answered);
3. a new worker, while the limit allows one;
4. a new worker in the place of an idle worker that fits no waiting invocation.

An invocation that gets none of these stays in the queue.

A worker keeps the credentials that it was started with, as an execution environment in Lambda does.
Lambda's execution environments of one function have different credentials that are equally valid.
So other credentials alone are no reason for a new worker, as long as an invocation has brought the
worker's own ones not long ago. After that they may have expired, and the worker serves only
invocations that bring the very same ones.

A worker that has had an invocation of a tenant serves this tenant only, as in Lambda:
https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

from terralive_relay.pool.records import PendingInvocation, Worker, WorkerState

InvocationT = TypeVar("InvocationT")
WorkerT = TypeVar("WorkerT")


class Fit(IntEnum):
    """How well a worker fits an invocation. The larger, the better."""

    NONE = 0
    OTHER_CREDENTIALS = 1
    SAME_CREDENTIALS = 2


def fit_of(
    pending: PendingInvocation,
    worker: Worker,
    generation: int,
    credentials_seen: Mapping[str, float],
    valid_since: float,
) -> Fit:
    """Return how well `worker` fits `pending`.

    Args:
        pending: the invocation.
        worker: the worker.
        generation: the code's generation.
        credentials_seen: by credentials' digests, when an invocation brought them last.
        valid_since: credentials that were brought after this time are still valid.
    """
    if worker.generation != generation or worker.environment_key != pending.environment_key:
        return Fit.NONE
    if worker.tenant_id not in {None, pending.invocation.tenant_id}:
        return Fit.NONE
    if worker.credentials_key == pending.credentials_key:
        return Fit.SAME_CREDENTIALS
    if credentials_seen.get(worker.credentials_key, -math.inf) > valid_since:
        return Fit.OTHER_CREDENTIALS
    return Fit.NONE


def note_credentials(
    credentials_seen: dict[str, float], key: str, now: float, valid_since: float
) -> None:
    """Record that an invocation has brought credentials, and forget those that are not valid.

    Args:
        credentials_seen: see `fit_of`. This function changes it, and keeps the oldest first.
        key: the digest of the credentials.
        now: the time.
        valid_since: see `fit_of`.
    """
    credentials_seen.pop(key, None)
    credentials_seen[key] = now
    while credentials_seen:
        oldest = next(iter(credentials_seen))
        if credentials_seen[oldest] > valid_since:
            return
        del credentials_seen[oldest]


@dataclass(frozen=True)
class Placement(Generic[InvocationT, WorkerT]):
    """The decision for all waiting invocations.

    Attributes:
        assign: invocations, each with the idle worker that runs it.
        start: invocations for which a worker is started.
        retire: idle workers to end before the new ones start.
        queued: invocations that wait for a busy worker, because of the limit.
    """

    assign: tuple[tuple[InvocationT, WorkerT], ...]
    start: tuple[InvocationT, ...]
    retire: tuple[WorkerT, ...]
    queued: tuple[InvocationT, ...] = ()


def place(
    waiting: Sequence[InvocationT],
    workers: Sequence[tuple[WorkerT, WorkerState]],
    limit: int,
    fit: Callable[[InvocationT, WorkerT], int],
) -> Placement[InvocationT, WorkerT]:
    """Decide for every waiting invocation.

    Args:
        waiting: invocations, oldest first.
        workers: all workers with their states. Of those that fit equally well, later ones are taken
            first, so that the early ones stay idle and can be ended.
        limit: the largest number of workers that may be alive.
        fit: returns how well a worker fits an invocation: 0 where it cannot serve it, else the
            larger the better.
    """
    idle = [worker for worker, state in workers if state is WorkerState.IDLE]
    alive = sum(state.alive for _, state in workers)

    assign: list[tuple[InvocationT, WorkerT]] = []
    unserved: list[InvocationT] = []
    for invocation in waiting:
        worker = _best(invocation, idle, fit)
        if worker is None:
            unserved.append(invocation)
        else:
            idle.remove(worker)
            assign.append((invocation, worker))

    # A worker that has just answered is idle sooner than one that starts. `_best` prefers later
    # entries, so the answered ones come last.
    soon_idle = [worker for worker, state in workers if state is WorkerState.STARTING]
    soon_idle += [worker for worker, state in workers if state is WorkerState.ANSWERED]

    start: list[InvocationT] = []
    retire: list[WorkerT] = []
    queued: list[InvocationT] = []
    for invocation in unserved:
        worker = _best(invocation, soon_idle, fit)
        if worker is not None:
            soon_idle.remove(worker)
        elif alive < limit:
            alive += 1
            start.append(invocation)
        elif idle:
            retire.append(idle.pop(0))
            start.append(invocation)
        else:
            queued.append(invocation)
    return Placement(tuple(assign), tuple(start), tuple(retire), tuple(queued))


def _best(
    invocation: InvocationT,
    workers: Sequence[WorkerT],
    fit: Callable[[InvocationT, WorkerT], int],
) -> WorkerT | None:
    best: WorkerT | None = None
    best_fit = 0
    for worker in workers:
        this_fit = fit(invocation, worker)
        if this_fit > 0 and this_fit >= best_fit:
            best, best_fit = worker, this_fit
    return best
