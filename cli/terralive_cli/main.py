"""The command line: its commands and options, and the exit code of each failure.

The body of a command is `terralive_cli.commands.<name>.run(config, ui, **options) -> int`. It is
imported when it is called, so that `terralive --help` waits for no AWS SDK, no cdktf and no rich.
"""

from __future__ import annotations

import getpass
import importlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from terralive_cli.configuration.loading import find_project, load
from terralive_cli.configuration.options import Typed, setting_options, terraform_arguments
from terralive_cli.configuration.values import Config, Output
from terralive_cli.output import failures, interrupts, thread_failures
from terralive_cli.output.renderer import Renderer
from terralive_cli.output.ui import Ui
from terralive_stub.shared.debug_log import start_log
from terralive_terraform.runs.arguments import users_arguments

_CLICK: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_OUTPUTS: Final = tuple(item.value for item in Output)
_EPILOG: Final = (
    "All settings: docs/CONFIGURATION.md. TERRALIVE_LOG=debug writes a debug log to stderr, or to "
    "the file that TERRALIVE_LOG_FILE names."
)
_log: Final = logging.getLogger("terralive.cli")


@click.group(context_settings=_CLICK, epilog=_EPILOG)
@setting_options
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
    short_help: str,
    *,
    program: bool = True,
    protected: bool = True,
    without: tuple[str, ...] = (),
) -> Callable[[Callable[..., None]], click.Command]:
    """Register a command with the body `terralive_cli.commands.<name>.run`.

    Args:
        name: name of the command.
        short_help: its line in `terralive --help`.
        program: true if it needs a Terraform program in the project. It takes arguments for
            Terraform then.
        protected: true if it is refused on a protected stage, and where the project looks like
            production.
        without: settings that have no option after the command's name.
    """

    def decorate(definition: Callable[..., None]) -> click.Command:
        def body(**values: object) -> int:
            typed = click.get_current_context().obj
            if not isinstance(typed, Typed):
                raise TypeError("a command outside its group")
            typed.take(values)
            return _execute(name, typed, values, program=program, protected=protected)

        body.__doc__ = definition.__doc__
        if program:
            definition = terraform_arguments(definition)
        # click keeps an option's definition on the function that it decorates.
        body.__dict__.update(definition.__dict__)
        return cli.command(name, short_help=short_help)(
            setting_options(body, name=name, without=without)
        )

    return decorate


@command("plan", "Show which functions would become live. Changes nothing.")
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


@command("apply", "Deploy the stubs without connecting.")
@click.option("--takeover", is_flag=True, help="Take functions that are live for another stage.")
def _apply() -> None:
    """Deploy the debug stack, and the app with stubs in place of its functions.

    This command changes your AWS account. It does not connect: invocations of live functions fail
    until `terralive start` connects.
    """


