"""Attempts that AWS replaces by others: the former one is ended before the next one begins."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_relay.pool.pool import Pool
from terralive_relay.pool.records import PoolResult
from terralive_relay.running import RunningInvocations
from terralive_stub.protocol.invocation import Invocation
from terralive_testing.drivers.workers import Recorder, document, invocation, local_function
from terralive_testing.machine.waiting import eventually
from terralive_workers.function import LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi

# The event names a file and a word. Appends the word as long as it runs; only `last` ends.
WRITES = """
    def handler(event, context):
        path, word = event
        while True:
            with open(path, "a") as file:
                file.write(word + "\\n")
            if word == "last":
                return word
    """
MakePool = Callable[[LocalFunction], Pool]


@pytest.fixture
def make_pool() -> Iterator[MakePool]:
    api = RuntimeApi()
    pools: list[Pool] = []

    def make(function: LocalFunction) -> Pool:
        pools.append(Pool(function, api, Recorder()))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()
    api.close()


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        return folder

    return make


def attempt(name: str, event: object) -> Invocation:
    """Return an attempt of one request id."""
    return replace(invocation(event), request_id="request", attempt=name)


def wrote(path: Path) -> list[str]:
    if not path.exists():
        return []
    return path.read_text("utf-8").split()


def error_type(future: Future[PoolResult]) -> object:
    return document(future.result(timeout=60).outcome)["errorType"]


def test_a_handler_that_aws_has_replaced_does_nothing_any_more_when_the_next_one_begins(
    make_pool: MakePool, tmp_path: Path
) -> None:
    path = tmp_path / "words"
    pool = make_pool(local_function(tmp_path, WRITES))
    first = pool.submit(attempt("a1", [str(path), "first"]))
    eventually(lambda: wrote(path), "the first handler runs")
    second = pool.submit(attempt("a2", [str(path), "last"]), [pool.end("a1")])
    assert second.result(timeout=60).outcome.body == b'"last"'
    assert error_type(first) == "Terralive.Replaced"
    words = wrote(path)
    assert words.index("last") == len(words) - 1, "the first one wrote after the second one"


def test_the_next_attempt_runs_the_code_of_now(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(local_function(tmp_path, "def handler(event, context): return 1 / 0"))
    assert error_type(pool.submit(attempt("a1", None))) == "ZeroDivisionError"
    (tmp_path / "app.py").write_text("def handler(event, context): return 'corrected'\n")
    pool.mark_stale()
    result = pool.submit(attempt("a2", None), [pool.end("a1")]).result(timeout=60)
    assert json.loads(result.outcome.body) == "corrected"


def test_an_attempt_that_no_worker_has_taken_never_runs(
    make_pool: MakePool, tmp_path: Path
) -> None:
    path = tmp_path / "words"
    pool = make_pool(local_function(tmp_path, WRITES, max_workers=1))
    first = pool.submit(attempt("a1", [str(path), "first"]))
    eventually(lambda: wrote(path), "the first handler runs")
    waits = pool.submit(attempt("b1", [str(tmp_path / "never"), "waits"]))
    assert pool.end("b1").done()
    assert error_type(waits) == "Terralive.Replaced"
    pool.end("a1").result(timeout=60)
    assert error_type(first) == "Terralive.Replaced"
    last = pool.submit(attempt("a2", [str(path), "last"]))
    assert last.result(timeout=60).outcome.ok
    assert not (tmp_path / "never").exists()


def test_an_attempt_that_has_ended_is_not_waited_for(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(local_function(tmp_path, "def handler(event, context): return 1"))
    assert pool.submit(attempt("a1", None)).result(timeout=60).outcome.ok
    assert pool.end("a1").done()
    assert pool.submit(attempt("a2", None), [pool.end("a1")]).result(timeout=60).outcome.ok


class Ends:
    """The ends of invocations, by attempt."""

    def __init__(self) -> None:
        self.by_attempt: dict[str, PoolResult] = {}
        self.running = RunningInvocations(self._ended, print)

    def _ended(self, invocation: Invocation, result: PoolResult) -> None:
        self.by_attempt[invocation.attempt] = result

    def wait(self, name: str) -> PoolResult:
        eventually(lambda: name in self.by_attempt, f"the end of {name}")
        return self.by_attempt[name]


def test_an_attempt_of_another_pool_is_ended_too(
    make_pool: MakePool, make_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """The functions of a relay may change while it runs."""
    path = tmp_path / "words"
    before = make_pool(local_function(make_folder("before"), WRITES))
    after = make_pool(local_function(make_folder("after"), WRITES))
    ends = Ends()
    ends.running.run(attempt("a1", [str(path), "first"]), before, [])
    eventually(lambda: wrote(path), "the first handler runs")
    before.finish(after)
    ends.running.run(attempt("a2", [str(path), "last"]), after, ["a1"])
    assert ends.wait("a2").outcome.body == b'"last"'
    assert document(ends.wait("a1").outcome)["errorType"] == "Terralive.Replaced"
    words = wrote(path)
    assert words.index("last") == len(words) - 1


def test_an_attempt_that_was_handed_to_another_pool_is_ended_there(
    make_pool: MakePool, make_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    path, other = tmp_path / "words", tmp_path / "other words"
    before = make_pool(local_function(make_folder("before"), WRITES, max_workers=1))
    after = make_pool(local_function(make_folder("after"), WRITES, max_workers=2))
    ends = Ends()
    ends.running.run(attempt("a1", [str(path), "first"]), before, [])
    eventually(lambda: wrote(path), "the first handler runs")
    ends.running.run(attempt("b1", [str(other), "second"]), before, [])
    before.finish(after)
    eventually(lambda: wrote(other), "the other pool runs what has waited")
    ends.running.run(attempt("b2", [str(other), "last"]), after, ["b1"])
    assert ends.wait("b2").outcome.ok
    assert document(ends.wait("b1").outcome)["errorType"] == "Terralive.Replaced"
    words = wrote(other)
    assert words.index("last") == len(words) - 1


def test_a_chain_of_attempts_ends_in_the_last_one(make_pool: MakePool, tmp_path: Path) -> None:
    path = tmp_path / "words"
    pool = make_pool(local_function(tmp_path, WRITES))
    ends = Ends()
    ends.running.run(attempt("a1", [str(path), "first"]), pool, [])
    eventually(lambda: wrote(path), "the first handler runs")
    for number in range(2, 6):
        word = "last" if number == 5 else f"word{number}"
        former = [f"a{earlier}" for earlier in range(1, number)]
        ends.running.run(attempt(f"a{number}", [str(path), word]), pool, former)
    assert ends.wait("a5").outcome.ok
    for number in range(1, 5):
        assert document(ends.wait(f"a{number}").outcome)["errorType"] == "Terralive.Replaced"
    words = wrote(path)
    assert words.index("last") == len(words) - 1
