"""Sentences about sessions, for users. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from terralive_cli.configuration.values import Config, OnExit
from terralive_cli.output.interrupts import options_of
from terralive_cli.sessions.record import Session
from terralive_stub.errors import ConfigurationError, TerraliveError


class SessionRunningError(ConfigurationError):
    """A session of the same stage runs on this machine (`session-running`)."""


def place_of(session: Session) -> str:
    """Return where the session's stage is, for a person."""
    if session.is_sandbox:
        return "in the sandbox"
    return "on AWS"


def named(session: Session) -> str:
    """Return a session for a person: `process 123, since 2026-11-30 12:00`."""
    return f"process {session.pid}, since {session.since.astimezone():%Y-%m-%d %H:%M}"


def runs_here(session: Session) -> str:
    """Return the sentence that a session runs."""
    background = ""
    if session.is_detached:
        background = " in the background"
    return f"Stage {session.stage} runs here{background} ({named(session)})."


def already_runs(config: Config, session: Session) -> SessionRunningError:
    """Return the error of a start while a session of the same stage runs here."""
    options = options_of(config)
    return SessionRunningError(
        "session-running",
        f"{runs_here(session)} One machine runs a stage once.",
        hint=f"`terralive stop {options}` ends it, and `terralive logs --follow {options}` shows "
        "what it does. In a script, `terralive start --until-ready` uses a session that runs.",
    )


def goes_on(session: Session, config: Config) -> str:
    """Return the warning that a session does not end although its functions are restored."""
    return (
        f"{runs_here(session)} It goes on, although its functions get their own code back. "
        f"`terralive stop {options_of(config)}` ends it."
    )


def in_background(session: Session, config: Config) -> str:
    """Return what a session that goes on in the background tells as its last line."""
    options = options_of(config)
    return (
        f"The session goes on in the background (process {session.pid}). `terralive logs --follow "
        f"{options}` shows what it does, and `terralive stop {options}` ends it."
    )


def nothing_runs(config: Config, elsewhere: Session | None) -> str:
    """Return the sentence that no session runs here.

    Args:
        config: the configuration.
        elsewhere: a session of a stage of the same name on AWS, or in the sandbox, which is not
            meant.
    """
    text = f"No session of stage {config.stage} {_place(config)} runs here: nothing to stop."
    if config.on_exit is OnExit.RESTORE:
        # A session that was killed has restored nothing.
        text += f" `terralive restore {options_of(config)}` restores what is live."
    if elsewhere is None:
        return text
    if elsewhere.is_sandbox:
        return f"{text} One {place_of(elsewhere)} does: add `--sandbox` to stop it."
    return f"{text} One {place_of(elsewhere)} does: leave `--sandbox` out to stop it."


def none_has_run(config: Config, *, is_elsewhere: bool) -> str:
    """Return the sentence that there are no logs.

    Args:
        config: the configuration.
        is_elsewhere: whether there are some of a stage of the same name on AWS, or in the sandbox,
            which is not meant.
    """
    text = f"No session of stage {config.stage} {_place(config)} has run here in the last days."
    if not is_elsewhere:
        return text
    if config.sandbox:
        return f"{text} One on AWS has: leave `--sandbox` out to see it."
    return f"{text} One in the sandbox has: add `--sandbox` to see it."


def has_ended(session: Session) -> str:
    """Return the sentence that a session has ended."""
    return f"The session of stage {session.stage} has ended ({named(session)})."


def still_ends(session: Session) -> str:
    """Return the sentence of a `terralive stop` that has not waited."""
    return (
        f"The session of stage {session.stage} was asked to end, and is still ending "
        f"({named(session)}). Another `terralive stop` waits for it."
    )


def was_not_asked(session: Session) -> str:
    """Return the sentence of a `terralive stop` that the session has not heard of."""
    return f"Nothing was changed: the session of stage {session.stage} runs ({named(session)})."


def was_cut_off(session: Session) -> str:
    """Return the sentence about a session that did not report its end."""
    return (
        f"The session of stage {session.stage} was cut off ({named(session)}): it was killed, or "
        "this machine has stopped. Its functions keep their stubs."
    )


def meaning_of_keep() -> str:
    """Return what it means to keep the stubs, before the question of `terralive stop`."""
    return (
        "A restore puts back the functions' own code. If you keep the stubs, the deployed code "
        "answers where it can, and other invocations fail, until somebody connects."
    )


def does_not_answer(session: Session) -> TerraliveError:
    """Return the error of `terralive stop` where a session does not take its request."""
    return TerraliveError(
        "session-does-not-answer",
        f"The session of stage {session.stage} runs and does not answer ({named(session)}).",
        hint=f"If it was suspended (Ctrl-Z), `fg` in its terminal or `kill -CONT {session.pid}` "
        f"lets it go on. `kill -9 {session.pid}` ends it; its functions keep their stubs.",
    )


def no_such_function(wanted: str, known: Sequence[str]) -> ConfigurationError:
    """Return the error of `terralive logs` for a function that it does not know."""
    hint = "No lines are kept of any function."
    if known:
        hint = f"Lines are kept of {', '.join(known)}."
    return ConfigurationError("no-such-function", f"No function is called {wanted}.", hint=hint)


def no_such_invocation(wanted: str) -> ConfigurationError:
    """Return the error of `terralive logs` for an invocation that nothing is kept of."""
    return ConfigurationError(
        "no-such-invocation",
        f"Nothing is kept of an invocation {wanted}, and no function has this name.",
        hint="`terralive logs` shows all that is kept of the newest session. Files older than 7 "
        "days are removed.",
    )


def _place(config: Config) -> str:
    if config.sandbox:
        return "in the sandbox"
    return "on AWS"
