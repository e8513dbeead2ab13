"""What a developer waits for: a warm invocation, an edit, a cold start, many at once; and what a relay at rest takes.

Every figure stands beside one of something else, measured in the same run. The warm invocation goes
through a whole relay, from its WebSocket and back to it; a program in this process plays the debug
stack. Nothing is asserted of times.
Run: PYTHONPATH=tests python bench/bench_reload.py [--rounds 20] [--idle 20]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from common import say
from lone_relay import lone_relay

from terralive_relay.code.watch import Watcher
from terralive_relay.pool.pool import Pool
from terralive_testing.drivers.workers import PYTHON, Recorder, invocation, local_function
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api import RuntimeApi

NOOP = "def handler(event, context): return event"
BURN_SECONDS = 0.05
BURN = f"""
    import time
    def handler(event, context):
        end = time.process_time() + {BURN_SECONDS}
        while time.process_time() < end:
            pass
    """
AT_ONCE = 100
FUNCTIONS, FILES = 20, 20_000
SETTLE_SECONDS = 5
THOUGHT_SECONDS = 1.0  # between saving a file and using it
WARM_UPS = 20


def function(
    folder: Path,
    code: str = NOOP,
    name: str = "orders",
    *,
    command: tuple[str, ...] = (),
    max_workers: int = 4,
) -> LocalFunction:
    folder.mkdir(parents=True, exist_ok=True)
    return replace(
        local_function(folder, code), name=name, command=command, max_workers=max_workers
    )


def warm(folder: Path, rounds: int) -> None:
    official = (str(PYTHON), "-m", "awslambdaric", "app.handler")
    functions = (function(folder, name="ours"), function(folder, name="official", command=official))
    durations: dict[str, list[float]] = {each.name: [] for each in functions}
    with lone_relay(functions) as relay:
        for number in range(WARM_UPS + rounds * 20):
            for name, took in durations.items():
                once = relay.ask(name, {"order": 1})
                if number >= WARM_UPS:
                    took.append(once)
    ours, theirs = (statistics.median(took) for took in durations.values())
    say(
        "warm invocation, message in to message out",
        f"{ours:.2f} ms",
        f"{ours / theirs:.2f} x awslambdaric ({theirs:.2f} ms)",
    )


def timed(pool: Pool) -> tuple[float, object]:
    began = time.perf_counter()
    outcome = pool.submit(invocation()).result().outcome
    assert outcome.ok, outcome.body
    return (time.perf_counter() - began) * 1000, json.loads(outcome.body)


def edit(folder: Path, rounds: int) -> None:
    sink, api = Recorder(), RuntimeApi()
    code = "import boto3\nprint('imported {0}')\ndef handler(event, context): return {0}"
    local = function(folder, code.format(-1))
    pool = Pool(local, api, sink)
    watcher = Watcher((local,), lambda _name, _paths: pool.mark_stale())
    watcher.start()
    watcher.wait_ready(60)
    timed(pool)
    calls, edited, ready, cold = [], [], [], []
    for number in range(rounds):
        calls.append(timed(pool)[0])
        began = time.perf_counter()
        (folder / "app.py").write_text(code.format(number))
        sink.wait_for(f"imported {number}", seconds=60)
        ready.append((time.perf_counter() - began) * 1000)
        time.sleep(max(0.0, THOUGHT_SECONDS - ready[-1] / 1000))
        took, answer = timed(pool)
        assert answer == number
        edited.append(took)
        pool.mark_stale()  # a worker begins now: what an invocation without warming would wait for
        cold.append(timed(pool)[0])
    watcher.close()
    pool.close()
    api.close()
    call, after, without, seen = (statistics.median(took) for took in (calls, edited, cold, ready))
    say(
        "edit of a handler that imports boto3, added wait",
        f"{after - call:.1f} ms",
        f"over a warm call ({call:.1f} ms)",
    )
    say("  without warming", f"{without - call:.1f} ms", f"saved to warmed {seen:.0f} ms")


def cold(folder: Path, rounds: int) -> None:
    api = RuntimeApi()
    local = function(folder)
    bare, whole = [], []
    for number in range(rounds + 1):
        began = time.perf_counter()
        subprocess.run([PYTHON, "-c", "import app"], cwd=folder, check=True)
        alone = (time.perf_counter() - began) * 1000
        pool = Pool(local, api, lambda _: None)
        took = timed(pool)[0]
        pool.close()
        if number:
            bare.append(alone)
            whole.append(took)
    api.close()
    mine, theirs = statistics.median(whole), statistics.median(bare)
    say(
        "cold start to the first answer, added",
        f"{mine - theirs:.0f} ms",
        f'over python -c "import handler" ({theirs:.0f} ms)',
    )


def burn(_: int) -> None:
    end = time.process_time() + BURN_SECONDS
    while time.process_time() < end:
        pass


def at_once(folder: Path, rounds: int) -> None:
    cores = os.cpu_count() or 1
    api = RuntimeApi()
    pools: dict[str, Pool] = {}
    for name, code in (
        ("burns", BURN),
        ("sleeps", f"import time\ndef handler(event, context): time.sleep({BURN_SECONDS})"),
    ):
        pools[name] = Pool(function(folder / name, code, max_workers=AT_ONCE), api, lambda _: None)

    def together(pool: Pool) -> float:
        began = time.perf_counter()
        for future in [pool.submit(invocation(seconds=300)) for _ in range(AT_ONCE)]:
            assert future.result().outcome.ok
        return time.perf_counter() - began

    def bare(processes: Callable[..., object]) -> float:
        began = time.perf_counter()
        processes(burn, range(AT_ONCE), chunksize=1)
        return time.perf_counter() - began

    with multiprocessing.get_context("spawn").Pool(cores) as processes:
        bare(processes.map)
        together(pools["burns"])
        both = [(bare(processes.map), together(pools["burns"])) for _ in range(rounds)]
    together(pools["sleeps"])
    slept = statistics.median(together(pools["sleeps"]) for _ in range(rounds))
    for pool in pools.values():
        pool.close()
    api.close()
    ideal, ours = (statistics.median(column) for column in zip(*both, strict=True))
    what = f"{AT_ONCE} at once, {BURN_SECONDS * 1000:.0f} ms of CPU each"
    possible = cores / BURN_SECONDS
    beside = f"{AT_ONCE / ours / possible:.0%} of what {cores} cores can ({possible:.0f}/s)"
    say(
        what,
        f"{AT_ONCE / ours:.0f}/s",
        f"{beside}; {cores} bare processes: {AT_ONCE / ideal:.0f}/s",
    )
    say("  of handlers that sleep as long", f"{slept * 1000:.0f} ms", f"for all {AT_ONCE}")


def idle(folder: Path, seconds: float) -> None:
    functions = tuple(
        function(folder / f"f{number}", name=f"f{number}") for number in range(FUNCTIONS)
    )
    for number in range(FILES):
        file = (
            folder / f"f{number % FUNCTIONS}" / f"pkg{number % 1000 // FUNCTIONS}" / f"m{number}.py"
        )
        file.parent.mkdir(exist_ok=True)
        file.write_text("x = 1\n")
    with lone_relay(functions) as relay:
        time.sleep(SETTLE_SECONDS)
        before = relay.takes()
        time.sleep(seconds)
        after = relay.takes()
    what = f"relay at rest, {FUNCTIONS} functions in {FILES:,} files"
    share = (after.cpu_seconds - before.cpu_seconds) / seconds
    say(what, f"{after.megabytes:.0f} MB", f"{share:.2%} of a core")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="of every measurement")
    parser.add_argument("--idle", type=float, default=20, help="seconds of rest that are looked at")
    options = parser.parse_args()
    print(f"Local execution, on {os.cpu_count()} processors, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warm(folder / "warm", options.rounds)
        edit(folder / "edit", options.rounds)
        cold(folder / "cold", options.rounds)
        at_once(folder / "at-once", max(3, options.rounds // 5))
        idle(folder / "idle", options.idle)


if __name__ == "__main__":
    main()
