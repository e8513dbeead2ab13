"""Renders events: one queue, one thread, three looks (`rich`, `plain`, `json`) of the same story.

`emit` never blocks its caller and never raises; a slow terminal slows nothing but itself. A reader
that has gone away (`terralive … | head`) ends the rendering, not the command: `output_gone` says
so.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

from terralive_cli.configuration.values import Output
from terralive_cli.output.formats.json_lines import JsonLines
from terralive_cli.output.formats.plain import Plain
from terralive_relay.events import Event

_CLOSE_SECONDS: Final = 5.0


class Rendering(Protocol):
    """One look. Used by the renderer's thread alone."""

    def write(self, event: Event) -> None: ...
    def close(self) -> None: ...


class Renderer:
    """The one thread that writes to the terminal.

    It blocks on its queue and stops at `close`, after everything emitted before has been written.

    Args:
        rendering: the look.
    """

    def __init__(self, rendering: Rendering) -> None:
        self._rendering = rendering
        self._queue: queue.SimpleQueue[Event | Callable[[], None] | None] = queue.SimpleQueue()
        self._closed = threading.Lock()  # held once `close` was called; guards against a second one
        self.output_gone = threading.Event()
        self._thread = threading.Thread(target=self._run, name="terralive-renderer", daemon=True)
        self._thread.start()

    @classmethod
    def start(cls, output: Output | None, stream: TextIO, errors: TextIO | None = None) -> Self:
        """Render to `stream`.

        Args:
            output: the look; None for `rich` in a terminal and `plain` elsewhere.
            stream: where the story (or JSON) goes.
            errors: where errors go in `rich` and `plain`; None for stderr.
        """
        errors = errors or sys.stderr
        if output is None:
            output = Output.RICH if stream.isatty() else Output.PLAIN
        if output is Output.JSON:
            return cls(JsonLines(stream))
        if output is Output.PLAIN:
            return cls(Plain(stream, errors))
        from terralive_cli.output.formats.rich import Rich  # noqa: PLC0415 - heavy

        return cls(Rich(stream, errors))

    def emit(self, event: Event) -> None:
        """Queue an event; after `close` it is dropped."""
        self._queue.put(event)

    def flush(self) -> None:
        """Wait until everything emitted so far is on the screen (at most a few seconds)."""
        done = threading.Event()
        self._queue.put(done.set)
        if self._thread.is_alive():
            done.wait(_CLOSE_SECONDS)

    def close(self) -> None:
        """Write what is left and stop.

        A terminal that takes nothing is given up after a few seconds.
        """
        if self._closed.acquire(blocking=False):
            self._queue.put(None)
        self._thread.join(_CLOSE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, Event):
                self._write(item)
            else:
                item()
        with contextlib.suppress(OSError, ValueError):
            self._rendering.close()

    def _write(self, event: Event) -> None:
        if self.output_gone.is_set():
            return
        try:
            self._rendering.write(event)
        except UnicodeEncodeError:
            return
        except (OSError, ValueError):  # a broken pipe, a closed stream, a full disk
            self.output_gone.set()
