"""Collects what a plan of the app was made from: its files, and what they read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from terralive_cli.app.live_plan import LiveApp, PlanSources
from terralive_cli.configuration.source import repository_top
from terralive_cli.configuration.values import Config
from terralive_cli.deploy.target import Stage
from terralive_cli.unchanged.files import FileInputs, Mark, Snapshot
from terralive_cli.unchanged.inputs import Configuration, absolute, file_inputs
from terralive_stub.shared.json_documents import read_object, section, text
from terralive_terraform.addresses import without_keys
from terralive_terraform.data_folder import data_folder
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.discovery.files import module_calls
from terralive_terraform.discovery.hcl.folders import is_opentofu
from terralive_terraform.discovery.variables import GivenVariables
from terralive_terraform.evaluation.aliases import planned_aliases
from terralive_terraform.inputs import configuration, data_sources
from terralive_terraform.inputs.calls import Undecided
from terralive_terraform.runs.arguments import VAR_FILE, parsed
from terralive_terraform.runs.environment import option_values

_LOCK_FILE: Final = ".terraform.lock.hcl"
_LOCAL_STATE: Final = "terraform.tfstate"
_STATES_OF_WORKSPACES: Final = "terraform.tfstate.d"
_USERS_CLI_CONFIGURATION: Final = "~/.terraformrc"
_USERS_AWS_CONFIGURATION: Final = "~/.aws/config"


def not_decided_by_files(config: Config, live: LiveApp) -> str:
    """Return why files cannot tell whether the next plan would be the same; "" for no reason.

    Args:
        config: the configuration.
        live: the live app.
    """
    if config.terraform.app:
        return "a CDKTF program may compute another configuration"
    if config.debug_stack.class_ is not None:
        return "the debug stack has a class of your own"
    if live.sources is None:
        return "the last start made no plan"
    return _code_in_dockerfile(config, live.sources)


def _is_searched(sources: PlanSources) -> bool:
    """Tell whether another file of the repository may be the code that was not found."""
    # A program that is missing in terralive.toml is in no other file.
    return any(
        not any(line.startswith("command =") for line in item.lines)
        for item in sources.not_found.values()
    )


def _code_in_dockerfile(config: Config, sources: PlanSources) -> str:
    """Return the reason that a Dockerfile tells the code of an image's function; "" for none."""
    for function in sources.functions:
        if not function.is_image:
            continue
        settings = config.function_for(function.address, function.function_name or "")
        if settings is None or not (settings.path and settings.runtime and settings.handler):
            return f"a Dockerfile tells the code of {function.address}"
    return ""


def inputs_of(stage: Stage, live: LiveApp, sources: PlanSources) -> FileInputs | Undecided:
    """Return the files that a plan of the app depends on.

    Args:
        stage: the stage.
        live: the live app.
        sources: what its plan was made from.
    """
    prepared = sources.prepared
    root = prepared.directory.resolve()
    opentofu = is_opentofu(stage.config.terraform.binary)
    data_dir = _data_dir(stage, sources)
    given = GivenVariables(prepared.arguments, stage.environment)
    calls = module_calls(root, data_dir, opentofu=opentofu, given=given)
    packages = {absolute(root, path) for path in data_sources.archive_files(sources.evaluation)}
    for function in sources.functions:
        for instance in function.instances or ():
            if instance.filename is not None:
                packages.add(instance.filename)
    found = Configuration(
        root=root,
        modules=frozenset(call.directory for call in calls),
        files=frozenset([*_files(stage, sources, root, data_dir), *_missing_zips(sources, root)]),
        code=live.code_folders,
        packages=frozenset(packages),
        searched=_searched(stage, sources),
    )
    reads = (
        *configuration.reads_of(calls, root, opentofu=opentofu),
        *data_sources.reads_of(sources.evaluation, sources.reads),
    )
    return file_inputs(found, reads)


