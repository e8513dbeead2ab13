"""The files that terralive adds to a folder of `*.tf` files, for each command of Terraform.

With a state of terralive's own, init and plan need another backend in the team's root folder, and
init needs the stage's dependency lock file there. A plan that makes functions live needs an
override file in the team's root folder where functions of the root module change, and copies of the
other modules. An apply needs nothing: a saved plan holds the configuration and the backend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json
from terralive_terraform.overrides.guardian import FolderGuardian
from terralive_terraform.overrides.installed_providers import providers_environment
from terralive_terraform.overrides.module_copies import ModuleCopies
from terralive_terraform.overrides.team_folder import override_file, stage_lock_file
from terralive_terraform.runs.added_files import PlanView
from terralive_terraform.substitution.rules import (
    Substitution,
    override_document,
)

ROOT: Final = ""


@dataclass(frozen=True, slots=True)
class OverrideFiles:
    """The `AddedFiles` of a folder of `*.tf` files.

    Attributes:
        directory: the root module's folder.
        work: the stage's own folder.
        guardian: removes what is in `directory` if terralive is killed.
        environment: the environment of Terraform.
        state: the state file that replaces the team's backend; None for the team's own.
        changes: the substitutions by address in the module, for each call of one; `ROOT` for
            the root module.
    """

    directory: Path
    work: Path
    guardian: FolderGuardian
    environment: Mapping[str, str] = field(repr=False)
    state: Path | None
    changes: Mapping[str, Mapping[str, Substitution]]

    def are_possible(self, data_dir: Path) -> bool:
        """Tell whether `terraform init` has noted all modules in which functions change."""
        return self._module_copies().are_possible(data_dir)

    @contextmanager
    def during_init(self) -> Iterator[tuple[int, ...]]:
        """Add another backend and the stage's dependency lock file."""
        with ExitStack() as stack:
            inherited: tuple[int, ...] = ()
            if self.state is not None:
                self.guardian.watch()
                lock_file = stage_lock_file(self.directory, self._lock_file)
                inherited = (stack.enter_context(lock_file),)
            self._add_to_root(stack, {})
            yield inherited

    @contextmanager
    def during_plan(self, data_dir: Path) -> Iterator[PlanView]:
        """Add what makes functions live, and another backend."""
        view = PlanView(data_dir)
        copies = self._module_copies()
        if copies.changes:
            view = copies.written(data_dir)
        with ExitStack() as stack:
            self._add_to_root(stack, self.changes.get(ROOT, {}))
            yield view

    def variables(self, data_dir: Path) -> Mapping[str, str]:
        """Return the variable that lets Terraform use what the stage's lock file has selected."""
        if self.state is None:
            return {}
        return providers_environment(
            self._lock_file, data_dir, self.environment, self.work / "providers.tfrc"
        )

    @property
    def _lock_file(self) -> Path:
        """The stage's own dependency lock file."""
        return self.work / "stage.lock.hcl"

    def _module_copies(self) -> ModuleCopies:
        changes = {call: changes for call, changes in self.changes.items() if call != ROOT}
        return ModuleCopies(self.directory, self.work / "modules", changes)

    def _add_to_root(self, stack: ExitStack, changes: Mapping[str, Substitution]) -> None:
        override = {**override_document(changes), **backend_override(self.state)}
        if override:
            self.guardian.watch()
            stack.enter_context(override_file(self.directory, override))


def backend_override(state: Path | None) -> dict[str, Json]:
    """Return the override of the backend, which replaces any other one, also `cloud`."""
    if state is None:
        return {}
    return {"terraform": {"backend": {"local": local_backend(state)}}}


def local_backend(state: Path) -> dict[str, Json]:
    """Return the arguments of the backend `local` for a state file of terralive's."""
    return {"path": str(state.resolve()), "workspace_dir": str(_workspaces(state))}


def state_of_workspace(state: Path | None, workspace: str) -> Path | None:
    """Return the file in which the backend of `backend_override` keeps a workspace's state.

    https://developer.hashicorp.com/terraform/language/backend/local
    """
    if state is None or workspace in ("", "default"):
        return state
    return _workspaces(state) / workspace / "terraform.tfstate"


def _workspaces(state: Path) -> Path:
    return state.resolve().parent / "workspaces"
