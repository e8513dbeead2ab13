"""The state of one function's code: can workers be started with it, and what answers if not. Pure.

| status | meaning | a new invocation |
|---|---|---|
| `CodeReady` | workers can be started | gets a worker |
| `StartFailed` | a worker that was started ahead did not come up | gets this failure, once |
| `Building` | the build command runs | waits for its end |
| `BuildFailed` | the build command failed | gets this failure, until the next build |

Every change of code increases the generation. A worker has the generation of its start, and serves
only invocations of the same one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from terralive_stub.protocol.invocation import Outcome
from terralive_workers.outcomes import WorkerFailure


@dataclass(frozen=True, slots=True)
class CodeReady:
    """Workers can be started."""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """A worker failed to start while no invocation waited for it.

    The next invocation with the same environment gets the failure, if the code is still the same.

    Attributes:
        environment_key: the digest of the worker's environment.
        failure: the way in which it ended.
    """

    environment_key: str
    failure: WorkerFailure


@dataclass(frozen=True, slots=True)
class Building:
    """The build command runs; invocations wait."""


@dataclass(frozen=True, slots=True)
class BuildFailed:
    """The build command failed: `outcome` answers every invocation until the next build."""

    outcome: Outcome


CodeStatus: TypeAlias = CodeReady | StartFailed | Building | BuildFailed


@dataclass(frozen=True, slots=True)
class CodeState:
    """A status and a generation. Each method returns the state that follows.

    Attributes:
        generation: the number of changes of code so far.
        status: see the module's table.
    """

    generation: int = 0
    status: CodeStatus = CodeReady()

    @property
    def may_start_for_invocations(self) -> bool:
        """Return whether a worker may be started for an invocation that waits."""
        return not isinstance(self.status, Building)

    @property
    def may_start_ahead(self) -> bool:
        """Return whether a worker may be started before an invocation needs it.

        Not after a failed start: the same code would fail again.
        """
        return isinstance(self.status, CodeReady)

    def answer(self, environment_key: str, request_id: str) -> Outcome | None:
        """Return the outcome of a new invocation where the code has failed; None otherwise.

        Args:
            environment_key: the digest of the environment that the invocation brings.
            request_id: its request id.
        """
        status = self.status
        if isinstance(status, BuildFailed):
            return status.outcome
        if isinstance(status, StartFailed) and status.environment_key == environment_key:
            return status.failure.outcome(request_id)
        return None

    def changed(self) -> CodeState:
        """The code has changed. A failed start says nothing about the new code."""
        status = self.status
        if isinstance(status, StartFailed):
            status = CodeReady()
        return CodeState(self.generation + 1, status)

    def build_started(self) -> CodeState:
        """The build command runs, so the code that is there will be replaced."""
        return CodeState(self.generation + 1, Building())

    def build_succeeded(self) -> CodeState:
        """The build command has made the code."""
        return replace(self, status=CodeReady())

    def build_failed(self, outcome: Outcome) -> CodeState:
        """The build command has failed."""
        return replace(self, status=BuildFailed(outcome))

    def start_failed(self, environment_key: str, failure: WorkerFailure) -> CodeState:
        """A worker of this generation did not come up, and no invocation waited for it."""
        return replace(self, status=StartFailed(environment_key, failure))

    def start_failure_reported(self) -> CodeState:
        """An invocation came: it alone gets a failed start, and later ones try again."""
        if isinstance(self.status, StartFailed):
            return replace(self, status=CodeReady())
        return self
