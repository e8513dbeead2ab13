"""The states of a worker, and the transitions between them.

A transition that is not in the table is a defect in terralive, and raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class WorkerState(StrEnum):
    """The state of one worker, as its pool sees it."""

    STARTING = "starting"  # its process starts, and its runtime loads the function's code
    IDLE = "idle"  # it waits for an invocation
    BUSY = "busy"  # its handler runs
    ANSWERED = "answered"  # it has sent its result and has not asked for the next invocation yet
    STOPPING = "stopping"  # its process is being killed
    GONE = "gone"  # its process has ended

    @property
    def alive(self) -> bool:
        """Return whether the worker counts towards its function's limit."""
        return self not in _ENDS


_ENDS: Final = frozenset({WorkerState.STOPPING, WorkerState.GONE})
# Each state, and the states that may follow it.
_TRANSITIONS: Final[Mapping[WorkerState, frozenset[WorkerState]]] = {
    WorkerState.STARTING: _ENDS | {WorkerState.IDLE},
    WorkerState.IDLE: _ENDS | {WorkerState.BUSY},
    WorkerState.BUSY: _ENDS | {WorkerState.ANSWERED},
    WorkerState.ANSWERED: _ENDS | {WorkerState.IDLE},
    WorkerState.STOPPING: frozenset({WorkerState.GONE}),
    WorkerState.GONE: frozenset(),
}


class IllegalTransitionError(Exception):
    """A worker's state does not lead to the requested one: a defect in terralive."""


def transition(state: WorkerState, to: WorkerState) -> WorkerState:
    """Return the state `to`.

    Raises:
        IllegalTransitionError: `to` cannot follow `state`.
    """
    if to not in _TRANSITIONS[state]:
        raise IllegalTransitionError(f"a worker cannot go from {state} to {to}")
    return to
