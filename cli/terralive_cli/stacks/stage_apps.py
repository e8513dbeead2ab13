"""The app of a stage: all of its stacks that are live together.

A folder of `*.tf` files is one app. A CDKTF program has one for each of its selected stacks. The
program runs once for all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Final, TypeAlias

from terralive_cli.app.checks import nothing_live, require_functions, unused_tables
from terralive_cli.app.live_plan import AppGuard, LiveApp, LivePlan, LivePlans, Selected
from terralive_cli.app.source import parts_of
from terralive_cli.app.stage_app import StageApp
from terralive_cli.deploy import record
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.functions.debugging import NO_DEBUGGING, Debugging
from terralive_cli.live import last_session
from terralive_cli.orphans.look import Found
from terralive_cli.output.events import Emit, PlanMade
from terralive_cli.stacks.applying import naming
from terralive_cli.stacks.guard import StackGuard
from terralive_cli.stacks.joined import Functions, joined, of_stack, require_clear_tables
from terralive_cli.stacks.names import event_of_stack, one_page, refused_of_stack
from terralive_cli.stacks.settings import settings_of_stack
from terralive_relay.events import Event
from terralive_stub.errors import ConfigurationError, CredentialsError, TerraformError
from terralive_terraform.addresses import in_stack
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.substitution.rules import NotLive
from terralive_workers.function import LocalFunction, with_labels

_log: Final = logging.getLogger("terralive.cli")
Serve: TypeAlias = Callable[[DebugStackOutputs, tuple[LocalFunction, ...]], None]


class StageApps:
    """The app of a stage, stack by stack. A command has one of it.

    Args:
        stage: the stage.
        guard: refuses what must not be touched, before anything is planned or applied.
        debugging: the functions to debug.
        serve: connects before functions are applied, and serves them as far as they are known:
            Terraform may invoke them meanwhile. None where nobody is connected.
    """

    def __init__(
        self,
        stage: Stage,
        guard: AppGuard,
        debugging: Debugging = NO_DEBUGGING,
        serve: Serve | None = None,
    ) -> None:
        self._stage = stage
        self._guard = guard
        self._debugging = debugging
        self._serve = serve
        # What is selected in each stack, by its name, from the last time that it was looked at.
        self._selected: dict[str, Selected] = {}
        # The stacks that are live, by name, in the order in which they were applied.
        self._live: dict[str, LiveApp] = {}

    @cached_property
    def stacks(self) -> tuple[StageApp, ...]:
        """The stacks, in the order to apply them. A CDKTF program runs for this.

        Raises:
            ConfigurationError: `stack-unclear`.
            TerraformError: the program failed.
        """
        parts = parts_of(self._stage)
        stacks: list[StageApp] = []
        for part in parts:
            shown = part.name if len(parts) > 1 else ""
            emit: Emit = self._stage.emit
            if shown:
                emit = partial(_emit, self._stage.emit, shown)
            config = settings_of_stack(self._stage.config, part.name)
            stage = replace(self._stage, config=config, emit=emit, stack=part.name)
            guard = StackGuard(self._guard, shown)
            stacks.append(StageApp(stage, part, guard, self._debugging, shown))
        return tuple(stacks)

    def local_functions(self) -> tuple[LocalFunction, ...]:
        """Return the functions that may become live, with their local code; nothing is changed.

        Raises:
            TerraformError: a stack cannot be planned.
            TerraliveError: see `StageApp`.
        """
        found: list[LocalFunction] = []
        for app in self.stacks:
            with naming(app.stack):
                found += [of_stack(function, app.stack) for function in app.local_functions()]
        return with_labels(found)

    @contextmanager
    def planned_live(
        self, outputs: DebugStackOutputs | None, *, needs_file: bool = False
    ) -> Iterator[LivePlans]:
        """Plan all stacks with stubs; the files of the plans exist while the context does.

        Where a stack needs the outputs of another one that is not deployed yet, Terraform cannot
        plan it. It waits.

        Args:
            outputs: those of the debug stack; None before it is deployed.
            needs_file: see `StageApp.planned_live`.

        Raises:
            ConfigurationError: `no-live-functions`, `function-unclear`; also what debugging raises.
            TerraliveError: see `StageApp`.
        """
        with ExitStack() as open_apps:
            waiting: dict[str, PlanMade | None] = {}
            self._selected.clear()
            for app in self.stacks:
                may_wait = self._may_wait(app, waiting)
                try:
                    with naming(app.stack):
                        selecting = app.selected_live(outputs, may_wait=may_wait)
                        self._selected[app.stack] = open_apps.enter_context(selecting)
                except (TerraformError, CredentialsError) as error:
                    if not may_wait:
                        raise
                    _log.debug("stack %s waits: %s", app.stack, error.message)
                    waiting[app.stack] = app.declared_page()
            # Find what is wrong before Terraform plans what is to be applied.
            self._check(is_complete=not waiting)
            # A table may be about a stack that is not selected.
            if not waiting and not self._stage.config.terraform.stack:
                self._tell_unused_tables()
            plans: list[LivePlan] = []
            pages: list[PlanMade] = []
            for app in self.stacks:
                selected = self._selected.get(app.stack)
                if app.stack in waiting or selected is None:
                    page = waiting[app.stack]
                elif self._is_planned(app, selected):
                    with naming(app.stack):
                        planning = app.planned_live(selected, outputs, needs_file=needs_file)
                        plans.append(open_apps.enter_context(planning))
                    continue
                else:
                    page = app.page_of(selected)
                if page is not None:
                    pages.append(page)
            yield LivePlans(tuple(plans), tuple(pages), tuple(waiting))

    @contextmanager
    def planned_again(self, app: StageApp, outputs: DebugStackOutputs) -> Iterator[LivePlan | None]:
        """Plan one stack with stubs when the debug stack, or other stacks, have been applied.

        The plan is None where no function of the stack can be live.

        Raises:
            TerraliveError: see `planned_live`.
        """
        with app.selected_live(outputs) as selected:
            self._selected[app.stack] = selected
            self._check(is_complete=len(self._selected) == len(self.stacks))
            if not self._is_planned(app, selected):
                yield None
                return
            with app.planned_live(selected, outputs) as plan:
                yield plan

    def apply_live(self, app: StageApp, plan: LivePlan) -> None:
        """Apply the plan of a stack, and remember which functions are live.

        Raises:
            ConfigurationError, TerraformError: see `StageApp.apply_live`.
            StageHeldError: another user holds the stage.
            TerraliveError: the relay cannot connect. Nothing of the stack has changed then.
        """
        outputs = plan.outputs
        if self._serve is not None and outputs is not None and plan.has_changes:
            # It may invoke the functions of stacks that are live already.
            expected = [of_stack(function, app.stack) for function in plan.expected]
            with plan.ready.phase.step("connect"):
                self._serve(outputs, self._finished([*self._functions(), *expected]))
        self._live[app.stack] = app.apply_live(plan)
        if outputs is not None:
            # The other stacks may be live from the last session.
            known = last_session.read(self._session, outputs.relay_url)
            functions = {item.arn: item for item in (*known, *self._functions())}
            labelled = with_labels(list(functions.values()))
            last_session.write(self._session, outputs.relay_url, labelled)

    def live(self, outputs: DebugStackOutputs) -> LiveApp:
        """Return the stacks as one app when all of them are applied, and remember its functions.

        Args:
            outputs: those of the debug stack.
        """
        functions = self._finished(self._functions())
        last_session.write(self._session, outputs.relay_url, functions)
        refused: dict[str, NotLive] = {}
        for stack, selected in self._selected.items():
            refused.update(refused_of_stack(selected.refused, stack))
        return joined(self._live, refused, functions)

    def require_no_orphans(self) -> tuple[Found, ...]:
        """Check that no deployment has left what Terraform's state lacks, before a destroy.

        Returns:
            Resources that exist, and of which nobody knows who has created them.

        Raises:
            ConfigurationError: `resources-exist`.
            TerraliveError: the app cannot be opened.
        """
        found: list[Found] = []
        for app in self.stacks:
            with naming(app.stack):
                found += app.require_no_orphans()
        return tuple(found)

    def needs_repository(self, plans: LivePlans) -> bool:
        """Tell whether a plan needs the debug stack's repository for container images."""
        own = self._stage.config.stub_images
        functions = [function for plan in plans.plans for function in plan.functions]
        return any(item.is_image and item.architecture not in own for item in functions)

    def show_declared(self) -> None:
        """Show what the app's files say of its functions, where nothing can be planned."""
        pages: list[PlanMade] = []
        for app in self.stacks:
            page = app.declared_page()
            if page is not None:
                pages.append(page)
        if pages:
            self._stage.emit(one_page(pages))

    @property
    def _session(self) -> Path:
        return record.session(self._stage.target.work)

    def _functions(self) -> list[LocalFunction]:
        """Return the functions of the stacks that are live."""
        return [
            of_stack(function, stack)
            for stack, live in self._live.items()
            for function in live.functions
        ]

    def _finished(self, functions: Sequence[LocalFunction]) -> tuple[LocalFunction, ...]:
        """Return functions of all stacks with their debuggers, and with names that differ."""
        known = Functions.of(self._selected)
        labelled = with_labels(functions)
        return self._debugging_of_all.with_debuggers(known.declared, known.code, labelled)

    @property
    def _debugging_of_all(self) -> Debugging:
        """The functions to debug. The name of the only stack may stand before them."""
        if len(self.stacks) > 1:
            return self._debugging
        return self._debugging.in_stack(self.stacks[0].part.name)

    def _may_wait(self, app: StageApp, waiting: Mapping[str, object]) -> bool:
        """Tell whether a stack depends on one that is not deployed yet."""
        for other in self.stacks:
            if other.part.name not in app.part.dependencies:
                continue
            selected = self._selected.get(other.stack)
            if other.stack in waiting or selected is None:
                return True
            if selected.is_first or other.is_unfinished:
                return True
        return False

    def _is_planned(self, app: StageApp, selected: Selected) -> bool:
        """Tell whether a stack is to be applied.

        It has live functions, or it had some and none is wanted any more, or it is not deployed and
        another stack needs it.
        """
        if selected.mapped.functions or selected.has_stubs:
            return True
        needed = any(app.part.name in other.part.dependencies for other in self.stacks)
        return needed and (selected.is_first or app.is_unfinished)

    def _tell_unused_tables(self) -> None:
        """Warn about the tables of terralive.toml that fit no function of any stack."""
        blocks: list[str] = []
        for stack, selected in self._selected.items():
            declared = selected.evaluated.made.evaluation.declared(FUNCTION_TYPE)
            blocks += [in_stack(stack, address) for address in declared]
        planned = Functions.of(self._selected).planned
        self._stage.emit(*unused_tables(self._stage.config, planned, blocks))

    def _check(self, *, is_complete: bool) -> None:
        """Check the names of all stacks together.

        Args:
            is_complete: whether the functions of all stacks are known.

        Raises:
            ConfigurationError: `no-live-functions`, `function-unclear`; also what debugging raises.
        """
        known = Functions.of(self._selected)
        require_clear_tables(self._stage.config, known.declared)
        if not is_complete:
            return
        require_functions(self._stage.config, known.planned)
        if not known.declared:
            refused: dict[str, NotLive] = {}
            errors: dict[str, ConfigurationError] = {}
            pages: list[PlanMade] = []
            for app in self.stacks:
                selected = self._selected[app.stack]
                refused.update(refused_of_stack(selected.refused, app.stack))
                for address, error in selected.mapped.errors.items():
                    errors[in_stack(app.stack, address)] = error
                pages.append(app.page_of(selected))
            if refused:
                self._stage.emit(one_page(pages))
            raise nothing_live(refused, errors)
        self._debugging_of_all.check(known.declared, known.code)


def _emit(emit: Emit, stack: str, *events: Event) -> None:
    """Emit the events of one of several stacks."""
    emit(*(event_of_stack(event, stack) for event in events))
