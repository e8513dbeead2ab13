"""The relay's invocations: (message, now) -> effects. No I/O.

Invariants:
    1. An attempt is given to a handler at most once in a relay's life, also when messages are
       repeated, delayed or reordered.
    2. A new attempt of a request id runs the handler again: it is a retry of Lambda's. A handler of
       a former attempt that still runs is ended first, as Lambda has ended that attempt. The same
       holds for a message of a FIFO queue that is delivered again. An attempt that is older than
       one that was run is not run any more.
    3. A finished attempt's result is kept until the stub has confirmed it or its time is over, and
       is sent again whenever the stub asks.
    4. Everything about an attempt is sent to the stub connection that asked for it last.
    5. Only functions of the configuration run.
    6. A streamed response is sent in pieces as the handler writes it. What the stub has not
       consumed is kept, and sent again when the stub asks. After its beginning, the attempt's
       result is its end, whatever happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from terralive_relay.describe.causes import describe_causes
from terralive_relay.describe.errors import describe_error
from terralive_relay.describe.events import EventDescription, describe_event
from terralive_relay.describe.results import describe_prelude, describe_result
from terralive_relay.events import Delivered, InvocationFinished, InvocationStarted, Warned
from terralive_relay.session.effects import Effect, LetWrite, Publish, Remember, Run, Send
from terralive_relay.session.environments import Environments
from terralive_relay.session.invocation_store import (
    Entry,
    Finished,
    Forgotten,
    InvocationStore,
    Running,
)
from terralive_relay.session.journal import Seen
from terralive_relay.session.leasing import Leasing
from terralive_relay.streaming.streams import Streams
from terralive_stub.protocol.chunks import PAYLOAD_BYTES, Assembler, split
from terralive_stub.protocol.invocation import (
    NOTHING_PRINTED,
    Invocation,
    Outcome,
    Printed,
    name_of,
)
from terralive_stub.protocol.limits import SYNCHRONOUS_PAYLOAD_BYTES
from terralive_stub.protocol.messages import (
    Ack,
    Chunk,
    Consumed,
    Done,
    EnvironmentMissing,
    Kind,
    Missing,
    ProtocolError,
    Resume,
    Unknown,
)
from terralive_stub.protocol.named_errors import ErrorName, error_outcome
from terralive_stub.protocol.payloads import (
    EnvironmentUnknownError,
    pack_logs,
    pack_outcome,
    unpack_invocation,
)

# Without a further chunk of an invocation for so long, the missing ones are asked for.
STALL_SECONDS: Final = 1.0
# An invocation that stays incomplete for so long is forgotten; its stub has given up.
ABANDON_SECONDS: Final = 30.0
# A result is sent again to the same connection after this time at the earliest.
AGAIN_SECONDS: Final = 0.5
_FromStub: TypeAlias = Chunk | Resume | Consumed | Done | Missing


class Invocations:
    """The protocol's half about invocations.

    Args:
        functions: the ARNs of the functions that are served.
        leasing: the other half of the protocol, which says where messages go, and whether at all.
        seen: the request ids that earlier relays on this machine have run.
        names: the functions' names in events, by ARN; the names in the ARNs where it has none.
        store: where entries are kept.
    """

    def __init__(
        self,
        functions: tuple[str, ...],
        leasing: Leasing,
        seen: Mapping[str, Seen],
        names: Mapping[str, str],
        store: InvocationStore | None = None,
    ) -> None:
        self._functions = functions
        self._leasing = leasing
        self._send = leasing.send
        self._seen = seen
        self._names = names
        self.store: Final = store or InvocationStore()
        # The chunks of invocations that are not complete yet.
        self.assembler: Final = Assembler()
        self._environments = Environments()
        self.streams: Final = Streams(leasing.relay, leasing)

    def serve(self, functions: tuple[str, ...], names: Mapping[str, str]) -> None:
        """Serve other functions from now on. Invocations under way go on to their ends."""
        self._functions = functions
        self._names = {**self._names, **names}

    def invoke(self, chunk: Chunk, now: float, now_ms: int) -> list[Effect]:
        """Take a part of an invocation; run the invocation when it is complete.

        Raises:
            ProtocolError: it contradicts itself, or names a function that is not this relay's.
        """
        if chunk.function not in self._functions:
            raise ProtocolError(
                f"{chunk.function!r:.140} is not a function of this project's configuration"
            )
        entry = self.store.get(_attempt_of(chunk))
        if entry is not None:
            return self._repeated(chunk, entry, now)
        payload = self.assembler.add(chunk, now)
        if payload is None:
            return []
        try:
            invocation = unpack_invocation(
                payload, now=now, environment_of=partial(self._environments.get, chunk.function)
            )
        except EnvironmentUnknownError:
            self.assembler.discard(chunk.request_id)
            asked = EnvironmentMissing(
                chunk.request_id, chunk.function, chunk.peer, _attempt_of(chunk)
            )
            return [self._send(asked)]
        if (invocation.request_id, invocation.function) != (chunk.request_id, chunk.function):
            raise ProtocolError("an invocation's payload names another invocation than its chunks")
        self.assembler.discard(chunk.request_id)
        self._environments.keep(invocation)
        streams = invocation.streams and self._leasing.streams
        invocation = replace(invocation, attempt=_attempt_of(chunk), streams=streams)
        return self._begin(invocation, chunk.peer, now, now_ms)

    def _begin(self, invocation: Invocation, peer: str, now: float, now_ms: int) -> list[Effect]:
        """Run an attempt that has arrived whole, unless it has come too late."""
        function = invocation.function
        former = self.store.newest(invocation.request_id)
        if former is not None and former.function != function:
            raise ProtocolError(f"{function!r:.140} names another function's invocation")
        if former is not None and 0 < invocation.began_ms < former.began_ms:
            return []  # it was on its way for longer than Lambda's retry, and nobody waits for it
        if invocation.deadline.has_passed(now):
            # It gets no entry: nothing of it was run.
            warned = Warned(
                "invocation-expired",
                f"{invocation.request_id} came too late and was not run",
                self.name(function),
            )
            return [Publish(warned)]
        event = describe_event(invocation.event, invocation.trace_id)
        before = self._seen.get(invocation.request_id, Seen(0, now_ms))
        if former is not None:
            before = former.seen
        entry = Entry(
            invocation.attempt,
            invocation.request_id,
            function,
            peer,
            awaited_until=invocation.deadline.at,
            seen=Seen(before.attempts + 1, before.first_ms),
            number=max(before.attempts + 1, event.attempt),
            began_ms=invocation.began_ms,
            fifo_messages=event.fifo_messages,
            trigger=event.trigger,
            arrived_at=now,
        )
        replaces = self.store.replaced_by(entry)
        self.store.add(entry)
        self.store.forget_old()
        return [
            self._acknowledgement(entry),
            Remember(entry.request_id, entry.seen),
            Publish(self._started(entry, event, before, now_ms)),
            Run(invocation, tuple(replaces)),
        ]

    def finished(
        self,
        attempt: str,
        outcome: Outcome,
        handler_ms: float,
        now: float,
        *,
        answered_by_lambda: bool,
        waited_ms: float = 0.0,
        first_byte_ms: float | None = None,
    ) -> list[Effect]:
        """Keep the result of a handler that has ended.

        Send it, unless no stub would receive it: without a lease, and after Lambda's own timeout.

        Args:
            attempt: the attempt that has ended.
            outcome: its result.
            handler_ms: the time that the handler took.
            now: the present time.
            answered_by_lambda: Lambda's own timeout has answered the caller.
            waited_ms: the time until a worker took the invocation.
            first_byte_ms: the time until the first byte of a streamed response.

        Raises:
            KeyError: no such attempt was run.
        """
        entry = self.store.get(attempt)
        if entry is None:
            raise KeyError(attempt)
        if len(outcome.body) > SYNCHRONOUS_PAYLOAD_BYTES:
            too_large = error_outcome(
                ErrorName.TOO_LARGE,
                f"Response payload size ({len(outcome.body)} bytes) exceeded maximum allowed"
                f" payload size ({SYNCHRONOUS_PAYLOAD_BYTES} bytes).",
            )
            outcome = replace(too_large, logs=outcome.logs)
        outcome, effects = self.streams.end(entry, outcome, now)
        streamed_bytes = None
        if outcome.streamed is not None:
            streamed_bytes = outcome.streamed.size
        payload = pack_outcome(outcome)
        if len(payload) > PAYLOAD_BYTES:
            # The result is worth more than the lines that the handler printed.
            payload = pack_outcome(replace(outcome, logs=NOTHING_PRINTED))
        self.store.finish(entry, payload, now)
        self.store.forget_old()
        if self._leasing.held and not answered_by_lambda:
            effects += self._result(entry, now)
        error = describe_error(outcome)
        result = describe_result(outcome, entry.trigger)
        status = result.status or entry.status
        result_bytes = 0
        if outcome.ok and outcome.streamed is None:
            result_bytes = len(outcome.body)
        event = InvocationFinished(
            request_id=entry.request_id,
            function=self.name(entry.function),
            ok=outcome.ok,
            error_type=error.type,
            handler_ms=handler_ms,
            error_message=error.message,
            stack=error.stack,
            waited_ms=waited_ms,
            attempt=entry.number,
            streamed_bytes=streamed_bytes,
            first_byte_ms=first_byte_ms,
            status=status,
            failed_items=result.failed_items,
            result_bytes=result_bytes,
            causes=describe_causes(outcome),
        )
        return [*effects, Publish(event)]

    def stream_began(self, attempt: str, content_type: str) -> None:
        """Take the beginning of a streamed response."""
        entry = self.store.get(attempt)
        if entry is not None:
            self.streams.begin(entry, content_type)

    def written(self, attempt: str, data: bytes, now: float) -> list[Effect]:
        """Take a piece of a streamed response that a handler has written."""
        entry = self.store.get(attempt)
        if entry is None:
            return []
        if not entry.has_written:
            entry.has_written = True
            entry.status = describe_prelude(data, entry.trigger)
        return self.streams.add(entry, data, now)

    def printed(self, request_id: str, printed: Printed) -> list[Effect]:
        """Send the lines that a running handler has printed; nothing waits for them."""
        entry = self.store.newest(request_id)
        if not self._leasing.held or entry is None or not isinstance(entry.state, Running):
            return []
        payload = pack_logs(printed)
        chunks = _split(Kind.LOGS, entry, payload)
        return [self._send(chunk) for chunk in chunks]

    def answer(self, question: Resume | Consumed | Done | Missing, now: float) -> list[Effect]:
        """Answer a stub's message about an invocation that was acknowledged before."""
        entry = self.store.get(_attempt_of(question))
        is_known = entry is not None and _is_of(entry, question)
        if isinstance(question, Resume) and self.streams.is_of_another(question.relay):
            is_known = False
        if entry is None or not is_known:
            if isinstance(question, Resume):
                return [self._send(_unknown(question))]
            return []
        if isinstance(question, Done):
            return [LetWrite(entry.attempt, None), *self._delivered(entry, now)]
        if isinstance(question, Consumed):
            return self.streams.consume(entry, question.offset)
        entry.peer = question.peer
        if isinstance(question, Resume):
            return [*self.streams.consume(entry, question.offset), *self._status(entry, now)]
        chunks = self._result(entry, now)
        return [chunks[part] for part in question.parts if part < len(chunks)]

    def repeat_open(self, now: float) -> list[Effect]:
        """Send again the status of every invocation whose result has not arrived.

        Messages that were under way while the lease moved may have been denied, or lost with a
        connection.
        """
        effects: list[Effect] = []
        for entry in self.store.open():
            effects += self._status(entry, now, even_if_sent=True)
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Ask for missing chunks, which needs the lease, and forget what is old."""
        self.store.settle_late(now)
        self.store.forget_old()
        effects = self.streams.tick(now)
        for request_id in self.assembler.expire(now, after=ABANDON_SECONDS):
            text = (
                f"{request_id} did not arrive whole and was not run; its stub has given up or will"
                " send it again"
            )
            effects.append(Publish(Warned("invocation-incomplete", text)))
        if self._leasing.held:
            for chunk, parts in self.assembler.stalled(now, after=STALL_SECONDS):
                effects.append(
                    self._send(
                        Missing(
                            Kind.INVOKE,
                            chunk.request_id,
                            chunk.function,
                            parts,
                            chunk.peer,
                            _attempt_of(chunk),
                        )
                    )
                )
        return effects

    def _started(
        self, entry: Entry, event: EventDescription, before: Seen, now_ms: int
    ) -> InvocationStarted:
        """Return the event of an attempt that starts.

        Args:
            entry: the attempt.
            event: the description of its event.
            before: the request id's history before it.
            now_ms: the time, in milliseconds since the Unix epoch.
        """
        sent_ms = min(before.first_ms, event.sent_ms or now_ms)
        first_ms = event.first_ms or sent_ms
        if before.attempts:
            first_ms = before.first_ms
        after_first_s = 0.0
        if entry.number > 1:
            after_first_s = max(0.0, (now_ms - first_ms) / 1000)
        return InvocationStarted(
            entry.request_id,
            self.name(entry.function),
            event.trigger,
            event.summary,
            attempt=entry.number,
            age_s=(now_ms - sent_ms) / 1000,
            after_first_s=after_first_s,
            payload=event.payload,
            payload_bytes=event.payload_bytes,
        )

    def _delivered(self, entry: Entry, now: float) -> list[Effect]:
        """Forget a result that has arrived. A stub may say so several times."""
        if not isinstance(entry.state, Finished):
            return []
        self.store.settle(entry)
        round_trip_ms = (now - entry.arrived_at) * 1000
        return [Publish(Delivered(entry.request_id, self.name(entry.function), round_trip_ms))]

    def _repeated(self, chunk: Chunk, entry: Entry, now: float) -> list[Effect]:
        """Take a part of an attempt that has run, which its stub has sent again."""
        if not _is_of(entry, chunk):
            raise ProtocolError(f"{chunk.function!r:.140} names another invocation's attempt")
        entry.peer = chunk.peer
        if chunk.part != 0:
            return []
        return self._status(entry, now)

    def _status(self, entry: Entry, now: float, *, even_if_sent: bool = False) -> list[Effect]:
        """Send the status of an invocation: it runs, its result, or that it is forgotten."""
        match entry.state:
            case Running():
                again = self.streams.send_again(entry, now, at_once=even_if_sent)
                return [self._acknowledgement(entry), *again]
            case Finished():
                again = self.streams.send_again(entry, now, at_once=even_if_sent)
                return [*again, *self._result(entry, now, even_if_sent=even_if_sent)]
            case Forgotten():
                return [
                    self._send(Unknown(entry.request_id, entry.function, entry.peer, entry.attempt))
                ]

    def name(self, function: str) -> str:
        """Return a function's name in events."""
        return self._names.get(function) or name_of(function)

    def _acknowledgement(self, entry: Entry) -> Send:
        return self._send(Ack(entry.request_id, entry.function, entry.peer, entry.attempt))

    def _result(self, entry: Entry, now: float, *, even_if_sent: bool = False) -> list[Effect]:
        """Send the result.

        Not if it has just been sent to the same peer, or many small questions would fill the memory
        with results under way.
        """
        if not isinstance(entry.state, Finished):
            return []
        just_sent = entry.sent_to == entry.peer and now - entry.sent_at < AGAIN_SECONDS
        if just_sent and not even_if_sent:
            return []
        entry.sent_to, entry.sent_at = entry.peer, now
        chunks = _split(Kind.RESULT, entry, entry.state.payload)
        return [self._send(chunk) for chunk in chunks]


def _attempt_of(message: _FromStub) -> str:
    """Return a message's attempt. For a stub that names none, the request id serves as it."""
    return message.attempt or message.request_id


def _is_of(entry: Entry, message: _FromStub) -> bool:
    """Return whether a message is about the invocation of an entry."""
    is_request = entry.request_id == message.request_id
    return is_request and entry.function == message.function


def _unknown(question: Resume) -> Unknown:
    return Unknown(question.request_id, question.function, question.peer, _attempt_of(question))


def _split(kind: Kind, entry: Entry, payload: bytes) -> tuple[Chunk, ...]:
    """Return the messages with a payload for the stub of an attempt."""
    return split(
        kind,
        entry.request_id,
        entry.function,
        payload,
        peer=entry.peer,
        attempt=entry.attempt,
    )
