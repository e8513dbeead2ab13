"""Writes down, at the end of a start or an apply, what its plan depended on."""

from __future__ import annotations

import logging
from typing import Final

from terralive_cli.app.live_plan import LiveApp, PlanSources
from terralive_cli.deploy import record as work_files
from terralive_cli.deploy.debug_stack import DebugStackOutputs
from terralive_cli.deploy.target import Stage
from terralive_cli.live.stage_stub import stub_of
from terralive_cli.unchanged import decision, record, sources
from terralive_cli.unchanged.again import MustPlanError, Start, settings_of_start, taken
from terralive_cli.unchanged.files import FileInputs, Snapshot, touched_since
from terralive_cli.unchanged.look import look
from terralive_cli.unchanged.record import Record, Shown
from terralive_stub.errors import ConfigurationError, CredentialsError
from terralive_terraform.inputs.calls import Undecided

_log: Final = logging.getLogger("terralive.cli")
# Lambda takes 15 calls a second that read an alias:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests
_MOST_ALIASES: Final = 15


def remember(start: Start, outputs: DebugStackOutputs, live: LiveApp) -> None:
    """Write down what the start has depended on. It never fails: the next start plans then.

    Args:
        start: the start.
        outputs: the debug stack.
        live: the live app.
    """
    work = start.stage.target.work
    written = Record(undecided=sources.not_decided_by_files(start.stage.config, live))
    if not written.undecided:
        try:
            written = _remembered(start, outputs, live)
        except (ConfigurationError, CredentialsError) as error:
            written = Record(undecided=f"AWS could not be looked at ({error.reference})")
        except (MustPlanError, OSError) as reason:
            written = Record(undecided=str(reason))
    _log.debug("the next start plans: %s", written.undecided or "only what has changed")
    record.write(work_files.last_start(work), written)


def _remembered(start: Start, outputs: DebugStackOutputs, live: LiveApp) -> Record:
    """Return the record of a start.

    Raises:
        MustPlanError: the next start has to plan.
        ConfigurationError, CredentialsError: AWS did not answer.
    """
    stage, plan = start.stage, live.sources
    begun_ns = work_files.begun_ns(stage.target.work)
    if plan is None or begun_ns is None:
        raise MustPlanError("the last start made no plan")
    if plan.lacks_builds:
        raise MustPlanError("files that a build makes were missing")
    if plan.lacks_layers:
        raise MustPlanError("the last plan did not know all layers")
    inputs, snapshot = _files(stage, live, plan, begun_ns)
    arns = frozenset(function.arn for function in live.functions)
    aliases = sources.aliases_of(live, plan)
    if sum(len(names) for names in aliases.values()) > _MOST_ALIASES:
        raise MustPlanError(f"there are over {_MOST_ALIASES} aliases")
    seen = look(stage, outputs.table_name, arns, live.accounts, aliases)
    deployed = decision.deployed_stubs(seen.functions, stub_of(stage, outputs, live.stubs))
    if deployed is None or deployed.keys() != arns:
        raise MustPlanError("some functions did not carry the stub, or could not be looked at")
    if seen.description is None or seen.secret is None:
        raise MustPlanError("the debug stack has no description")
    return Record(
        table=outputs.table_name,
        directory=plan.prepared.directory,
        description=decision.digest_of(seen.description),
        settings=settings_of_start(start, seen.secret),
        inputs=inputs,
        snapshot=snapshot,
        deployed=deployed,
        aliases=seen.aliases,
        stubs=live.stubs,
        shown=_shown(start, live),
    )


def _files(
    stage: Stage, live: LiveApp, plan: PlanSources, begun_ns: int
) -> tuple[FileInputs, Snapshot]:
    """Return the files that a plan depended on, and how they are now.

    Raises:
        MustPlanError: it is not known which files these are, or one was written since `begun_ns`.
    """
    inputs = sources.inputs_of(stage, live, plan)
    if isinstance(inputs, Undecided):
        raise MustPlanError(inputs.reason)
    snapshot = taken(inputs)
    touched = touched_since(sources.not_terraforms_own(stage, plan, snapshot), begun_ns)
    if touched is not None:
        raise MustPlanError(f"{touched.name} was written while Terraform ran")
    return inputs, snapshot


def _shown(start: Start, live: LiveApp) -> Shown:
    ports: dict[str, int] = {}
    for function in live.functions:
        if function.debugger is not None:
            ports[function.arn] = function.debugger.port
    return Shown(
        live.functions,
        ports,
        live.refused,
        live.outputs,
        live.found_by,
        start.heard.warnings,
        live.schedules,
    )
