"""Questions before something changes: each says what changes, and where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from terralive_cli.app.live_plan import LivePlan, LivePlans, RestorePlan
from terralive_cli.app.plan_event import other_changes_of, plan_event, resource_changes
from terralive_cli.code_changes.changes import Keep
from terralive_cli.deploy.target import Stage
from terralive_cli.output.events import ChangesListed, Message
from terralive_cli.output.formats.words import listed, plural
from terralive_cli.output.progress import changes_in_words
from terralive_cli.output.ui import Ui
from terralive_stub.errors import TerraliveError
from terralive_terraform.addresses import in_stack, spoken_name
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


def ask_deployment(stage: Stage, ui: Ui, debug_stack: TerraformPlan, live: LivePlans) -> None:
    """Show what a deployment changes, and ask: once for the stage, once for all other changes.

    Stacks that wait for another one are asked about when they can be planned.

    Raises:
        Declined: the user said no.
        TerraliveError: `would-destroy`; see `require_nothing_destroyed`.
    """
    if not debug_stack.has_changes and not live.has_changes:
        return
    show_live_plan(stage, ui, live)
    # Before the first question: what `--yes` does not cover is refused before anything changes.
    require_nothing_destroyed(stage, other_changes_of(live.plans))
    ask(ui, _deployment_question(stage, debug_stack, live))
    _ask_lost_code(ui, live.plans)
    # The first deployment creates the app. That is one thing, and the question has named it.
    ask_other_changes(ui, other_changes_of([plan for plan in live.plans if not plan.is_first]))


def ask_stack(stage: Stage, ui: Ui, live: LivePlan) -> None:
    """Show and ask about the plan of a stack that had to wait for another one.

    The debug stack and the other stack are deployed by now. It raises what `ask_deployment` raises.
    """
    _ask_one(stage, ui, live, f"Deploy the stack {live.stack}, and make {{}} live ({{}})?")


def ask_debug_stack_again(stage: Stage, ui: Ui, plan: TerraformPlan) -> None:
    """Ask about a plan of the debug stack that changes more than the one that was agreed to.

    Raises:
        Declined: the user said no.
    """
    where = f"{stage.name} in {stage.target.name}"
    ask(ui, f"The plan has changed. Deploy the debug stack of {where} ({count([plan])})?")


def ask_again(stage: Stage, ui: Ui, live: LivePlan) -> None:
    """Show and ask about a plan of the app that differs from the one that was agreed to.

    The debug stack is deployed by now. It raises what `ask_deployment` raises.
    """
    where = f"{stage.name} live in {stage.target.name}"
    _ask_one(stage, ui, live, f"The plan has changed. Make {{}} of {where} ({{}})?")


def _ask_one(stage: Stage, ui: Ui, live: LivePlan, question: str) -> None:
    """Show and ask about one plan.

    Args:
        stage: the stage.
        ui: asks the user.
        live: the plan.
        question: the question, with places for the functions and for the number of changes.
    """
    if not live.has_changes:
        return
    shown = LivePlans((live,))
    others = other_changes_of([live])
    show_live_plan(stage, ui, shown)
    require_nothing_destroyed(stage, others)
    ask(ui, question.format(_names(shown), _app_count([live])), DEPLOYMENT_DECLINED)
    _ask_lost_code(ui, [live], DEPLOYMENT_DECLINED)
    if not live.is_first:
        ask_other_changes(ui, others, DEPLOYMENT_DECLINED)


def ask_restore(stage: Stage, ui: Ui, restores: Sequence[RestorePlan], question: str = "") -> None:
    """Show what a restore changes, and ask: once for the restore, once for all other changes.

    Args:
        stage: the stage.
        ui: asks the user.
        restores: the plans, one for each stack.
        question: the question; "" for the restore's own.

    Raises:
        Declined: the user said no.
        TerraliveError: `would-destroy`; see `require_nothing_destroyed`.
    """
    others = other_changes_of(restores)
    show_other_changes(stage, ui, others)
    require_nothing_destroyed(stage, others)
    changes = count([restore.ready.plan for restore in restores])
    is_planned = any(restore.ready.plan.has_changes for restore in restores)
    if not is_planned or any(restore.originals for restore in restores):
        # Terraform's plan does not have all of it.
        changes = plural(sum(len(restore.stubs) for restore in restores), "function")
    own = f"Put the functions' own code of {stage.name} back in {stage.target.name} ({changes})?"
    ask(ui, question or own)
    ask_other_changes(ui, others)


def show_code(ui: Ui, restores: Sequence[RestorePlan]) -> None:
    """Show which functions get the code that was deployed before, and which the local code."""
    before = _function_names((plan.stack, _originals(plan, ignored=False)) for plan in restores)
    if before:
        ui.emit(
            Message(
                message=f"The code that was deployed before (the configuration or the code was "
                f"edited since) goes back to {before}. `terralive restore --deploy-local` "
                "deploys the working tree instead."
            )
        )
    ignored = _function_names((plan.stack, _originals(plan, ignored=True)) for plan in restores)
    if ignored:
        ui.emit(
            Message(
                message=f"The code that was deployed before goes back to {ignored} by Lambda's "
                "API: Terraform ignores changes of it."
            )
        )
    local = _function_names((plan.stack, plan.unrecorded) for plan in restores)
    if local:
        ui.emit(
            Message(
                message=f"The code of the working tree is deployed to {local}: terralive has no "
                "record of the code that the stub has replaced."
            )
        )


def _originals(plan: RestorePlan, *, ignored: bool) -> list[str]:
    """Return the functions that Lambda's API puts back, whose code Terraform ignores or not."""
    return [address for address, item in plan.originals.items() if item.is_ignored is ignored]


