"""Sessions of other processes, as commands meet them that work on the same stage."""

from __future__ import annotations

import time
from typing import Final

from terralive_cli.configuration.values import Config
from terralive_cli.output.events import Ready
from terralive_cli.output.ui import Ui
from terralive_cli.sessions import folders
from terralive_cli.sessions.events import SessionReported, SessionState
from terralive_cli.sessions.folders import Found
from terralive_cli.sessions.journals.reading import JournalReader
from terralive_cli.sessions.texts import goes_on, runs_here
from terralive_relay.events import Warned
from terralive_stub.errors import TerraliveError

_LOOK_SECONDS: Final = 0.2


def warn_of_session(config: Config, ui: Ui) -> None:
    """Warn where a session of the stage runs here while its functions get their own code back.

    One in the background is easily forgotten.
    """
    session = folders.running_session(config.project, config.stage, is_sandbox=config.sandbox)
    if session is not None:
        ui.emit(Warned(reference="session-running", message=goes_on(session, config)))


def wait_until_live(found: Found, ui: Ui) -> None:
    """Wait until a session is live, and show its event `ready`: for `start --until-ready`.

    Raises:
        TerraliveError: `session-ended`: it has ended before.
    """
    session = found.session
    message = f"{runs_here(session)} It keeps the options that it was started with."
    ui.emit(SessionReported.of(session, SessionState.RUNNING, message))
    reader = JournalReader(found.folder)
    try:
        while True:
            # Asked before the events are read, so that none is missed.
            is_running = folders.is_running(found.folder)
            ready = [event for event in reader.new() if isinstance(event, Ready)]
            if not is_running:
                raise TerraliveError(
                    "session-ended",
                    f"The session of stage {session.stage} has ended.",
                    hint="Start it again. `terralive logs` shows how it has ended.",
                )
            if ready:
                ui.emit(ready[-1])
                return
            time.sleep(_LOOK_SECONDS)
    finally:
        reader.close()
