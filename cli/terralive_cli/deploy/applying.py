"""Apply of plans that were shown and agreed to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from terralive_cli.deploy.planning import ReadyPlan
from terralive_stub.errors import TerraliveError

_log: Final = logging.getLogger("terralive.cli")


def apply(ready: ReadyPlan) -> None:
    """Apply a plan; a plan without changes is not applied.

    Raises:
        TerraformError, CredentialsError: the apply failed. Terraform's state holds what was done,
            and the error's hint says so.
    """
    if not ready.has_changes:
        _log.debug("phase %s: nothing to apply", ready.phase.name)
        ready.phase.unchanged()
        return
    apply_always(ready)


def apply_always(ready: ReadyPlan) -> None:
    """Apply a plan, also one without changes; it raises what `apply` raises."""
    _log.debug("phase %s: applying %d changes", ready.phase.name, len(ready.plan.changes))
    with ready.phase.step("apply", reports_its_end=True), _explained(ready.phase.name):
        ready.terraform.apply(ready.plan.file)


@contextmanager
def _explained(phase: str) -> Iterator[None]:
    """Add to a failed apply that it may have left resources behind, and what removes them."""
    try:
        yield
    except TerraliveError as error:
        more = (
            f"What was done before the failure (phase {phase}) stays, and Terraform's state knows "
            "it: the same command goes on from there, `terralive destroy` takes everything back."
        )
        error.hint = f"{error.hint} {more}".strip()
        raise
