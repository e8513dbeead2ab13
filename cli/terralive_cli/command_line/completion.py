"""The command that prints the script for a shell's completion; what it completes: `completers`."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from terralive_cli.command_line.group import cli, examples_text

_SHELLS: Final = ("bash", "zsh", "fish")
# click's name of the variable by which the script asks.
_VARIABLE: Final = "_TERRALIVE_COMPLETE"


@cli.command(
    "completion",
    short_help="Print the script that completes commands in a shell.",
    epilog=examples_text(
        (
            'eval "$(terralive completion bash)"',
            'eval "$(terralive completion zsh)"',
            "terralive completion fish | source",
        )
    ),
)
@click.argument("shell", type=click.Choice(_SHELLS))
def _completion(shell: str) -> None:
    """Print the script that completes commands, functions, stages and ids in SHELL.

    Put the line of your shell into ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish. This command
    changes nothing, neither here nor in your AWS account, and reads no configuration.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    click.echo(kind(cli, {}, "terralive", _VARIABLE).source())
