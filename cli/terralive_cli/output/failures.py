"""Failures as users see them: the event and the exit code of each, in one place.

A bug of terralive is an error like all others (`internal-error`), with its traceback in a file and
not on the screen.
"""

from __future__ import annotations

import errno
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
# The machine's state, and no bug: a full disk, a read-only folder, a file of another user, and a
# file where a folder has to be. https://man7.org/linux/man-pages/man3/errno.3.html
_REFUSED_FILES: Final = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES),
        *(errno.EEXIST, errno.ENOTDIR),
    }
)


def exit_code(failure: BaseException) -> int:
    """Return the documented exit code of a failure."""
    if isinstance(failure, TerraliveError | click.ClickException):
        return failure.exit_code
    if isinstance(failure, KeyboardInterrupt | click.Abort):
        return INTERRUPTED
    return FAILED


def describe(failure: Exception) -> Failed:
    """Return the event of a failure.

    It writes a bug's traceback to a file that only the user can read.
    """
    if isinstance(failure, TerraliveError):
        return Failed(reference=failure.reference, message=failure.message, hint=failure.hint)
    # click's own errors: a wrong command, option or value.
    if isinstance(failure, click.ClickException):
        return Failed(
            reference="usage",
            message=failure.format_message(),
            hint=f"See `{_command_of(failure)} --help`.",
        )
    if isinstance(failure, OSError) and failure.errno in _REFUSED_FILES:
        return Failed(
            reference="file-refused",
            message=f"The system refuses a file: {failure.strerror}{_named(failure)}",
            hint="Make room, or make the folder writable for you. terralive writes to `.terralive` "
            "in the project, and to the folder for temporary files.",
        )
    return _bug(failure)


def _named(failure: OSError) -> str:
    if failure.filename is None:
        return "."
    return f": {os.fsdecode(failure.filename)}"


def _command_of(failure: click.ClickException) -> str:
    """Return the command line up to the command that the failure is about."""
    if isinstance(failure, click.UsageError) and failure.ctx is not None:
        return failure.ctx.command_path
    return "terralive"


def _bug(failure: Exception) -> Failed:
    message = f"terralive itself failed: {type(failure).__name__}"
    if str(failure):
        message += f": {failure}"
    hint = "This is a bug in terralive. Please report it."
    file = _keep_traceback(failure)
    if file:
        hint += f" The details are in {file}."
    return Failed(
        reference="internal-error", message=message, hint=f"{hint} `--debug` prints the details."
    )


def _keep_traceback(failure: Exception) -> str:
    """Write the traceback to a file that only its owner can read; "" if that fails."""
    try:
        # mkstemp makes files that only their owner can read.
        handle, name = tempfile.mkstemp(prefix="terralive-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.writelines(traceback.format_exception(failure))
    except OSError:
        return ""
    return name
