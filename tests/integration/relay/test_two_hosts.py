"""A relay on one host, its debug stack on another, and a faulty network of the kernel's between.

Each laptop has a stage of its own in the one sandbox, so that what takes long happens to all of
them at once.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from pprint import pformat
from urllib.parse import urlsplit

import pytest

from terralive_testing.deployers.sandbox import Aws, running_sandbox
from terralive_testing.deployers.stage import Stage, deploy
from terralive_testing.drivers.relay_process import RelayProcess, relay_process
from terralive_testing.machine.hosts import CLOUD, Link, forwarder, hosts
from terralive_testing.machine.waiting import eventually

pytestmark = pytest.mark.timeout(180)

TIMEOUTS = {"hasty": 8, "patient": 100}
# "Within seconds of being back", on a machine that is busy with other tests: sooner than a ping
# would find out.
BACK_SECONDS = 30
FORGIVEN_SECONDS = 10  # a connection that is lost for longer ends what waits for it, by name
# Some messages of an event that hardly compresses; each of them is a broker's work.
LARGE = os.urandom(200_000).hex()
HANDLER = """
import os, time

def handler(event, context):
    with open(event["ledger"], "a") as ledger:
        ledger.write(f"{context.aws_request_id} {event['until']}\\n")
    while event["until"] and not os.path.exists(event["until"]):
        time.sleep(0.02)
    return "done"
"""


@dataclass
class Laptop:
    link: Link
    stage: Stage
    relay: RelayProcess
    aws: Aws
    folder: Path
    callers: ThreadPoolExecutor
    # The messages of all errors that callers got, for a test that fails.
    problems: list[str] = field(default_factory=list)

    def call(self, function: str, until: Path | None = None, padding: str = "") -> str:
        """Return the answer to the caller of a live function: `done`, or the error's name."""
        event = {
            "ledger": str(self.folder / "ledger"),
            "until": str(until or ""),
            "padding": padding,
        }
        name = self.stage.functions[function]
        with self.link.cloud.entered():
            answer = self.aws.lambda_.invoke(FunctionName=name, Payload=json.dumps(event).encode())
            body = json.loads(answer["Payload"].read())
        failed: bool = "FunctionError" in answer
        if not failed:
            return str(body)
        self.problems.append(f"{time.monotonic():.1f} {function}: {body['errorMessage']}")
        return str(body["errorType"])

    def answers(self, function: str) -> bool:
        return self.call(function) == "done"

    def later(self, function: str, until: Path | None = None, padding: str = "") -> Future[str]:
        return self.callers.submit(self.call, function, until, padding)

    def warm_up(self) -> None:
        """Have as many brokers and stubs wait as a test needs at one moment.

        A dozen of them that start at once take longer on a busy machine than a stub waits for a
        connection, and no test is about that.
        """
        large = self.later("patient", padding=LARGE)
        small = [self.later("hasty") for _ in range(2)]
        assert large.result() == "done"
        assert all(by_name(call.result()) for call in small)

    def starts(self, until: Path) -> Future[str]:
        """Call a handler that ends when there is such a file; given when it runs."""
        call = self.later("patient", until)
        eventually(lambda: any(line.endswith(f" {until}") for line in self.ledger()))
        return call

    def ledger(self) -> list[str]:
        """A line for each time that a handler was given an invocation."""
        ledger = self.folder / "ledger"
        return ledger.read_text().splitlines() if ledger.exists() else []

    def is_back(self) -> None:
        """Callers are answered again within seconds, and by name until then; nothing ran twice."""
        reported: list[str] = []
        until = time.monotonic() + BACK_SECONDS
        while "done" not in reported:
            changes = self.relay.of_type("ConnectionChanged")
            assert time.monotonic() < until, pformat([reported, self.problems, changes])
            reported.append(self.call("hasty"))
        assert all(by_name(answer) for answer in reported), reported
        # Its words arrive by another way than the answer.
        eventually(lambda: self.relay.connected, "the relay says that it is connected")
        self.ran_nothing_twice()

    def ran_nothing_twice(self) -> None:
        ledger = self.ledger()
        assert len(ledger) == len(set(ledger))


def by_name(answer: str) -> bool:
    return answer == "done" or answer.startswith("Terralive.")


