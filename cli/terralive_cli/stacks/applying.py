"""Applies of single stacks: plans that are stale, and failures that name the stack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from terralive_cli.app.live_plan import LivePlan, RestorePlan
from terralive_cli.output.events import Emit
from terralive_cli.output.progress import Phase
from terralive_stub.errors import TerraformError, TerraliveError
from terralive_terraform.output.failures import PLAN_STALE
from terralive_terraform.output.plans import TerraformPlan


class _Planned(Protocol):
    """An app or a debug stack."""

    @property
    def emit(self) -> Emit:
        """Shows events."""

    def forget_state(self) -> None:
        """Make the next plan from the state as it is then: something else has changed it."""


class StaleOnce:
    """A context for an apply. Where its plan is stale, the context ends without an error.

    Args:
        app: the app or debug stack, whose next plan is made from the state as it is then.
        phase: the part of the work, for the note that the plan is made once more.
    """

    def __init__(self, app: _Planned, phase: str) -> None:
        self._app = app
        self._phase = Phase(phase, app.emit)
        # Whether the plan was stale.
        self.was_stale = False

    def __enter__(self) -> None:
        """Begin the apply."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, TerraformError) or error.reference != PLAN_STALE:
            return False
        self.was_stale = True
        self._app.forget_state()
        self._phase.note("the state has changed since the plan was made: planning once more")
        return True


def changes_of(plan: LivePlan | RestorePlan) -> set[object]:
    """Return what an apply would do, for comparison."""
    changes = {*actions_of(plan.ready.plan), *plan.others}
    if isinstance(plan, LivePlan):
        changes.update(plan.code_changes)
        changes.update(plan.renewed)
    return changes


def actions_of(plan: TerraformPlan) -> set[object]:
    """Return what an apply would do with each resource."""
    return {(change.address, change.action) for change in plan.changes}


@contextmanager
def naming(stack: str, done: Iterable[str] = (), what: str = "") -> Iterator[None]:
    """Name the stack in an error, and the stacks that were applied before it.

    Args:
        stack: the stack; "" where only one is live.
        done: the stacks that were applied before it.
        what: what has become of those.
    """
    try:
        yield
    except TerraliveError as error:
        if stack:
            error.message = f"Stack {stack}: {error.message}"
            names = ", ".join(done)
            if names:
                error.hint = f"{error.hint} {what}: {names}.".strip()
        raise
