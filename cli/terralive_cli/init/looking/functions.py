"""The functions of a project, as far as its files alone tell them. No Terraform plans anything."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from terralive_cli.app.source import app_of
from terralive_cli.configuration.values import Config
from terralive_cli.functions.mapping import map_functions
from terralive_cli.init.findings import FoundFunction, relative
from terralive_cli.stacks.joined import function_of_stack, of_stack
from terralive_cli.stacks.settings import settings_of_stack
from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.runs.environment import terraform_environment
from terralive_workers.function import LocalCode


@dataclass(frozen=True, slots=True)
class DeclaredCode:
    """The functions of a configuration, and the code that its files alone tell.

    Attributes:
        declared: all functions.
        code: the local code of some of them.
    """

    declared: tuple[DeclaredFunction, ...]
    code: tuple[LocalCode, ...]

    def found(self, project: Path) -> tuple[FoundFunction, ...]:
        """Return each function with what is known of its code."""
        by_address = {code.address: code for code in self.code}
        found: list[FoundFunction] = []
        for function in self.declared:
            code = by_address.get(function.address)
            handler = function.handler or ""
            if code is None:
                found.append(FoundFunction(function.address, handler))
                continue
            path = relative(code.path, project) or "."
            found.append(FoundFunction(function.address, code.handler or handler, path))
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


@contextmanager
def _scratch() -> Iterator[Path]:
    """Make a folder for what a program writes. The project's folder may be read-only."""
    with tempfile.TemporaryDirectory(prefix="terralive-init-") as folder:
        yield Path(folder)