@pytest.fixture(scope="module")
def laptops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Laptop]]:
    root = tmp_path_factory.mktemp("hosts")
    with hosts(3) as links, ExitStack() as stack:
        cloud = links[0].cloud
        with cloud.entered():
            info = stack.enter_context(running_sandbox(root))
        stack.enter_context(forwarder(cloud, urlsplit(info.endpoint).port or 0))
        callers = stack.enter_context(ThreadPoolExecutor(16))

        def make(link: Link) -> Laptop:
            folder = tmp_path_factory.mktemp("laptop")
            (folder / "code").mkdir()
            (folder / "code" / "app.py").write_text(HANDLER)
            with cloud.entered():
                aws = Aws(info)
                stage = deploy(aws, folder / "zips", TIMEOUTS)
                caller_arn = aws.caller_arn
            url = stage.url.replace("127.0.0.1", CLOUD)
            with link.laptop.entered():
                relay = stack.enter_context(
                    relay_process(info, stage, folder / "code", caller_arn, url=url)
                )
            return Laptop(link, stage, relay, aws, folder, callers)

        made = [make(link) for link in links]
        for laptop in made:
            eventually(partial(laptop.answers, "hasty"), "the first answer")
            laptop.warm_up()
        yield made


@pytest.fixture
def laptop(laptops: list[Laptop]) -> Iterator[Laptop]:
    yield laptops[0]
    laptops[0].link.clean()


def together(stories: list[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(stories)) as pool:
        for future in [pool.submit(story) for story in stories]:
            future.result()


@pytest.mark.parametrize(
    "discipline",
    ["netem delay 200ms 50ms", "tbf rate 300kbit burst 3000 latency 9s"],
    ids=["delay", "slow"],
)
def test_a_slow_link_answers_every_caller(laptop: Laptop, discipline: str) -> None:
    laptop.link.shape(*discipline.split())
    calls = [laptop.later("patient", padding=os.urandom(10_000).hex()) for _ in range(4)]
    assert [call.result() for call in calls] == ["done"] * 4


def test_a_link_that_loses_packets_loses_no_invocation(laptop: Laptop) -> None:
    laptop.link.lossy(0.1)
    calls = [laptop.later("patient", padding=os.urandom(10_000).hex()) for _ in range(8)]
    assert [call.result() for call in calls] == ["done"] * 8
    laptop.ran_nothing_twice()


@pytest.mark.parametrize("seconds", [5, 45])
def test_after_a_cut_callers_are_answered_within_seconds_and_nothing_ran_twice(
    laptops: list[Laptop], seconds: int
) -> None:
    """One laptop's network is switched off while it is idle, another's while it is busy.

    A third's falls silent.
    """
    idle, busy, mute = laptops
    together(
        [
            partial(cut_while_idle, idle, seconds),
            partial(cut_while_busy, busy, seconds, busy.link.down),
            partial(cut_while_busy, mute, seconds, mute.link.swallow),
        ]
    )


def cut_while_idle(laptop: Laptop, seconds: int) -> None:
    laptop.link.down()
    time.sleep(seconds)  # the cut itself
    laptop.link.up()
    laptop.is_back()


def cut_while_busy(laptop: Laptop, seconds: int, cut: Callable[[], None]) -> None:
    gate = laptop.folder / f"cut-{seconds}"
    running = laptop.starts(gate)
    arrived = laptop.link.received()
    being_sent = laptop.later("patient", padding=LARGE)
    eventually(lambda: laptop.link.received() > arrived + 100_000)
    cut()
    gate.touch()  # the handler ends, and its result cannot leave
    hasty = laptop.later("hasty")
    time.sleep(seconds)  # the cut itself
    laptop.link.clean()
    laptop.link.up()
    laptop.is_back()
    assert by_name(hasty.result())
    assert running.result() == "done"
    assert by_name(being_sent.result())
    if seconds < FORGIVEN_SECONDS:
        assert being_sent.result() == "done"
    laptop.ran_nothing_twice()


def test_a_laptop_that_changes_its_network_is_back_within_seconds(laptop: Laptop) -> None:
    gate = laptop.folder / "moved"
    running = laptop.starts(gate)
    laptop.link.move()
    laptop.is_back()
    gate.touch()
    assert running.result() == "done"
    laptop.ran_nothing_twice()


def test_a_laptop_that_slept_while_its_network_went_is_back_within_seconds(laptop: Laptop) -> None:
    os.kill(laptop.relay.pid, signal.SIGSTOP)
    laptop.link.move()
    time.sleep(6)  # the sleep itself
    os.kill(laptop.relay.pid, signal.SIGCONT)
    laptop.is_back()
