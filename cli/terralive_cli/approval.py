"""Asking before something changes, in words that say what and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from terralive_cli.config import Config
from terralive_cli.deployment import LivePlan
from terralive_cli.events import LiveFunction
from terralive_cli.events import Plan as PlanEvent
from terralive_cli.mapping import LocalCode
from terralive_cli.target import Target
from terralive_cli.ui import Ui
from terralive_terraform.runner import Plan


class Declined(Exception):  # noqa: N818  # not an error: the user's answer
    """The user said no."""


def ask(ui: Ui, question: str) -> None:
    """Go on, or raise Declined."""
    if not ui.confirm(question):
        raise Declined


def debug_stack(config: Config, target: Target, ui: Ui) -> Callable[[Plan], None]:
    """Ask before the debug stack changes."""

    def approve(plan: Plan) -> None:
        ask(ui, f"Deploy the debug stack of {config.app}/{config.stage} in {target.name} ({count(plan)})?")

    return approve


def live(config: Config, target: Target, ui: Ui) -> Callable[[LivePlan], None]:
    """Show what becomes live, and ask."""

    def approve(planned: LivePlan) -> None:
        ui.emit(plan_event(config, planned))
        names = ", ".join(address.rpartition(".")[2] for address in planned.code)
        ask(ui, f"Make {names} of {config.app}/{config.stage} live in {target.name} ({count(planned.plan)})?")

    return approve


def plan_event(config: Config, planned: LivePlan) -> PlanEvent:
    return PlanEvent(
        stage=config.stage,
        functions=tuple(live_function(code) for code in planned.code.values()),
        refused=planned.refused,
        changes=len(planned.plan.changes),
    )


def live_function(code: LocalCode, name: str = "") -> LiveFunction:
    return LiveFunction(
        name=name, address=code.address, runtime=code.runtime, handler=code.handler, path=str(code.path)
    )


def count(plan: Plan) -> str:
    """Count a plan's changes: `3 to create, 1 to update`."""
    actions: Mapping[str, int] = _tally([change.action for change in plan.changes])
    told = ", ".join(f"{number} to {action}" for action, number in actions.items())
    return told or "outputs only"


def _tally(actions: Sequence[str]) -> dict[str, int]:
    return {action: actions.count(action) for action in dict.fromkeys(actions)}
