"""The group of all commands, and what each command's definition has in common.

The body of a command is `terralive_cli.commands.<topic>.<name>.run(config, ui, **options) -> int`.
It is imported when it is called, so that `terralive --help` waits for no AWS SDK, no cdktf and no
rich.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import click

from terralive_cli.command_line.completers import complete_function, complete_stage
from terralive_cli.command_line.running import Body, execute
from terralive_cli.configuration.options import (
    Completer,
    Typed,
    setting_options,
    terraform_arguments,
)

_CLICK: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_EPILOG: Final = (
    "All settings: docs/CONFIGURATION.md. TERRALIVE_LOG=debug writes a debug log to stderr, or to "
    "the file that TERRALIVE_LOG_FILE names."
)

# How a shell completes the values of settings, by the setting's name.
_COMPLETERS: Final[Mapping[str, Completer]] = {
    "stage": complete_stage,
    "only": complete_function,
    "except_": complete_function,
}

# The bodies of the commands, by the command's name. Each definition adds its own.
BODIES: Final[dict[str, Body]] = {}


@click.group(context_settings=_CLICK, epilog=_EPILOG)
@partial(setting_options, completers=_COMPLETERS)
@click.version_option(package_name="terralive", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, /, **values: object) -> None:
    """Live AWS Lambda development for teams on Terraform.

    Every invocation of your deployed functions runs your local code, with the real event,
    environment and role. The next invocation runs your edits.
    """
    typed = Typed()
    typed.add(values)
    context.obj = typed


def command(
    name: str,
    topic: str,
    short_help: str,
    *,
    examples: tuple[str, ...],
    program: bool = True,
    protected: bool = True,
    without: tuple[str, ...] = (),
    has_result: bool = False,
    background_options: tuple[str, ...] = (),
) -> Callable[[Callable[..., None]], click.Command]:
    """Register a command with the body `terralive_cli.commands.<topic>.<name>.run`.

    Args:
        name: name of the command.
        topic: package of its body.
        short_help: its line in `terralive --help`.
        examples: command lines that its help shows.
        program: true if it needs a Terraform program in the project. It takes arguments for
            Terraform then.
        protected: true if it is refused on a protected stage, and where the project looks like
            production.
        without: settings that have no option after the command's name.
        has_result: true if standard output has its result alone, where a program reads it.
        background_options: its options with which it goes on in the background. The module of the
            body has a second one beside it then, `<name>_in_background`.
    """
    described = Body(
        name,
        topic,
        needs_program=program,
        is_protected=protected,
        has_result=has_result,
        background_options=background_options,
    )
    BODIES[name] = described

    def decorate(definition: Callable[..., None]) -> click.Command:
        def body(**values: object) -> int:
            typed = click.get_current_context().obj
            if not isinstance(typed, Typed):
                raise TypeError("a command outside its group")
            typed.take(values)
            return execute(described, typed, values)

        body.__doc__ = definition.__doc__
        if program:
            definition = terraform_arguments(definition)
        # click keeps an option's definition on the function that it decorates.
        body.__dict__.update(definition.__dict__)
        return cli.command(name, short_help=short_help, epilog=examples_text(examples))(
            setting_options(body, name=name, without=without, completers=_COMPLETERS)
        )

    return decorate


def examples_text(lines: tuple[str, ...]) -> str:
    r"""Return the end of a command's help.

    After the character `"\b"`, click keeps the lines as they are:
    https://click.palletsprojects.com/en/stable/documentation/#escaping-click-s-wrapping
    """
    title = "Example:"
    if len(lines) > 1:
        title = "Examples:"
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])
