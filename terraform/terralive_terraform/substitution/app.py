"""A team's app: a CDKTF program or a folder of `*.tf` files, prepared for one Terraform run.

Nothing here runs `terraform apply`. An app is opened first and its functions are discovered, which
changes no file of the team's. Then it is prepared with a selection of its functions. A CDKTF
program has its output in a folder of ours. What plain `*.tf` files need in addition is written by
`Terraform`, for the moment in which it is read (see `overrides`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.output.progress import Progress
from terralive_terraform.overrides.backend_note import BackendNote
from terralive_terraform.runs.added_files import AddedFiles, NoFiles
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.side_by_side.runs import RunsAtOnce
from terralive_terraform.substitution.rules import LiveSettings, NotLive
from terralive_terraform.substitution.selection import Selection


@dataclass(frozen=True, slots=True)
class Prepared:
    """An app that is ready for Terraform.

    Attributes:
        directory: the folder that Terraform runs in.
        data_dir: its TF_DATA_DIR; None for the team's own `.terraform`.
        functions: the functions that Terraform makes live, with the facts of their real code; all
            functions where there are no live settings.
        refused: the functions that were wanted live and stay as they are.
        backend_config: arguments for `terraform init -backend-config`.
        arguments: the user's arguments for plans and applies.
        workspace: the workspace for `TF_WORKSPACE`; "" for the one that is selected.
        files: the files that Terraform adds while it reads the configuration.
        state_file: the state, where it is a file of terralive's; None for the team's.
        backend_note: lets the data folder know a state file of terralive's before an init.
        by_api: the functions that Lambda's API makes live.
    """

    directory: Path
    data_dir: Path | None
    functions: tuple[DeclaredFunction, ...]
    refused: tuple[NotLive, ...]
    backend_config: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    workspace: str = ""
    files: AddedFiles = field(default_factory=NoFiles)
    state_file: Path | None = None
    backend_note: BackendNote | None = None
    by_api: tuple[DeclaredFunction, ...] = ()

    @property
    def live(self) -> tuple[DeclaredFunction, ...]:
        """The functions that become live, one way or the other."""
        return (*self.functions, *self.by_api)

    def terraform(
        self,
        binary: str,
        environment: Mapping[str, str],
        on_progress: Callable[[Progress], None],
        runs: RunsAtOnce | None = None,
    ) -> Terraform:
        """Return Terraform in the app's folder."""
        if self.workspace:
            environment = {**environment, "TF_WORKSPACE": self.workspace}
        before_init = None
        if self.backend_note is not None:
            before_init = partial(self.backend_note.write, binary, environment)
        return Terraform(
            self.directory,
            binary=binary,
            environment=environment,
            on_progress=on_progress,
            data_dir=self.data_dir,
            backend_config=self.backend_config,
            arguments=self.arguments,
            files=self.files,
            state_file=self.state_file,
            before_init=before_init,
            runs=runs,
        )


class OpenApp(Protocol):
    """An app whose functions can be discovered."""

    def discovered(self, live: LiveSettings | None) -> Selection:
        """Find the app's functions, and select those that become live.

        Args:
            live: the settings that make functions live; None for the app as its configuration says.

        Raises:
            ConfigurationError, TerraformError: the program fails, or the configuration cannot be
                read.
        """

    def prepared(self, selection: Selection) -> Prepared:
        """Prepare the app for Terraform.

        Args:
            selection: what `discovered` returned, or that selection without some functions.
        """


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an app that Terraform plans and applies by itself.

    Attributes:
        name: the name of the stack of a CDKTF program; "" for the only part of another app.
        app: the part as an app of its own.
        dependencies: the names of the stacks that it depends on. They may be none of the parts.
    """

    name: str
    app: App
    dependencies: frozenset[str] = frozenset()


class App(ABC):
    """A team's Terraform configuration; see `find_app`."""

    def parts(self, work: Path, environment: Mapping[str, str]) -> tuple[Part, ...]:
        """Return the parts of the app that become live together, in the order to apply them.

        Args:
            work: a folder of the stage's own.
            environment: the environment of the app's program and of Terraform.
        """
        del work, environment
        return (Part("", self),)

    @abstractmethod
    def opened(
        self, work: Path, environment: Mapping[str, str], backend_override: Path | None = None
    ) -> AbstractContextManager[OpenApp]:
        """Open the app for one Terraform run.

        Args:
            work: a folder of the stage's own.
            environment: the environment of the app's program and of Terraform.
            backend_override: a state file that replaces the team's state.

        Raises:
            ConfigurationError: another terralive works in the app's folder.
        """

    @contextmanager
    def prepared(
        self,
        live: LiveSettings | None,
        work: Path,
        environment: Mapping[str, str],
        backend_override: Path | None = None,
    ) -> Iterator[Prepared]:
        """Prepare the app with all functions that can become live; see `opened` and `OpenApp`."""
        with self.opened(work, environment, backend_override) as app:
            yield app.prepared(app.discovered(live))
