"""Shows saved changes of the configuration while functions are live, and applies them at a key.

    1. A look, about once a second, finds that files have other contents than the last plan has
       read (`watched`, `noticing`). One line says which. Nothing is planned: a plan costs seconds
       of two cores, and an editor saves often.
    2. On a terminal, the key plans, shows the page, asks, and applies, as `start` does (`Apply`).
       The relay serves meanwhile.
    3. If that succeeds, the app that is live then is served. If it fails, or the user says no, what
       was served stays served, and the change can be applied later.

It must never end the session, except by Ctrl-C.
"""

from __future__ import annotations

import logging
import os.path
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from terralive_cli.changes.noticing import Noticing
from terralive_cli.configuration.values import FILE
from terralive_cli.output.events import ConfigurationChanged, Emit, Message
from terralive_cli.unchanged.files import Snapshot, TooManyFilesError, all_touched_since
from terralive_stub.errors import TerraliveError

_log: Final = logging.getLogger("terralive.cli")
KEY: Final = "a"
# A look takes at most this part of the time.
_PART_OF_TIME: Final = 0.03


class Files(Protocol):
    """The files of a configuration; see `watched.WatchedFiles`."""

    def look(self, known: Snapshot | None = None) -> Snapshot:
        """Look at the files."""


# Returns the files of the configuration that is live.
Find: TypeAlias = Callable[[], Files]
# Plans, asks and applies. It returns False where what was served stays, and has said why.
Apply: TypeAlias = Callable[[], bool]


class SavedChanges:
    """The saved changes of one session. The thread that waits for the session's end uses it.

    Args:
        project: the project's folder.
        find: returns the configuration's files.
        apply: plans, asks and applies.
        emit: shows events.
        key: the key that applies changes; "" where no user can press one.
        again: the command that starts with other settings.
        began_ns: the time at which the plan of what is live began, in nanoseconds since the Unix
            epoch.
        clock: the monotonic time in seconds.
    """

    def __init__(
        self,
        project: Path,
        find: Find,
        apply: Apply,
        emit: Emit,
        *,
        key: str,
        again: str,
        began_ns: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # These never change.
        self._project = project
        self._find = find
        self._apply = apply
        self._emit = emit
        self._key = key
        self._again = again
        self._clock = clock
        # The time at which the last plan began.
        self._began_ns = began_ns
        # The files; None before the first look, and where they cannot be looked at.
        self._files: Files | None = None
        # Decides what is told; None before the first look.
        self._noticing: Noticing | None = None
        # Whether there are changes that were told and that the key applies.
        self.is_pending = False
        # Whether terralive.toml has changed since the session began.
        self._has_other_settings = False
        # Whether nothing is looked at any more, because there are too many files.
        self._has_failed = False
        # No look before this time (`clock`).
        self._next_look = 0.0

    def look(self) -> None:
        """Look at the files if it is time for that, and show what has changed."""
        if self._clock() >= self._next_look:
            self._look()

    def apply(self) -> None:
        """Plan the configuration as it is now, and apply it if the user agrees.

        What is saved meanwhile is noticed afterwards.

        Raises:
            KeyboardInterrupt: the user has ended the session.
        """
        if self._has_other_settings:
            text = (
                f"{FILE} has changed, but a session keeps its settings: leave with q, then type "
                f"`{self._again}`."
            )
            self._emit(Message(message=text))
        began_ns = time.time_ns()
        if self._apply():
            self._began_ns = began_ns
            # The configuration may have other files now.
            self._files = None
            self.is_pending = False
            self._has_failed = False
        self._next_look = 0.0

    def _look(self) -> None:
        if self._has_failed:
            return
        began = self._clock()
        try:
            self._compare()
        except TooManyFilesError as folder:
            _log.debug("changes of the configuration are not noticed: many files in %s", folder)
            self._has_failed = True
        except (TerraliveError, OSError, RecursionError) as error:
            # A folder is being changed. The next look finds more.
            _log.debug("the configuration cannot be looked at: %s", error)
        ended = self._clock()
        self._next_look = ended + (ended - began) / _PART_OF_TIME

    def _compare(self) -> None:
        if self._files is None or self._noticing is None:
            self._files = self._find()
            first = self._files.look()
            touched = frozenset(all_touched_since(first, self._began_ns))
            self._noticing = Noticing(first, touched)
            return
        told = self._noticing.looked(self._files.look(self._noticing.last))
        if told is not None:
            self._tell(told)

    def _tell(self, files: Collection[Path]) -> None:
        settings = self._project / FILE
        if settings in files:
            # A session keeps its settings.
            self._has_other_settings = True
            self._emit(ConfigurationChanged((FILE,)))
        others = tuple(os.path.relpath(path, self._project) for path in files if path != settings)
        key = ""
        if others:
            key = self._key
        if others or self.is_pending:
            self._emit(ConfigurationChanged(others, key))
        self.is_pending = bool(others)
