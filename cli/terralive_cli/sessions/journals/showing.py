"""Shows events of the past: of a session's journal, or of log files."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from terralive_cli.output.events import Failed, Ready, Stopped
from terralive_cli.output.ui import Ui
from terralive_cli.sessions import folders
from terralive_cli.sessions.events import SessionReported, SessionState
from terralive_cli.sessions.folders import Found
from terralive_cli.sessions.journals.reading import JournalReader
from terralive_cli.sessions.journals.selection import Selection
from terralive_cli.sessions.texts import was_cut_off
from terralive_relay.events import Event

_LOOK_SECONDS: Final = 0.2
# So many events are queued before they are written: a journal is long, and a reader may be slow.
_AT_ONCE: Final = 1000


class Shown:
    """Shows events of the past.

    Args:
        ui: takes the events.
        is_text: whether a person reads them.
    """

    def __init__(self, ui: Ui, *, is_text: bool) -> None:
        self._ui = ui
        self._is_text = is_text

    def events(self, events: Iterable[Event]) -> None:
        """Show events, until nobody reads them any more."""
        for number, event in enumerate(events, 1):
            self._ui.emit(self._past(event))
            if number % _AT_ONCE == 0:
                self._ui.flush()
                if self._ui.output_gone:
                    return

    def session(self, found: Found, selection: Selection, *, follow: bool) -> None:
        """Show a session.

        Args:
            found: the session.
            selection: what is shown of it.
            follow: also show what comes, until it ends.
        """
        reader = JournalReader(found.folder)
        says_its_end = False

        def selected() -> Iterator[Event]:
            nonlocal says_its_end
            for event in reader.new():
                says_its_end = isinstance(event, Stopped | Failed)
                if selection.shows(event):
                    yield event

        try:
            while True:
                # Asked before the events are read, so that none is missed.
                is_running = folders.is_running(found.folder)
                self.events(selected())
                if not is_running or not follow or self._ui.output_gone:
                    break
                time.sleep(_LOOK_SECONDS)
        finally:
            reader.close()
        now = folders.description_of(found.folder) or found.session
        if not (is_running or says_its_end or now.is_over):
            self._ui.emit(SessionReported.of(now, SessionState.ENDED, was_cut_off(now)))

    def _past(self, event: Event) -> Event:
        """Return an event as its reader sees it, whose Ctrl-C does not stop the session."""
        if isinstance(event, Ready) and self._is_text:
            return replace(event, in_background=True)
        return event
