"""Measure what a developer waits for: a warm invocation, an edit, a cold start, many at once.

It also measures a relay at rest. Every figure stands beside another one that is measured in the
same run. The warm invocation goes through a whole relay, from its WebSocket and back to it; this
process plays the debug stack (lone_relay.py). Nothing is asserted about times.
Run: python bench/bench_reload.py [--rounds 20] [--idle 20]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.pool
import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from common import show, show_title
from lone_relay import lone_relay

from terralive_relay.code.watch import Watcher
from terralive_relay.pool.pool import Pool
from terralive_testing.drivers.workers import PYTHON, Recorder, invocation, local_function
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi

NOOP = "def handler(event, context): return event"
BURN_SECONDS = 0.05
BURN = f"""
    import time
    def handler(event, context):
        end = time.process_time() + {BURN_SECONDS}
        while time.process_time() < end:
            pass
    """
SLEEP = f"""
    import time
    def handler(event, context): time.sleep({BURN_SECONDS})
    """
EDITED = "import boto3\nprint('imported {0}')\ndef handler(event, context): return {0}"
AT_ONCE = 100
# A relay at rest: so many functions, and so many files in all.
FUNCTIONS = 20
FILES = 20_000
PACKAGES_PER_FUNCTION = 50
SETTLE_SECONDS = 5
# Between saving a file and using it.
THINKING_SECONDS = 1.0
WARM_UPS = 20
# A warm invocation is measured so many times in each round.
INVOCATIONS_PER_ROUND = 20


def function(
    folder: Path,
    code: str = NOOP,
    name: str = "orders",
    *,
    command: tuple[str, ...] = (),
    max_workers: int = 4,
) -> LocalFunction:
    folder.mkdir(parents=True, exist_ok=True)
    local = local_function(folder, code, max_workers=max_workers)
    return replace(local, name=name, arn=name, command=command)


def invoke(pool: Pool) -> tuple[float, object]:
    """Return the duration of one invocation in milliseconds, and its result."""
    began = time.perf_counter()
    outcome = pool.submit(invocation()).result().outcome
    took = (time.perf_counter() - began) * 1000
    assert outcome.ok, outcome.body
    return took, json.loads(outcome.body)


def measure_warm(folder: Path, rounds: int) -> None:
    """Compare a warm invocation through a relay with the same through awslambdaric."""
    official = (str(PYTHON), "-m", "awslambdaric", "app.handler")
    functions = (function(folder, name="ours"), function(folder, name="official", command=official))
    durations: dict[str, list[float]] = {each.name: [] for each in functions}
    with lone_relay(functions) as relay:
        for number in range(WARM_UPS + rounds * INVOCATIONS_PER_ROUND):
            for name, measured in durations.items():
                took = relay.ask(name, {"order": 1})
                if number >= WARM_UPS:
                    measured.append(took)
    ours = statistics.median(durations["ours"])
    theirs = statistics.median(durations["official"])
    ratio = f"{ours / theirs:.2f} x awslambdaric ({theirs:.2f} ms)"
    show("warm invocation, message in to message out", f"{ours:.2f} ms", ratio)


def measure_edit(folder: Path, rounds: int) -> None:
    """Compare an invocation after an edit, with and without warming, with a warm one."""
    sink = Recorder()
    api = RuntimeApi()
    local = function(folder, EDITED.format(-1))
    pool = Pool(local, api, sink)
    watcher = Watcher((local,), lambda _name, _paths: pool.mark_stale())
    watcher.start()
    watcher.wait_ready(60)
    invoke(pool)
    warm, edited, ready, cold = [], [], [], []
    for number in range(rounds):
        took, _ = invoke(pool)
        warm.append(took)

        # Save a file. The watcher sees it, and the pool starts a worker ahead.
        began = time.perf_counter()
        (folder / "app.py").write_text(EDITED.format(number))
        sink.wait_for(f"imported {number}", seconds=60)
        ready_seconds = time.perf_counter() - began
        ready.append(ready_seconds * 1000)
        time.sleep(max(0.0, THINKING_SECONDS - ready_seconds))
        took, result = invoke(pool)
        assert result == number
        edited.append(took)

        # A worker begins to start now. The invocation waits for it, as it would after every edit if
        # no worker were started ahead.
        pool.mark_stale()
        took, _ = invoke(pool)
        cold.append(took)
    watcher.close()
    pool.close()
    api.close()
    warm_ms = statistics.median(warm)
    show(
        "edit of a handler that imports boto3, added wait",
        f"{statistics.median(edited) - warm_ms:.1f} ms",
        f"over a warm invocation ({warm_ms:.1f} ms)",
    )
    show(
        "  without a worker that was started ahead",
        f"{statistics.median(cold) - warm_ms:.1f} ms",
        f"from saving to a new worker {statistics.median(ready):.0f} ms",
    )


def measure_cold(folder: Path, rounds: int) -> None:
    """Compare a cold start with a Python that imports the handler and nothing else."""
    api = RuntimeApi()
    local = function(folder)
    bare, whole = [], []
    for number in range(rounds + 1):
        began = time.perf_counter()
        subprocess.run([PYTHON, "-c", "import app"], cwd=folder, check=True)
        bare_ms = (time.perf_counter() - began) * 1000
        pool = Pool(local, api, lambda _: None)
        took, _ = invoke(pool)
        pool.close()
        if number > 0:  # the first round reads files that are not in the system's cache yet
            bare.append(bare_ms)
            whole.append(took)
    api.close()
    ours = statistics.median(whole)
    alone = statistics.median(bare)
    beside = f'over python -c "import handler" ({alone:.0f} ms)'
    show("cold start to the first result, added", f"{ours - alone:.0f} ms", beside)


def burn(_: int) -> None:
    """Use as much CPU as one invocation of `BURN`."""
    end = time.process_time() + BURN_SECONDS
    while time.process_time() < end:
        pass


def burn_bare(processes: multiprocessing.pool.Pool) -> float:
    """Return the seconds that bare processes take for `AT_ONCE` times the work."""
    began = time.perf_counter()
    processes.map(burn, range(AT_ONCE), chunksize=1)
    return time.perf_counter() - began


def invoke_at_once(pool: Pool) -> float:
    """Return the seconds that `AT_ONCE` invocations take that are handed in at the same time."""
    began = time.perf_counter()
    futures = [pool.submit(invocation(seconds=300)) for _ in range(AT_ONCE)]
    for future in futures:
        assert future.result().outcome.ok
    return time.perf_counter() - began


def measure_at_once(folder: Path, rounds: int) -> None:
    """Compare many invocations at once with bare processes, and with what the cores can do."""
    cores = os.cpu_count() or 1
    api = RuntimeApi()
    burning = Pool(function(folder / "burns", BURN, max_workers=AT_ONCE), api, lambda _: None)
    sleeping = Pool(function(folder / "sleeps", SLEEP, max_workers=AT_ONCE), api, lambda _: None)
    bare, burned, slept = [], [], []
    with multiprocessing.get_context("spawn").Pool(cores) as processes:
        burn_bare(processes)  # warm up
        invoke_at_once(burning)
        for _ in range(rounds):
            bare.append(burn_bare(processes))
            burned.append(invoke_at_once(burning))
    invoke_at_once(sleeping)
    for _ in range(rounds):
        slept.append(invoke_at_once(sleeping))
    for pool in (burning, sleeping):
        pool.close()
    api.close()
    rate = AT_ONCE / statistics.median(burned)
    bare_rate = AT_ONCE / statistics.median(bare)
    possible = cores / BURN_SECONDS
    show(
        f"{AT_ONCE} at once, {BURN_SECONDS * 1000:.0f} ms of CPU each",
        f"{rate:.0f}/s",
        f"{rate / possible:.0%} of what {cores} cores can do ({possible:.0f}/s); "
        f"{cores} bare processes: {bare_rate:.0f}/s",
    )
    show(
        "  of handlers that sleep as long",
        f"{statistics.median(slept) * 1000:.0f} ms",
        f"for all {AT_ONCE}",
    )


def write_files(folder: Path) -> None:
    """Write `FILES` small files, in the same number of packages for every function."""
    for number in range(FILES):
        code_folder = folder / f"f{number % FUNCTIONS}"
        package = code_folder / f"pkg{number // FUNCTIONS % PACKAGES_PER_FUNCTION}"
        package.mkdir(exist_ok=True)
        (package / f"m{number}.py").write_text("x = 1\n")


def measure_idle(folder: Path, seconds: float) -> None:
    """Measure a relay that has nothing to do but watch many files."""
    functions = []
    for number in range(FUNCTIONS):
        functions.append(function(folder / f"f{number}", name=f"f{number}"))
    write_files(folder)
    with lone_relay(tuple(functions)) as relay:
        time.sleep(SETTLE_SECONDS)
        before = relay.usage()
        time.sleep(seconds)
        after = relay.usage()
    share = (after.cpu_seconds - before.cpu_seconds) / seconds
    show(
        f"relay at rest, {FUNCTIONS} functions in {FILES:,} files",
        f"{after.megabytes:.0f} MB",
        f"{share:.2%} of a core",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="of every measurement")
    parser.add_argument("--idle", type=float, default=20, help="seconds of rest to measure")
    options = parser.parse_args()
    show_title("Local execution")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure_warm(folder / "warm", options.rounds)
        measure_edit(folder / "edit", options.rounds)
        measure_cold(folder / "cold", options.rounds)
        measure_at_once(folder / "at-once", max(3, options.rounds // 5))
        measure_idle(folder / "idle", options.idle)


if __name__ == "__main__":
    main()
