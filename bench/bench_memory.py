"""Measure the memory and the threads of a relay over thousands of invocations: both must stay flat.

One relay serves 20 functions for 50 callers at once. Events and results are those of the soak, from
nothing to 6 MB. In the end, nothing may be left. Nothing is asserted.
Run: python bench/bench_memory.py [--invocations 10000]
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from common import show, show_title
from lone_relay import LoneRelay, lone_relay

from terralive_testing.drivers.workers import local_function
from terralive_testing.soak.load import make_event
from terralive_workers.function import LocalFunction

FUNCTIONS = 20
CALLERS = 50
# The number of figures that are printed on the way.
LINES = 10
SEED = 1
HANDLER = """
from random import Random

def handler(event, context):
    wanted = min(event.get("answer", 0), 6_291_000)
    return Random(event.get("n")).randbytes(wanted // 2 + 1).hex()[:wanted]
"""


def function(folder: Path) -> LocalFunction:
    folder.mkdir()
    return replace(
        local_function(folder, HANDLER, max_workers=CALLERS), name=folder.name, arn=folder.name
    )


def load(relay: LoneRelay, wanted: int) -> None:
    """Send so many invocations, and print the relay's usage on the way."""
    numbers = itertools.count(1)
    finished = itertools.count(1)
    line_every = max(1, wanted // LINES)
    # Guards both counters, and the pipe to the relay's process.
    lock = threading.Lock()

    def call(caller: int) -> None:
        while True:
            with lock:
                number = next(numbers)
            if number > wanted:
                return
            relay.ask(f"f{caller % FUNCTIONS}", make_event(SEED, number, asynchronous=False))
            with lock:
                count = next(finished)
                if count % line_every == 0:
                    usage = relay.usage()
                    megabytes = f"{usage.megabytes:.0f} MB"
                    show(f"after {count:,} invocations", megabytes, f"{usage.threads} threads")

    with ThreadPoolExecutor(CALLERS) as callers:
        for caller in as_completed([callers.submit(call, number) for number in range(CALLERS)]):
            caller.result()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--invocations", type=int, default=10_000)
    options = parser.parse_args()
    show_title("The memory of a relay")
    with tempfile.TemporaryDirectory() as name:
        functions = tuple(function(Path(name) / f"f{number}") for number in range(FUNCTIONS))
        with lone_relay(functions) as relay:
            relay.usage()
            load(relay, options.invocations)
    show("left after the relay has stopped", relay.left or "nothing")


if __name__ == "__main__":
    main()
