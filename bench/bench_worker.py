"""Compare terralive's Python bootstrap with awslambdaric: a warm invocation, and a cold start.

Both run the same handler, which returns its event, behind the same pool, in turns on the same
machine. The figure that counts is the ratio. Nothing is asserted about times.
Run: python bench/bench_worker.py [--invocations 200]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from common import show, show_title

from terralive_relay.pool.pool import Pool
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation
from terralive_testing.drivers.workers import local_function
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi

ROUNDS = 5
HANDLER = "def handler(event, context):\n    return event\n"
EVENTS = {"2 B": b"{}", "1 MB": b'"' + b"x" * 1_000_000 + b'"'}


def invoke_ms(pool: Pool, event: bytes) -> float:
    """Return the duration of one invocation, from handing it to the pool to its result."""
    deadline = Deadline.after(60, now=time.monotonic())
    invocation = Invocation("request", "echo", "arn", deadline, event)
    began = time.perf_counter()
    result = pool.submit(invocation).result()
    took = time.perf_counter() - began
    assert result.outcome.ok, result.outcome.body
    return took * 1000


def warm_ms(pool: Pool, count: int, event: bytes) -> float:
    """Return the median duration of so many invocations."""
    return statistics.median(invoke_ms(pool, event) for _ in range(count))


def cold_ms(function: LocalFunction, api: RuntimeApi, command: Sequence[str] | None) -> float:
    """Return the duration of the first invocation of a new pool, which starts a worker."""
    pool = Pool(function, api, lambda _: None, command=command)
    took = invoke_ms(pool, b"{}")
    pool.close()
    return took


def show_ratio(name: str, ours: list[float], official: list[float]) -> None:
    ours_ms = statistics.median(ours)
    official_ms = statistics.median(official)
    ratio = f"{ours_ms / official_ms:.2f} x awslambdaric ({official_ms:.2f} ms)"
    show(name, f"{ours_ms:.2f} ms", ratio)


def measure_warm(function: LocalFunction, api: RuntimeApi, official: list[str], count: int) -> None:
    our_pool = Pool(function, api, lambda _: None)
    official_pool = Pool(function, api, lambda _: None, command=official)
    for size, event in EVENTS.items():
        ours, officials = [], []
        for _ in range(ROUNDS):
            ours.append(warm_ms(our_pool, count, event))
            officials.append(warm_ms(official_pool, count, event))
        show_ratio(f"warm invocation, event of {size}", ours, officials)
    our_pool.close()
    official_pool.close()


def measure_cold(function: LocalFunction, api: RuntimeApi, official: list[str]) -> None:
    ours, officials = [], []
    for _ in range(ROUNDS):
        ours.append(cold_ms(function, api, None))
        officials.append(cold_ms(function, api, official))
    show_ratio("cold start to the first answer", ours, officials)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--invocations", type=int, default=200, help="warm ones, in each round")
    options = parser.parse_args()
    show_title("A worker")
    api = RuntimeApi()
    with tempfile.TemporaryDirectory() as folder:
        function = local_function(Path(folder), HANDLER)
        official = [sys.executable, "-m", "awslambdaric", function.handler]
        measure_warm(function, api, official, options.invocations)
        measure_cold(function, api, official)
    api.close()


if __name__ == "__main__":
    main()
