"""A team's app: a CDKTF program or a folder of `*.tf` files, prepared for one Terraform run.

Nothing here runs `terraform apply`. An app is opened first and its functions are discovered, which
changes no file of the team's. Then it is prepared with a selection of its functions. A CDKTF
program has its output in a folder of ours. Beside plain `*.tf` files, override files exist while
the context of `OpenApp.prepared` lasts, and never longer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from terralive_terraform.discovery.declared import DeclaredFunction
from terralive_terraform.runs.progress import Progress
from terralive_terraform.runs.runner import Terraform
from terralive_terraform.substitution.rules import LiveSettings, NotLive
from terralive_terraform.substitution.selection import Selection


@dataclass(frozen=True, slots=True)
class Prepared:
    """An app that is ready for Terraform.

    Attributes:
        directory: the folder that Terraform runs in.
        data_dir: its TF_DATA_DIR; None for the team's own `.terraform`.
        functions: the functions that become live, with the facts of their real code; all functions
            where there are no live settings.
        refused: the functions that were wanted live and stay as they are.
        backend_config: arguments for `terraform init -backend-config`.
    """

    directory: Path
    data_dir: Path | None
    functions: tuple[DeclaredFunction, ...]
    refused: tuple[NotLive, ...]
    backend_config: tuple[str, ...] = ()

    def terraform(
        self,
        binary: str,
        environment: Mapping[str, str],
        on_progress: Callable[[Progress], None],
    ) -> Terraform:
        """Return Terraform in the app's folder."""
        return Terraform(
            self.directory,
            binary=binary,
            environment=environment,
            on_progress=on_progress,
            data_dir=self.data_dir,
            backend_config=self.backend_config,
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

    def prepared(self, selection: Selection) -> AbstractContextManager[Prepared]:
        """Prepare the app for Terraform, and put everything back at the end.

        Args:
            selection: what `discovered` returned, or that selection without some functions.
        """


class App(ABC):
    """A team's Terraform configuration; see `find_app`."""

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
            selection = app.discovered(live)
            with app.prepared(selection) as prepared:
                yield prepared
