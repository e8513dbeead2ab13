"""`terralive list`: all debug stacks of the account and region. It changes nothing."""

from __future__ import annotations

import time

from terralive_cli.configuration.values import Config
from terralive_cli.deploy.target import opened
from terralive_cli.output.ui import Ui
from terralive_cli.stages.events import StacksListed
from terralive_cli.stages.listing import listed
from terralive_cli.stages.reading import AccountReader, at_once, now_ms
from terralive_relay.events import Warned


def run(config: Config, ui: Ui) -> int:
    """Show the debug stacks.

    Args:
        config: the configuration; its app and stage do not matter.
        ui: shows events.
    """
    with opened(config, writes=False) as target:
        reader = AccountReader(target.caller)
        looks, functions = at_once(lambda: reader.looks(reader.stacks()), reader.functions)
        now = now_ms(target.caller, time.time())
        found = tuple(listed(look, functions, target.region, now) for look in looks)
        ui.emit(StacksListed(target.name, found))
        if functions.refusal and found:
            ui.emit(
                Warned(
                    "functions-not-listed",
                    "Live functions are known by the records of the stages only, because AWS "
                    f"refuses `lambda:ListFunctions`: {functions.refusal}",
                )
            )
        return 0
