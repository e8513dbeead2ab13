"""The command line: what can be typed, what it is called with, and what a failure ends in.

Thin on purpose. A command's body is `terralive_cli.commands.<name>.run(config, ui, **options) ->
int`, imported when it is called, so that `terralive --help` waits for no AWS SDK, no cdktf and no
rich.
"""

from __future__ import annotations

import getpass
import importlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import click

from terralive_cli.configuration.loading import find_project, load
from terralive_cli.configuration.options import Typed, setting_options
from terralive_cli.configuration.values import Config, Output
from terralive_cli.output import failures, interrupts
from terralive_cli.output.renderer import Renderer
from terralive_cli.output.ui import Ui

Option: TypeAlias = "str | int | float | bool | tuple[str, ...] | None"
_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_OUTPUTS: Final = tuple(item.value for item in Output)


class Run(Protocol):
    """A command's body; gives the exit code."""

    def __call__(self, config: Config, ui: Ui, **options: Option) -> int: ...


@click.group(context_settings=_SETTINGS)
@setting_options
@click.version_option(package_name="terralive", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, /, **values: object) -> None:
    """Live AWS Lambda development for teams on Terraform.

    Every invocation of your deployed functions runs your local code, with the real event,
    environment and role. An edit is live at the next invocation.
    """
    typed = Typed()
    typed.add(values)
    context.obj = typed


def command(
    name: str,
    short_help: str,
    *,
    program: bool = True,
    changes: bool = True,
    without: tuple[str, ...] = (),
) -> Callable[[Callable[..., None]], click.Command]:
    """Register a command whose body is `terralive_cli.commands.<name>.run`.

    Args:
        name: the command's name.
        short_help: its line in `terralive --help`.
        program: whether it needs a Terraform program in the project.
        changes: whether it touches the stage's functions, and so must not touch a protected stage.
        without: settings that have no option after the command's name.
    """

    def decorate(definition: Callable[..., None]) -> click.Command:
        def body(**values: object) -> int:
            typed = click.get_current_context().obj
            if not isinstance(typed, Typed):
                raise TypeError("a command outside its group")
            typed.take(values)
            return _execute(name, typed, values, program=program, changes=changes)

        body.__doc__ = definition.__doc__
        # click keeps an option's definition on the function it decorates.
        body.__dict__.update(definition.__dict__)
        return cli.command(name, short_help=short_help)(
            setting_options(body, name=name, without=without)
        )

    return decorate


@command("plan", "Show what would become live.", changes=False)
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="End with 2 where there is something to change, as Terraform.",
)
def _plan() -> None:
    """Show which functions would become live, and what Terraform would do. Changes nothing."""


@command("apply", "Deploy the stubs without connecting.")
def _apply() -> None:
    """Deploy the debug stack and the app with its functions as stubs, without connecting."""


@command(
    "init", "Write a first terralive.toml, or what VS Code needs.", program=False, changes=False
)
@click.option(
    "--vscode",
    is_flag=True,
    help="Write .vscode/launch.json: attach to functions run with `start --debug`.",
)
@click.option(
    "--stub-image",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write what the stub is built from as a container image, for functions that are images.",
)
def _init() -> None:
    """Write terralive.toml where there is none, or what one of the options names."""


@command("start", "Run your functions here, live, until Ctrl-C.", without=("debug",))
@click.option("--takeover", is_flag=True, help="Take the stage from whoever is connected to it.")
@click.option(
    "--debug",
    "debugged",
    metavar="FUNCTION[:PORT]",
    multiple=True,
    help="Let a debugger into this function; more than once for more. Its deployed timeout is raised meanwhile. "
    "(Tracebacks: `terralive --debug start`.)",
)
@click.option(
    "--debug-wait",
    is_flag=True,
    help="Import a debugged function's code once a debugger is attached.",
)
@click.option(
    "--debug-freeze-time",
    is_flag=True,
    help="Let its remaining time stand still, and enforce no deadline.",
)
def _start() -> None:
    """Make the app live.

    Deploy what is missing, connect, and run every invocation here until Ctrl-C.
    """


