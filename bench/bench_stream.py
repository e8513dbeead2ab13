"""Measure what an event of the stream costs on its way to the terminal.

50 invocations at once write 5,000 lines. `emit` is what the relay's threads pay; the processor time
is what the renderer's thread takes from them. Nothing is asserted.
Run: python bench/bench_stream.py [--lines 5000]
"""

from __future__ import annotations

import argparse
import io
import os
import time
from collections.abc import Iterator

from common import show, show_title

from terralive_cli.configuration.values import Output
from terralive_cli.output.events import LiveFunction, Ready
from terralive_cli.output.renderer import Renderer
from terralive_relay.events import (
    Delivered,
    Event,
    InvocationFinished,
    InvocationStarted,
    LogLine,
)

INVOCATIONS = 50
FUNCTIONS = 8
MICROSECONDS = 1e6


class Screen(io.StringIO):
    """A terminal, as far as rich asks."""

    def isatty(self) -> bool:
        return True


def stream_of(lines: int) -> Iterator[Event]:
    """Yield the events of interleaving invocations that write so many lines together."""
    names = [f"shop-dev-f{number}" for number in range(FUNCTIONS)]
    functions = (LiveFunction(name, "a", "python3.12", "h", "/code") for name in names)
    yield Ready("dev", tuple(functions), region="eu-west-1")
    pairs = [(f"{n:04x}{'a' * 32}", names[n % FUNCTIONS]) for n in range(INVOCATIONS)]
    for request_id, name in pairs:
        yield InvocationStarted(request_id, name, "http", "GET /orders?page=2")
    for number in range(lines):
        request_id, name = pairs[number % INVOCATIONS]
        stamp = f"[INFO]\t2026-01-01T00:00:00.000Z\t{request_id}\t"
        yield LogLine(request_id, name, f"{stamp}stored order {number} of a customer")
    for request_id, name in pairs:
        yield InvocationFinished(
            request_id, name, ok=True, error_type="", handler_ms=12.0, status=200
        )
        yield Delivered(request_id, name, 45.0)


def measure(output: Output, events: list[Event]) -> tuple[float, float]:
    """Return what one event costs its emitter, and the whole process, in microseconds."""
    screen = Screen()
    begun, used = time.perf_counter(), time.process_time()
    renderer = Renderer.start(output, screen, screen)
    for event in events:
        renderer.emit(event)
    emitted = time.perf_counter() - begun
    renderer.close()
    used = time.process_time() - used
    return emitted / len(events) * MICROSECONDS, used / len(events) * MICROSECONDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=5000)
    lines = parser.parse_args().lines
    os.environ["COLUMNS"] = "80"
    events = list(stream_of(lines))
    show_title(f"{INVOCATIONS} invocations at once, {len(events)} events, 80 columns")
    json_emitted, json_used = measure(Output.JSON, events)
    show("json: processor time of an event", f"{json_used:.0f} µs", f"emit {json_emitted:.1f} µs")
    for output in (Output.PLAIN, Output.RICH):
        emitted, used = measure(output, events)
        show(
            f"{output}: processor time of an event",
            f"{used:.0f} µs",
            f"{used / json_used:.1f} x json; emit {emitted:.1f} µs",
        )


if __name__ == "__main__":
    main()
