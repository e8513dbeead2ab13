"""The commands for sessions of `start` on this machine.

Their bodies are in `terralive_cli.commands.sessions`.
"""

from __future__ import annotations

import click

from terralive_cli.command_line.completers import complete_function_or_id
from terralive_cli.command_line.group import command


@command(
    "stop",
    "sessions",
    "End the session that runs here.",
    examples=("terralive stop", "terralive stop --on-exit restore"),
    program=False,
    protected=False,
)
def _stop() -> None:
    """End the session of this project and stage on this machine, as Ctrl-C would.

    It waits until the session has ended, and says what it did. Without a session, it does nothing.
    This command changes your AWS account only if the functions are restored.
    """


@command(
    "logs",
    "sessions",
    "Show what the session does, or did.",
    examples=(
        "terralive logs --follow",
        "terralive logs orders-api",
        "terralive logs 8f0cb0a1-7d0c-4c43-8a4e-0d7c2d5f9a11",
    ),
    program=False,
    protected=False,
)
@click.argument(
    "wanted",
    required=False,
    metavar="[FUNCTION|REQUEST-ID]",
    shell_complete=complete_function_or_id,
)
@click.option(
    "--follow", "-f", is_flag=True, help="Continue with new events until the session ends."
)
def _logs() -> None:
    """Show the newest session of this project and stage on this machine, running or ended.

    FUNCTION is its name, its Terraform address or a pattern, and REQUEST-ID an AWS request id or
    its first characters. This command changes nothing.
    """
