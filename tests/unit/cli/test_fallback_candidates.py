from __future__ import annotations

from terralive_cli.configuration.tables import FallbackChoice
from terralive_cli.fallback.candidates import Candidate, with_plan
from terralive_cli.fallback.decision import Declared
from terralive_stub.shared.json_documents import Json
from terralive_terraform.evaluation.aliases import PlannedAlias
from terralive_terraform.output.shown_plan import PlannedResource, ShownPlan

API = "aws_lambda_function.api"
CANDIDATE = Candidate(API, FallbackChoice.AUTO, Declared())


def alias(label: str, before: str, after: str) -> PlannedResource:
    values: dict[str, Json] = {"name": label, "function_version": before}
    return PlannedResource(
        f"aws_lambda_alias.{label}",
        "aws_lambda_alias",
        "update",
        values,
        {**values, "function_version": after},
    )


def test_the_versions_of_aliases_that_a_plan_moves_to_the_stub_are_kept() -> None:
    resources = (
        alias("live", "7", "$LATEST"),
        alias("weighted", "7", "7"),
        alias("moved", "$LATEST", "$LATEST"),
        alias("new", "", "$LATEST"),
        alias("other", "3", "$LATEST"),
    )
    aliases = [
        PlannedAlias(item.address, item.address.rpartition(".")[2], (API,)) for item in resources
    ]
    aliases[-1] = PlannedAlias("aws_lambda_alias.other", "other", ("aws_lambda_function.other",))
    (found,) = with_plan([CANDIDATE], aliases, ShownPlan(resources, is_first=False))
    assert found.aliases == {"live": "7"}


def test_settings_that_a_plan_changes_and_a_stub_does_not_are_named() -> None:
    before: dict[str, Json] = {"handler": "app.handler", "memory_size": 128, "timeout": 3}
    after: dict[str, Json] = {"handler": "stub", "memory_size": 512, "timeout": 900}
    resource = PlannedResource(
        API, "aws_lambda_function", "update", before, after, frozenset({"environment"})
    )
    (found,) = with_plan([CANDIDATE], (), ShownPlan((resource,), is_first=False))
    assert found.changed == ("Environment", "MemorySize")
