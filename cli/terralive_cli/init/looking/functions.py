"""The functions of a project, as far as its files alone tell them. No Terraform plans anything."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from terralive_cli.app.source import app_of
from terralive_cli.configuration.source import repository_top
from terralive_cli.configuration.values import Config
from terralive_cli.functions.mapping import map_functions
from terralive_cli.init.findings import FoundFunction, relative
from terralive_cli.stacks.joined import function_of_stack, of_stack
from terralive_cli.stacks.settings import settings_of_stack
from terralive_terraform.discovery.declared import FUNCTION_TYPE, DeclaredFunction
from terralive_terraform.discovery.files import module_calls
from terralive_terraform.evaluation.planned import PlannedFunction
from terralive_terraform.evaluation.sources.by_handler import HandlerFiles, choose
from terralive_terraform.evaluation.sources.repository import Repository
from terralive_terraform.runs.environment import terraform_environment
from terralive_workers.function import LocalCode

# How the code of a function was found, for a person.
_BY_CONFIGURATION: Final = "the configuration"
_BY_HANDLER: Final = "the handler's file"


@dataclass(frozen=True, slots=True)
class DeclaredCode:
    """The functions of a configuration, and the code that its files alone tell.

    Attributes:
        declared: all functions.
        code: the local code of some of them.
    """

    declared: tuple[DeclaredFunction, ...]
    code: tuple[LocalCode, ...]

    def found(self, config: Config) -> tuple[FoundFunction, ...]:
        """Return each function with what is known of its code, and how it was found."""
        by_address = {code.address: code for code in self.code}
        files = _handler_files(config)
        found: list[FoundFunction] = []
        for function in self.declared:
            code = by_address.get(function.address)
            handler = function.handler or ""
            if code is not None:
                path = relative(code.path, config.project) or "."
                shown = code.handler or handler
                found.append(FoundFunction(function.address, shown, path, _BY_CONFIGURATION))
                continue
            folder = _folder_of_handler(function, files, config.terraform.dir)
            if folder is None:
                found.append(FoundFunction(function.address, handler))
            else:
                path = relative(folder, config.project) or "."
                found.append(FoundFunction(function.address, handler, path, _BY_HANDLER))
        return tuple(found)


def functions_without_a_plan(config: Config) -> DeclaredCode:
    """Read the functions of a project. It changes nothing in the project's folder.

    Raises:
        TerraliveError: a CDKTF program fails, or a module cannot be downloaded.
    """
    declared: list[DeclaredFunction] = []
    found: list[LocalCode] = []
    with _scratch() as work:
        environment = {**os.environ, "TERRALIVE_APP": config.app, "TERRALIVE_STAGE": config.stage}
        environment = terraform_environment(environment, work)
        parts = app_of(config).parts(work, environment)
        for part in parts:
            stack = ""
            if len(parts) > 1:
                stack = part.name
            with part.app.prepared(None, work, environment) as prepared:
                mapped = map_functions(settings_of_stack(config, part.name), prepared.live)
            declared += [function_of_stack(function, stack) for function in prepared.live]
            found += [of_stack(code, stack) for code in mapped.code.values()]
    return DeclaredCode(tuple(declared), tuple(found))


def _handler_files(config: Config) -> HandlerFiles:
    """Return the files that handlers may be in, without those of other configurations."""
    directory = config.terraform.dir
    top = repository_top(config.project) or config.project
    modules = {directory}
    if config.terraform.app is None:
        modules |= {call.directory for call in module_calls(directory, directory / ".terraform")}
    return HandlerFiles(Repository(top, project=config.project), directory, modules)


def _folder_of_handler(
    function: DeclaredFunction, files: HandlerFiles, directory: Path
) -> Path | None:
    """Return the folder of the only file, or of the certain one, that a handler names."""
    if not function.handler or not function.runtime or function.is_image:
        return None
    module, _, _ = function.address.rpartition(f".{FUNCTION_TYPE}.")
    wanted = PlannedFunction(
        function.address,
        module,
        name=function.function_name,
        handler=function.handler,
        runtime=function.runtime,
    )
    chosen = choose(wanted, files.candidates(wanted), (), directory).chosen
    if chosen is None:
        return None
    return chosen.folder


@contextmanager
def _scratch() -> Iterator[Path]:
    """Make a folder for what a program writes. The project's folder may be read-only."""
    with tempfile.TemporaryDirectory(prefix="terralive-init-") as folder:
        yield Path(folder)
