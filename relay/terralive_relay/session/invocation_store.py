"""The invocations that a relay remembers: one entry each, within bounds of memory. Pure.

| state | meaning | a stub's question gets |
|---|---|---|
| `Running` | the handler runs | an acknowledgement |
| `Finished`, awaited | a stub may wait for the result | the result |
| `Finished`, settled | no stub waits: only a retry of Lambda's may ask for it | the result |
| `Forgotten` | the handler has run, and its result is not kept any more | `unknown` |

An invocation that is not complete yet has no entry: its chunks are with the `Assembler`.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from terralive_stub.protocol.limits import FUNCTION_TIMEOUT_SECONDS

# The time for which a result is kept at most.
KEEP_SECONDS: Final = FUNCTION_TIMEOUT_SECONDS + 60.0
# The size of all results that are kept, and of those that only a retry of Lambda's could ask for.
KEEP_BYTES: Final = 128 * 1024 * 1024
KEEP_SETTLED_BYTES: Final = 8 * 1024 * 1024
# A stub has stopped waiting so long after its deadline.
LATE_SECONDS: Final = 10.0
REMEMBER_IDS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Running:
    """The handler runs."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The handler has ended.

    Attributes:
        payload: its result, packed.
        finished_at: the time of its end.
        answered_by_lambda: Lambda's own timeout has answered the caller.
    """

    payload: bytes
    finished_at: float
    answered_by_lambda: bool


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The handler ended at `finished_at`, and its result is not kept any more."""

    finished_at: float


EntryState: TypeAlias = Running | Finished | Forgotten


@dataclass(slots=True, eq=False)
class Entry:
    """One invocation. Only `InvocationStore` changes `state` and `awaited_until`.

    Attributes:
        request_id: the AWS request id.
        function: the function's ARN.
        peer: the connection of the stub that asked last; everything is sent there.
        allowed_s: the time that its first attempt had, in seconds.
        state: see the module's table.
        awaited_until: the time at which the newest attempt is over.
        sent_to: the peer to which the result was sent last.
        sent_at: the time of that.
    """

    request_id: str
    function: str
    peer: str
    allowed_s: float
    state: EntryState = Running()
    awaited_until: float = 0.0
    sent_to: str = ""
    sent_at: float = 0.0


class InvocationStore:
    """The entries, their order and their sizes, kept in step. Others only read its attributes.

    Every index is in the order in which its entries are to be forgotten, so a tick costs what it
    forgets and not what is remembered.

    Args:
        entries: where entries are kept; tests count the accesses.
    """

    def __init__(self, entries: OrderedDict[str, Entry] | None = None) -> None:
        # All entries by request id, in the order in which they began.
        self.entries: Final = OrderedDict[str, Entry]() if entries is None else entries
        # Running ones and those whose result is awaited: a stub may wait for them.
        self._open: dict[str, Entry] = {}
        # Finished ones, in the order in which they ended.
        self.results: Final[OrderedDict[str, Entry]] = OrderedDict()
        # Finished ones whose result no stub waits for, in the order in which they were settled.
        self._settled: OrderedDict[str, Entry] = OrderedDict()
        # The sizes of the payloads in `results` and in `_settled`.
        self.result_bytes = 0
        self._settled_bytes = 0
        # A heap of times at which attempts are over. An entry with several attempts is here several
        # times; its own `awaited_until` counts.
        self._attempt_ends: list[tuple[float, str]] = []

    def get(self, request_id: str) -> Entry | None:
        """Return the entry of an invocation that was run; None for one that was not."""
        return self.entries.get(request_id)

    def open(self) -> Iterable[Entry]:
        """Return the entries that a stub may wait for. Nothing may be added meanwhile."""
        return self._open.values()

    def add(self, entry: Entry, awaited_until: float) -> None:
        """Add an invocation whose handler starts now."""
        self.entries[entry.request_id] = entry
        self.expect_until(entry, awaited_until)

    def expect_until(self, entry: Entry, awaited_until: float) -> None:
        """Record that a stub waits for this invocation, again or for the first time."""
        entry.awaited_until = awaited_until
        heapq.heappush(self._attempt_ends, (awaited_until, entry.request_id))
        self._remove_settled(entry)
        if not isinstance(entry.state, Forgotten):
            self._open[entry.request_id] = entry
        if isinstance(entry.state, Finished):
            entry.state = replace(entry.state, answered_by_lambda=False)

    def finish(self, entry: Entry, payload: bytes, now: float, *, answered_by_lambda: bool) -> None:
        """Keep the result of an invocation whose handler has ended."""
        entry.state = Finished(payload, now, answered_by_lambda)
        self.results[entry.request_id] = entry
        self.result_bytes += len(payload)
        if entry.awaited_until + LATE_SECONDS <= now:
            # A debugger had stopped the time here, and not in Lambda.
            self.settle(entry)

    def is_settled(self, entry: Entry) -> bool:
        """Return whether there is a result, and no stub that waits for it."""
        return entry.request_id in self._settled

    def settle(self, entry: Entry) -> None:
        """Record that no stub waits for this result; without a result, change nothing."""
        if isinstance(entry.state, Finished) and not self.is_settled(entry):
            self._open.pop(entry.request_id, None)
            self._settled[entry.request_id] = entry
            self._settled_bytes += len(entry.state.payload)

    def settle_late(self, now: float) -> None:
        """Settle the results whose stubs have stopped waiting."""
        while self._attempt_ends and self._attempt_ends[0][0] + LATE_SECONDS <= now:
            _, request_id = heapq.heappop(self._attempt_ends)
            entry = self.entries.get(request_id)
            if entry is not None and entry.awaited_until + LATE_SECONDS <= now:
                self.settle(entry)

    def forget_old(self, now: float) -> None:
        """Keep memory bounded: forget settled results, then the other results, then request ids."""
        while self._settled:
            settled_fit = self._settled_bytes <= KEEP_SETTLED_BYTES
            if settled_fit and self.result_bytes <= KEEP_BYTES:
                break
            self._forget_result(next(iter(self._settled.values())))
        while self.results:
            oldest = next(iter(self.results.values()))
            young = isinstance(oldest.state, Finished) and (
                now - oldest.state.finished_at < KEEP_SECONDS
            )
            if young and self.result_bytes <= KEEP_BYTES:
                break
            self._forget_result(oldest)
        while len(self.entries) > REMEMBER_IDS:
            # An entry is needed as long as its handler runs or its result is kept: then all newer
            # ones stay, too.
            if not isinstance(next(iter(self.entries.values())).state, Forgotten):
                break
            self.entries.popitem(last=False)

    def _forget_result(self, entry: Entry) -> None:
        self._remove_settled(entry)
        self._open.pop(entry.request_id, None)
        del self.results[entry.request_id]
        if isinstance(entry.state, Finished):
            self.result_bytes -= len(entry.state.payload)
            entry.state = Forgotten(entry.state.finished_at)

    def _remove_settled(self, entry: Entry) -> None:
        was_settled = self._settled.pop(entry.request_id, None) is not None
        if was_settled and isinstance(entry.state, Finished):
            self._settled_bytes -= len(entry.state.payload)
