"""What a relay takes after thousands of invocations: memory and threads have to be flat, and nothing may be left.

One relay, 20 functions, 50 callers at once; events and answers as the soak has them, from nothing
to 6 MB. Nothing is asserted.
Run: PYTHONPATH=tests python bench/bench_memory.py [--invocations 10000]
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from common import say
from lone_relay import LoneRelay, lone_relay

from terralive_testing.drivers.workers import local_function
from terralive_testing.soak.load import make_event
from terralive_workers.function import LocalFunction

FUNCTIONS, AT_ONCE = 20, 50
SHOWN = 10
SEED = 1
HANDLER = """
from random import Random

def handler(event, context):
    wanted = min(event.get("answer", 0), 6_291_000)
    return Random(event.get("n")).randbytes(wanted // 2 + 1).hex()[:wanted]
"""


def function(folder: Path) -> LocalFunction:
    folder.mkdir()
    return replace(local_function(folder, HANDLER, max_workers=AT_ONCE), name=folder.name)


def load(relay: LoneRelay, wanted: int) -> None:
    """Call `wanted` times; say now and then what the relay takes."""
    numbers = itertools.count(1)
    done = itertools.count(1)
    asking = threading.Lock()  # guards the two counts, and the relay's answers

    def call(caller: int) -> None:
        while True:
            with asking:
                number = next(numbers)
            if number > wanted:
                return
            relay.ask(f"f{caller % FUNCTIONS}", make_event(SEED, number, asynchronous=False))
            with asking:
                count = next(done)
                if count % max(1, wanted // SHOWN) == 0:
                    taken = relay.takes()
                    say(
                        f"after {count:,} invocations",
                        f"{taken.megabytes:.0f} MB",
                        f"{taken.threads} threads",
                    )

    with ThreadPoolExecutor(AT_ONCE) as callers:
        for ended in as_completed([callers.submit(call, number) for number in range(AT_ONCE)]):
            ended.result()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--invocations", type=int, default=10_000)
    options = parser.parse_args()
    print(f"A relay's memory, on {os.cpu_count()} processors, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as name:
        functions = tuple(function(Path(name) / f"f{number}") for number in range(FUNCTIONS))
        with lone_relay(functions) as relay:
            relay.takes()
            load(relay, options.invocations)
    say("left after closing", relay.left or "nothing")


if __name__ == "__main__":
    main()
