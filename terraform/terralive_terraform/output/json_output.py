"""The output of a Terraform command with `-json`, line by line as it comes.

https://developer.hashicorp.com/terraform/internals/machine-readable-ui
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from terralive_terraform.output.progress import (
    Diagnostic,
    Progress,
    has_read_configuration,
    parse_line,
)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """One run of a `-json` command: its exit code, its events, and the lines that are no events."""

    code: int
    events: list[Progress]
    other_output: str

    @property
    def diagnostics(self) -> list[Diagnostic]:
        return [event for event in self.events if isinstance(event, Diagnostic)]


class JsonOutput:
    """The events of one run, while it runs.

    Args:
        on_event: gets every event.
        on_read: called when Terraform has read the configuration, and with every later line.
        is_own_doing: tells which events are about terralive's own files; they are left out.
        original: returns the place in the team's files for the place that a diagnostic names.
    """

    def __init__(
        self,
        on_event: Callable[[Progress], None],
        *,
        on_read: Callable[[], None],
        is_own_doing: Callable[[Progress], bool],
        original: Callable[[str], str],
    ) -> None:
        self._on_event = on_event
        self._on_read = on_read
        self._is_own_doing = is_own_doing
        self._original = original
        # All events so far, and all lines that are no events.
        self._events: list[Progress] = []
        self._other: list[str] = []

    def take(self, line: str) -> None:
        """Read the next line."""
        if has_read_configuration(line):
            self._on_read()
        event = parse_line(line)
        if event is None:
            if not line.startswith('{"@level"'):
                self._other.append(line)
            return
        if self._is_own_doing(event):
            return
        if isinstance(event, Diagnostic):
            event = replace(event, where=self._original(event.where))
        self._events.append(event)
        self._on_event(event)

    def finished(self, code: int) -> FinishedRun:
        """Return the run, which has ended with an exit code."""
        return FinishedRun(code, self._events, "\n".join(self._other))
