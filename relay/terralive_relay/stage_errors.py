"""Errors that end a relay, in words for the user."""

from __future__ import annotations

import time
from http import HTTPStatus

from terralive_stub.errors import CredentialsError, StageHeldError, TerraliveError
from terralive_stub.shared.trust_store import UNTRUSTED


def held_by(
    stage: str, owner: str, machine: str, since_ms: int, *, mine: bool = False
) -> StageHeldError:
    """Return the error for a stage that another relay holds.

    Args:
        stage: the stage's name.
        owner: the person whose relay it is.
        machine: the machine on which it runs.
        since_ms: the time since when, in milliseconds since the Unix epoch; 0 if it is not known.
        mine: it is a relay of the same person on the same machine.
    """
    since = ""
    if since_ms:
        since = time.strftime(" since %Y-%m-%d %H:%M", time.localtime(since_ms / 1000))
    if mine:
        return StageHeldError(
            "stage-held",
            f"Stage {stage!r} is live for another `terralive start` of yours on this machine"
            f"{since}.",
            hint="Stop that one, or use `--takeover`. If it has crashed, wait a minute and try "
            "again.",
        )
    return StageHeldError(
        "stage-held",
        f"Stage {stage!r} is live for {owner} on {machine}{since}.",
        hint="Ask them to stop, use a stage of your own (`--stage`), or take it over with"
        " `--takeover`.",
    )


def taken_over_by(stage: str, holder: str) -> StageHeldError:
    """Return the error for a stage that another relay has taken over from this one."""
    return StageHeldError(
        "stage-taken-over",
        f"{holder} has taken stage {stage!r} over; this relay has stopped.",
        hint="Use a stage of your own (`--stage`), or take it back with `--takeover`.",
    )


def forbidden(status: int, reason: str) -> CredentialsError:
    """Return the error for a relay that the debug stack's API has refused.

    Args:
        status: 401 for its token, 403 for its credentials.
        reason: the answer, in words for a user.
    """
    if status == HTTPStatus.UNAUTHORIZED:
        return CredentialsError(
            "relay-token-refused",
            f"The debug stack's WebSocket API refused this relay's token: {reason}.",
            hint="Run the command again: another `terralive start` may have replaced the debug "
            "stack and its secret meanwhile. Also compare this machine's clock with the right time:"
            " it may differ by five minutes at most.",
        )
    return CredentialsError(
        "relay-forbidden",
        f"The debug stack's WebSocket API refused these credentials: {reason}.",
        hint="They need `execute-api:Invoke` on the debug stack's API `relay`.",
    )


def not_connected(timeout_s: float, url: str, reason: str) -> TerraliveError:
    """Return the error for a relay that got no lease within `timeout_s` seconds."""
    text = (
        "The debug stack's WebSocket API did not let the relay in"
        f" within {timeout_s:.0f} s ({url})."
    )
    if reason.startswith(UNTRUSTED):
        cause = reason.removeprefix(f"{UNTRUSTED}: ")
        return TerraliveError(
            UNTRUSTED,
            f"{text} The reason: {cause}.",
            hint="docs/NETWORK.md lists the certificates that the relay trusts.",
        )
    return TerraliveError(
        "relay-not-connected",
        f"{text} {reason}".strip(),
        hint="Check this machine's network (a proxy must let WebSockets through), then run the"
        " command again.",
    )


def relay_failed(error: Exception) -> TerraliveError:
    """Return the error for a defect of the relay itself."""
    failure = TerraliveError(
        "relay-failed",
        f"The relay itself failed: {type(error).__name__}: {error}",
        hint="This is a bug of terralive's; please report it. `terralive start` connects again.",
    )
    failure.__cause__ = error
    return failure
