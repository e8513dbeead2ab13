"""How much a warm invocation costs beyond the handler, by terralive's bootstrap and by awslambdaric.

Both run the same handler, that returns its event, behind the same pool on the same machine in the
same minute; what counts is the ratio. Run: python bench/bench_worker.py [invocations]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from terralive_relay.pool.pool import Pool
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api import RuntimeApi

ROUNDS = 5


def invocation(number: int, event: bytes) -> Invocation:
    return Invocation(
        f"request-{number}", "echo", "arn", Deadline.after(60, now=time.monotonic()), event
    )


def warm_ms(pool: Pool, count: int, event: bytes) -> float:
    """The median duration of an invocation, from handing it in to having its result."""
    durations = []
    for number in range(count):
        began = time.perf_counter()
        assert pool.submit(invocation(number, event)).result().outcome.ok
        durations.append((time.perf_counter() - began) * 1000)
    return statistics.median(durations)


def cold_ms(function: LocalFunction, api: RuntimeApi, command: Sequence[str] | None) -> float:
    pool = Pool(function, api, lambda _: None, command=command)
    began = time.perf_counter()
    assert pool.submit(invocation(0, b"{}")).result().outcome.ok
    elapsed = (time.perf_counter() - began) * 1000
    pool.close()
    return elapsed


def main(count: int) -> None:
    api = RuntimeApi()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text("def handler(event, context):\n    return event\n")
        python = Path(sys.executable)
        function = LocalFunction(
            name="echo",
            address="echo",
            runtime="python3.12",
            handler="app.handler",
            path=Path(folder),
            python=python,
        )
        official = [str(python), "-m", "awslambdaric", function.handler]
        ours, theirs = (
            Pool(function, api, lambda _: None, command=command) for command in (None, official)
        )
        for name, event in (("2 B", b"{}"), ("1 MB", b'"' + b"x" * 1_000_000 + b'"')):
            pairs = [
                (warm_ms(ours, count, event), warm_ms(theirs, count, event)) for _ in range(ROUNDS)
            ]
            mine, official_ms = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(
                f"warm, {name}: {mine:.3f} ms, {mine / official_ms:.2f} x awslambdaric ({official_ms:.3f} ms)"
            )
        ours.close()
        theirs.close()
        pairs = [
            (cold_ms(function, api, None), cold_ms(function, api, official)) for _ in range(ROUNDS)
        ]
        mine, official_ms = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"cold: {mine:.1f} ms, {mine / official_ms:.2f} x awslambdaric ({official_ms:.1f} ms)"
        )
    api.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
