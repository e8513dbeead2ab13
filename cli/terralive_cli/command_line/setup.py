"""The commands that prepare a project and check it.

Their bodies are in `terralive_cli.commands.setup`.
"""

from __future__ import annotations

from pathlib import Path

import click

from terralive_cli.command_line.group import command


@command(
    "init",
    "setup",
    "Write a first terralive.toml, or files for editors.",
    examples=("terralive init", "terralive init --vscode"),
    program=False,
    protected=False,
)
@click.option(
    "--vscode",
    is_flag=True,
    help="Write .vscode/launch.json, which attaches to functions of `start --debug`.",
)
@click.option(
    "--jetbrains",
    is_flag=True,
    help="Write run configurations to .run/ for WebStorm and others, which attach to Node.js "
    "functions of `start --debug`.",
)
@click.option(
    "--stub-image",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the files from which you build the stub as a container image.",
)
def _init() -> None:
    """Write a first terralive.toml, or the files that an option names.

    This command changes files in this folder only. It does not change an existing terralive.toml.
    """


@command(
    "doctor",
    "setup",
    "Check this machine, the AWS account and the project.",
    examples=("terralive doctor", "terralive doctor --fix", "terralive doctor --output json"),
    program=False,
    protected=False,
)
@click.option(
    "--fix",
    is_flag=True,
    help="Remove what killed runs have left on this machine, and say what was removed.",
)
def _doctor() -> None:
    """Check versions, credentials, permissions, the network, the functions, and what is left over.

    Each finding says what is wrong, why it matters, and what to do. The exit code is 1 if a check
    has failed.

    This command changes nothing in your AWS account.
    """
