"""How far a function's timeout is raised for a debugger, as far as its queues allow it."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.substitution.rules import (
    LiveSettings,
    Substitution,
    substitute,
)

ADDRESS = "aws_lambda_function.api"


@pytest.mark.parametrize(
    ("facts", "raised"),
    [
        (DeclaredFunction(ADDRESS, "api", timeout=10), 900),
        (DeclaredFunction(ADDRESS, "api", timeout=10, queue_visibilities=(60,)), 60),
        (DeclaredFunction(ADDRESS, "api", timeout=10, queue_visibilities=(5000,)), 900),
        (DeclaredFunction(ADDRESS, "api", timeout=10, queue_visibilities=(None,)), None),
        (DeclaredFunction(ADDRESS, "api", timeout=900), None),
        (DeclaredFunction(ADDRESS, "api", timeout=10, ignored=("timeout",)), None),
        (DeclaredFunction("aws_lambda_function.other", "other", timeout=10), None),
    ],
    ids=[
        "no queue",
        "short queue",
        "long queue",
        "unknown queue",
        "longest",
        "ignored",
        "not debugged",
    ],
)
def test_only_a_debugged_functions_timeout_is_raised_and_only_as_far_as_aws_takes_it(
    facts: DeclaredFunction, raised: int | None
) -> None:
    decision = substitute(facts, LiveSettings(Path("stub.zip"), "hash", debug=("api",)))
    assert isinstance(decision, Substitution)
    assert decision.set.get("timeout") == raised
