"""`terralive stop`: end the session of this project and stage that runs on this machine."""

from __future__ import annotations

import time
from typing import Final

from terralive_cli.configuration.values import Config, OnExit, Output
from terralive_cli.live.leaving import Kept, Leave, answered, question
from terralive_cli.output import failures
from terralive_cli.output.events import Failed, Message, Stopped, TerraformProgress
from terralive_cli.output.ui import Ui
from terralive_cli.sessions import folders, stopping
from terralive_cli.sessions.events import SessionReported, SessionState
from terralive_cli.sessions.folders import Found
from terralive_cli.sessions.journals.reading import JournalReader
from terralive_cli.sessions.record import Session
from terralive_cli.sessions.texts import (
    does_not_answer,
    has_ended,
    meaning_of_keep,
    nothing_runs,
    still_ends,
    was_cut_off,
    was_not_asked,
)
from terralive_relay.events import Event, Warned

_LOOK_SECONDS: Final = 0.1
# The session looks for the request several times a second.
_TAKEN_SECONDS: Final = 15.0
# What the session tells about its end.
_SHOWN: Final = (TerraformProgress, Warned, Message, Failed, Stopped)


def run(config: Config, ui: Ui, *, taken_s: float = _TAKEN_SECONDS) -> int:
    """End the session as Ctrl-C in its terminal would, and wait for its end.

    Args:
        config: the configuration.
        ui: shows events and asks what is done about the stubs.
        taken_s: seconds in which the session has to take the request.

    Returns:
        0 if no session runs any more; 1 if its functions could not be restored, or if it was killed
        before its own end; 130 if the user did
        not want to wait.

    Raises:
        TerraliveError: `session-does-not-answer`.
    """
    running = folders.running(config.project, config.stage, is_sandbox=config.sandbox)
    if running is None:
        elsewhere = folders.running_session(
            config.project, config.stage, is_sandbox=not config.sandbox
        )
        message = nothing_runs(config, elsewhere)
        ui.emit(SessionReported(config.stage, SessionState.NONE, message))
        return 0
    on_exit = _wanted(config, ui, running.session)
    reader = JournalReader(running.folder)
    try:
        reader.skip()
        stopping.ask_to_stop(running.folder, on_exit)
        is_clean = _wait(running, reader, ui, time.monotonic() + taken_s)
    except KeyboardInterrupt:
        message = still_ends(running.session)
        if not stopping.is_taken(running.folder):
            message = was_not_asked(running.session)
        ui.emit(SessionReported.of(running.session, SessionState.RUNNING, message))
        return failures.INTERRUPTED
    finally:
        reader.close()
        stopping.withdraw(running.folder)
    message = has_ended(running.session)
    ended = folders.description_of(running.folder)
    if ended is not None and not ended.is_over:
        # It was killed meanwhile, and has restored nothing for certain.
        is_clean = False
        message = was_cut_off(running.session)
    ui.emit(SessionReported.of(running.session, SessionState.ENDED, message))
    if is_clean:
        return 0
    return failures.FAILED


def _wanted(config: Config, ui: Ui, session: Session) -> OnExit:
    """Return what is done about the stubs: as set here, as set for the session, or as answered."""
    if config.on_exit is not None:
        return config.on_exit
    if session.on_exit:
        return OnExit(session.on_exit)
    if not session.functions or not ui.interactive or config.output is Output.JSON:
        return OnExit.KEEP
    ui.emit(Message(message=meaning_of_keep()))
    answer = Leave.ASK
    while answer is Leave.ASK:
        answer = answered(ui.typed(question(Kept(session.functions))))
    if answer is Leave.RESTORE:
        return OnExit.RESTORE
    return OnExit.KEEP


def _wait(running: Found, reader: JournalReader, ui: Ui, until: float) -> bool:
    """Show what the session does until it has ended, and return whether it has not failed.

    Args:
        running: the session.
        reader: reads its journal.
        ui: shows its events.
        until: the time by which it has to take the request (monotonic, seconds).

    Raises:
        TerraliveError: it does not take the request.
    """
    is_clean = True
    while True:
        # Asked before the events are read, so that none is missed.
        is_running = folders.is_running(running.folder)
        shown: list[Event] = [event for event in reader.new() if isinstance(event, _SHOWN)]
        ui.emit(*shown)
        if any(isinstance(event, Failed) for event in shown):
            is_clean = False
        if not is_running:
            return is_clean
        if not stopping.is_taken(running.folder) and time.monotonic() > until:
            raise does_not_answer(running.session)
        time.sleep(_LOOK_SECONDS)
