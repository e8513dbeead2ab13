"""What a failure looks like to a user: its event and its exit code, in one place.

A bug of terralive's own is an error like any other (`internal-error`), with its traceback in a file
rather than on the screen.
"""

from __future__ import annotations

import os
import tempfile
import traceback
from typing import Final

import click

from terralive_cli.output.events import Failed
from terralive_stub.errors import TerraliveError

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


def exit_code(failure: BaseException) -> int:
    """Give the exit code that the documentation promises for a failure."""
    if isinstance(failure, TerraliveError):
        return failure.exit_code
    if isinstance(failure, click.ClickException):
        return failure.exit_code
    if isinstance(failure, KeyboardInterrupt | click.Abort):
        return INTERRUPTED
    return FAILED


def describe(failure: Exception) -> Failed:
    """Give the error event of a failure.

    Writes a bug's traceback to a file that only the user can read.
    """
    if isinstance(failure, TerraliveError):
        return Failed(reference=failure.reference, message=failure.message, hint=failure.hint)
    if isinstance(failure, click.ClickException):
        context = failure.ctx if isinstance(failure, click.UsageError) else None
        path = context.command_path if context else "terralive"
        return Failed(
            reference="usage", message=failure.format_message(), hint=f"See `{path} --help`."
        )
    kind = type(failure).__name__
    message = f"terralive itself failed: {kind}{f': {failure}' if str(failure) else ''}"
    where = _keep(failure)
    kept = f" The details are in {where}." if where else ""
    return Failed(
        reference="internal-error",
        message=message,
        hint=f"This is a bug of terralive's; please report it.{kept} `--debug` prints them.",
    )


def _keep(failure: Exception) -> str:
    try:
        handle, name = tempfile.mkstemp(
            prefix="terralive-", suffix=".txt"
        )  # readable by its owner alone
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.writelines(traceback.format_exception(failure))
    except OSError:
        return ""
    return name
