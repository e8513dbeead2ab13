"""Asking before something changes, in words that say what and where."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy.deployment import LivePlan
from terralive_cli.deploy.target import Target
from terralive_cli.functions.live import live_function
from terralive_cli.output.events import Message, PlanMade
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
        names = ", ".join(address.rpartition(".")[2] for address in planned.code)
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
        changes=len(planned.plan.changes),
    )


def count(plan: TerraformPlan) -> str:
    """Count a plan's changes: `3 to create, 1 to update`."""
    actions: Mapping[str, int] = _tally([change.action for change in plan.changes])
    told = ", ".join(f"{number} to {action}" for action, number in actions.items())
    return told or "outputs only"


def _tally(actions: Sequence[str]) -> dict[str, int]:
    return {action: actions.count(action) for action in dict.fromkeys(actions)}
