"""The entry point: it runs one command line, and turns every failure into an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import click

# Each module defines commands.
from terralive_cli.command_line import calling, completion, live, local_aws, sessions, setup, stages
from terralive_cli.command_line.group import cli
from terralive_cli.command_line.running import print_traceback
from terralive_cli.configuration.values import Output
from terralive_cli.output import failures

__all__ = [
    "calling",
    "cli",
    "completion",
    "live",
    "local_aws",
    "main",
    "sessions",
    "setup",
    "stages",
]

# The number of standard error, the last of the three standard streams.
_LAST_STANDARD: Final = 2
_OUTPUTS: Final = tuple(item.value for item in Output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line. It returns the exit code and never raises."""
    if arguments is None:
        arguments = sys.argv[1:]
    _open_missing_streams()
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


def _open_missing_streams() -> None:
    """Open /dev/null in place of standard streams that the caller has closed (`>&-`, cron).

    Else the next file or socket gets such a number, and a program that this command starts reads
    or writes it: https://pubs.opengroup.org/onlinepubs/9699919799/functions/execve.html
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= _LAST_STANDARD:
        os.set_inheritable(descriptor, True)
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    # Not closed at the end: other code may use the descriptor then.
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def _report_early(failure: Exception, arguments: Sequence[str]) -> int:
    """Show a failure that came before the configuration was known."""
    # All events and their texts: `--help` and a shell's completion wait for none of them.
    from terralive_cli.output.renderer import Renderer  # noqa: PLC0415  # heavy

    with Renderer.start(_wanted_output(arguments, os.environ), sys.stdout) as renderer:
        renderer.emit(failures.describe(failure))
    print_traceback(failure, wanted="--debug" in arguments)
    return failures.exit_code(failure)


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


if __name__ == "__main__":
    sys.exit(main())
