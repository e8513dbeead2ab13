"""Opens the team's app, and sessions in the accounts of its functions."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.target import Stage
from terralive_cli.protection.existing import is_applied_by_hand
from terralive_terraform.substitution.app import App, OpenApp, Part
from terralive_terraform.substitution.find_app import find_app

_FOLDER: Final = "app"
_FOLDER_APPLIED_BY_HAND: Final = "app-applied-by-hand"


class AppSource:
    """The app of a stage, or one stack of it.

    Args:
        stage: the stage.
        app: the app. It keeps the output of a CDKTF program, so a command has one of it.
    """

    def __init__(self, stage: Stage, app: App) -> None:
        self._stage = stage
        self._app = app
        # Sessions in the accounts of functions, by the folder whose providers open them.
        self._accounts_by_folder: dict[Path, Accounts] = {}

    def opened(self) -> AbstractContextManager[OpenApp]:
        """Open the app for one Terraform run; see `App.opened`."""
        stage = self._stage
        work = stage.target.work
        if stage.target.sandbox is None:
            return self._app.opened(work / _FOLDER, stage.environment)
        # The sandbox is not what the team's state describes, so its apps have a state of their own,
        # unless the user has applied the configuration to this sandbox by hand.
        own_state = work / "app.tfstate"
        program = stage.config.terraform
        if not program.app:
            accounts = self.accounts(program.dir)
            if is_applied_by_hand(program.dir, stage.environment, own_state, accounts):
                return self._app.opened(work / _FOLDER_APPLIED_BY_HAND, stage.environment)
        return self._app.opened(work / _FOLDER, stage.environment, own_state)

    def accounts(self, directory: Path) -> Accounts:
        """Return sessions in the accounts of the functions that a folder's configuration has."""
        if directory not in self._accounts_by_folder:
            self._accounts_by_folder[directory] = self._stage.accounts(directory)
        return self._accounts_by_folder[directory]


def parts_of(stage: Stage) -> tuple[Part, ...]:
    """Return the stacks of the team's app that become live together; see `App.parts`."""
    return app_of(stage.config).parts(stage.target.work / _FOLDER, stage.environment)


def app_of(config: Config) -> App:
    """Find the team's app: a CDKTF program runs in `[terraform] dir`, where its cdktf.json is."""
    program = config.require_program()
    terraform_dir = None if program.app else program.dir
    return find_app(
        program.dir,
        terraform_dir=terraform_dir,
        command=program.app,
        stacks=program.stack,
        binary=program.binary,
        backend_config=program.backend_config,
        arguments=program.plan_arguments,
    )
