"""The relay's side of the protocol: (event, now) -> effects. No sockets, no clock, no threads.

`relay.py` is the shell: it owns the transport and the workers, carries the effects out, and reports
events back. `now` is in seconds of a monotonic clock; `now_ms` is this machine's wall clock, for
deadlines.

The protocol has two halves, each with its invariants in its module: `leasing` (connections and the
lease) and `invocations` (handlers and their results). This module passes each message to one of
them. When the lease is new or has moved, it has the status of all open invocations sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from terralive_relay.connection.effects import Effect
from terralive_relay.connection.invocation_store import InvocationStore
from terralive_relay.connection.invocations import STALL_SECONDS, Invocations, InvocationStats
from terralive_relay.connection.journal import Seen
from terralive_relay.connection.leasing import RENEW_SECONDS, Leasing, RelayIdentity
from terralive_stub.protocol.invocation import Outcome, Printed
from terralive_stub.protocol.messages import (
    Chunk,
    Done,
    Kind,
    LeaseRefused,
    Message,
    Missing,
    Problem,
    ProtocolError,
    Released,
    Resume,
    TakenOver,
    Undeliverable,
    Welcome,
)

_NOTHING_SEEN: Final[Mapping[str, Seen]] = MappingProxyType({})


class RelaySession:
    """One relay's protocol state.

    Args:
        identity: the relay's description of itself.
        renew_after_s: the age at which a connection is replaced.
        seen: the request ids that earlier relays on this machine have run.
        store: where invocations are kept; tests pass their own.
    """

    def __init__(
        self,
        identity: RelayIdentity,
        renew_after_s: float = RENEW_SECONDS,
        seen: Mapping[str, Seen] = _NOTHING_SEEN,
        store: InvocationStore | None = None,
    ) -> None:
        self._leasing = Leasing(identity, renew_after_s)
        self._invocations = Invocations(identity.functions, self._leasing.send, seen, store)

    def stats(self) -> InvocationStats:
        """Return how much is remembered of invocations."""
        return self._invocations.stats()

    def opened(self, connection: int, now: float) -> list[Effect]:
        """Take a new connection of the transport's."""
        return self._leasing.opened(connection, now)

    def closed(
        self, connection: int, now: float, why: str, retry_in_s: float | None
    ) -> list[Effect]:
        """Take the end of a connection, or a failed attempt to open one.

        `retry_in_s` is the time until the next attempt; None if there is another connection.
        """
        return self._leasing.closed(connection, now, why, retry_in_s)

    def woke(self, now: float) -> list[Effect]:
        """Check the connection at once, because this machine or this process stood still."""
        return self._leasing.woke(now)

    def network_changed(self) -> list[Effect]:
        """Give all connections up, because this machine has another address."""
        return self._leasing.network_changed()

    def received(self, connection: int, message: Message, now: float, now_ms: int) -> list[Effect]:
        """Take one decoded message.

        Raises:
            ProtocolError: no peer of a relay sends that; nothing has changed.
        """
        match message:
            case Welcome() | LeaseRefused() | TakenOver() | Released() | Problem():
                effects, repeat_open = self._leasing.received(connection, message, now)
                if repeat_open:
                    effects = [*effects, *self._invocations.repeat_open(now)]
                return effects
            case Chunk(kind=Kind.INVOKE):
                return self._invocations.invoke(message, now, now_ms)
            case Resume() | Done() | Missing(kind=Kind.RESULT):
                return self._invocations.answer(message, now)
            case Undeliverable():
                # The stub reconnects by itself, and asks.
                return []
            case _:
                raise ProtocolError(f"a relay does not expect {message.ACTION!r}")

    def finished(
        self,
        request_id: str,
        outcome: Outcome,
        handler_ms: float,
        now: float,
        *,
        send: bool,
        waited_ms: float = 0.0,
    ) -> list[Effect]:
        """Take the end of a handler. `send=False`: Lambda's own timeout has answered the caller."""
        return self._invocations.finished(
            request_id,
            outcome,
            handler_ms,
            now,
            answered_by_lambda=not send,
            send=send and self._leasing.held,
            waited_ms=waited_ms,
        )

    def printed(self, request_id: str, printed: Printed) -> list[Effect]:
        """Send the lines that a running handler has printed; nothing waits for them."""
        if not self._leasing.held:
            return []
        return self._invocations.printed(request_id, printed)

    def tick(self, now: float) -> list[Effect]:
        """Do everything that is due; `next_tick` returns the time of the next call.

        Only a relay with the lease may ask for anything.
        """
        return [*self._leasing.tick(now), *self._invocations.tick(now, may_ask=self._leasing.held)]

    def next_tick(self, now: float) -> float:
        """Return the latest time for the next `tick`."""
        return min([now + STALL_SECONDS, *self._leasing.due()])

    def goodbye(self) -> list[Effect]:
        """Give the lease back. Once it is `released`, the connection may be closed."""
        return self._leasing.goodbye()

    @property
    def released(self) -> bool:
        """Return whether this relay has no lease (any more)."""
        return not self._leasing.held
