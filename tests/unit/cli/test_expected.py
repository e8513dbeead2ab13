"""The functions that can be served before an apply has made them."""

from __future__ import annotations

from pathlib import Path

from terralive_cli.functions.evaluated import EvaluatedApp
from terralive_terraform.evaluation.evaluated_plan import EvaluatedPlan
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.missing_builds.placeholders import MissingBuilds
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.output.shown_plan import ShownPlan
from terralive_terraform.output.state import DeployedFunction, DeployedLambda
from terralive_testing.fakes.plan_document import PlanDocument

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:"


def evaluated(deployed: dict[str, DeployedFunction], *planned: PlannedFunction) -> EvaluatedApp:
    made = EvaluatedPlan(
        PlanDocument().evaluation(Path("/app")),
        TerraformPlan((), has_changes=False, file=Path("/plan")),
        ShownPlan((), is_first=False),
    )
    builds = MissingBuilds((), Path("/app"), Path("/not-built"))
    return EvaluatedApp(made, DeployedLambda(deployed, {}), planned, builds)


def test_deployed_functions_and_those_whose_name_tells_their_arn_are_known() -> None:
    orders = DeployedFunction("orders", f"{ARN}orders", reserved=3)
    app = evaluated(
        {"a.orders": orders, "a.gone": DeployedFunction("gone", f"{ARN}gone")},
        PlannedFunction("a.orders", "", name="orders"),
        PlannedFunction("a.mails", "", name="mails"),
        PlannedFunction("a.unnamed", ""),
        PlannedFunction("a.elsewhere", "", name="elsewhere"),
    )
    arns = {"a.orders": f"{ARN}orders", "a.mails": f"{ARN}mails", "a.unnamed": f"{ARN}unnamed"}
    assert app.expected(arns) == {
        "a.orders": orders,
        "a.mails": DeployedFunction("mails", f"{ARN}mails"),
    }


def test_a_function_that_gets_another_name_is_not_known_before() -> None:
    app = evaluated(
        {"a.orders": DeployedFunction("orders", f"{ARN}orders")},
        PlannedFunction("a.orders", "", name="orders-2"),
    )
    assert app.expected({"a.orders": f"{ARN}orders"}) == {}


def test_a_function_whose_creation_was_interrupted_has_the_arn_that_its_name_tells() -> None:
    """Terraform keeps it in the state, tainted, and without an ARN."""
    app = evaluated(
        {"a.orders": DeployedFunction("orders", ""), "a.unnamed": DeployedFunction("unnamed", "")},
        PlannedFunction("a.orders", "", name="orders"),
        PlannedFunction("a.unnamed", "", name="unnamed"),
    )
    assert app.deployed_arns == {}
    orders = DeployedFunction("orders", f"{ARN}orders")
    assert app.expected({"a.orders": orders.arn}) == {"a.orders": orders}
