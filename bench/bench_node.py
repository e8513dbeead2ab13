"""Compare terralive's Node.js bootstrap with aws-lambda-ric, and measure an edit of TypeScript.

Both clients run the same handler, which returns its event, behind the same pool, in turns on the
same machine. aws-lambda-ric runs without its native addon (official_client.mjs). The edit is one of
a handler that esbuild runs. Nothing is asserted about times.
Run: python bench/bench_node.py [--invocations 200] [--edits 10]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from common import show, show_title

from terralive_relay.code.watch import Watcher
from terralive_relay.pool.pool import Pool
from terralive_testing.drivers.workers import Recorder, invocation, local_function, save
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi

ROUNDS = 5
WARM_UPS = 20
ECHO = "exports.handler = async (event) => event\n"
HELPER = "export enum Kind { Small, Big }\nexport const kind = (n: number): Kind => n % 2\n"
EDITED = """import {{ kind }} from "./helper"
process.stdout.write("imported {0}\\n")
export const handler = async (event: object): Promise<number[]> => [{0}, kind({0})]
"""
# Between saving a file and using it.
THINKING_SECONDS = 1.0
PACKAGES = Path(sys.prefix) / "aws-lambda-ric" / "node_modules"
CLIENT = PACKAGES / "aws-lambda-ric" / "dist" / "index.mjs"
OFFICIAL = Path(__file__).with_name("official_client.mjs")


def function(folder: Path, node: str, files: dict[str, str]) -> LocalFunction:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return replace(local_function(folder), runtime="nodejs22.x", node=Path(node))


def invoke_ms(pool: Pool) -> tuple[float, bytes]:
    """Return the duration of one invocation, and its result."""
    began = time.perf_counter()
    outcome = pool.submit(invocation({"order": 1})).result().outcome
    took = (time.perf_counter() - began) * 1000
    assert outcome.ok, outcome.body
    return took, outcome.body


def measure_warm(local: LocalFunction, api: RuntimeApi, count: int) -> None:
    official = [str(local.node), str(OFFICIAL), str(CLIENT), local.handler]
    pools = [Pool(local, api, Recorder()), Pool(local, api, Recorder(), command=official)]
    durations: list[list[float]] = [[], []]
    for number in range(WARM_UPS + ROUNDS * count):
        for pool, measured in zip(pools, durations, strict=True):
            took, _ = invoke_ms(pool)
            if number >= WARM_UPS:
                measured.append(took)
    for pool in pools:
        pool.close()
    ours, theirs = (statistics.median(measured) for measured in durations)
    ratio = f"{ours / theirs:.2f} x aws-lambda-ric ({theirs:.2f} ms)"
    show("warm invocation of Node.js", f"{ours:.2f} ms", ratio)


def measure_edit(local: LocalFunction, api: RuntimeApi, edits: int) -> None:
    """Compare an invocation after an edit with a warm one."""
    sink = Recorder()
    pool = Pool(local, api, sink)
    watcher = Watcher((local,), lambda _name, _paths: pool.mark_stale())
    watcher.start()
    watcher.wait_ready(60)
    invoke_ms(pool)
    warm, edited, at_once, ready = [], [], [], []
    for number in range(edits):
        warm.append(invoke_ms(pool)[0])
        # The watcher sees the edit, and the pool starts a worker ahead.
        began = time.perf_counter()
        save(local.path / "app.ts", EDITED.format(number))
        sink.wait_for(f"imported {number}", seconds=60)
        ready.append((time.perf_counter() - began) * 1000)
        time.sleep(THINKING_SECONDS)
        took, result = invoke_ms(pool)
        assert result.startswith(f"[{number},".encode()), result
        edited.append(took)
        # No worker is started ahead: the invocation waits for esbuild, too.
        pool.mark_stale()
        at_once.append(invoke_ms(pool)[0])
    watcher.close()
    pool.close()
    warm_ms = statistics.median(warm)
    show(
        "edit of a TypeScript handler, added wait",
        f"{statistics.median(edited) - warm_ms:.1f} ms",
        f"over a warm invocation ({warm_ms:.1f} ms)",
    )
    show(
        "  without a worker that was started ahead",
        f"{statistics.median(at_once) - warm_ms:.0f} ms",
        f"from saving to a new worker {statistics.median(ready):.0f} ms",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--invocations", type=int, default=200, help="warm ones, in each round")
    parser.add_argument("--edits", type=int, default=10)
    options = parser.parse_args()
    show_title("A Node.js worker")
    node = shutil.which("node")
    if node is None or not CLIENT.is_file() or not (PACKAGES / "esbuild").is_dir():
        print("  Skipped: there is no node on PATH, or `make` has not installed aws-lambda-ric.")
        return
    api = RuntimeApi()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure_warm(function(folder / "warm", node, {"app.js": ECHO}), api, options.invocations)
        files = {"app.ts": EDITED.format(-1), "helper.ts": HELPER}
        local = function(folder / "edit", node, files)
        (local.path / "node_modules").symlink_to(PACKAGES)
        measure_edit(local, api, options.edits)
    api.close()


if __name__ == "__main__":
    main()
