from __future__ import annotations

import os
import stat
from pathlib import Path

from terralive_cli.invoking.event.kept import EventKeeper, kept_events, last_of, with_id
from terralive_stub.protocol.deadline import NEVER
from terralive_stub.protocol.invocation import Invocation


def invocation(request_id: str, event: bytes) -> Invocation:
    return Invocation(request_id, "api", "arn", NEVER, event)


def kept(work: Path, *taken: tuple[str, Invocation], total_bytes: int = 1_000_000) -> EventKeeper:
    """Keep events one after the other, each until it is written."""
    for function, item in taken:
        keeper = EventKeeper(work, total_bytes=total_bytes)
        keeper.keep(function, item)
        keeper.close()
    return keeper


def test_the_last_event_of_each_function_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    kept(
        tmp_path,
        ("api", invocation("a1", b'{"n": 1}')),
        ("worker", invocation("b1", b"[]")),
        ("api", invocation("a2", b'{"n": 2}')),
    )

    found = kept_events(tmp_path)

    assert {(event.function, event.request_id) for event in found} == {
        ("api", "a2"),
        ("worker", "b1"),
    }
    last = last_of(found, "api")
    assert last is not None
    assert last.file.read_bytes() == b'{"n": 2}'
    assert stat.S_IMODE(last.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(last.file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(last.file.parents[1].stat().st_mode) == 0o700


def test_of_events_that_come_at_once_only_the_last_one_is_written(tmp_path: Path) -> None:
    keeper = EventKeeper(tmp_path)
    for number in range(100):
        keeper.keep("api", invocation(f"a{number}", b"{}"))
    keeper.close()

    assert [event.request_id for event in kept_events(tmp_path)] == ["a99"]


def test_an_event_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    kept(tmp_path, ("api", invocation("2b8a9f0e-1", b"{}")), ("job", invocation("2b8a-2", b"{}")))
    found = kept_events(tmp_path)

    assert [event.function for event in with_id(found, "2B8A9F0E")] == ["api"]
    assert len(with_id(found, "2b8a")) == 2
    assert last_of(found, "worker") is None


def test_a_name_from_elsewhere_names_no_file_elsewhere(tmp_path: Path) -> None:
    work = tmp_path / "work"

    kept(work, ("../../api (eu-west-1)", invocation("../../../x", b"{}")))

    (event,) = kept_events(work)
    assert event.file.is_relative_to(work / "events")
    assert last_of([event], "../../api (eu-west-1)") == event


def test_all_files_together_have_a_limit(tmp_path: Path) -> None:
    kept(
        tmp_path,
        ("api", invocation("a1", b"x" * 60)),
        ("worker", invocation("b1", b"x" * 60)),
        total_bytes=100,
    )

    assert len(kept_events(tmp_path)) == 1


def test_what_is_old_is_removed_by_the_next_session(tmp_path: Path) -> None:
    kept(tmp_path, ("api", invocation("a1", b"{}")))
    (event,) = kept_events(tmp_path)
    os.utime(event.file, (0, 0))

    EventKeeper(tmp_path).close()

    assert kept_events(tmp_path) == []


def test_what_was_kept_is_removed_where_that_is_turned_off(tmp_path: Path) -> None:
    kept(tmp_path, ("api", invocation("a1", b"{}")))

    EventKeeper(tmp_path, is_on=False).close()

    assert list(tmp_path.iterdir()) == []


def test_nothing_is_kept_where_that_is_turned_off(tmp_path: Path) -> None:
    keeper = EventKeeper(tmp_path, is_on=False)
    keeper.keep("api", invocation("a1", b"{}"))
    keeper.close()

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file")

    kept(tmp_path, ("api", invocation("a1", b"{}")))

    assert kept_events(tmp_path) == []
