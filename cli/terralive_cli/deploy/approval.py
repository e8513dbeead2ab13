"""Asking before something changes, in words that say what and where."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy.deployment import LivePlan
from terralive_cli.deploy.target import Target
from terralive_cli.functions.live import live_function
from terralive_cli.output.events import Message, PlanMade
from terralive_cli.output.formats.words import short_address
from terralive_cli.output.progress import changes_in_words
from terralive_cli.output.ui import Ui
from terralive_stub.errors import TerraliveError
from terralive_terraform.addresses import without_keys
from terralive_terraform.runs.progress import Change
from terralive_terraform.runs.runner import TerraformPlan

_POLICY_PREFIX: Final = "terralive_"  # the role policies that let stubs connect
_INSTANCE_KEY: Final = re.compile(r"\[[^]]*\]$")


class Declined(Exception):  # noqa: N818  # not an error: the user's answer
    """The user said no."""


def ask(ui: Ui, question: str) -> None:
    """Go on, or raise Declined."""
    if not ui.confirm(question):
        raise Declined


def debug_stack(config: Config, target: Target, ui: Ui) -> Callable[[TerraformPlan], None]:
    """Ask before the debug stack changes."""

    def approve(plan: TerraformPlan) -> None:
        ask(
            ui,
            f"Deploy the debug stack of {config.app}/{config.stage} in {target.name} ({count(plan)})?",
        )

    return approve


def live(config: Config, target: Target, ui: Ui) -> Callable[[LivePlan], None]:
    """Show what becomes live, and ask."""

    def approve(planned: LivePlan) -> None:
        ui.emit(plan_event(config, planned))
        names = ", ".join(short_address(address) for address in planned.code)
        ask(
            ui,
            f"Make {names} of {config.app}/{config.stage} live in {target.name} ({count(planned.plan)})?",
        )

    return approve


def restore(
    config: Config, target: Target, ui: Ui, *, asked: bool = False
) -> Callable[[TerraformPlan], None]:
    """Ask before the app becomes what its configuration says.

    Putting code back updates functions and deletes terralive's policies. Whatever else the plan
    holds is the configuration's own doing (another branch, a drift): it is listed, and never
    destroyed unseen. `asked`: the user has agreed to put the code back, and is asked only about
    what else there is.
    """

    def approve(plan: TerraformPlan) -> None:
        others = [change for change in plan.changes if not is_restoring(change)]
        if others:
            listed = "".join(f"\n  {change.action} {change.address}" for change in others)
            ui.emit(
                Message(message=f"Beside the functions' code, the configuration changes:{listed}")
            )
        destroyed = [change for change in others if change.action in {"delete", "replace"}]
        if destroyed and config.yes:
            raise TerraliveError(
                "restore-would-destroy",
                "Putting the code back would also destroy, by this folder's configuration: "
                + ", ".join(change.address for change in destroyed),
                hint="Is this the right branch? If so, run `terralive restore` without `--yes`, or your own "
                "`terraform apply`, and go on from there.",
            )
        if others or not asked:
            what = f"the deployed code of {config.app}/{config.stage} back in {target.name}"
            ask(ui, f"Put {what} ({count(plan)})?")

    return approve


def is_restoring(change: Change) -> bool:
    """Tell whether a change takes back what making the app live did."""
    label = _INSTANCE_KEY.sub("", change.address).rpartition(".")[2]
    return (change.type, change.action) == ("aws_lambda_function", "update") or (
        (change.type, change.action) == ("aws_iam_role_policy", "delete")
        and label.startswith(_POLICY_PREFIX)
    )


def plan_event(config: Config, planned: LivePlan) -> PlanMade:
    return PlanMade(
        stage=config.stage,
        functions=tuple(
            live_function(code, timeout_s=planned.timeouts.get(without_keys(code.address), 0))
            for code in planned.code.values()
        ),
        refused=planned.refused,
        changes=changed_resources(planned.plan),
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
