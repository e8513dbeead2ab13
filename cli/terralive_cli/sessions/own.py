"""The session of this process: its folder, its journal, and the end that others ask for."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from terralive_cli.configuration.values import Config, OnExit
from terralive_cli.output.ui import Ui
from terralive_cli.sessions import folders
from terralive_cli.sessions.background import Foreground
from terralive_cli.sessions.events import SessionReported, SessionState
from terralive_cli.sessions.journals.journal import Journal
from terralive_cli.sessions.record import Session
from terralive_cli.sessions.stopping import StopRequests, interrupt_this_process
from terralive_cli.sessions.texts import already_runs, in_background
from terralive_stub.errors import TerraliveError
from terralive_terraform.runs.file_lock import take_lock

_WAIT_SECONDS: Final = 10.0
# The file that gets what the process writes to stderr in the background.
_STDERR: Final = "stderr.log"


class OwnSession:
    """The session of this process. It lasts as long as the process, whose end releases the lock.

    Args:
        session: its description.
        folder: its folder.
        lock: the descriptor of its lock.
        config: the configuration.
        ui: shows events.
        foreground: the command that waits until it is live, to let it go on in the background;
            None for a session that stays in its terminal.
        interrupt: ends this process as Ctrl-C does.
    """

    def __init__(
        self,
        session: Session,
        folder: Path,
        lock: int,
        *,
        config: Config,
        ui: Ui,
        foreground: Foreground | None,
        interrupt: Callable[[], None],
    ) -> None:
        # Changed by the main thread, and at the very end by the renderer's.
        self._session = session
        self._config = config
        self._ui = ui
        self._foreground = foreground
        self._folder = folder
        self._lock = lock
        self.requests = StopRequests(folder, interrupt)

    @classmethod
    def begin(
        cls,
        config: Config,
        ui: Ui,
        foreground: Foreground | None,
        *,
        takeover: bool,
        interrupt: Callable[[], None] = interrupt_this_process,
    ) -> OwnSession:
        """Begin the session, and keep in its journal what is shown from now on.

        Args:
            config: the configuration.
            ui: shows the events.
            foreground: the command that waits for it; None for a session in its own terminal.
            takeover: whether it takes the place of a session that runs.
            interrupt: ends this process as Ctrl-C does.

        Raises:
            ConfigurationError: a session of this user, project and stage runs here.
            TerraliveError: its folder cannot be written.
        """
        is_detached = foreground is not None
        session = _new_session(config, datetime.now(UTC), is_detached=is_detached)
        try:
            folders.remove_old(config.project, session.since)
            with _one_at_a_time(config.project):
                if not takeover:
                    _refuse_second(config)
                folder, lock = folders.create(config.project, session)
            own = cls(
                session,
                folder,
                lock,
                config=config,
                ui=ui,
                foreground=foreground,
                interrupt=interrupt,
            )
            ui.keep(Journal(folder, own._end))
        except OSError as error:
            raise TerraliveError(
                "session-not-written",
                f"The session cannot be written down in {config.project}: {error}",
                hint="Is the disk full, or the folder read-only?",
            ) from None
        if is_detached:
            ui.takes_keys = False
        return own

    @property
    def is_detached(self) -> bool:
        """True if it leaves its terminal when it is live."""
        return self._session.is_detached

    @property
    def asked_on_exit(self) -> OnExit | None:
        """The wish of `terralive stop` for the stubs; None where it was not run."""
        return self.requests.on_exit

    def go_live(self, functions: int) -> None:
        """Tell others that the functions are live, and leave the terminal, if that is wanted.

        Args:
            functions: the number of those that keep their stub at its end.
        """
        self._describe(replace(self._session, is_live=True, functions=functions))
        foreground, self._foreground = self._foreground, None
        if foreground is None:
            return
        message = in_background(self._session, self._config)
        self._ui.emit(SessionReported.of(self._session, SessionState.RUNNING, message))
        self._ui.leave_screen()
        foreground.let_go(self._folder / _STDERR)

    def release(self) -> None:
        """End the session for others, although this process goes on."""
        os.close(self._lock)

    def _describe(self, session: Session) -> None:
        self._session = session
        # A full disk ends no session.
        with contextlib.suppress(OSError):
            folders.describe(self._folder, session)

    def _end(self) -> None:
        """Write down that all is written. The renderer's thread calls it at the very end."""
        self.requests.close()
        self._describe(replace(self._session, is_over=True))


def _new_session(config: Config, now: datetime, *, is_detached: bool) -> Session:
    on_exit = ""
    if config.on_exit is not None:
        on_exit = config.on_exit.value
    pid = os.getpid()
    return Session(
        id=f"{now:%Y%m%d-%H%M%S}-{pid}-{secrets.token_hex(3)}",
        pid=pid,
        stage=config.stage,
        is_sandbox=config.sandbox,
        user=config.user,
        since=now,
        is_detached=is_detached,
        on_exit=on_exit,
    )


def _refuse_second(config: Config) -> None:
    """Refuse a second session of one user. The debug stack refuses one of another user.

    Raises:
        ConfigurationError: `session-running`.
    """
    running = folders.running_session(config.project, config.stage, is_sandbox=config.sandbox)
    if running is not None and running.user == config.user:
        raise already_runs(config, running)


@contextmanager
def _one_at_a_time(project: Path) -> Iterator[None]:
    """Let no other process begin a session of the project while the context lasts."""
    folder = folders.folder_of(project)
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        take_lock(descriptor, _WAIT_SECONDS)
        yield
    finally:
        os.close(descriptor)