@command(
    "init", "Write a first terralive.toml, or files for editors.", program=False, protected=False
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


@command("start", "Run your functions here, live, until Ctrl-C.", without=("debug",))
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
def _start() -> None:
    """Make the app live, and run every invocation here until Ctrl-C.

    This command changes your AWS account: it deploys the debug stack and puts stubs in place of
    your functions, if they are not there yet.
    """


@command("restore", "Put your functions' own code back.")
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


@command("destroy", "Restore the functions, and remove the debug stack.")
@click.option("--app", is_flag=True, help="Also remove the app, with all its data.")
@click.option("--takeover", is_flag=True, help="Also restore what is live for another stage.")
def _destroy() -> None:
    """Put every function's own code back, and remove the debug stack.

    This command changes your AWS account. The app itself stays, whoever deployed it, unless you
    add --app.
    """


@command("sandbox", "Run AWS in one local process.", program=False, protected=False)
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line. It returns the exit code and never raises."""
    if arguments is None:
        arguments = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without UTF-8 shows a `?` instead of a failure.
            stream.reconfigure(errors="replace")
    try:
        ended = cli.main(list(arguments), prog_name="terralive", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return failures.INTERRUPTED
    except BrokenPipeError:  # the reader of `--help` has gone
        # Python would report the broken pipe again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failures.FAILED
    except click.exceptions.NoArgsIsHelpError as nothing:
        click.echo(nothing.format_message(), err=True)
        return failures.USAGE
    except Exception as failure:  # noqa: BLE001  # no user may see a bare traceback
        return _report_early(failure, arguments)
    if isinstance(ended, int):
        return ended
    return 0


def _execute(
    name: str, typed: Typed, options: Mapping[str, object], *, program: bool, protected: bool
) -> int:
    """Read the configuration and run a command.

    Raises:
        ConfigurationError: the configuration, an argument for Terraform or TERRALIVE_LOG is wrong.
    """
    start_log(os.environ, sys.stderr)
    config = load(
        project=_project(typed),
        flags=typed.flags,
        environ=os.environ,
        user=_login_name(),
        arguments=users_arguments(typed.arguments, Path.cwd()),
    )
    _log.debug(
        "command %s: project %s, app %s, stage %s, region %s, sandbox %s",
        *(name, config.project, config.app, config.stage, config.region, config.sandbox),
    )
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
                _refuse_terragrunt(config, ui)
                config.require_program()
            if protected:
                _refuse_production(config)
            # Imported here, so that `--help` and a wrong command line are answered at once.
            module = importlib.import_module(f"terralive_cli.commands.{name}")
            with interrupts.as_keyboard_interrupt(), thread_failures.reported(ui.emit):
                code: int = module.run(config, ui, **options)
        except KeyboardInterrupt:
            # A sandbox of this command has removed its file by now.
            # The command has imported it already.
            from terralive_cli.deploy.target import sandbox_file  # noqa: PLC0415  # heavy

            runs = sandbox_file(config.project).exists()
            ui.emit(interrupts.interrupted(name, config, sandbox_runs=runs))
            code = failures.INTERRUPTED
        except Exception as failure:  # noqa: BLE001  # the output format shows every failure
            ui.emit(failures.describe(failure))
            # The error comes before its traceback, though they are written by two threads.
            renderer.close()
            _print_traceback(failure, wanted=config.debug)
            code = failures.exit_code(failure)
    _log.debug("command %s ends with exit code %d", name, code)
    return code


def _refuse_terragrunt(config: Config, ui: Ui) -> None:
    """Refuse a folder that only Terragrunt completes; it may be only warned of."""
    # Imported here for the same reason as below.
    from terralive_cli.protection.terragrunt import check_terragrunt  # noqa: PLC0415

    warning = check_terragrunt(config)
    if warning is not None:
        ui.emit(warning)


def _refuse_production(config: Config) -> None:
    """Refuse what is protected and what looks like production, before AWS is asked anything."""
    # The files of a project are read here, and `terralive --help` needs none of it.
    from terralive_cli.protection.production import refuse_production  # noqa: PLC0415
    from terralive_cli.protection.project_names import names_in_project  # noqa: PLC0415  # heavy

    config.refuse_protected()
    # Nothing real is in the sandbox.
    if not config.sandbox:
        names = names_in_project(config, os.environ)
        refuse_production(names, config.production_words, allowed=config.allow_protected)


def _project(typed: Typed) -> Path:
    """Return the project's folder: flag over environment over the nearest terralive.toml."""
    named = typed.flags.get("project") or os.environ.get("TERRALIVE_PROJECT")
    if named:
        return Path(str(named))
    return find_project(Path.cwd())


def _report_early(failure: Exception, arguments: Sequence[str]) -> int:
    """Show a failure that came before the configuration was known."""
    with Renderer.start(_wanted_output(arguments, os.environ), sys.stdout) as renderer:
        renderer.emit(failures.describe(failure))
    _print_traceback(failure, wanted="--debug" in arguments)
    return failures.exit_code(failure)


def _print_traceback(failure: Exception, *, wanted: bool) -> None:
    if wanted:
        traceback.print_exception(failure, file=sys.stderr)


def _wanted_output(arguments: Sequence[str], environ: Mapping[str, str]) -> Output | None:
    """Return the output format that was typed, even if the rest of the command line is wrong."""
    wanted = environ.get("TERRALIVE_OUTPUT", "")
    for index, argument in enumerate(arguments):
        if argument == "--output" and index + 1 < len(arguments):
            wanted = arguments[index + 1]
        elif argument.startswith("--output="):
            wanted = argument.partition("=")[2]
    if wanted in _OUTPUTS:
        return Output(wanted)
    return None


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return "user"


if __name__ == "__main__":
    sys.exit(main())
