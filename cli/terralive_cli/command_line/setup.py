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
    "Write the files with which a team uses terralive.",
    examples=(
        "terralive init",
        "terralive init --yes",
        "terralive init --root services/orders --ci github",
        "terralive init --policy cleanup > policy.json",
        "terralive init --vscode",
    ),
    program=False,
    protected=False,
)
@click.option(
    "--root",
    "roots",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    multiple=True,
    help="A folder in which Terraform or cdktf runs, where the repository has several. The option "
    "may be given several times.",
)
@click.option(
    "--ci",
    type=click.Choice(["github", "gitlab", "none"]),
    help="The CI system that gets a cleanup job.  [default: the one whose files are there]",
)
@click.option(
    "--policy",
    is_flag=False,
    flag_value="all",
    metavar="[NAME]",
    help="Print the IAM policies for this project and write nothing: developer, joiner, cleanup, "
    "state-bucket, or all of them.",
)
@click.option(
    "--vscode",
    is_flag=True,
    help="Write .vscode/launch.json only, which attaches to functions of `start --debug`.",
)
@click.option(
    "--jetbrains",
    is_flag=True,
    help="Write run configurations to .run/ only, for WebStorm and others, which attach to Node.js "
    "functions of `start --debug`.",
)
@click.option(
    "--stub-image",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write only the files from which you build the stub as a container image.",
)
def _init() -> None:
    """Write terralive.toml, targets for make or just, a cleanup job for CI, and AGENTS.md.

    terralive looks at the repository: its Terraform roots, functions and state, its makefile, its
    CI system. It lists the new files and asks once. For every existing file that would change, it
    shows a diff and asks. Without a terminal, existing files change with --yes only.

    This command changes files of the repository only, and nothing in your AWS account.
    """


@command(
    "doctor",
    "setup",
    "Check this machine, the AWS account and the project.",
    examples=(
        "terralive doctor",
        "terralive doctor --fix",
        "terralive doctor --self-test --quick",
    ),
    program=False,
    protected=False,
)
@click.option(
    "--fix",
    is_flag=True,
    help="Remove what killed runs have left on this machine, and say what was removed.",
)
@click.option(
    "--self-test",
    is_flag=True,
    help="Deploy a debug stack and two functions of its own, measure, remove everything, and write "
    "a report.",
)
@click.option("--quick", is_flag=True, help="Leave out what takes minutes in a self-test.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File of the self-test's report.  [default: terralive-selftest-STAGE.md]",
)
@click.option(
    "--with-names",
    is_flag=True,
    help="Do not remove account ids and names from the self-test's report.",
)
def _doctor() -> None:
    """Check versions, credentials, permissions, the network, the functions, and what is left over.

    Each finding says what is wrong, why it matters, and what to do. The exit code is 1 if a check
    has failed.

    This command changes nothing in your AWS account. Only --self-test does: it deploys a stage of
    its own, after a question, and removes it.
    """
