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
