from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from terralive_relay.code.build import builds
from terralive_relay.code.watch import Watcher
from terralive_relay.events import Warned
from terralive_relay.pool.pool import Pool
from terralive_testing.drivers.workers import Recorder, document, invocation, local_function, save
from terralive_testing.machine.waiting import eventually
from terralive_workers.function import Build, LocalFunction
from terralive_workers.runtime_api.server import RuntimeApi

RETURNS = "def handler(event, context): return {!r}"


@dataclass
class Live:
    """Functions whose code is built, as a relay has them."""

    project: Path
    sink: Recorder
    pools: tuple[Pool, ...]
    reported: Counter[str]

    def save(self, text: str) -> None:
        save(self.project / "src" / "app.py", text)

    def value(self) -> object:
        got = self.pools[0].submit(invocation()).result(30).outcome
        return got.body if got.ok else document(got)

    def builds(self) -> int:
        return len((self.project / "builds").read_text().splitlines())

    def warning(self) -> Warned:
        eventually(lambda: bool(self.sink.of_type(Warned)), "a warning")
        return self.sink.of_type(Warned)[0]


Start = Callable[..., Live]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts functions with `src` beside `dist`, where the build puts their code."""
    api, sink = RuntimeApi(), Recorder()
    ends: list[Callable[[], None]] = [api.close]

    def start(command: str, path: str, *watch: str, functions: int = 1) -> Live:
        (tmp_path / "src").mkdir()
        (tmp_path / "src" / "app.py").write_text(RETURNS.format("first"))
        (tmp_path / "dist").mkdir()
        build = Build(f"echo built >> builds; {command}", tmp_path)
        handler = "app.handler" if path == "dist" else "dist/app.handler"
        locals_ = [
            replace(
                local_function(tmp_path / "dist", handler=handler),
                name=f"f{number}",
                arn=f"arn:f{number}",
                path=tmp_path / path,
                watch=watch,
                build=build,
            )
            for number in range(functions)
        ]
        shutil.rmtree(tmp_path / "dist")
        pools = tuple(Pool(local, api, sink) for local in locals_)
        (builder,) = builds(list(zip(locals_, pools, strict=True)), api.guardian, sink)
        reported: Counter[str] = Counter()

        def changed(function: LocalFunction, paths: tuple[str, ...]) -> None:
            builder.changed(function.arn, paths)
            reported.update(paths)

        watcher = Watcher(locals_, changed)
        ends[:0] = [watcher.close, builder.close, *(pool.close for pool in pools)]
        watcher.start()
        assert watcher.wait_ready(20)
        builder.start()
        return Live(tmp_path, sink, pools, reported)

    yield start
    for end in ends:
        end()


COPY = "mkdir -p dist && cp src/app.py dist/app.py"


def test_code_is_built_before_its_first_use_and_after_an_edit(start: Start) -> None:
    live = start(f"echo building; {COPY}", "dist", "../src/**", functions=2)
    assert live.value() == b'"first"'
    assert live.sink.lines("") == ["building"]
    live.save(RETURNS.format("second"))
    live.sink.wait_for("building", times=2)
    assert live.value() == b'"second"'
    assert live.pools[1].submit(invocation()).result(30).outcome.body == b'"second"'
    assert live.builds() == 2, "functions with the same command share its runs"


def test_a_failed_build_is_reported_at_once_and_to_every_invocation_until_an_edit_mends_it(
    start: Start,
) -> None:
    live = start(
        f"{COPY}; echo checking;"
        " grep -q handler src/app.py || { echo app.py:1: no handler >&2; exit 3; }",
        "dist",
        "../src/**",
    )
    assert live.value() == b'"first"'
    live.save("nothing = 1")
    warned = live.warning()
    assert (warned.reference, warned.function) == ("build-failed", "f0")
    assert "exit status 3" in warned.message
    assert "app.py:1: no handler" in warned.message
    for _ in range(2):
        got = live.value()
        assert isinstance(got, dict)
        assert got["errorType"] == "Terralive.BuildFailed"
        assert str(got["errorMessage"]).endswith("checking\napp.py:1: no handler")
    live.save(RETURNS.format("healed"))
    live.sink.wait_for("checking", times=3)
    assert live.value() == b'"healed"'


def test_a_command_that_does_not_exist_is_reported_at_the_start(start: Start) -> None:
    live = start("no-such-compiler src", "dist", "../src/**")
    assert "no-such-compiler" in live.warning().message
    got = live.value()
    assert isinstance(got, dict)
    assert got["errorType"] == "Terralive.BuildFailed"


def test_the_output_of_a_build_is_no_reason_to_build_again(start: Start) -> None:
    live = start(f"{COPY}; date > dist/stamp", ".")
    assert live.value() == b'"first"'
    for number in range(1, 4):
        eventually(lambda: live.reported["dist/stamp"] >= number, "the build's output was seen")  # noqa: B023
        live.save(RETURNS.format(number))
        eventually(lambda: live.value() == str(number).encode(), "the edit is live")  # noqa: B023
        assert live.builds() == number + 1


def test_a_save_during_a_build_is_built_after_it(start: Start) -> None:
    live = start(f"{COPY}; touch copied; until [ -e go ]; do sleep 0.01; done", "dist", "../src/**")
    eventually((live.project / "copied").exists, "the build is under way")
    live.save(RETURNS.format("second"))
    eventually(lambda: live.reported["../src/app.py"] > 0, "the save was seen")
    (live.project / "go").touch()
    assert live.value() == b'"second"'
    assert live.builds() == 2


def test_a_build_that_changes_what_it_watches_comes_to_an_end(start: Start) -> None:
    live = start(f"{COPY}; date +%N > dist/stamp", ".", "dist/**", "src/**")
    assert live.warning().reference == "build-triggers-itself"
    assert live.value() == b'"first"'
    live.save(RETURNS.format("second"))
    eventually(lambda: live.value() == b'"second"', "the edit is live")