@command("restore", "Put the functions' own code back.", changes=False)
def _restore() -> None:
    """Put every function's own code back; the debug stack stays."""


@command("destroy", "Put everything back and remove what terralive made.", changes=False)
@click.option(
    "--app/--keep-app",
    default=None,
    help="Remove the app too.  [default: if terralive deployed it]",
)
def _destroy() -> None:
    """Put every function's own code back and remove everything that terralive has made."""


@command("sandbox", "Run AWS in one local process.", program=False, changes=False)
@click.option(
    "--env",
    "env",
    is_flag=True,
    help="Print the exports that point an SDK or Terraform at it, and end.",
)
@click.option(
    "--url", default="", help="Print the address that answers here for one of AWS's, and end."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The loopback port.  [default: a free one]",
)
def _sandbox() -> None:
    """Run AWS in one local process for this project, in the foreground."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; gives the exit code and never raises."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal without UTF-8 gets a `?`, not a failure
    try:
        ended = cli.main(arguments, prog_name="terralive", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return failures.INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return failures.FAILED
    except click.exceptions.NoArgsIsHelpError as nothing:
        click.echo(nothing.format_message(), err=True)
        return failures.USAGE
    except Exception as failure:  # noqa: BLE001 - the last net: nobody is to see a bare traceback
        return _report(failure, arguments)
    return ended if isinstance(ended, int) else 0


def _execute(
    name: str, typed: Typed, options: Mapping[str, object], *, program: bool, changes: bool
) -> int:
    project = typed.flags.get("project") or os.environ.get("TERRALIVE_PROJECT")
    folder = find_project(Path.cwd())
    if project:
        folder = Path(str(project))
    config = load(project=folder, flags=typed.flags, environ=os.environ, user=_login())
    with Renderer.start(config.output, sys.stdout) as renderer:
        ui = Ui(
            renderer,
            questions=sys.stderr,
            answers=sys.stdin,
            interactive=sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty(),
            assume_yes=config.yes,
        )
        try:
            if program:
                config.require_program()
            if changes:
                config.refuse_protected()
            run: Run = importlib.import_module(f"terralive_cli.commands.{name}").run
            with interrupts.as_keyboard_interrupt():
                return run(config, ui, **options)  # type: ignore[arg-type] # click has checked each option's type
        except KeyboardInterrupt:
            from terralive_cli.deploy.target import sandbox_file  # noqa: PLC0415 - the command has imported it already

            ui.emit(
                interrupts.interrupted(
                    name, config, sandbox_runs=sandbox_file(config.project).exists()
                )
            )
            return failures.INTERRUPTED
        except Exception as failure:  # noqa: BLE001 - every failure is told in the output that was asked for
            ui.emit(failures.describe(failure))
            renderer.close()
            _trace(failure, debug=config.debug)
            return failures.exit_code(failure)


def _report(failure: Exception, arguments: Sequence[str]) -> int:
    """Tell a failure that came before the configuration was known."""
    with Renderer.start(_wanted_output(arguments, os.environ), sys.stdout) as renderer:
        renderer.emit(failures.describe(failure))
    _trace(failure, debug="--debug" in arguments)
    return failures.exit_code(failure)


def _trace(failure: Exception, *, debug: bool) -> None:
    if debug:
        traceback.print_exception(failure, file=sys.stderr)


def _wanted_output(arguments: Sequence[str], environ: Mapping[str, str]) -> Output | None:
    """Guess the output from what was typed, however wrong the rest of it is."""
    wanted = environ.get("TERRALIVE_OUTPUT", "")
    for index, argument in enumerate(arguments):
        if argument == "--output" and index + 1 < len(arguments):
            wanted = arguments[index + 1]
        elif argument.startswith("--output="):
            wanted = argument.partition("=")[2]
    return Output(wanted) if wanted in _OUTPUTS else None


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        return "user"


def _forget_stdout() -> None:
    """Keep Python from complaining about the broken pipe once more when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
