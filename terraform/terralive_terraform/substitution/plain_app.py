"""The way for plain Terraform: override files for the moment in which Terraform reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from terralive_stub.errors import ConfigurationError
from terralive_terraform.data_folder import data_folder, selected_workspace
from terralive_terraform.discovery.files import (
    Module,
    calls_downloaded_modules,
    module_calls,
    modules_of,
)
from terralive_terraform.discovery.hcl.folders import is_opentofu
from terralive_terraform.discovery.remote_execution import refuse_remote_execution
from terralive_terraform.discovery.variables import GivenVariables
from terralive_terraform.images.builds import with_image_sources
from terralive_terraform.output.failures import failure
from terralive_terraform.overrides.backend_note import BackendNote
from terralive_terraform.overrides.guardian import FolderGuardian
from terralive_terraform.overrides.override_files import OverrideFiles, state_of_workspace
from terralive_terraform.overrides.team_folder import clean_up, folder_lock, has_own_files
from terralive_terraform.runs.process import private_directory, run_process
from terralive_terraform.substitution.app import App, Prepared
from terralive_terraform.substitution.rules import LiveSettings
from terralive_terraform.substitution.selection import Selection, select


@dataclass(frozen=True, slots=True)
class PlainApp(App):
    """A folder of Terraform configuration.

    Attributes:
        directory: the root module's folder.
        binary: the Terraform that downloads modules.
        backend_config: arguments for `terraform init -backend-config`.
        arguments: arguments for `terraform plan`, each of them one word.
    """

    directory: Path
    binary: str
    backend_config: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

    @contextmanager
    def opened(
        self, work: Path, environment: Mapping[str, str], backend_override: Path | None = None
    ) -> Iterator[OpenPlainApp]:
        """Open the app; the folder is locked, and what a killed run has left is removed.

        Raises:
            ConfigurationError: `folder-busy`, `remote-execution`.
        """
        work = private_directory(work.resolve())
        team_data_dir = data_folder(self.directory, environment)
        # With a backend of its own, the stage must not touch what the team's `.terraform` says
        # about the team's backend.
        own_data_dir = None
        if backend_override is not None or self.backend_config:
            own_data_dir = work / "terraform-data"
        data_dir = own_data_dir or team_data_dir
        workspace = selected_workspace(self.directory, environment)
        opentofu = is_opentofu(self.binary)
        if backend_override is None:
            refuse_remote_execution(
                self.directory,
                backend_config=self.backend_config,
                environment=environment,
                selected=workspace,
                opentofu=opentofu,
            )
        with folder_lock(self.directory), closing(FolderGuardian(self.directory)) as guardian:
            clean_up(self.directory)
            if calls_downloaded_modules(self.directory, opentofu=opentofu):
                self._download_modules(work, data_dir, environment)
            calls = module_calls(
                self.directory,
                data_dir,
                opentofu=opentofu,
                given=GivenVariables(self.arguments, environment),
            )
            yield OpenPlainApp(
                app=self,
                modules=with_image_sources(modules_of(calls), calls),
                work=work,
                own_data_dir=own_data_dir,
                state=backend_override,
                workspace=workspace,
                environment=environment,
                guardian=guardian,
            )

    def _download_modules(self, work: Path, data_dir: Path, environment: Mapping[str, str]) -> None:
        if (data_dir / "modules" / "modules.json").is_file():
            return
        lines: list[str] = []
        code = run_process(
            [self.binary, "get", "-no-color"],
            cwd=self.directory,
            environment={**environment, "TF_DATA_DIR": str(data_dir)},
            scratch=work,
            on_line=lines.append,
        )
        if code != 0:
            raise failure("get", (), "\n".join(lines))


@dataclass(frozen=True, slots=True)
class OpenPlainApp:
    """An open folder of Terraform configuration; see `OpenApp`.

    Attributes:
        app: the app.
        modules: the root module and all that it calls.
        work: the stage's own folder.
        own_data_dir: the stage's TF_DATA_DIR; None for the team's `.terraform`.
        state: the state file that replaces the team's; None for the team's.
        workspace: the workspace that the team has selected; "" for none.
        environment: the environment of Terraform.
        guardian: removes terralive's files if terralive is killed.
    """

    app: PlainApp
    modules: tuple[Module, ...]
    work: Path
    own_data_dir: Path | None
    state: Path | None
    workspace: str
    environment: Mapping[str, str] = field(repr=False)
    guardian: FolderGuardian

    def discovered(self, live: LiveSettings | None) -> Selection:
        """Select the functions that become live. It reads and changes no file."""
        return select(self.modules, live, self.app.directory)

    def prepared(self, selection: Selection) -> Prepared:
        """Return the app with the files that Terraform's commands add. It writes none of them."""
        directory = self.app.directory
        files = OverrideFiles(
            directory=directory,
            work=self.work,
            guardian=self.guardian,
            environment=self.environment,
            state=self.state,
            changes=selection.changes_by_call(),
        )
        backend_config = self.app.backend_config
        note = None
        if self.state is not None:
            backend_config = ()
            if self.own_data_dir is not None:
                note = BackendNote(self.work, self.own_data_dir, self.state)
        # A data folder of its own does not know what is selected in the team's.
        workspace = ""
        if self.own_data_dir is not None:
            workspace = self.workspace
        return Prepared(
            directory=directory,
            data_dir=self.own_data_dir,
            functions=selection.functions,
            refused=selection.refused,
            backend_config=backend_config,
            arguments=self.app.arguments,
            workspace=workspace,
            files=files,
            state_file=state_of_workspace(self.state, workspace),
            backend_note=note,
            by_api=selection.by_api,
        )


def tidy(directory: Path) -> None:
    """Remove the files that a killed run has left beside `*.tf` files.

    `PlainApp.opened` does it too; this is for commands that end before it (no sandbox, no
    credentials). A run that is at work in the folder keeps its files, also an init that has
    outlived its terralive.
    """
    if not has_own_files(directory):
        return
    with suppress(ConfigurationError), folder_lock(directory):
        clean_up(directory, wait_s=0)
