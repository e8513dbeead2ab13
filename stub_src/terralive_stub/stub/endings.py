"""The named errors with which a stub ends an invocation, in words for the caller. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from terralive_stub.protocol.messages import NoRelay, Problem
from terralive_stub.protocol.named_errors import ErrorName, describe_no_relay, error_outcome
from terralive_stub.stub.fallback.answers import NotRun, Refused, Unclear
from terralive_stub.stub.session_state import Current, FallingBack, Owned

_MAY_HAVE_RUN: Final = "Whether it ran to its end is not known. It was not asked again."


@dataclass(frozen=True, slots=True)
class Ending:
    """A named error.

    Attributes:
        name: the error's name.
        text: its message.
    """

    name: ErrorName
    text: str


ANOTHER_RESPONSE: Final = Ending(
    ErrorName.RELAY_LOST,
    "A relay has sent the result of another response than the one that it had begun to stream: it "
    "was probably replaced in the middle. The response is not complete.",
)
NOT_ACCEPTED: Final = error_outcome(
    ErrorName.PROTOCOL, "Lambda does not take this response any more."
)


def refused(problem: Problem) -> Ending:
    """Return the end of an invocation that the broker refuses."""
    text = f"The broker refused this invocation ({problem.reference}): {problem.message}"
    return Ending(ErrorName.PROTOCOL, text)


def no_relay(notice: NoRelay, *, owned: bool, app: str, stage: str) -> Ending:
    """Return the end of an invocation that the broker can give to no relay.

    Args:
        notice: the broker's message.
        owned: whether a relay had taken the invocation.
        app: the app's name.
        stage: the stage's name.
    """
    text = describe_no_relay(notice, app=app, stage=stage)
    if owned:
        text = (
            "The relay stopped after it had taken this invocation: its handler may or may not "
            f"have run. {text}"
        )
        return Ending(ErrorName.RELAY_LOST, text)
    if notice.reason == "not-served":
        return Ending(ErrorName.NOT_SERVED, text)
    return Ending(ErrorName.NO_RELAY, text)


def handshake_refused(reason: str, stage: str) -> str:
    """Return the reason of a refused connection, with what to do."""
    return (
        f"{reason} (if the debug stack was deployed anew: `terralive start --stage {stage}` gives "
        "the function the new stub)"
    )


def unknown_to_relay(*, owned: bool) -> Ending:
    """Return the end of an invocation that the present relay does not know.

    Args:
        owned: whether a relay had taken this very attempt.
    """
    if owned:
        text = (
            "The relay that had taken this invocation was restarted: whether its handler ran "
            "to its end is not known. It was not run again."
        )
    else:
        text = (
            "The relay has run this invocation and does not have its result any more. It was not "
            "run again."
        )
    return Ending(ErrorName.RELAY_LOST, text)


def given_up(current: Current, *, connected: bool, app: str, stage: str) -> Ending:
    """Return the end of an invocation for which no time is left.

    Args:
        current: the invocation.
        connected: whether the stub has a connection.
        app: the app's name.
        stage: the stage's name.
    """
    match current.phase:
        case FallingBack(notice=notice):
            ending = no_relay(notice, owned=False, app=app, stage=stage)
            return not_answered(NotRun("no time was left", throttled=True), ending)
        case Owned(handler_has_ended=handler_has_ended):
            return _relay_lost(current.last_trouble, handler_has_ended=handler_has_ended)
        case _:
            return _not_delivered(current.last_trouble, connected=connected, app=app, stage=stage)


def not_answered(answer: NotRun | Refused | Unclear, without: Ending) -> Ending:
    """Return the end of an invocation that the deployed code has not answered.

    Args:
        answer: what has come of the last request.
        without: the end without a fallback.
    """
    text = f"{without.text} The function's deployed code did not answer, either: {answer.reason}."
    match answer:
        case NotRun(throttled=True):
            return Ending(ErrorName.FALLBACK_THROTTLED, text)
        case Unclear():
            return Ending(ErrorName.FALLBACK_LOST, f"{text} {_MAY_HAVE_RUN}")
        case _:
            return Ending(without.name, text)


def not_asked(without: Ending) -> Ending:
    """Return the end of an invocation that a relay may have received before it was gone."""
    text = (
        f"{without.text} The function's deployed code was not asked, because a relay may have "
        "received this invocation before."
    )
    return Ending(without.name, text)


def _relay_lost(last_trouble: str, *, handler_has_ended: bool) -> Ending:
    """Return the end of an invocation whose relay is silent, shortly before the deadline."""
    detail = _detail(last_trouble)
    if handler_has_ended:
        text = f"The handler has ended; its result did not arrive in time.{detail}"
    else:
        text = (
            "The relay took this invocation and then could not be reached any more."
            f"{detail} Whether its handler ran to its end is not known."
        )
    return Ending(ErrorName.RELAY_LOST, text)


def _not_delivered(last_trouble: str, *, connected: bool, app: str, stage: str) -> Ending:
    """Return the end of an invocation that no relay has taken until shortly before the deadline."""
    name = ErrorName.CANNOT_CONNECT
    if connected:
        name = ErrorName.NOT_DELIVERED
    text = (
        f"The invocation could not be handed to a relay of app {app!r}, stage "
        f"{stage!r} before its timeout.{_detail(last_trouble)} Look at `terralive start`'s "
        "terminal, or raise the function's timeout."
    )
    return Ending(name, text)


def _detail(last_trouble: str) -> str:
    if not last_trouble:
        return ""
    return f" The last trouble was: {last_trouble}."
