"""Questions before a change, and changes that never happen without one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from terralive_cli.configuration.values import Config, TerraformConfig
from terralive_cli.configuration.values import Output as OutputKind
from terralive_cli.deploy import approval
from terralive_cli.deploy.target import Stage, Target
from terralive_cli.output.renderer import Renderer
from terralive_cli.output.ui import Ui
from terralive_stub.errors import ConfigurationError, TerraliveError
from terralive_terraform.runs.progress import Change
from terralive_terraform.runs.runner import TerraformPlan

RESTORING = (
    Change("module.a.aws_lambda_function.api[0]", "update", "aws_lambda_function"),
    Change('aws_iam_role_policy.terralive_api["x.y"]', "delete", "aws_iam_role_policy"),
)
DATABASE = Change("aws_db_instance.orders", "delete", "aws_db_instance")


def plan(*changes: Change) -> TerraformPlan:
    return TerraformPlan(changes, has_changes=True, file=Path("unused"))


def approve(planned: TerraformPlan, *, yes: bool, asked: bool) -> str:
    """Give what was said."""
    config = Config(Path(), "orders", "dev-ana", "ana", TerraformConfig(Path()), yes=yes)
    said = io.StringIO()
    renderer = Renderer.start(OutputKind.PLAIN, said, said)
    ui = Ui(renderer, questions=said, answers=io.StringIO(), interactive=False, assume_yes=yes)
    target = Target.__new__(Target)  # only its name is looked at
    object.__setattr__(target, "name", "the sandbox")
    try:
        approval.ask_restore(Stage(config, target, ui.emit, {}), ui, planned, asked=asked)
    finally:
        renderer.close()
    return said.getvalue()


def test_putting_code_back_is_not_asked_for_twice() -> None:
    assert approve(plan(*RESTORING), yes=False, asked=True) == ""


def test_a_database_is_never_destroyed_by_a_clean_up_job() -> None:
    with pytest.raises(TerraliveError, match=r"aws_db_instance\.orders") as raised:
        approve(plan(*RESTORING, DATABASE), yes=True, asked=True)
    assert raised.value.reference == "restore-would-destroy"


def test_what_else_the_configuration_changes_is_asked_for() -> None:
    with pytest.raises(ConfigurationError) as raised:
        approve(plan(*RESTORING, DATABASE), yes=False, asked=True)
    assert raised.value.reference == "confirmation-needed"


def test_a_drift_that_destroys_nothing_is_listed_and_done() -> None:
    said = approve(
        plan(*RESTORING, Change("aws_sns_topic.t", "update", "aws_sns_topic")), yes=True, asked=True
    )
    assert "update aws_sns_topic.t" in said


def test_a_plan_has_one_count_in_terraforms_words() -> None:
    planned = plan(
        Change("aws_sns_topic.a", "create", "aws_sns_topic"),
        Change("aws_sns_topic.b", "replace", "aws_sns_topic"),
        Change("aws_lambda_function.c", "update", "aws_lambda_function"),
        Change("data.aws_iam_policy_document.d", "read", "aws_iam_policy_document"),
    )

    assert approval.count(planned) == "2 to add, 1 to change, 1 to destroy"
    assert approval.changed_resources(planned) == 3
    assert approval.count(plan()) == "outputs only"
