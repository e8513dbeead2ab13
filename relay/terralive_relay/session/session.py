"""The relay's side of the protocol: (event, now) -> effects. No sockets, no clock, no threads.

`relay.py` is the shell: it owns the transport and the workers, carries the effects out, and reports
events back. `now` is in seconds of a monotonic clock; `now_ms` is this machine's wall clock, for
deadlines.

The protocol has two halves, each with its invariants in its module: `leasing` (connections and the
lease) and `invocations` (handlers and their results). The shell reports everything but messages to
them directly. This module passes each message to one of them. When the lease is new or has moved,
it has the status of all open invocations sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from terralive_relay.events import FallbackAnswered
from terralive_relay.session.effects import Effect, Publish
from terralive_relay.session.invocation_store import InvocationStore
from terralive_relay.session.invocations import STALL_SECONDS, Invocations
from terralive_relay.session.journal import Seen
from terralive_relay.session.leasing import RENEW_SECONDS, Leasing, RelayIdentity
from terralive_stub.protocol.messages import (
    Chunk,
    Consumed,
    Done,
    FallbackCount,
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
from terralive_stub.shared.timestamps import format_epoch_seconds

# The last millisecond of the year 9999, beyond which `datetime` has no value.
_LAST_MS: Final = 253_402_300_799_999


class RelaySession:
    """One relay's protocol state, in its two halves `leasing` and `invocations`.

    Args:
        identity: the relay's description of itself.
        renew_after_s: the age at which a connection is replaced.
        seen: the request ids that earlier relays on this machine have run.
        names: the functions' names in events, by ARN; the names in the ARNs where it has none.
        store: where invocations are kept; tests pass their own.
    """

    def __init__(
        self,
        identity: RelayIdentity,
        renew_after_s: float = RENEW_SECONDS,
        seen: Mapping[str, Seen] | None = None,
        names: Mapping[str, str] | None = None,
        store: InvocationStore | None = None,
    ) -> None:
        self.leasing: Final = Leasing(identity, renew_after_s)
        self.invocations: Final = Invocations(
            identity.functions, self.leasing, seen or {}, names or {}, store
        )

    def serve(
        self, functions: tuple[str, ...], names: Mapping[str, str], now: float
    ) -> list[Effect]:
        """Serve other functions from now on.

        Args:
            functions: their ARNs.
            names: their names in events, by ARN.
            now: the present time.
        """
        self.invocations.serve(functions, names)
        return self.leasing.serve(functions, now)

    def received(self, connection: int, message: Message, now: float, now_ms: int) -> list[Effect]:
        """Take one decoded message.

        Raises:
            ProtocolError: no peer of a relay sends that; nothing has changed.
        """
        match message:
            case Welcome() | LeaseRefused() | TakenOver() | Released() | Problem():
                effects, repeat_open = self.leasing.received(connection, message, now)
                if repeat_open:
                    effects = [*effects, *self.invocations.repeat_open(now)]
                return effects
            case FallbackCount():
                return [Publish(self._answered_by_fallback(message))]
            case Chunk(kind=Kind.INVOKE):
                return self.invocations.invoke(message, now, now_ms)
            case Resume() | Consumed() | Done() | Missing(kind=Kind.RESULT):
                return self.invocations.answer(message, now)
            case Undeliverable():
                # The stub reconnects by itself, and asks.
                return []
            case _:
                raise ProtocolError(f"a relay does not expect {message.ACTION!r}")

    def _answered_by_fallback(self, count: FallbackCount) -> FallbackAnswered:
        return FallbackAnswered(
            function=self.invocations.name(count.function),
            answered=count.answered,
            failed=count.failed,
            since=format_epoch_seconds(min(count.since_ms, _LAST_MS) / 1000),
        )

    def tick(self, now: float) -> list[Effect]:
        """Do everything that is due; `next_tick` returns the time of the next call."""
        return [*self.leasing.tick(now), *self.invocations.tick(now)]

    def next_tick(self, now: float) -> float:
        """Return the latest time for the next `tick`."""
        return min([now + STALL_SECONDS, *self.leasing.due(), *self.invocations.streams.due()])
