"""A start without Terraform: what is found is compared with the last start, and shown again.

    1. `again` compares. It returns the app as the last start has left it, or emits in one line why
       the start has to plan.
    2. `remembering.remember` writes down, at the end of a start or an apply, what its plan depended
       on.

The interpreters, handlers and folders of the code are checked anew, as in every start.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Final

from terralive_cli.app.live_plan import LiveApp
from terralive_cli.configuration.tables import FunctionSettings
from terralive_cli.configuration.values import Config
from terralive_cli.deploy import record as work_files
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.functions import code_checks, interpreters, typescript
from terralive_cli.functions.debugging import Debugging
from terralive_cli.live import holder
from terralive_cli.live.stage_stub import stub_of
from terralive_cli.output.progress import Phase
from terralive_cli.unchanged import decision, record
from terralive_cli.unchanged.decision import Versions
from terralive_cli.unchanged.files import FileInputs, Snapshot, TooManyFilesError, take
from terralive_cli.unchanged.heard import Heard
from terralive_cli.unchanged.look import Seen, look
from terralive_cli.unchanged.record import Record, Shown
from terralive_cli.unchanged.settings import Situation, settings_of
from terralive_stub.errors import ConfigurationError, CredentialsError
from terralive_workers.function import LocalFunction

_PHASE: Final = "app"


@dataclass(frozen=True, slots=True)
class Start:
    """A start or an apply, as far as it matters here.

    Attributes:
        stage: the stage.
        heard: shows the stage's events, and keeps the warnings.
        debugging: the functions to debug.
        takeover: whether the stage may be taken from another user.
    """

    stage: Stage
    heard: Heard
    debugging: Debugging
    takeover: bool = False


class MustPlanError(Exception):
    """The start has to plan. Its text is the reason, as the end of a sentence."""


def again(start: Start, *, refresh: bool) -> tuple[DebugStackOutputs, LiveApp] | None:
    """Return the debug stack and the live app where nothing has changed; None to plan.

    The last start is forgotten before the reason is shown.

    Args:
        start: the start.
        refresh: plan in any case.

    Raises:
        StageHeldError: another user holds the stage.
    """
    stage = start.stage
    phase = Phase(_PHASE, stage.emit)
    try:
        if refresh:
            raise MustPlanError("--refresh")  # noqa: TRY301  # one place emits the reason
        known = _known(stage)
        if known is None:
            begin(start)
            return None
        found = _unchanged(start, known)
    except MustPlanError as reason:
        begin(start)
        phase.note(f"planned again: {reason}")
        return None
    stage.emit(*known.shown.warnings)
    phase.unchanged("nothing has changed since the last start, so Terraform does not run")
    return found


def _known(stage: Stage) -> Record | None:
    """Return the record of the last start; None where nothing was live before."""
    work = stage.target.work
    known = record.read(work_files.last_start(work))
    if work_files.is_unfinished(work):
        raise MustPlanError("a deployment of the app was not finished")
    if known is not None:
        if known.undecided:
            raise MustPlanError(known.undecided)
        return known
    if work_files.last_start(work).exists():
        raise MustPlanError("the code of a function is gone, or another terralive ran last")
    if work_files.begun_ns(work) is not None:
        raise MustPlanError("the last command did not finish")
    return None


def _unchanged(start: Start, known: Record) -> tuple[DebugStackOutputs, LiveApp]:
    """Return the app as the last start has left it.

    Raises:
        MustPlanError: something is different.
        StageHeldError: another user holds the stage.
    """
    stage = start.stage
    accounts = stage.accounts(known.directory)
    arns = frozenset(function.arn for function in known.shown.functions)
    try:
        with ThreadPoolExecutor(1, "unchanged-look") as pool:
            looking = pool.submit(look, stage, known.table, arns, accounts, known.aliases)
            now = taken(known.inputs, known.snapshot)
            _require(decision.files_changed(known, now, stage.config.project))
            seen = looking.result()
    except OSError as error:
        raise MustPlanError(f"a file cannot be looked at: {error}") from None
    except (ConfigurationError, CredentialsError) as error:
        raise MustPlanError(f"AWS could not be looked at ({error.reference})") from None
    versions = Versions(version("terralive"))
    _require(decision.debug_stack_changed(known, seen.description, seen.secret, versions))
    if seen.description is None or seen.secret is None:
        raise MustPlanError("there is no debug stack")
    _require(decision.settings_changed(known, settings_of_start(start, seen.secret)))
    outputs = DebugStackOutputs.of(seen.description.outputs, seen.secret)
    stub = stub_of(stage, outputs, known.stubs)
    _require(decision.functions_changed(known, seen.functions, stub))
    _require(decision.aliases_changed(known, seen.aliases))
    _check_holder(start, seen)
    functions = tuple(_checked(start, known.shown, item) for item in known.shown.functions)
    live = LiveApp(
        functions,
        {function.address: function for function in functions},
        known.shown.refused,
        accounts,
        known.shown.outputs,
        known.shown.found_by,
        stubs=known.stubs,
        schedules=known.shown.schedules,
    )
    return outputs, live


def _require(reason: str) -> None:
    if reason:
        raise MustPlanError(reason)


def taken(inputs: FileInputs, known: Snapshot | None = None) -> Snapshot:
    """Look at files; see `files.take`.

    Raises:
        MustPlanError: there are too many.
    """
    try:
        return take(inputs, time.time_ns(), known)
    except TooManyFilesError as error:
        raise MustPlanError(f"{error} has too many files to look at") from None


def _check_holder(start: Start, seen: Seen) -> None:
    config = start.stage.config
    lease = holder.held(seen.lease, int(time.time() * 1000))
    if start.takeover and holder.is_of_another(config, lease):
        # The user is asked before the stage is taken.
        raise MustPlanError("another user is connected")
    holder.require_mine(config, lease)


def settings_of_start(start: Start, secret: bytes) -> dict[str, str]:
    """Return the settings of a start, as a record keeps them."""
    stage = start.stage
    situation = Situation(
        config=stage.config,
        debugging=start.debugging,
        environment=stage.environment,
        versions={"terralive": version("terralive"), "Terraform": stage.terraform_version},
        caller=stage.target.caller.arn,
        place=stage.target.name,
        workspace=stage.config.workspace,
    )
    return settings_of(situation, secret)


def _checked(start: Start, shown: Shown, function: LocalFunction) -> LocalFunction:
    """Return a function with the programs of this moment, after the checks of every start.

    Raises:
        MustPlanError: something that it needs does not exist any more.
    """
    config = start.stage.config
    settings = config.function_for(function.address, function.name) or FunctionSettings(pattern="")
    try:
        code = _with_programs(config, settings, function)
        code_checks.require_folder(code)
        code_checks.require_handler(code)
        _require(code_checks.node_missing(code) or typescript.missing(code) or "")
        if function.arn in shown.ports:
            return start.debugging.again(code, shown.ports[function.arn])
    except ConfigurationError as error:
        raise MustPlanError(error.message.rstrip(".")) from None
    return code


def _with_programs(
    config: Config, settings: FunctionSettings, function: LocalFunction
) -> LocalFunction:
    found = replace(
        function,
        python=interpreters.python_of(config.project, function.path),
        node=interpreters.default_node() or interpreters.NO_NODE,
        variables=tuple(settings.env.items()),
    )
    code = code_checks.with_programs(found, settings, config.project)
    return replace(found, python=code.python, node=code.node, command=code.command)


def begin(start: Start) -> None:
    """Begin to make the functions live anew. The record of the last start stays until they change.

    A start that is declined, or that fails before it changes anything, leaves that record.
    """
    work_files.begin_planning(start.stage.target.work)
    start.heard.forget()
