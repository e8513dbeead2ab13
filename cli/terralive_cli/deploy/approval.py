"""Questions before something changes: each says what changes, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from terralive_cli.app.live_plan import LivePlan, RestorePlan
from terralive_cli.app.plan_event import plan_event, resource_changes
from terralive_cli.deploy.target import Stage
from terralive_cli.output.events import ChangesListed
from terralive_cli.output.formats.words import listed, plural, spoken_name
from terralive_cli.output.progress import changes_in_words
from terralive_cli.output.ui import Ui
from terralive_stub.errors import TerraliveError
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.substitution.other_changes import OtherChange

DECLINED: Final = "Stopped. Nothing was changed."
# The debug stack may be deployed already when the user says no to the app.
DEPLOYMENT_DECLINED: Final = (
    "Stopped. Nothing more was changed. `terralive destroy` removes what is deployed."
)
_NAMED_FUNCTIONS: Final = 10


class Declined(Exception):  # noqa: N818  # not an error: the user's answer
    """The user said no. Its text says what that means."""


def ask(ui: Ui, question: str, declined: str = DECLINED) -> None:
    """Ask a question.

    Args:
        ui: asks the user.
        question: the question.
        declined: what a no means.

    Raises:
        Declined: the user said no.
    """
    if not ui.confirm(question):
        raise Declined(declined)


def ask_deployment(stage: Stage, ui: Ui, debug_stack: TerraformPlan, live: LivePlan) -> None:
    """Show what a deployment changes, and ask: once for the stage, once for all other changes.

    Raises:
        Declined: the user said no.
        TerraliveError: `would-destroy`; see `require_nothing_destroyed`.
    """
    app = live.ready.plan
    if not debug_stack.has_changes and not app.has_changes:
        return
    show_live_plan(stage, ui, live)
    # Before the first question: what `--yes` does not cover is refused before anything changes.
    require_nothing_destroyed(stage, live.others)
    ask(ui, _deployment_question(stage, debug_stack, live))
    # The first deployment creates the app. That is one thing, and the question has named it.
    if not live.is_first:
        ask_other_changes(ui, live.others)


def ask_again(stage: Stage, ui: Ui, live: LivePlan) -> None:
    """Show and ask about a plan of the app that differs from the one that was agreed to.

    The debug stack is deployed by now. It raises what `ask_deployment` raises.
    """
    if not live.ready.plan.has_changes:
        return
    show_live_plan(stage, ui, live)
    require_nothing_destroyed(stage, live.others)
    names = _names(live.mapped.code)
    changes = count(live.ready.plan)
    where = stage.target.name
    question = f"The plan has changed. Make {names} of {stage.name} live in {where} ({changes})?"
    ask(ui, question, DEPLOYMENT_DECLINED)
    ask_other_changes(ui, live.others, DEPLOYMENT_DECLINED)


def ask_restore(stage: Stage, ui: Ui, restore: RestorePlan, question: str = "") -> None:
    """Show what a restore changes, and ask: once for the restore, once for all other changes.

    Args:
        stage: the stage.
        ui: asks the user.
        restore: the plan.
        question: the question; "" for the restore's own.

    Raises:
        Declined: the user said no.
        TerraliveError: `would-destroy`; see `require_nothing_destroyed`.
    """
    show_other_changes(stage, ui, restore.others)
    require_nothing_destroyed(stage, restore.others)
    changes = count(restore.ready.plan)
    if not restore.ready.plan.has_changes:
        # Terraform's state says that all is done.
        changes = plural(len(restore.stubs), "function")
    own = f"Put the functions' own code of {stage.name} back in {stage.target.name} ({changes})?"
    ask(ui, question or own)
    ask_other_changes(ui, restore.others)


def ask_following(stage: Stage, ui: Ui, plan: RestorePlan) -> None:
    """Show and ask about what follows a restore that was agreed to; only other changes need it.

    It raises what `ask_restore` raises.
    """
    show_other_changes(stage, ui, plan.others)
    require_nothing_destroyed(stage, plan.others)
    ask_other_changes(ui, plan.others)


def ask_destroy(stage: Stage, ui: Ui, removing: RestorePlan | None) -> None:
    """Show everything that a destroy of the whole app removes, and ask.

    Args:
        stage: the stage.
        ui: asks the user.
        removing: the plan; None where the app is not deployed.

    Raises:
        Declined: the user said no.
    """
    changes = "it is not deployed"
    if removing is not None:
        show_other_changes(stage, ui, removing.others, destroys_app=True)
        changes = count(removing.ready.plan)
    ask(
        ui,
        f"Destroy the debug stack and the whole app {stage.name} in {stage.target.name}, with all "
        f"its data ({changes})?",
    )


def require_nothing_destroyed(stage: Stage, others: Sequence[OtherChange]) -> None:
    """Check that `--yes` does not destroy anything that terralive has not made.

    Raises:
        TerraliveError: `would-destroy`.
    """
    destroyed = [change.address for change in others if change.destroys]
    if destroyed and stage.config.yes:
        raise TerraliveError(
            "would-destroy",
            "By this folder's configuration, Terraform would also destroy: "
            f"{', '.join(destroyed)}. Nothing of the app was changed.",
            hint="Is this the right branch? `--yes` does not cover this. Run the command without "
            "`--yes` and answer its questions, or run your own `terraform apply` first.",
        )


def ask_other_changes(ui: Ui, others: Sequence[OtherChange], declined: str = DECLINED) -> None:
    """Ask for what a plan changes beside the functions' code; it has been shown already.

    Raises:
        Declined: the user said no.
    """
    if not others:
        return
    number = plural(len(others), "other change")
    # Moved and forgotten resources change the state only.
    counts = _counts(change.action for change in others) or "in the state only"
    ask(ui, f"Also make the {number} that the configuration asks for ({counts})?", declined)


def show_live_plan(stage: Stage, ui: Ui, plan: LivePlan) -> None:
    """Show the functions that become live, and the other changes."""
    ui.emit(plan_event(stage.config, plan))
    show_other_changes(stage, ui, plan.others, is_first=plan.is_first)


def show_other_changes(
    stage: Stage,
    ui: Ui,
    others: Sequence[OtherChange],
    *,
    is_first: bool = False,
    destroys_app: bool = False,
) -> None:
    """Show what a plan changes beside the functions' code.

    Args:
        stage: the stage.
        ui: shows it.
        others: the changes; nothing is shown where there is none.
        is_first: whether the app is not deployed yet.
        destroys_app: whether the plan removes the whole app.
    """
    if not others:
        return
    changes = resource_changes(others)
    ui.emit(
        ChangesListed(
            stage=stage.config.stage, changes=changes, first=is_first, destroys_app=destroys_app
        )
    )


def count(plan: TerraformPlan) -> str:
    """Count a plan's changes in Terraform's words: `3 to add, 1 to change`.

    Like Terraform, it counts a replaced resource as added and destroyed, and no data source.
    """
    counts = _counts(change.action for change in plan.changes)
    return counts or "outputs only"


def _deployment_question(stage: Stage, debug_stack: TerraformPlan, live: LivePlan) -> str:
    where = stage.target.name
    stack = f"debug stack of {stage.name} in {where} ({count(debug_stack)})"
    if not live.ready.plan.has_changes:
        return f"Deploy the {stack}?"
    names = _names(live.mapped.code)
    app = count(live.ready.plan)
    if not debug_stack.has_changes:
        return f"Make {names} of {stage.name} live in {where} ({app})?"
    if live.is_first:
        return f"Deploy the {stack} and the app ({app}), and make {names} live?"
    return f"Deploy the {stack}, and make {names} live ({app})?"


def _names(addresses: Iterable[str]) -> str:
    """Return the names of functions for a question; the plan above it has all of them."""
    return listed([spoken_name(address) for address in addresses], _NAMED_FUNCTIONS)


def _counts(actions: Iterable[str]) -> str:
    """Count actions in Terraform's words; "" where none of them changes anything on AWS."""
    actions = list(actions)
    replaced = actions.count("replace")
    add = actions.count("create") + replaced
    change = actions.count("update")
    destroy = actions.count("delete") + replaced
    imported = actions.count("import")
    if add + change + destroy + imported == 0:
        return ""
    return changes_in_words(add, change, destroy, imported=imported)
