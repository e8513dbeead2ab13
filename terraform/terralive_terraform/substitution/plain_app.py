"""The way for plain Terraform: override files beside the team's `*.tf` files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from terralive_stub.errors import ConfigurationError
from terralive_terraform.discovery.files import Module, calls_downloaded_modules, find_modules
from terralive_terraform.runs.process import private_directory, run_process
from terralive_terraform.runs.progress import failure
from terralive_terraform.substitution.app import App, Prepared
from terralive_terraform.substitution.own_files import (
    folder_lock,
    has_own_files,
    remove_override,
    return_lock_file,
    stage_lock_file,
    write_override,
)
from terralive_terraform.substitution.rules import LiveSettings
from terralive_terraform.substitution.selection import Selection, select


@dataclass(frozen=True, slots=True)
class PlainApp(App):
    """A folder of Terraform configuration.

    Attributes:
        directory: the root module's folder.
        binary: the Terraform that downloads modules.
        backend_config: arguments for `terraform init -backend-config`.
    """

    directory: Path
    binary: str
    backend_config: tuple[str, ...] = ()

    @contextmanager
    def opened(
        self, work: Path, environment: Mapping[str, str], backend_override: Path | None = None
    ) -> Iterator[OpenPlainApp]:
        """Open the app; the folder is locked, and what a killed run has left is removed."""
        work = private_directory(work.resolve())
        # With a backend of its own, the stage must not touch what the team's `.terraform` says
        # about the team's backend.
        own_data_dir = None
        if backend_override is not None or self.backend_config:
            own_data_dir = work / "terraform-data"
        backend_config = self.backend_config if backend_override is None else ()
        data_dir = own_data_dir or _data_dir(self.directory, environment)
        with folder_lock(self.directory):
            _clean_up(self.directory, data_dir)
            if calls_downloaded_modules(self.directory):
                self._download_modules(work, data_dir, environment)
            modules = find_modules(self.directory, data_dir)
            yield OpenPlainApp(
                self.directory, modules, work, own_data_dir, backend_override, backend_config
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
        directory: the root module's folder.
        modules: the root module and all that it calls.
        work: the stage's own folder.
        own_data_dir: the stage's TF_DATA_DIR; None for the team's `.terraform`.
        state: the state file that replaces the team's; None for the team's.
        backend_config: arguments for `terraform init -backend-config`.
    """

    directory: Path
    modules: tuple[Module, ...]
    work: Path
    own_data_dir: Path | None
    state: Path | None
    backend_config: tuple[str, ...]

    def discovered(self, live: LiveSettings | None) -> Selection:
        """Select the functions that become live. It reads and changes no file."""
        return select(self.modules, live, self.directory)

    @contextmanager
    def prepared(self, selection: Selection) -> Iterator[Prepared]:
        """Write the override files, and remove them at the end."""
        with ExitStack() as stack:
            if self.state is not None:
                stack.enter_context(stage_lock_file(self.directory, self.work))
            # Removal is arranged before the first file is written.
            for module in self.modules:
                stack.callback(remove_override, module.directory)
            for module in self.modules:
                # Only the root module has a backend.
                state = self.state if module.directory == self.directory else None
                write_override(module.directory, selection.in_module(module), state)
            yield Prepared(
                self.directory,
                self.own_data_dir,
                selection.functions,
                selection.refused,
                backend_config=self.backend_config,
            )


def tidy(directory: Path, environment: Mapping[str, str]) -> None:
    """Remove the files that a killed run has left beside `*.tf` files.

    `PlainApp.opened` does it too; this is for commands that end before it (no sandbox, no
    credentials). A run that is at work in the folder keeps its files.
    """
    if not has_own_files(directory):
        return
    # The folder may be locked by a run, or a module may be unreadable: `opened` reports that.
    with suppress(ConfigurationError), folder_lock(directory):
        _clean_up(directory, _data_dir(directory, environment))


def _clean_up(directory: Path, data_dir: Path) -> None:
    return_lock_file(directory)
    remove_override(directory)
    for module in find_modules(directory, data_dir):
        remove_override(module.directory)


def _data_dir(directory: Path, environment: Mapping[str, str]) -> Path:
    """Return the team's TF_DATA_DIR."""
    return directory / environment.get("TF_DATA_DIR", ".terraform")
