"""The commands that show stages and debug stacks, and remove old ones.

Their bodies are in `terralive_cli.commands.stages`.
"""

from __future__ import annotations

import click

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


@command(
    "gc",
    "stages",
    "Remove debug stacks that nobody has used for some time.",
    examples=(
        "terralive gc --older-than 3d --dry-run",
        "terralive gc --older-than 3d --match 'pr-*' --except pr-412 --yes",
        "terralive gc --older-than 2w --match '*/*'",
    ),
    program=False,
    protected=False,
)
@click.option(
    "--older-than",
    "older_than",
    required=True,
    metavar="AGE",
    help="Remove debug stacks to which nobody was connected for this time: 3d, 12h, 30m, 2w.",
)
@click.option(
    "--match",
    "matched",
    multiple=True,
    metavar="PATTERN",
    help="Only these stages, by STAGE or APP/STAGE; * and ? are wildcards. The option may be "
    "given several times.  [default: all stages of this project's app; outside of a project, all "
    "stages of all apps]",
)
@click.option(
    "--except",
    "kept",
    multiple=True,
    metavar="PATTERN",
    help="Keep these stages, by STAGE or APP/STAGE. The option may be given several times.",
)
@click.option("--dry-run", "dry_run", is_flag=True, help="Only show what would be removed.")
def _gc() -> None:
    """Remove old debug stacks of the account and region, and put back what their stubs replaced.

    In a project, a pattern without a slash names stages of its app; '*/*' names those of all apps.
    The command shows first what it would do, and asks. A debug stack stays where somebody is
    connected, where its stage is protected, and where terralive cannot put back the code of a live
    function. The last case ends the command with exit code 1, after all others are removed.

    This command changes your AWS account. It needs no checkout of the apps.
    """
