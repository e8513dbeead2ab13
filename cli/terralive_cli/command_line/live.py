"""The commands that make functions live, and those that put them back.

Their bodies are in `terralive_cli.commands.live`.
"""

from __future__ import annotations

import click

from terralive_cli.command_line.completers import complete_function
from terralive_cli.command_line.group import command


@command(
    "plan",
    "live",
    "Show which functions would become live. Changes nothing.",
    examples=("terralive plan", "terralive plan --stage pr-412 -- -var-file=pr.tfvars"),
)
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="End with exit code 2 if there are changes, as `terraform plan` does.",
)
@click.option(
    "--terraform-output",
    is_flag=True,
    help="Also show the plans as Terraform itself prints them.",
)
def _plan() -> None:
    """Show which functions would become live, which not and why, and what else would change.

    This command changes nothing.
    """


@command(
    "apply",
    "live",
    "Deploy the stubs without connecting.",
    examples=("terralive apply --stage pr-412 --yes",),
)
@click.option("--takeover", is_flag=True, help="Take functions that are live for another stage.")
def _apply() -> None:
    """Deploy the debug stack, and the app with stubs in place of its functions.

    This command changes your AWS account. It does not connect: invocations of live functions fail
    until `terralive start` connects.
    """


@command(
    "start",
    "live",
    "Run your functions here, live, until Ctrl-C.",
    examples=(
        "terralive start",
        "terralive start --only 'orders-*' --debug orders-api",
        "terralive start --detach",
        "terralive start --until-ready --yes --output json",
    ),
    without=("debug",),
    background_options=("detach", "until_ready"),
)
@click.option(
    "--takeover",
    is_flag=True,
    help="Take the stage from the user who is connected to it, and functions that are live for "
    "another stage.",
)
@click.option(
    "--refresh",
    is_flag=True,
    help="Run Terraform even if nothing has changed since the last start.",
)
@click.option(
    "--debug",
    "debugged",
    metavar="FUNCTION[:PORT]",
    multiple=True,
    shell_complete=complete_function,
    help="Let a debugger attach to this function. Repeat the option for more functions. "
    "terralive raises the deployed timeout of the function until you restore it. (For tracebacks: "
    "`terralive --debug start`.)",
)
@click.option(
    "--debug-wait",
    is_flag=True,
    help="Import the code of a debugged function only when a debugger is attached.",
)
@click.option(
    "--debug-freeze-time",
    is_flag=True,
    help="Stop the remaining time of a debugged function, and enforce no deadline.",
)
@click.option(
    "--detach",
    is_flag=True,
    help="When the functions are live, go on in the background and end this command. `terralive "
    "logs` and `terralive stop` belong to it.",
)
@click.option(
    "--until-ready",
    is_flag=True,
    help="For scripts: as --detach, but if the stage runs here already, wait until it is live and "
    "start nothing.",
)
def _start() -> None:
    """Make the app live, and run every invocation here until Ctrl-C.

    This command changes your AWS account: it deploys the debug stack and puts stubs in place of
    your functions, if they are not there yet.
    """


@command(
    "restore",
    "live",
    "Put your functions' own code back.",
    examples=("terralive restore", "terralive restore --stage pr-412 --yes"),
)
@click.option("--takeover", is_flag=True, help="Also restore what is live for another stage.")
@click.option(
    "--deploy-local",
    is_flag=True,
    help="Deploy the code of the working tree, also where it was edited since the start.",
)
def _restore() -> None:
    """Put back the code and the settings that every live function had before.

    This command changes the app in your AWS account. The debug stack stays for the next start.
    """


@command(
    "destroy",
    "live",
    "Restore the functions, and remove the debug stack.",
    examples=("terralive destroy", "terralive destroy --stage pr-412 --yes"),
)
@click.option("--app", is_flag=True, help="Also remove the app, with all its data.")
@click.option("--takeover", is_flag=True, help="Also restore what is live for another stage.")
def _destroy() -> None:
    """Put every function's own code back, and remove the debug stack.

    This command changes your AWS account. The app itself stays, whoever deployed it, unless you
    add --app.
    """
