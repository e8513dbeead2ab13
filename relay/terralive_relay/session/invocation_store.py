"""The attempts that a relay remembers: one entry each, within bounds of memory. Pure.

| state | meaning | a stub's question gets |
|---|---|---|
| `Running` | the handler runs | an acknowledgement |
| `Finished` | a stub may wait for the result | the result |
| `Forgotten` | the handler has run; no stub waits for the result, or memory was short | `unknown` |

An invocation that is not complete yet has no entry: its chunks are with the `Assembler`.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from terralive_relay.session.journal import Seen
from terralive_relay.streaming.outgoing import OutgoingStream

# The size of all results that are kept.
KEEP_BYTES: Final = 128 * 1024 * 1024
# A stub has stopped waiting so long after its deadline.
LATE_SECONDS: Final = 10.0
REMEMBER_ATTEMPTS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Running:
    """The handler runs."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The handler has ended.

    Attributes:
        payload: its result, packed.
        size: the bytes that are kept, with those of a streamed response.
    """

    payload: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The handler has ended, and its result is not kept any more."""


EntryState: TypeAlias = Running | Finished | Forgotten


@dataclass(slots=True, eq=False)
class Entry:
    """One attempt of an invocation. Only `InvocationStore` changes `state` and `fifo_messages`.

    Attributes:
        attempt: the attempt's name; the request id for a stub that names none.
        request_id: the AWS request id.
        function: the function's ARN.
        peer: the connection of the stub that asked last; everything is sent there.
        awaited_until: the time at which the attempt is over.
        seen: the request id's history, with this attempt.
        number: the attempt's number, as events have it.
        began_ms: see `Invocation`.
        fifo_messages: the ids of the messages of FIFO queues in its event, while it runs.
        trigger: the trigger of its event, as in `EventDescription`.
        arrived_at: the time at which it had arrived here.
        has_written: whether its handler has written a piece of a streamed response.
        status: the HTTP status in the prelude of a streamed response; None without one.
        state: see the module's table.
        sent_to: the peer to which the result was sent last.
        sent_at: the time of that.
        stream: its streamed response; None for another one.
    """

    attempt: str
    request_id: str
    function: str
    peer: str
    awaited_until: float
    seen: Seen
    number: int = 1
    began_ms: int = 0
    fifo_messages: frozenset[str] = frozenset()
    trigger: str = ""
    arrived_at: float = 0.0
    has_written: bool = False
    status: int | None = None
    state: EntryState = Running()
    sent_to: str = ""
    sent_at: float = 0.0
    stream: OutgoingStream | None = None


class InvocationStore:
    """The entries, their order and their sizes, kept in step. Others only read its attributes.

    Every index is in the order in which its entries are to be forgotten, so a tick costs what it
    forgets and not what is remembered.

    Args:
        entries: where entries are kept; tests count the accesses.
    """

    def __init__(self, entries: OrderedDict[str, Entry] | None = None) -> None:
        # All entries by attempt, in the order in which they began.
        self.entries: Final = OrderedDict[str, Entry]() if entries is None else entries
        # The newest attempt's entry, by request id.
        self._newest: dict[str, Entry] = {}
        # Running ones and those whose result is kept: a stub may wait for them.
        self._open: dict[str, Entry] = {}
        # Those whose result is kept, in the order in which they ended.
        self.results: Final[OrderedDict[str, Entry]] = OrderedDict()
        # The size of what is kept of the entries in `results`.
        self.result_bytes = 0
        # A heap of the times at which attempts are over.
        self._ends: list[tuple[float, str]] = []

    def get(self, attempt: str) -> Entry | None:
        """Return the entry of an attempt that was run; None for one that was not."""
        return self.entries.get(attempt)

    def newest(self, request_id: str) -> Entry | None:
        """Return the entry of the newest attempt of a request id; None if there is none."""
        return self._newest.get(request_id)

    def open(self) -> Iterable[Entry]:
        """Return the entries that a stub may wait for. Nothing may be added meanwhile."""
        return self._open.values()

    def replaced_by(self, entry: Entry) -> list[str]:
        """Return the running attempts that end before this one may begin.

        Lambda has ended the former attempts of the same request id. A message of a FIFO queue is
        delivered again only after the function's time for the former delivery is over.
        """
        former = self._newest.get(entry.request_id)
        if former is None and not entry.fifo_messages:
            return []
        replaced: list[str] = []
        for other in self._open.values():
            is_running = isinstance(other.state, Running)
            if not is_running or other.function != entry.function:
                continue
            is_same_request = other.request_id == entry.request_id
            if is_same_request or other.fifo_messages & entry.fifo_messages:
                replaced.append(other.attempt)
        return replaced

    def add(self, entry: Entry) -> None:
        """Add an attempt whose handler starts now."""
        self.entries[entry.attempt] = entry
        self._newest[entry.request_id] = entry
        self._open[entry.attempt] = entry
        heapq.heappush(self._ends, (entry.awaited_until, entry.attempt))

    def finish(self, entry: Entry, payload: bytes, now: float) -> None:
        """Keep the result of an attempt whose handler has ended."""
        size = len(payload)
        if entry.stream is not None:
            size += entry.stream.kept_bytes
        entry.state = Finished(payload, size)
        entry.fifo_messages = frozenset()
        self.results[entry.attempt] = entry
        self.result_bytes += size
        if entry.awaited_until + LATE_SECONDS <= now:
            # A debugger had stopped the time here, and not in Lambda.
            self.settle(entry)

    def settle(self, entry: Entry) -> None:
        """Forget a result that no stub waits for; without a result, change nothing."""
        if isinstance(entry.state, Finished):
            self._open.pop(entry.attempt, None)
            del self.results[entry.attempt]
            self.result_bytes -= entry.state.size
            entry.state = Forgotten()
            entry.stream = None

    def settle_late(self, now: float) -> None:
        """Forget the results whose stubs have stopped waiting."""
        while self._ends and self._ends[0][0] + LATE_SECONDS <= now:
            _, attempt = heapq.heappop(self._ends)
            entry = self.entries.get(attempt)
            if entry is not None:
                self.settle(entry)

    def forget_old(self) -> None:
        """Keep memory bounded: forget the oldest results, then the oldest attempts."""
        while self.results and self.result_bytes > KEEP_BYTES:
            self.settle(next(iter(self.results.values())))
        while len(self.entries) > REMEMBER_ATTEMPTS:
            # An entry is needed as long as its handler runs or its result is kept: then all newer
            # ones stay, too.
            oldest = next(iter(self.entries.values()))
            if not isinstance(oldest.state, Forgotten):
                break
            del self.entries[oldest.attempt]
            if self._newest.get(oldest.request_id) is oldest:
                del self._newest[oldest.request_id]
