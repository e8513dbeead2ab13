"""Questions before something changes: each says what changes, and where."""

from __future__ import annotations

from typing import Final

from terralive_cli.deploy.app import LivePlan
from terralive_cli.deploy.target import Stage
from terralive_cli.output.events import LiveFunction, Message, PlanMade
from terralive_cli.output.formats.words import short_address
from terralive_cli.output.progress import changes_in_words
from terralive_cli.output.ui import Ui
from terralive_stub.errors import TerraliveError
from terralive_terraform.addresses import without_keys
from terralive_terraform.runs.progress import Change
from terralive_terraform.runs.runner import TerraformPlan
from terralive_terraform.substitution.plan_checks import is_restoring

DECLINED: Final = "Stopped. Nothing was changed."
# The debug stack may be deployed already when the user says no to the app.
DEPLOYMENT_DECLINED: Final = (
    "Stopped. Nothing more was changed. `terralive destroy` removes what is deployed."
)


class Declined(Exception):  # noqa: N818  # not an error: the user's answer
    """The user said no."""


def ask(ui: Ui, question: str) -> None:
    """Ask a question.

    Raises:
        Declined: the user said no.
    """
    if not ui.confirm(question):
        raise Declined


def ask_debug_stack(stage: Stage, ui: Ui, plan: TerraformPlan) -> None:
    """Ask before the debug stack changes."""
    ask(ui, f"Deploy the debug stack of {stage.name} in {stage.target.name} ({count(plan)})?")


def ask_live(stage: Stage, ui: Ui, plan: LivePlan) -> None:
    """Show the functions that become live, and ask."""
    ui.emit(plan_made(stage, plan))
    names = ", ".join(short_address(address) for address in plan.mapped.code)
    changes = count(plan.ready.plan)
    ask(ui, f"Make {names} of {stage.name} live in {stage.target.name} ({changes})?")


def ask_restore(stage: Stage, ui: Ui, plan: TerraformPlan, *, asked: bool = False) -> None:
    """Ask before the app becomes what its configuration says.

    Putting code back updates functions and deletes terralive's policies. All other changes of the
    plan come from the configuration (another branch, a drift). They are listed, and nothing is
    destroyed without a question.

    Args:
        stage: the stage.
        ui: asks the user.
        plan: the plan.
        asked: the user has agreed already to put the code back, and is asked only about other
            changes.

    Raises:
        TerraliveError: `restore-would-destroy`: other changes destroy something, and `--yes`
            answers all questions.
    """
    others = [change for change in plan.changes if not is_restoring(change)]
    if others:
        ui.emit(Message(message=_other_changes(others)))
    destroyed = [change.address for change in others if change.action in {"delete", "replace"}]
    if destroyed and stage.config.yes:
        raise TerraliveError(
            "restore-would-destroy",
            "Putting the code back would also destroy, by this folder's configuration: "
            + ", ".join(destroyed),
            hint="Is this the right branch? If so, run `terralive restore` without `--yes`, or "
            "your own `terraform apply`, and go on from there.",
        )
    if others or not asked:
        where = stage.target.name
        ask(ui, f"Put the functions' own code of {stage.name} back in {where} ({count(plan)})?")


def _other_changes(changes: list[Change]) -> str:
    listed = "".join(f"\n  {change.action} {change.address}" for change in changes)
    return f"Beside the functions' code, the configuration changes:{listed}"


def plan_made(stage: Stage, plan: LivePlan) -> PlanMade:
    """Return the event that shows a plan which makes functions live."""
    functions = [
        LiveFunction.of(code, timeout_s=plan.timeouts.get(without_keys(code.address), 0))
        for code in plan.mapped.code.values()
    ]
    return PlanMade(
        stage=stage.config.stage,
        functions=tuple(functions),
        refused=plan.refused,
        changes=changed_resources(plan.ready.plan),
    )


def count(plan: TerraformPlan) -> str:
    """Count a plan's changes in Terraform's words: `3 to add, 1 to change`.

    Like Terraform, it counts a replaced resource as added and destroyed, and no data source.
    """
    actions = [change.action for change in plan.changes]
    replaced = actions.count("replace")
    add = actions.count("create") + replaced
    change = actions.count("update")
    destroy = actions.count("delete") + replaced
    if add + change + destroy == 0:
        return "outputs only"
    return changes_in_words(add, change, destroy)


def changed_resources(plan: TerraformPlan) -> int:
    """Count the resources that a plan changes; a data source is only read."""
    return len([change for change in plan.changes if change.action != "read"])
