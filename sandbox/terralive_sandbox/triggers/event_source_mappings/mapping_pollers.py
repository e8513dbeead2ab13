"""Event source mappings at work: a poller each, on the event loop; idle ones cost nothing."""

from __future__ import annotations

import asyncio

from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.triggers.event_source_mappings.poller import Poller
from terralive_sandbox.triggers.event_source_mappings.queues.poller import QueuePoller
from terralive_sandbox.triggers.event_source_mappings.settings import MappingSettings, SourceKind
from terralive_sandbox.triggers.event_source_mappings.streams.poller import StreamPoller


class MappingPollers:
    """Keeps the pollers as the control plane has the mappings.

    Build it on the event loop that runs them.
    """

    def __init__(self, control: ControlPlane, functions: Functions) -> None:
        self._control = control
        self._functions = functions
        self._loop = asyncio.get_running_loop()
        self._pollers: dict[str, Poller] = {}
        # Read by any thread, replaced by the event loop.
        self._sources: frozenset[str] = frozenset()
        self._closed = False

    def close(self) -> None:
        """On the event loop."""
        self._closed = True
        for poller in self._pollers.values():
            poller.cancel()

    def changed(self, mappings: tuple[MappingSettings, ...]) -> None:
        """These are all mappings now. Any thread."""
        self._loop.call_soon_threadsafe(self._reconcile, mappings)

    def arrived(self, source_arn: str) -> None:
        """There may be something new to read. Any thread."""
        if source_arn in self._sources:
            self._loop.call_soon_threadsafe(self._wake, source_arn)

    def _reconcile(self, mappings: tuple[MappingSettings, ...]) -> None:
        if self._closed:
            return
        left = {mapping.uuid for mapping in mappings}
        for uuid in self._pollers.keys() - left:
            self._pollers.pop(uuid).finish()
        for mapping in mappings:
            poller = self._pollers.get(mapping.uuid)
            if poller is None:
                kind = StreamPoller if mapping.kind is SourceKind.STREAM else QueuePoller
                self._pollers[mapping.uuid] = kind(mapping, self._control, self._functions)
            elif poller.mapping != mapping:
                poller.update(mapping)
        self._sources = frozenset(mapping.source_arn for mapping in mappings)

    def _wake(self, source_arn: str) -> None:
        for poller in self._pollers.values():
            if poller.mapping.source_arn == source_arn:
                poller.wake()
