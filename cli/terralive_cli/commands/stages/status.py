"""`terralive status`: who is connected to the stage, and which functions are live.

It changes nothing, and runs no Terraform.
"""

from __future__ import annotations

import time
from dataclasses import replace

from terralive_cli.configuration.values import Config
from terralive_cli.deploy.accounts import Accounts
from terralive_cli.deploy.target import Stage, Target, aws_providers, opened
from terralive_cli.joining.demands import table_name
from terralive_cli.output.ui import Ui
from terralive_cli.sessions.folders import running_session
from terralive_cli.stages.events import SessionHere, StageStatus
from terralive_cli.stages.looks import Functions, StackItems, known_functions
from terralive_cli.stages.reading import AccountReader, at_once, now_ms
from terralive_cli.stages.stage_reading import seen_functions
from terralive_cli.stages.state import stage_function, status_of
from terralive_relay.events import Warned
from terralive_stub.errors import CredentialsError
from terralive_stub.shared.timestamps import format_datetime
from terralive_terraform.substitution.marker import StageName


def run(config: Config, ui: Ui) -> int:
    """Show the stage.

    Args:
        config: the configuration.
        ui: shows events.

    Raises:
        CredentialsError: AWS refuses to read the stage's table.
    """
    with opened(config, writes=False) as target:
        # Terraform's environment is not needed.
        table = table_name(Stage(config, target, ui.emit, environment={}))
        reader = AccountReader(target.caller)
        items, functions = at_once(lambda: reader.items(table, with_age=False), reader.functions)
        if items.refusal:
            raise _refused(table, items.refusal)
        ui.emit(_status(config, target, items, functions))
        if functions.refusal:
            ui.emit(
                Warned(
                    "functions-not-listed",
                    "Only functions are shown that the stage has a record of, or that the last "
                    "session served: AWS refuses `lambda:ListFunctions`. "
                    f"{functions.refusal}",
                )
            )
        return 0


def _status(config: Config, target: Target, items: StackItems, functions: Functions) -> StageStatus:
    stage = StageName(config.app, config.stage)
    records = {record.function: record for record in items.records}
    providers = aws_providers(config, config.terraform.dir)
    clients = Accounts(target.caller, providers, config.account_settings)
    seen = seen_functions(clients, known_functions(stage, items, functions), records)
    shown = (stage_function(item, stage, records.get(item.arn), target.region) for item in seen)
    now = now_ms(target.caller, time.time())
    status = status_of(stage, target.name, items, now)
    return replace(status, functions=tuple(shown), session=_session(config))


def _session(config: Config) -> SessionHere | None:
    """Return the session of the stage that runs on this machine."""
    found = running_session(config.project, config.stage, is_sandbox=config.sandbox)
    if found is None:
        return None
    return SessionHere(found.pid, format_datetime(found.since), found.is_detached)


def _refused(table: str, refusal: str) -> CredentialsError:
    return CredentialsError(
        "stage-not-read",
        f"The stage's table {table} cannot be read: {refusal}",
        hint="`status` needs dynamodb:GetItem and dynamodb:Query on it; see docs/PERMISSIONS.md.",
    )
