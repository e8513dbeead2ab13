"""Measure what a fallback adds to an invocation, in a sandbox with the real stub and broker.

The same code is invoked in turns: directly (the version), and through the stub, which finds no
relay and has that version answer. Connections are kept alive, environments are warm.
Run: python bench/bench_fallback.py [--invocations 100] [--handler-ms 0 50 200]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from common import show, show_title, summarize

from terralive_testing.deployers import fallbacks
from terralive_testing.deployers.sandbox import Aws, running_sandbox
from terralive_testing.deployers.stage import deploy

SOURCE = """
import time

def handler(event, context):
    time.sleep(event["seconds"])
    return "deployed"
"""
WARM_UPS = 5


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--invocations", type=int, default=100)
    parser.add_argument("--handler-ms", type=int, nargs="+", default=[0, 50, 200])
    options = parser.parse_args()
    show_title(f"{options.invocations} invocations, directly and by the fallback")
    with tempfile.TemporaryDirectory() as name, running_sandbox(Path(name)) as info:
        aws = Aws(info, checked=False)
        stage = deploy(aws, Path(name) / "zips", {})
        live = fallbacks.deploy(aws, stage, Path(name) / "zips", SOURCE)
        for handler_ms in options.handler_ms:
            measure(aws, live, handler_ms, options.invocations)


def measure(aws: Aws, live: fallbacks.WithFallback, handler_ms: int, invocations: int) -> None:
    """Measure one duration of the handler, and print its figures."""
    direct: list[float] = []
    by_fallback: list[float] = []
    for number in range(WARM_UPS + invocations):
        times = (
            invoke(aws, f"{live.arn}:{live.version}", handler_ms),
            invoke(aws, live.arn, handler_ms),
        )
        if number >= WARM_UPS:
            direct.append(times[0])
            by_fallback.append(times[1])
    without, with_stub = summarize(direct), summarize(by_fallback)
    added_ms = with_stub.median_ms - without.median_ms
    show(
        f"a handler of {handler_ms} ms, by the fallback",
        f"{with_stub.median_ms:.1f} ms",
        f"{with_stub.median_ms / without.median_ms:.2f} x directly ({without.median_ms:.1f} ms), "
        f"{added_ms:.1f} ms more",
    )


def invoke(aws: Aws, name: str, handler_ms: int) -> float:
    """Invoke a function, and return the time in seconds."""
    began = time.perf_counter()
    answer = aws.lambda_.invoke(
        FunctionName=name, Payload=f'{{"seconds": {handler_ms / 1000}}}'.encode()
    )
    body = answer["Payload"].read()
    taken = time.perf_counter() - began
    if body != b'"deployed"':
        raise SystemExit(f"an answer is wrong: {body!r}")
    return taken


if __name__ == "__main__":
    main()
