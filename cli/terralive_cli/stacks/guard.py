"""The guard of one of several stacks: it names functions with their stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from terralive_cli.app.live_plan import AppGuard
from terralive_cli.protection.existing import NewFunction
from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.json_documents import Json
from terralive_terraform.addresses import in_stack
from terralive_terraform.output.state import DeployedFunction


@dataclass(frozen=True, slots=True)
class StackGuard:
    """An `AppGuard` of one stack. All stacks have one guard, which remembers what it has asked.

    Attributes:
        guard: that guard.
        stack: the name of the stack; "" where only one is live.
    """

    guard: AppGuard
    stack: str

    def inspect_folder(self, directory: Path) -> None:
        """Inspect the folder that Terraform runs in. It has the name of the stack."""
        try:
            self.guard.inspect_folder(directory)
        except ConfigurationError as error:
            if self.stack:
                error.hint = f"{error.hint} `--stack` names the stacks to make live.".strip()
            raise

    def inspect_variables(self, variables: Mapping[str, Json]) -> None:
        """Inspect the values of the configuration's variables."""
        self.guard.inspect_variables(variables)

    def inspect(self, functions: Mapping[str, DeployedFunction]) -> None:
        """Inspect functions by address."""
        self.guard.inspect({in_stack(self.stack, at): item for at, item in functions.items()})

    def inspect_new(self, functions: Sequence[NewFunction]) -> None:
        """Inspect the functions that a plan creates."""
        self.guard.inspect_new(
            [replace(new, address=in_stack(self.stack, new.address)) for new in functions]
        )
