"""The relay's side of the protocol: (event, now) -> effects. No sockets, no clock, no threads.

`relay.py` is the shell: it owns the transport and the workers, does what the effects say, and feeds
back what happened. `now` is in seconds of a monotonic clock; `now_ms` is this machine's wall clock,
for deadlines.

Two halves, each with its invariants in its module: `leasing` (connections and the lease) and
`invocations` (what is run and answered). This module says who gets which message, and has what
stands said again when the lease is held anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from terralive_relay.connection.effects import Effect
from terralive_relay.connection.invocations import STALL_SECONDS, Invocations
from terralive_relay.connection.journal import Seen
from terralive_relay.connection.leasing import RENEW_SECONDS, Identity, Leasing
from terralive_stub.protocol.invocation import Outcome, Printed
from terralive_stub.protocol.wire import (
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
    """See the module's docstring.

    Args:
        identity: what the relay says of itself.
        renew_after_s: the age at which a connection is replaced.
        seen: request ids that earlier lives have run.
    """

    def __init__(
        self,
        identity: Identity,
        renew_after_s: float = RENEW_SECONDS,
        seen: Mapping[str, Seen] = _NOTHING_SEEN,
    ) -> None:
        self._leasing = Leasing(identity, renew_after_s)
        self._invocations = Invocations(identity.functions, self._leasing.say, seen)

    def opened(self, connection: int, now: float) -> list[Effect]:
        """The transport has a new connection."""
        return self._leasing.opened(connection, now)

    def closed(
        self, connection: int, now: float, why: str, retry_in_s: float | None
    ) -> list[Effect]:
        """A connection has ended, or did not open.

        Unless there is another one, one is opened in `retry_in_s`.
        """
        return self._leasing.closed(connection, now, why, retry_in_s)

    def woke(self, now: float) -> list[Effect]:
        """This machine, or this process, stood still for a while."""
        return self._leasing.woke(now)

    def network_changed(self) -> list[Effect]:
        """This machine has another address."""
        return self._leasing.network_changed()

    def received(self, connection: int, message: Message, now: float, now_ms: int) -> list[Effect]:
        """Take one decoded message.

        Raises:
            ProtocolError: no peer of a relay sends that; nothing has changed.
        """
        match message:
            case Welcome() | LeaseRefused() | TakenOver() | Released() | Problem():
                effects, say_again = self._leasing.received(connection, message, now)
                return [*effects, *(self._invocations.standing(now) if say_again else [])]
            case Chunk(kind=Kind.INVOKE):
                return self._invocations.invoke(message, now, now_ms)
            case Resume() | Done() | Missing(kind=Kind.RESULT):
                return self._invocations.about_result(message, now)
            case Undeliverable():
                return []  # the stub comes back by itself and asks
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
        """A handler has ended. `send=False`: Lambda's own timeout has answered the caller already."""
        hears = send and self._leasing.held
        return self._invocations.finished(
            request_id, outcome, handler_ms, now, answered=not send, send=hears, waited_ms=waited_ms
        )

    def printed(self, request_id: str, printed: Printed) -> list[Effect]:
        """Pass on what a running handler has printed; nothing waits for it."""
        return self._invocations.printed(request_id, printed) if self._leasing.held else []

    def tick(self, now: float) -> list[Effect]:
        """Do what has become due.

        `next_tick` tells when. Only a relay with the lease may ask for anything.
        """
        return [*self._leasing.tick(now), *self._invocations.tick(now, may_ask=self._leasing.held)]

    def next_tick(self, now: float) -> float:
        """When `tick` has something to do, at the latest."""
        return min([now + STALL_SECONDS, *self._leasing.due()])

    def goodbye(self) -> list[Effect]:
        """Give the lease back.

        `released` tells when the debug stack knows, and the connection may be closed.
        """
        return self._leasing.goodbye()

    @property
    def released(self) -> bool:
        return not self._leasing.held
