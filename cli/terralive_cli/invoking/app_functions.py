"""The deployed functions of the app: those of the last session here, or of Terraform's state."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from terralive_cli.configuration.values import Config
from terralive_cli.deploy import record
from terralive_cli.deploy.target import Stage, Target
from terralive_cli.invoking.finding import KnownFunction, matching, one_of
from terralive_cli.live import last_session
from terralive_cli.live.session_files import work_folders
from terralive_cli.output.progress import Phase
from terralive_cli.output.ui import Ui
from terralive_stub.errors import ConfigurationError
from terralive_terraform.addresses import in_stack
from terralive_workers.function import LocalFunction


def of_session(config: Config, works: Sequence[Path]) -> tuple[LocalFunction, ...]:
    """Return the functions of the last session, with their local code.

    Args:
        config: the configuration, which has the variables for local runs: no file keeps them.
        works: the work folders that a session may have left its functions in.
    """
    functions = last_session.newest(record.session(work) for work in works)
    return tuple(_with_variables(config, function) for function in functions)


def known(functions: Sequence[LocalFunction]) -> list[KnownFunction]:
    """Return the names of functions of a session."""
    return [
        KnownFunction(function.name, function.arn, function.address, function.label)
        for function in functions
    ]


def local_function(
    config: Config, ui: Ui, target: Target | None, works: Sequence[Path], wanted: str
) -> LocalFunction:
    """Return the function that a user names, with its local code.

    The last session knows it. Where it does not, Terraform is asked, as for a plan.

    Args:
        config: the configuration.
        ui: shows the progress of Terraform.
        target: the stage's target; None where nobody can be asked.
        works: the work folders of the stage.
        wanted: the function's name, address, or a part of one of them.

    Raises:
        ConfigurationError: `function-unknown`, `function-unclear`, `local-code-unknown`.
        TerraliveError: the app cannot be planned.
    """
    functions = of_session(config, works)
    found = matching(wanted, known(functions))
    if not found and target is not None:
        functions = _of_plan(config, ui, target)
        found = matching(wanted, known(functions))
    if not functions:
        raise ConfigurationError(
            "local-code-unknown",
            f"No function of stage {config.stage} has code on this machine that is known.",
            hint=f"{_stages_here(config)}`terralive plan` says which functions have local code.",
        )
    chosen = one_of(wanted, found, known(functions))
    return next(function for function in functions if function.arn == chosen.arn)


def _of_plan(config: Config, ui: Ui, target: Target) -> tuple[LocalFunction, ...]:
    """Ask Terraform for the functions of the app, and find their local code."""
    # A function of the last session is found without these.
    from terralive_cli.protection.guard import Guard  # noqa: PLC0415  # heavy
    from terralive_cli.protection.terragrunt import check_terragrunt  # noqa: PLC0415  # heavy
    from terralive_cli.stacks.stage_apps import StageApps  # noqa: PLC0415  # heavy

    check_terragrunt(config)
    config.require_program()
    # Nothing of the app is touched, so nothing of it is protected.
    allowed = replace(config, allow_protected=True)
    stage = Stage.of(allowed, target, ui.emit)
    return StageApps(stage, Guard(stage, ui, changes=False)).local_functions()


def _stages_here(config: Config) -> str:
    """Return a sentence about the stages of which a session was here; "" for none."""
    works = work_folders(config.project)
    stages = sorted({work.name for work in works if record.session(work).is_file()})
    if not stages:
        return ""
    return f"Stages with a session on this machine: {', '.join(stages)} (`--stage`). "


def of_state(stage: Stage) -> list[KnownFunction]:
    """Read the deployed functions from Terraform's state. A CDKTF program runs for this.

    Raises:
        TerraliveError: the app cannot be opened, or Terraform cannot read its state.
    """
    # A function of the last session is found without these.
    from terralive_cli.app.source import AppSource, parts_of  # noqa: PLC0415  # heavy
    from terralive_cli.app.without_stubs import AppWithoutStubs  # noqa: PLC0415  # heavy

    found: list[KnownFunction] = []
    parts = parts_of(stage)
    for part in parts:
        own = replace(stage, stack=part.name)
        phase = Phase("app", stage.emit)
        with ExitStack() as stack:
            app = AppWithoutStubs.opened(own, AppSource(own, part.app), stack, phase)
            for address, function in app.terraform.state.functions().items():
                shown = address
                if len(parts) > 1:
                    shown = in_stack(part.name, address)
                tags = function.tags
                found.append(KnownFunction(function.name, function.arn, shown, tags=tags))
    return found


def _with_variables(config: Config, function: LocalFunction) -> LocalFunction:
    settings = config.function_for(function.address, function.name)
    if settings is None:
        return function
    return replace(function, variables=tuple(settings.env.items()))