def _searched(stage: Stage, sources: PlanSources) -> frozenset[Path]:
    """Return the folders in which code was looked for and not found."""
    if not _is_searched(sources):
        return frozenset()
    project = stage.config.project
    return frozenset({repository_top(project) or project})


def _missing_zips(sources: PlanSources, root: Path) -> Iterator[Path]:
    """Yield the zips of the functions whose code was not found: a build may make them later."""
    for item in sources.evaluation.instances(FUNCTION_TYPE):
        name = text(item.values, "filename")
        if name and not sources.not_found.keys().isdisjoint(
            (item.address, without_keys(item.address))
        ):
            yield absolute(root, name)


def aliases_of(live: LiveApp, sources: PlanSources) -> dict[str, tuple[str, ...]]:
    """Return the names of the aliases of live functions, by the ARN of their function.

    While a function is live, its aliases point at the stub. An alias that somebody has moved
    changes nothing in the function, and its invocations would not arrive here.
    """
    names: dict[str, list[str]] = {}
    arns = {function.address: function.arn for function in live.functions}
    for alias in planned_aliases(sources.evaluation):
        for address in alias.functions:
            if alias.name and address in arns:
                names.setdefault(arns[address], []).append(alias.name)
    return {arn: tuple(several) for arn, several in names.items()}


def not_terraforms_own(stage: Stage, sources: PlanSources, snapshot: Snapshot) -> Snapshot:
    """Return a look without the files that an init, a plan or an apply may write itself."""
    data_dir = _data_dir(stage, sources).resolve()
    marks: dict[Path, Mark] = {}
    for path, mark in snapshot.marks.items():
        is_own = path.name == _LOCK_FILE or ".tfstate" in path.name or path.suffix == ".zip"
        if not is_own and data_dir not in path.resolve().parents:
            marks[path] = mark
    return replace(snapshot, marks=marks)


def _data_dir(stage: Stage, sources: PlanSources) -> Path:
    prepared = sources.prepared
    return prepared.data_dir or data_folder(prepared.directory.resolve(), stage.environment)


def _files(stage: Stage, sources: PlanSources, root: Path, data_dir: Path) -> Iterator[Path]:
    """Yield the files that count whatever the configuration says."""
    environment, prepared = stage.environment, sources.prepared
    yield root / _LOCK_FILE
    # The modules, the backend and the workspace, as an init and the user have chosen them.
    yield data_dir / "modules" / "modules.json"
    yield data_dir / _LOCAL_STATE
    yield data_dir / "environment"
    for argument in parsed(prepared.arguments):
        if argument.name == VAR_FILE:
            yield absolute(root, argument.value)
    for value in option_values(environment, VAR_FILE, "plan"):
        yield absolute(root, value)
    for value in prepared.backend_config:
        if "=" not in value:
            yield absolute(root, value)
    # The user's own. terralive's, in the stage's folder, follows from it.
    named = stage.target.environment.get("TF_CLI_CONFIG_FILE") or _USERS_CLI_CONFIGURATION
    yield absolute(root, named)
    if stage.target.sandbox is None:
        yield absolute(root, environment.get("AWS_CONFIG_FILE") or _USERS_AWS_CONFIGURATION)
    state = prepared.state_file or _local_state(environment, root, data_dir, stage)
    if state is not None:
        yield state


def _local_state(
    environment: Mapping[str, str], root: Path, data_dir: Path, stage: Stage
) -> Path | None:
    """Return the state file of the team's local backend; None for another backend."""
    backend = section(read_object(data_dir / _LOCAL_STATE), "backend")
    if text(backend, "type") not in ("", "local"):
        return None
    config = section(backend, "config")
    workspace = environment.get("TF_WORKSPACE") or stage.config.workspace
    if workspace and workspace != "default":
        folder = text(config, "workspace_dir") or _STATES_OF_WORKSPACES
        return absolute(root, f"{folder}/{workspace}/{_LOCAL_STATE}")
    return absolute(root, text(config, "path") or _LOCAL_STATE)
