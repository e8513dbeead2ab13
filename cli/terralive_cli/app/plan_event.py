"""The event that shows a plan which makes functions live. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from terralive_cli.app.live_plan import LivePlan, LivePlans, RestorePlan
from terralive_cli.configuration.values import Config
from terralive_cli.functions.mapping import Mapped
from terralive_cli.output.events import (
    Fallback,
    LiveFunction,
    NotLiveFunction,
    PlanMade,
    ResourceChange,
)
from terralive_cli.stacks.names import one_page, page_of_stack
from terralive_terraform.addresses import in_stack, stack_of, without_keys
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.output.plans import TerraformPlan
from terralive_terraform.substitution.other_changes import OtherChange
from terralive_terraform.substitution.rules import NotLive


def plan_event(config: Config, plans: LivePlans) -> PlanMade:
    """Return the event of the plans of an app: one page for all of its stacks."""
    pages = [page_of_stack(_page(config, plan), plan.stack) for plan in plans.plans]
    return one_page([*pages, *plans.others])


def other_changes_of(plans: Sequence[LivePlan | RestorePlan]) -> tuple[OtherChange, ...]:
    """Return what plans change beside the functions' code, with the names of the stacks."""
    return tuple(
        replace(change, address=in_stack(plan.stack, change.address))
        for plan in plans
        for change in plan.others
    )


def _page(config: Config, plan: LivePlan) -> PlanMade:
    by_api = {change.address: change.reason for change in plan.code_changes}
    if plan.code is not None:
        by_api.update(plan.code.by_api)
    fallbacks: Mapping[str, Fallback] = {}
    if plan.fallback is not None:
        fallbacks = plan.fallback.shown
    functions = live_functions(plan.mapped, plan.functions, plan.timeouts, by_api, fallbacks)
    return PlanMade(
        stage=config.stage,
        functions=functions,
        refused={address: item.text for address, item in plan.refused.items()},
        changes=changed_resources(plan.ready.plan),
        not_live=_not_live(plan.refused),
        other_changes=resource_changes(plan.others),
        first=plan.is_first,
        project=str(config.project),
    )


def unplanned_event(
    config: Config, functions: tuple[LiveFunction, ...], refused: Mapping[str, NotLive]
) -> PlanMade:
    """Return the event that shows the known functions of an app that Terraform cannot plan.

    Args:
        config: the configuration.
        functions: the functions that would become live.
        refused: the functions that stay as they are, by address.
    """
    return PlanMade(
        stage=config.stage,
        functions=functions,
        refused={address: item.text for address, item in refused.items()},
        changes=None,
        not_live=_not_live(refused),
        project=str(config.project),
    )


def live_functions(
    mapped: Mapped,
    functions: Sequence[DeclaredFunction] = (),
    timeouts: Mapping[str, int] | None = None,
    by_api: Mapping[str, str] | None = None,
    fallbacks: Mapping[str, Fallback] | None = None,
) -> tuple[LiveFunction, ...]:
    """Return the functions with local code, as events show them.

    Args:
        mapped: the local code.
        functions: the functions of the configuration, with the instances that a plan has shown.
        timeouts: address -> the timeout in seconds that debugging raises the function's own to.
        by_api: address -> why terralive changes the function's code by Lambda's API.
        fallbacks: what a plan says of the functions' deployed code, by address.
    """
    found_by, notes = mapped.found_by, mapped.notes
    raised = timeouts or {}
    reasons = by_api or {}
    deployed = fallbacks or {}
    triggers: dict[str, tuple[str, ...]] = {}
    for function in functions:
        for instance in function.instances or ():
            triggers[instance.address] = instance.invoked_by
    return tuple(
        LiveFunction.of(
            code,
            timeout_s=raised.get(without_keys(address), 0),
            found_by=found_by.get(address, ""),
            note=notes.get(address, ""),
            triggers=triggers.get(address, ()),
            by_api=reasons.get(address, ""),
            fallback=deployed.get(address),
        )
        for address, code in mapped.code.items()
    )


def resource_changes(others: Iterable[OtherChange]) -> tuple[ResourceChange, ...]:
    """Return the changes beside the functions' code, as events show them."""
    return tuple(
        ResourceChange(
            change.address,
            change.action,
            change.type,
            change.attributes,
            stack=stack_of(change.address) or None,
        )
        for change in others
    )


def changed_resources(plan: TerraformPlan) -> int:
    """Count the resources that a plan changes; a data source is only read."""
    return len([change for change in plan.changes if change.action != "read"])


def _not_live(refused: Mapping[str, NotLive]) -> tuple[NotLiveFunction, ...]:
    return tuple(
        NotLiveFunction(address, item.reason, item.key, item.lines)
        for address, item in refused.items()
    )
