"""Configures the debug log: the loggers `terralive.*`, by two environment variables.

`TERRALIVE_LOG=debug` writes decisions and protocol to stderr, and `TERRALIVE_LOG_FILE` to a file
instead. The command line and the sandbox process call `start_log` once, at their start. The log
never contains payloads, environment variables of functions, or credentials: loggers must not be
given any.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

from terralive_stub.errors import ConfigurationError
from terralive_stub.shared.timestamps import format_epoch_seconds

LEVEL_VARIABLE: Final = "TERRALIVE_LOG"
FILE_VARIABLE: Final = "TERRALIVE_LOG_FILE"

_LEVELS: Final = ("debug", "info", "warning", "error")
_ROOT: Final = "terralive"


class _Formatter(logging.Formatter):
    """Formats a record as `2026-11-29T13:36:48.123Z DEBUG terralive.relay [thread] text`."""

    def format(self, record: logging.LogRecord) -> str:
        at = format_epoch_seconds(record.created)
        # A line break in the text must not look like a record of its own.
        text = record.getMessage().replace("\n", "\n    ")
        return f"{at} {record.levelname} {record.name} [{record.threadName}] {text}"


def start_log(environ: Mapping[str, str], stream: TextIO) -> None:
    """Configure the loggers `terralive.*`, if `TERRALIVE_LOG` is set.

    Args:
        environ: the environment variables.
        stream: receives the log if `TERRALIVE_LOG_FILE` is not set.

    Raises:
        ConfigurationError: `log-level-unknown`, or `log-file-unwritable`.
    """
    level = environ.get(LEVEL_VARIABLE, "").lower()
    if not level:
        return
    if level not in _LEVELS:
        raise ConfigurationError(
            "log-level-unknown",
            f'{LEVEL_VARIABLE}: it is "{level}"; allowed are {", ".join(_LEVELS)}.',
            hint=f"Set {LEVEL_VARIABLE}=debug, or remove the variable.",
        )
    file = environ.get(FILE_VARIABLE)
    handler: logging.Handler = logging.StreamHandler(stream)
    if file:
        handler = _file_handler(Path(file))
    handler.setFormatter(_Formatter())
    root = logging.getLogger(_ROOT)
    for former in list(root.handlers):
        root.removeHandler(former)
        former.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Nothing that configures the root logger may print a record a second time.
    root.propagate = False


def _file_handler(path: Path) -> logging.Handler:
    """Return a handler that appends to a file. Only this user can read a new file."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
        return logging.FileHandler(path, "a", encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigurationError(
            "log-file-unwritable",
            f"{FILE_VARIABLE}: {path} cannot be written: {error.strerror}.",
            hint="Name a file in a folder that exists and that you may write to.",
        ) from None
