"""The streamed responses of a relay: what is sent of them, and when. Pure.

A response that has begun to stream ends in its attempt's result, whatever happens. The pieces
before that result are sent before it.
"""

from __future__ import annotations

from dataclasses import replace

from terralive_relay.session.effects import Effect, LetWrite
from terralive_relay.session.invocation_store import Entry, Running
from terralive_relay.session.leasing import Leasing
from terralive_relay.streaming.outgoing import OutgoingStream
from terralive_stub.protocol.deadline import NEVER
from terralive_stub.protocol.invocation import Outcome, Streamed
from terralive_stub.protocol.messages import Piece


class Streams:
    """The streams of one relay's attempts; each is in the attempt's entry.

    Args:
        relay: the relay's id.
        leasing: says where messages go, and whether at all.
    """

    def __init__(self, relay: str, leasing: Leasing) -> None:
        self._relay = relay
        self._leasing = leasing
        # The entries of streams with bytes that are due later, by attempt.
        self._unsent: dict[str, Entry] = {}

    @staticmethod
    def begin(entry: Entry, content_type: str) -> None:
        """Begin to stream the response of an attempt that runs."""
        if isinstance(entry.state, Running):
            entry.stream = OutgoingStream(content_type)

    def add(self, entry: Entry, data: bytes, now: float) -> list[Effect]:
        """Take a piece that a handler has written. Nothing follows the attempt's end."""
        if entry.stream is None or not isinstance(entry.state, Running):
            return []
        entry.stream.add(data)
        return self._send_due(entry, entry.stream, now)

    def end(self, entry: Entry, outcome: Outcome, now: float) -> tuple[Outcome, list[Effect]]:
        """Return the result of an attempt that has ended, and send what was not sent before it."""
        stream = entry.stream
        if stream is None:
            return outcome, []
        effects = self._send_due(entry, stream, now, all_bytes=True)
        self._unsent.pop(entry.attempt, None)
        streamed = Streamed(stream.content_type, stream.size, self._relay)
        return replace(outcome, streamed=streamed), effects

    @staticmethod
    def consume(entry: Entry, offset: int) -> list[Effect]:
        """Forget the bytes that a stub has consumed, and let the handler write more."""
        if entry.stream is None:
            return []
        entry.stream.consume(offset)
        return [LetWrite(entry.attempt, entry.stream.consumed)]

    def send_again(self, entry: Entry, now: float, *, at_once: bool) -> list[Effect]:
        """Send all that the stub has not consumed, unless that was done a moment ago."""
        if entry.stream is None:
            return []
        entry.stream.rewind(entry.peer, now, at_once=at_once)
        return self._send_due(entry, entry.stream, now, all_bytes=True)

    def tick(self, now: float) -> list[Effect]:
        """Send the bytes that are due."""
        effects: list[Effect] = []
        for entry in list(self._unsent.values()):
            if entry.stream is not None:
                effects += self._send_due(entry, entry.stream, now)
        return effects

    def due(self) -> list[float]:
        """Return when bytes are due."""
        streams = [entry.stream for entry in self._unsent.values()]
        return [stream.due().at for stream in streams if stream is not None]

    def is_of_another(self, relay: str) -> bool:
        """Tell whether a stub asks for the stream of another relay, whose id it names."""
        return relay not in {"", self._relay}

    def _send_due(
        self, entry: Entry, stream: OutgoingStream, now: float, *, all_bytes: bool = False
    ) -> list[Effect]:
        """Send what is due of a stream, if this relay has the lease."""
        self._unsent.pop(entry.attempt, None)
        if not self._leasing.held:
            return []
        effects: list[Effect] = []
        for offset, data in stream.pieces(now, all_bytes=all_bytes):
            piece = Piece(
                entry.request_id,
                entry.function,
                self._relay,
                stream.content_type,
                offset,
                data,
                entry.peer,
                entry.attempt,
            )
            effects.append(self._leasing.send(piece))
        if stream.due() != NEVER:
            self._unsent[entry.attempt] = entry
        return effects