def _function_names(found: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Return the names of functions for a person, from the names of stacks and addresses."""
    names = [
        spoken_name(in_stack(stack, address)) for stack, addresses in found for address in addresses
    ]
    return listed(names, _NAMED_FUNCTIONS)


def ask_following(stage: Stage, ui: Ui, plans: Sequence[RestorePlan]) -> None:
    """Show and ask about a restore that was agreed to already; only other changes need it.

    It raises what `ask_restore` raises.
    """
    others = other_changes_of(plans)
    show_other_changes(stage, ui, others)
    require_nothing_destroyed(stage, others)
    ask_other_changes(ui, others)


def ask_destroy(stage: Stage, ui: Ui, removing: Sequence[RestorePlan]) -> None:
    """Show everything that a destroy of the whole app removes, and ask.

    Args:
        stage: the stage.
        ui: asks the user.
        removing: the plans, one for each stack that is deployed.

    Raises:
        Declined: the user said no.
    """
    changes = "it is not deployed"
    if removing:
        show_other_changes(stage, ui, other_changes_of(removing), destroys_app=True)
        changes = count([plan.ready.plan for plan in removing])
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
    destroyed = [change for change in others if change.destroys]
    if destroyed and stage.config.yes:
        question = "Is this the right branch?"
        if all(change.is_tainted for change in destroyed):
            question = (
                "Their creation was not finished (they are tainted), so Terraform creates them "
                "again."
            )
        names = ", ".join(change.address for change in destroyed)
        raise TerraliveError(
            "would-destroy",
            f"By this folder's configuration, Terraform would also destroy: {names}. Nothing of "
            "the app was changed.",
            hint=f"{question} `--yes` does not cover this. Run the command without `--yes` and "
            "answer its questions, or run your own `terraform apply` first.",
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


def show_live_plan(stage: Stage, ui: Ui, live: LivePlans) -> None:
    """Show the functions that become live, and the other changes: one page for all stacks."""
    ui.emit(plan_event(stage.config, live))
    for is_first in (True, False):
        plans = [plan for plan in live.plans if plan.is_first is is_first]
        show_other_changes(stage, ui, other_changes_of(plans), is_first=is_first)
    if live.waiting:
        names = ", ".join(live.waiting)
        text = (
            f"Terraform cannot plan these stacks before those that they refer to are deployed: "
            f"{names}. `terralive start` and `terralive apply` plan them then, and ask about each."
        )
        ui.emit(Message(message=text))


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


def count(plans: Iterable[TerraformPlan]) -> str:
    """Count the changes of plans in Terraform's words: `3 to add, 1 to change`.

    Like Terraform, it counts a replaced resource as added and destroyed, and no data source.
    """
    counts = _counts(change.action for plan in plans for change in plan.changes)
    return counts or "outputs only"


def _deployment_question(stage: Stage, debug_stack: TerraformPlan, live: LivePlans) -> str:
    where = stage.target.name
    stack = f"debug stack of {stage.name} in {where} ({count([debug_stack])})"
    if not live.has_changes:
        return f"Deploy the {stack}?"
    names = _names(live)
    app = _app_count(live.plans)
    if not debug_stack.has_changes:
        return f"Make {names} of {stage.name} live in {where} ({app})?"
    if live.is_first:
        return f"Deploy the {stack} and the app ({app}), and make {names} live?"
    return f"Deploy the {stack}, and make {names} live ({app})?"


def _app_count(plans: Sequence[LivePlan]) -> str:
    """Count the changes of the app: those of Terraform, and what terralive does beside them."""
    beside = list(_beside_terraform(plans))
    planned = [plan.ready.plan for plan in plans if plan.ready.plan.has_changes]
    if beside and not planned:
        return "; ".join(beside)
    return "; ".join([count(planned), *beside])


def _beside_terraform(plans: Sequence[LivePlan]) -> Iterator[str]:
    """Yield what the question says of the app beside the changes that Terraform makes."""
    first = sum(len(plan.own_code_first) for plan in plans)
    if first:
        yield f"the own code of {plural(first, 'function')} first"
    by_api = sum(len(plan.code_changes) for plan in plans)
    if by_api:
        yield f"the code of {plural(by_api, 'function')} by Lambda's API"
    renewed = sum(len(plan.renewed) for plan in plans)
    if renewed:
        yield f"the fallback of {plural(renewed, 'function')} anew"


def _ask_lost_code(ui: Ui, plans: Sequence[LivePlan], declined: str = DECLINED) -> None:
    """Ask for the replacement of code that is in no version.

    Raises:
        Declined: the user said no.
    """
    lost = [
        spoken_name(in_stack(plan.stack, change.address))
        for plan in plans
        for change in plan.code_changes
        if change.keep is Keep.LOST
    ]
    if lost:
        names = listed(lost, _NAMED_FUNCTIONS)
        ask(ui, f"Also replace the code of {names}, which is in no version and is lost?", declined)


def _names(live: LivePlans) -> str:
    """Return the names of functions for a question; the plan above it has all of them."""
    names = [
        spoken_name(in_stack(plan.stack, address))
        for plan in live.plans
        for address in plan.mapped.code
    ]
    return listed(names, _NAMED_FUNCTIONS)


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
