"""Running the body of one command: its configuration, its output, and its exit code."""

from __future__ import annotations

import getpass
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from terralive_cli.configuration.loading import find_project, load
from terralive_cli.configuration.options import Typed
from terralive_cli.configuration.values import Config, Output
from terralive_cli.output import failures, interrupts, thread_failures
from terralive_cli.sessions.background import has_foreground
from terralive_stub.shared.debug_log import start_log
from terralive_terraform.runs.arguments import users_arguments

if TYPE_CHECKING:
    from terralive_cli.output.ui import Ui

_log: Final = logging.getLogger("terralive.cli")


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a command.

    Attributes:
        name: name of the command.
        topic: package of the body.
        needs_program: true if it needs a Terraform program in the project.
        is_protected: true if it is refused on a protected stage, and where the project looks like
            production.
        has_result: true if it has a result, which is all that standard output has where a program
            reads it: everything else goes to standard error then.
        background_options: its options with which it goes on in the background.
    """

    name: str
    topic: str
    needs_program: bool
    is_protected: bool
    has_result: bool = False
    background_options: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Return the name of the module that has `run`."""
        return f"terralive_cli.commands.{self.topic}.{self.name}"

    def module_for(self, options: Mapping[str, object], environ: Mapping[str, str]) -> str:
        """Return the name of the module whose `run` is called with these options.

        The command in the foreground only starts the process in the background, so it waits for the
        imports of neither.
        """
        is_background = any(options.get(name) for name in self.background_options)
        if is_background and not has_foreground(environ):
            return f"{self.module}_in_background"
        return self.module


def execute(body: Body, typed: Typed, options: Mapping[str, object]) -> int:
    """Read the configuration and run a command.

    Args:
        body: the command.
        typed: the settings and the arguments for Terraform that were typed.
        options: the command's own options.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: the configuration, an argument for Terraform or TERRALIVE_LOG is wrong.
    """
    # All events and their texts: `--help` and a shell's completion wait for none of them.
    from terralive_cli.output.renderer import Renderer  # noqa: PLC0415  # heavy
    from terralive_cli.output.ui import Ui  # noqa: PLC0415  # heavy

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
        body.name,
        config.project,
        config.app,
        config.stage,
        config.region,
        config.sandbox,
    )
    stream, result = sys.stdout, None
    if body.has_result and config.output is not Output.JSON and not sys.stdout.isatty():
        stream, result = sys.stderr, sys.stdout.buffer
    with Renderer.start(config.output, stream) as renderer:
        ui = Ui(
            renderer,
            questions=sys.stderr,
            answers=sys.stdin,
            interactive=sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty(),
            assume_yes=config.yes,
            result=result,
        )
        try:
            code = _run(body, options, config, ui)
        except KeyboardInterrupt:
            # The command has imported it already.
            from terralive_cli.deploy.target import sandbox_file  # noqa: PLC0415  # heavy

            # A sandbox of this command has removed its file by now.
            runs = sandbox_file(config.project).exists()
            ui.emit(interrupts.interrupted(body.name, config, sandbox_runs=runs))
            code = failures.INTERRUPTED
        except Exception as failure:  # noqa: BLE001  # the output format shows every failure
            ui.emit(failures.describe(failure))
            # The error comes before its traceback, though they are written by two threads.
            renderer.close()
            print_traceback(failure, wanted=config.debug)
            code = failures.exit_code(failure)
    _log.debug("command %s ends with exit code %d", body.name, code)
    return code


def _run(body: Body, options: Mapping[str, object], config: Config, ui: Ui) -> int:
    """Check that the command may run here, run its body, and return the exit code.

    Raises:
        KeyboardInterrupt: the user has interrupted it.
        TerraliveError: it is refused, or has failed.
    """
    if body.needs_program:
        _refuse_terragrunt(config, ui)
        config.require_program()
    if body.is_protected:
        _refuse_production(config)
    # Imported here, so that `--help` and a wrong command line are answered at once.
    module = importlib.import_module(body.module_for(options, os.environ))
    with interrupts.as_keyboard_interrupt(), thread_failures.reported(ui.emit):
        code: int = module.run(config, ui, **options)
    return code


def _refuse_terragrunt(config: Config, ui: Ui) -> None:
    """Refuse a folder that only Terragrunt completes, or warn of it."""
    # Imported here for the same reason as below.
    from terralive_cli.protection.terragrunt import check_terragrunt  # noqa: PLC0415

    warning = check_terragrunt(config)
    # The command in the foreground has shown it.
    if warning is not None and not has_foreground(os.environ):
        ui.emit(warning)


def _refuse_production(config: Config) -> None:
    """Refuse what is protected and what looks like production, before AWS is asked anything."""
    # The files of a project are read here, and `terralive --help` needs none of it.
    from terralive_cli.protection.project_names import refuse_project  # noqa: PLC0415  # heavy

    refuse_project(config, os.environ)


def _project(typed: Typed) -> Path:
    """Return the project's folder: flag over environment over the nearest terralive.toml."""
    named = typed.flags.get("project") or os.environ.get("TERRALIVE_PROJECT")
    if named:
        return Path(str(named))
    return find_project(Path.cwd())


def print_traceback(failure: Exception, *, wanted: bool) -> None:
    """Print the traceback of a failure to stderr, if that is wanted."""
    if wanted:
        traceback.print_exception(failure, file=sys.stderr)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return "user"
