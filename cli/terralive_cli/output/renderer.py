"""Writes events to the terminal: one queue, one thread, and one of three formats.

They may be kept in a journal, too. A command that goes on in the background leaves the terminal and
writes to the journal alone.

`emit` never blocks its caller and never raises: a slow terminal slows nothing but itself. If the
reader has gone (`terralive … | head`), the output ends and the command goes on; `output_gone` is
then set.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TextIO, TypeAlias

from terralive_cli.configuration.values import Output
from terralive_cli.output.formats.json_lines import JsonLines
from terralive_relay.events import Event

if TYPE_CHECKING:
    from terralive_cli.view.live_view import LiveView  # heavy

_CLOSE_SECONDS: Final = 5.0


class Format(Protocol):
    """A format of the output. Only the renderer's thread uses it, but for `wake_by`."""

    def wake_by(self, wake: Callable[[], None]) -> None:
        """Take a callback for any thread: it makes somebody call `write` soon, with no events."""
        ...

    def write(self, events: Sequence[Event]) -> None:
        """Write events. Those of interleaving invocations may wait for the next calls."""
        ...

    def close(self) -> None:
        """Write what waits."""
        ...


class Journal(Protocol):
    """A second output, on disk. Only the renderer's thread uses it."""

    def write(self, events: Sequence[Event]) -> None: ...
    def close(self) -> None: ...


class _Order(Enum):
    """An order to the renderer's thread."""

    LEAVE_SCREEN = auto()
    CLOSE = auto()


# Events that belong together; an event to set, for `flush`; a change of the live view; or an order.
_Item: TypeAlias = "tuple[Event, ...] | threading.Event | Callable[[], None] | _Order"


class Renderer:
    """The only thread that writes to the terminal.

    It waits for its queue and stops at `close`, after it has written everything before.

    Args:
        output_format: the format.
        view: the same format on a terminal, where it can show a footer; None elsewhere.
    """

    def __init__(self, output_format: Format, view: LiveView | None = None) -> None:
        # The format on the screen, and its live view; None after `leave_screen`. Only the
        # renderer's thread changes them.
        self._format: Format | None = output_format
        self._view = view
        # A second output, on disk; None for none. It gets the events that come after it was set.
        self._journal: Journal | None = None
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        # Held after the first `close`, so that a second one queues no second end.
        self._closed = threading.Lock()
        # Set by the renderer's thread when nobody reads the output any more.
        self.output_gone = threading.Event()
        output_format.wake_by(self.emit)
        self._thread = threading.Thread(target=self._run, name="terralive-renderer", daemon=True)
        self._thread.start()

    @classmethod
    def start(cls, output: Output | None, stream: TextIO, errors: TextIO | None = None) -> Self:
        """Start a renderer that writes to `stream`.

        Args:
            output: the format; None for `rich` in a terminal and `plain` elsewhere.
            stream: receives the text or JSON.
            errors: receives errors in `rich` and `plain`; None for stderr.
        """
        errors = errors or sys.stderr
        if output is None:
            output = Output.RICH if stream.isatty() else Output.PLAIN
        if output is Output.JSON:
            return cls(JsonLines(stream))
        # `--help` shows no event, and does not wait for the text of all of them.
        if output is Output.PLAIN:
            from terralive_cli.output.formats.plain import Plain  # noqa: PLC0415  # heavy

            return cls(Plain(stream, errors))
        from terralive_cli.output.formats.rich import Rich  # noqa: PLC0415  # heavy

        stream_format = Rich(stream, errors)
        if not stream.isatty():
            return cls(stream_format)
        from terralive_cli.view.live_view import LiveView  # noqa: PLC0415  # heavy

        view = LiveView(stream_format)
        return cls(view, view)

    def emit(self, *events: Event) -> None:
        """Queue events; after `close` they are dropped.

        Text formats show the same warning only once for all events of one call.
        """
        self._queue.put(events)

    def keep(self, journal: Journal) -> None:
        """Also write the events that are emitted from now on to a journal."""
        self.flush()
        self._journal = journal

    def leave_screen(self) -> None:
        """Write everything before to the screen, and nothing from now on."""
        self._queue.put(_Order.LEAVE_SCREEN)
        self.flush()

    @property
    def has_view(self) -> bool:
        """Tell whether there is a live view."""
        return self._view is not None

    def change_view(self, change: Callable[[LiveView], None]) -> bool:
        """Have the renderer's thread change the live view, after all events before.

        Returns:
            False where there is no live view.
        """
        if self._view is None:
            return False
        self._queue.put(partial(change, self._view))
        return True

    def flush(self) -> None:
        """Wait until everything before is on the screen, at most a few seconds."""
        written = threading.Event()
        self._queue.put(written)
        if self._thread.is_alive():
            written.wait(_CLOSE_SECONDS)

    def close(self) -> None:
        """Write the rest and stop. A terminal that takes nothing is given up after some seconds."""
        if self._closed.acquire(blocking=False):
            self._queue.put(_Order.CLOSE)
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
        while True:
            item = self._queue.get()
            if item is _Order.CLOSE:
                break
            if item is _Order.LEAVE_SCREEN:
                self._leave_screen()
            elif isinstance(item, threading.Event):
                item.set()
            elif isinstance(item, tuple):
                self._write_events(item)
            else:
                self._write(item)
            if self._view is not None and self._queue.empty():
                self._write(self._view.draw)
        self._close_format()
        if self._journal is not None:
            with contextlib.suppress(OSError, ValueError):
                self._journal.close()

    def _leave_screen(self) -> None:
        self._close_format()
        self._format = None
        self._view = None
        self.output_gone.clear()

    def _close_format(self) -> None:
        if self._format is not None:
            with contextlib.suppress(OSError, ValueError):
                self._format.close()

    def _write_events(self, events: Sequence[Event]) -> None:
        if self._journal is not None and events:
            # A full disk takes nothing away from the screen. The next events may fit again.
            with contextlib.suppress(OSError, ValueError):
                self._journal.write(events)
        if self._format is not None:
            self._write(partial(self._format.write, events))

    def _write(self, write: Callable[[], None]) -> None:
        if self.output_gone.is_set():
            return
        try:
            write()
        except UnicodeEncodeError:
            return
        except (OSError, ValueError):  # a broken pipe, a closed stream, a full disk
            self.output_gone.set()
