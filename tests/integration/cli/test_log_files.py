"""Files that a developer finds in `.terralive/logs/`."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from terralive_cli.output.logfiles import Limits, LogFiles
from terralive_relay.events import InvocationFinished, InvocationStarted, LogLine, RelayEvent
from terralive_testing.machine.waiting import eventually

NOTHING: list[str] = []  # what nobody looks at
TIME = re.compile(r"^2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    def write(*events: RelayEvent, limits: Limits | None = None) -> None:
        with closing(LogFiles(tmp_path / "logs", NOTHING.append, limits or Limits())) as logs:
            for event in events:
                logs(event)

    return write


def lines(path: Path) -> list[str]:
    """A file's lines, without their times."""
    found = path.read_text("utf-8").splitlines()
    assert all(TIME.match(line) for line in found)
    return [TIME.sub("", line) for line in found]


def one(request_id: str, text: str, function: str = "orders") -> tuple[RelayEvent, ...]:
    return (
        InvocationStarted(request_id, function, "http", "GET /secret"),
        LogLine(request_id, function, text),
        InvocationFinished(
            request_id, function, ok=True, error_type="", handler_ms=12.3, waited_ms=1.0
        ),
    )


def test_a_function_can_be_followed_and_each_invocation_be_read(
    write: Callable[..., None], tmp_path: Path
) -> None:
    first, second = one("r1", "hello"), one("r2", "world")
    crash = InvocationFinished(
        "r3", "orders", ok=False, error_type="Runtime.ExitError", handler_ms=1, error_message="x"
    )
    write(
        LogLine("", "orders", "importing"),
        *(event for pair in zip(first, second, strict=True) for event in pair),
    )
    write(crash)
    report = "REPORT RequestId: r1 Duration: 12.30 ms Waited: 1.00 ms Status: success"
    status = "Status: error Runtime.ExitError: x"
    crashed = f"REPORT RequestId: r3 Duration: 1.00 ms Waited: 0.00 ms {status}"
    assert lines(tmp_path / "logs/orders/r1.log") == [
        "START RequestId: r1 Trigger: http",
        "hello",
        report,
    ]
    assert "world" in lines(tmp_path / "logs/orders/r2.log")
    assert lines(tmp_path / "logs/orders.log") == [
        "- importing",
        "r1 START RequestId: r1 Trigger: http",
        "r2 START RequestId: r2 Trigger: http",
        "r1 hello",
        "r2 world",
        f"r1 {report}",
        f"r2 {report.replace('r1', 'r2')}",
        f"r3 {crashed}",
    ]


def test_lines_are_there_while_the_handler_runs(tmp_path: Path) -> None:
    with closing(LogFiles(tmp_path / "logs", NOTHING.append)) as logs:
        logs(LogLine("r1", "orders", "first"))
        file = tmp_path / "logs/orders/r1.log"
        eventually(lambda: file.exists() and lines(file) == ["first"], seconds=20)


def test_nobody_else_can_read_them(write: Callable[..., None], tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write(*one("r1", "hello"))
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode)
        for path in [tmp_path / "logs", *(tmp_path / "logs").rglob("*")]
    }
    assert modes == {
        "logs": 0o700,
        "logs/orders": 0o700,
        "logs/orders.log": 0o600,
        "logs/orders/r1.log": 0o600,
    }


def test_no_request_id_leads_out_of_the_folder(write: Callable[..., None], tmp_path: Path) -> None:
    write(
        *one("../../../evil", "hello"),
        *one("a/b", "hello"),
        *one("x" * 256, "hello", function=".."),
    )
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 5
    assert all(path.is_relative_to(tmp_path / "logs") for path in written)


def test_a_line_commands_no_terminal_that_shows_the_file(
    write: Callable[..., None], tmp_path: Path
) -> None:
    write(
        LogLine(
            "r1", "orders", "\x1b]0;title\x07\x1b[31mred\x1b[0m \x1b[2Jsweep \ud800\r\nr2 forged"
        )
    )
    assert lines(tmp_path / "logs/orders/r1.log") == ["\x1b[31mred\x1b[0m sweep r2 forged"]


def test_a_file_that_has_grown_is_turned_and_no_line_is_cut(
    write: Callable[..., None], tmp_path: Path
) -> None:
    for number in range(30):
        write(LogLine(f"r{number}", "orders", "x" * 100), limits=Limits(file_bytes=1000))
    old, new = lines(tmp_path / "logs/orders.1.log"), lines(tmp_path / "logs/orders.log")
    numbers = [int(line.split()[0][1:]) for line in [*old, *new]]
    assert numbers == list(range(numbers[0], 30))
    assert all(line.endswith("x" * 100) for line in [*old, *new])


@pytest.mark.parametrize(
    "limits", [Limits(total_bytes=2000), Limits(files=8)], ids=["bytes", "files"]
)
def test_the_oldest_go_where_there_are_too_many(
    write: Callable[..., None], tmp_path: Path, limits: Limits
) -> None:
    for number in range(20):
        write(LogLine(f"r{number}", "orders", "x" * 200), limits=limits)
        os.utime(tmp_path / f"logs/orders/r{number}.log", (number, number + time.time() - 1000))
    left = {path.stem for path in (tmp_path / "logs/orders").iterdir()}
    assert "r19" in left
    assert left <= {f"r{number}" for number in range(11, 20)}


def test_what_is_a_week_old_goes(write: Callable[..., None], tmp_path: Path) -> None:
    write(LogLine("r1", "orders", "old"), LogLine("r2", "orders", "new"))
    week_ago = time.time() - 7 * 24 * 3600 - 60
    os.utime(tmp_path / "logs/orders/r1.log", (week_ago, week_ago))
    write(LogLine("r3", "orders", "newer"))
    assert {path.name for path in (tmp_path / "logs/orders").iterdir()} == {"r2.log", "r3.log"}


def test_ten_megabytes_of_one_invocation_are_kept_whole(tmp_path: Path) -> None:
    file = tmp_path / "logs/orders/r1.log"
    with closing(LogFiles(tmp_path / "logs", NOTHING.append)) as logs:
        for number in range(100_000):
            logs(LogLine("r1", "orders", f"{number} {'x' * 90}"))
        eventually(
            lambda: file.exists() and file.stat().st_size >= 100_000 * (25 + 92)
        )  # the time, and the line
    assert [int(line.split()[0]) for line in lines(file)] == list(range(100_000))


def test_a_folder_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    told: list[str] = []
    with closing(LogFiles(tmp_path / "logs", told.append)) as logs:
        logs(LogLine("r1", "orders", "hello"))
        eventually(lambda: bool(told), seconds=20)
        logs(LogLine("r1", "orders", "hello"))
    assert len(told) == 1
    assert "Logs are not kept" in told[0]
