"""The command that runs AWS in one local process.

Their bodies are in `terralive_cli.commands.local_aws`.
"""

from __future__ import annotations

import click

from terralive_cli.command_line.group import command


@command(
    "sandbox",
    "local_aws",
    "Run AWS in one local process.",
    examples=("terralive sandbox", 'eval "$(terralive sandbox --env)"'),
    program=False,
    protected=False,
)
@click.option(
    "--env",
    "env",
    is_flag=True,
    help="Print the exports that point an SDK or Terraform to the running sandbox, and end.",
)
@click.option(
    "--url",
    default="",
    help="Print the address in the running sandbox for this address of AWS, and end.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The port on 127.0.0.1.  [default: a free port]",
)
@click.option(
    "--reset",
    is_flag=True,
    help="Empty the running sandbox: it begins anew at the same address. Then end.",
)
def _sandbox() -> None:
    """Run AWS in one local process for this project, until Ctrl-C.

    This command changes nothing in your AWS account. The sandbox keeps nothing when it ends.
    """
