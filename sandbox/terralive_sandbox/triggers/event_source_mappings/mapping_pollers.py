"""Keep one poller for each event source mapping or pipe, and shard. Idle pollers cost nothing."""

from __future__ import annotations

import asyncio
import logging

from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.refusals import Refusals
from terralive_sandbox.triggers.event_source_mappings.poller import Poller
from terralive_sandbox.triggers.event_source_mappings.queue_poller import QueuePoller
from terralive_sandbox.triggers.event_source_mappings.settings import MappingSettings
from terralive_sandbox.triggers.event_source_mappings.stream_poller import StreamPoller
from terralive_sandbox.triggers.pipes.pollers import QueuePipe, StreamPipe
from terralive_sandbox.triggers.pipes.settings import PipeSettings

_log = logging.getLogger("terralive.sandbox")


class MappingPollers:
    """Starts, updates and ends pollers as the control plane's mappings change.

    Build it on the event loop that runs the pollers.
    """

    def __init__(self, control: ControlPlane, functions: Functions, refusals: Refusals) -> None:
        self._control = control
        self._functions = functions
        self._refusals = refusals
        self._loop = asyncio.get_running_loop()
        # The mappings and the pipes that exist. Only the event loop uses it.
        self._wanted: dict[type[MappingSettings], tuple[MappingSettings, ...]] = {}
        # By the mapping's id and the shard. Only the event loop uses it.
        self._pollers: dict[tuple[str, str], Poller] = {}
        # The ARNs of all sources. Any thread reads it; the event loop replaces it.
        self._sources: frozenset[str] = frozenset()
        # True once `close` was called: no poller starts any more.
        self._closed = False

    def close(self) -> None:
        """End all pollers at once. Call it on the event loop."""
        self._closed = True
        for poller in self._pollers.values():
            poller.cancel()

    def changed(self, mappings: tuple[MappingSettings, ...]) -> None:
        """Take over all mappings that exist now, for each shard. Any thread may call it."""
        self._loop.call_soon_threadsafe(self._take, MappingSettings, mappings)

    def pipes_changed(self, pipes: tuple[PipeSettings, ...]) -> None:
        """Take over all pipes that exist now, for each shard. Any thread may call it."""
        self._loop.call_soon_threadsafe(self._take, PipeSettings, pipes)

    def arrived(self, source_arn: str) -> None:
        """Let pollers of a source read it, because it may have new records. Any thread."""
        if source_arn in self._sources:
            self._loop.call_soon_threadsafe(self._wake, source_arn)

    def reads(self, source_arn: str) -> bool:
        """Return true if a mapping reads this source. Any thread may call it."""
        return source_arn in self._sources

    def _take(self, kind: type[MappingSettings], settings: tuple[MappingSettings, ...]) -> None:
        """Start, update and end pollers, so that they fit all settings."""
        if self._closed:
            return
        self._wanted[kind] = settings
        mappings = [one for group in self._wanted.values() for one in group]
        present = {(mapping.uuid, mapping.shard) for mapping in mappings}
        for key in self._pollers.keys() - present:
            _log.debug("event source mapping %s was deleted", key[0])
            self._pollers.pop(key).finish()
        for mapping in mappings:
            key = (mapping.uuid, mapping.shard)
            poller = self._pollers.get(key)
            if poller is None:
                _log.debug("event source mapping %s begins to read", mapping.uuid)
                self._pollers[key] = self._start(mapping)
            elif poller.mapping != mapping:
                poller.update(mapping)
        self._sources = frozenset(mapping.source_arn for mapping in mappings)

    def _start(self, mapping: MappingSettings) -> Poller:
        of_queue: type[Poller] = QueuePoller
        of_stream: type[Poller] = StreamPoller
        if isinstance(mapping, PipeSettings):
            of_queue, of_stream = QueuePipe, StreamPipe
        poller = of_queue
        if mapping.kind.is_stream:
            poller = of_stream
        return poller(mapping, self._control, self._functions, self._refusals)

    def _wake(self, source_arn: str) -> None:
        for poller in self._pollers.values():
            if poller.mapping.source_arn == source_arn:
                poller.wake()
