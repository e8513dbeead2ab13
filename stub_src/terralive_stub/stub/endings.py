"""The named errors with which a stub ends an invocation, in words for the caller. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from terralive_stub.protocol.messages import NoRelay, Problem
from terralive_stub.protocol.named_errors import ErrorName, describe_no_relay


@dataclass(frozen=True, slots=True)
class Ending:
    """A named error.

    Attributes:
        name: the error's name.
        text: its message.
    """

    name: ErrorName
    text: str


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


def relay_lost(*, handler_has_ended: bool, last_trouble: str) -> Ending:
    """Return the end of an invocation whose relay is silent, shortly before the deadline.

    Args:
        handler_has_ended: whether a part of the result has arrived.
        last_trouble: what went wrong last; "" for nothing.
    """
    detail = _detail(last_trouble)
    if handler_has_ended:
        text = f"The handler has ended; its result did not arrive in time.{detail}"
    else:
        text = (
            "The relay took this invocation and then could not be reached any more."
            f"{detail} Whether its handler ran to its end is not known."
        )
    return Ending(ErrorName.RELAY_LOST, text)


def not_delivered(*, connected: bool, last_trouble: str, app: str, stage: str) -> Ending:
    """Return the end of an invocation that no relay has taken until shortly before the deadline.

    Args:
        connected: whether the stub has a connection.
        last_trouble: what went wrong last; "" for nothing.
        app: the app's name.
        stage: the stage's name.
    """
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
