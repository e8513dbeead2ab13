"""Items for the session's thread, which any thread may add."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from terralive_relay.connection.transport import ClockRead
from terralive_relay.pool.pool import Pool
from terralive_relay.pool.records import PoolResult
from terralive_relay.streaming.response import StreamItem
from terralive_stub.protocol.transport_events import TransportEvent


@dataclass(frozen=True, slots=True)
class ThreadEnded:
    """A thread has ended by an exception that nobody expects."""

    error: Exception


@dataclass(frozen=True, slots=True)
class HandlerEnded:
    """An attempt of an invocation has an outcome."""

    request_id: str
    attempt: str
    result: PoolResult


@dataclass(frozen=True, slots=True)
class Serve:
    """Other functions are to be served.

    Attributes:
        pools: their pools, by ARN.
        taken: set by the session's thread when invocations go to these pools.
    """

    pools: Mapping[str, Pool]
    taken: threading.Event = field(default_factory=threading.Event)


Item: TypeAlias = TransportEvent | ClockRead | HandlerEnded | StreamItem | ThreadEnded | Serve
