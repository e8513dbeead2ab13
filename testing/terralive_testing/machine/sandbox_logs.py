"""The logs of all sandboxes of a test run, and the tracebacks that appear in them.

A sandbox goes on after an error of its own, so a test may pass although the sandbox failed.
`tests/conftest.py` looks at the logs after every test.
"""

from __future__ import annotations

from pathlib import Path

_TRACEBACK = "Traceback (most recent call last)"
# Lines of the log behind the first line of a traceback, for the test's report.
_SHOWN_LINES = 40


class SandboxLogs:
    """The logs that are watched, each with the number of bytes that were read."""

    def __init__(self) -> None:
        self._read: dict[Path, int] = {}

    def watch(self, log: Path) -> None:
        """Watch a sandbox's log from now on. It does not have to exist yet."""
        if log not in self._read:
            self._read[log] = _size(log)

    def new_tracebacks(self) -> list[str]:
        """Return the tracebacks that were written since the last call, each with its log."""
        found: list[str] = []
        for log, read in self._read.items():
            size = _size(log)
            if size == read:
                continue
            # A log that is shorter than before is another one.
            start = read if size > read else 0
            with log.open("rb") as file:
                file.seek(start)
                text = file.read(size - start).decode("utf-8", "replace")
            self._read[log] = size
            before, mark, after = text.partition(_TRACEBACK)
            if mark:
                lines = [*before.splitlines()[-1:], *(mark + after).splitlines()]
                found.append("\n".join([f"{log}:", *lines[:_SHOWN_LINES]]))
        return found


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0


# The logs of this test process.
LOGS = SandboxLogs()
