"""The command that invokes functions.

Its body is in `terralive_cli.commands.calling`.
"""

from __future__ import annotations

from typing import Final

import click

from terralive_cli.command_line.completers import complete_event, complete_function
from terralive_cli.command_line.group import command
from terralive_cli.invoking.event.templates import TEMPLATES

_TEMPLATES: Final = ", ".join(f"@{name}" for name in TEMPLATES)


@command(
    "invoke",
    "calling",
    "Invoke one function, and show its answer.",
    examples=(
        "terralive invoke api --event @http",
        "terralive invoke worker --event @sqs --set Records.0.body.id=7",
        "terralive invoke worker --event @last --local",
        "terralive invoke api | jq .",
    ),
    program=False,
    protected=False,
    has_result=True,
)
@click.argument("function", shell_complete=complete_function)
@click.option(
    "--event",
    default="",
    metavar="EVENT",
    shell_complete=complete_event,
    help=f"The event: a FILE with JSON; - for standard input; an example of a service "
    f"({_TEMPLATES}); @last for the function's last event in a session here; or the request id of "
    "an invocation whose event is kept.  [default: {}]",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change a value of the event, as in `--set Records.0.body.id=7`. Repeat it for more.",
)
@click.option(
    "--print-event",
    is_flag=True,
    help="Print the event, and invoke nothing.",
)
@click.option(
    "--async",
    "asynchronous",
    is_flag=True,
    help="Let Lambda queue the event, and do not wait for the function.",
)
@click.option(
    "--local",
    is_flag=True,
    help="Run the code on this machine without Lambda: also where nothing is live.",
)
@click.option(
    "--qualifier",
    default="",
    metavar="VERSION|ALIAS",
    help="Invoke this version or alias.  [default: $LATEST, which is what is live]",
)
@click.option(
    "--held",
    is_flag=True,
    help="Also invoke a function that is live for another user: it runs on that user's machine.",
)
def _invoke() -> None:
    """Invoke the deployed FUNCTION: one that is live runs on this machine, in its session.

    FUNCTION is its name, its Terraform address, or a part that only one function has. With --local,
    the code of this folder runs without Lambda, with the function's environment variables and, if
    you may assume it, its role.

    This command changes nothing by itself. The function really runs, with all that it does.

    Where a program reads standard output, the result alone goes there. The exit code is 0 for a
    result, 1 for an error of the function, 2 for a wrong event or name, 4 for missing permissions,
    and 5 if another user holds the stage.
    """
