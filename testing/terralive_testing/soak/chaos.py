"""Random faults from a seed, one every few seconds, as long as the load goes on."""

from __future__ import annotations

import threading
from collections import Counter
from random import Random

import httpx

from terralive_testing.deployers.faults import Faults

_PAUSE_SECONDS = (1.0, 4.0)
_STAGES = ("relay", "relay", "relay", "stub", "*")


class Chaos:
    """Causes faults until it is stopped.

    Attributes:
        done: the number of faults, by kind.
        acted: the number of times that rules acted, by kind.

    Args:
        faults: the faults of the sandbox.
        seed: the seed of the random choices.
        broker: the name of the broker's function.
        functions: a glob of the functions under soak, which Lambda itself may throttle.
    """

    def __init__(self, faults: Faults, *, seed: int, broker: str, functions: str) -> None:
        self.done: Counter[str] = Counter()
        self.acted: Counter[str] = Counter()
        self._faults, self._broker, self._functions = faults, broker, functions
        self._random = Random(f"{seed}-chaos")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop, and remove all rules."""
        self._over.set()
        self._thread.join()
        self._settle()

    def _run(self) -> None:
        while not self._over.wait(self._random.uniform(*_PAUSE_SECONDS)):
            try:
                self._next()
            except httpx.HTTPError:  # the sandbox is too busy to answer, which is a fault, too
                self.done["faults that were not answered"] += 1

    def _next(self) -> None:
        self._settle()
        random = self._random
        match random.choices(
            ("drop", "expire", "messages", "broker", "throttle"), (35, 5, 40, 15, 5)
        )[0]:
            case "drop":
                dropped = self._faults.drop_connections(stage=random.choice(_STAGES))
                self.done["drops"] += 1
                self.done["connections dropped"] += dropped
            case "expire":
                self.done["connections expired"] += self._faults.expire_connections(
                    stage=random.choice(_STAGES)
                )
            case "messages":
                self._messages()
            case "broker":
                kind = random.choice(("fail", "throttle"))
                self._set(
                    f"broker {kind}", kind, function=self._broker, times=random.randint(3, 30)
                )
            case _:
                self._set(
                    "Lambda throttles",
                    "throttle",
                    function=self._functions,
                    times=random.randint(1, 5),
                )

    def _messages(self) -> None:
        """Set two kinds of faults of messages at once."""
        random = self._random
        for kind in random.sample(("duplicate", "reorder", "delay", "drop"), 2):
            times = random.randint(5, 40)
            if kind == "drop":
                times = random.randint(2, 20)
            late = {}
            if kind in {"reorder", "delay"}:
                late = {"seconds": random.uniform(0.05, 1.5)}
            self._set(f"messages: {kind}", kind, times=times, stage=random.choice(_STAGES), **late)

    def _set(self, what: str, kind: str, **others: str | float | None) -> None:
        self._faults.set(kind, **others)
        self.done[what] += 1

    def _settle(self) -> None:
        """Count how often the rules have acted, and remove them."""
        for rule in self._faults.listed():
            kind = str(rule["kind"])
            if rule["function"] == self._broker:
                kind = f"broker {kind}"
            self.acted[kind] += int(str(rule["acts"]))
        self._faults.clear()
