"""The commands that show stages and debug stacks.

Their bodies are in `terralive_cli.commands.stages`.
"""

from __future__ import annotations

from terralive_cli.command_line.group import command


@command(
    "status",
    "stages",
    "Show the stage: who is connected, and which functions are live.",
    examples=("terralive status", "terralive status --stage dev-ana --output json"),
    program=False,
    protected=False,
)
def _status() -> None:
    """Show who is connected to the stage and which functions are live.

    It also shows what differs from the deployed configuration, the versions that answer while
    nobody is connected, and the session on this machine. It runs no Terraform.

    This command changes nothing.
    """


@command(
    "list",
    "stages",
    "Show all debug stacks of the account and region.",
    examples=("terralive list", "terralive list --region eu-west-1 --output json"),
    program=False,
    protected=False,
)
def _list() -> None:
    """Show all debug stacks of the account and region, of every app.

    They are found by their tags, so this works in any folder.

    This command changes nothing.
    """
