"""Who gets which worker: the pool's one decision, as a pure function.

Waiting invocations are served in their order, each by an idle worker that fits, else by one that
soon will be, else by a new one while the limit allows it, else by a new one in the place of an idle
worker that fits nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from terralive_relay.pool.worker_state import WorkerState

N = TypeVar("N")
W = TypeVar("W")


@dataclass(frozen=True)
class Plan(Generic[N, W]):
    """`assign` idle workers, `start` a worker for each of these, `retire` idle ones first.

    `queued` wait for a worker that has work, because of the limit.
    """

    assign: tuple[tuple[N, W], ...]
    start: tuple[N, ...]
    retire: tuple[W, ...]
    queued: tuple[N, ...] = ()


def plan(
    waiting: Sequence[N],
    workers: Sequence[tuple[W, WorkerState]],
    limit: int,
    fit: Callable[[N, W], int],
) -> Plan[N, W]:
    """Decide.

    Args:
        waiting: invocations, oldest first.
        workers: all workers with their states; of those that fit equally well, later ones are taken
            first, so that the early ones can grow idle and be reaped.
        limit: how many workers may be alive.
        fit: 0 where the worker cannot serve the invocation; the larger the better.
    """
    idle = [worker for worker, state in workers if state is WorkerState.IDLE]
    # Soon idle; one that has just answered is nearer to it than one that starts, and `_best`
    # prefers the later.
    coming = [worker for worker, state in workers if state is WorkerState.STARTING]
    coming += [worker for worker, state in workers if state is WorkerState.ANSWERED]
    alive = sum(state.alive for _, state in workers)
    assign: list[tuple[N, W]] = []
    unserved: list[N] = []
    for need in waiting:
        if (worker := _best(need, idle, fit)) is not None:
            idle.remove(worker)
            assign.append((need, worker))
        else:
            unserved.append(need)
    start: list[N] = []
    retire: list[W] = []
    queued: list[N] = []
    for need in unserved:
        if (worker := _best(need, coming, fit)) is not None:
            coming.remove(worker)
        elif alive < limit:
            alive += 1
            start.append(need)
        elif idle:
            retire.append(idle.pop(0))
            start.append(need)
        else:
            queued.append(need)
    return Plan(tuple(assign), tuple(start), tuple(retire), tuple(queued))


def _best(need: N, workers: Sequence[W], fit: Callable[[N, W], int]) -> W | None:
    best: W | None = None
    best_fit = 0
    for worker in workers:
        if (this := fit(need, worker)) and this >= best_fit:
            best, best_fit = worker, this
    return best
