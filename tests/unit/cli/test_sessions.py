from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from terralive_cli.sessions import folders
from terralive_cli.sessions.record import Session, read, written

BEGAN = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SESSION = Session("one", os.getpid(), "dev-ana", is_sandbox=False, user="ana", since=BEGAN)
HOLDS_IT = """
import pathlib, sys
from terralive_cli.sessions import folders, record
session = record.read(sys.stdin.buffer.readline())
folders.create(pathlib.Path(sys.argv[1]), session)
print("running", flush=True)
sys.stdin.read()
"""


def running(project: Path, *, sandbox: bool = False) -> Session | None:
    return folders.running_session(project, "dev-ana", is_sandbox=sandbox)


def test_a_session_reads_back_as_it_was_written() -> None:
    session = replace(SESSION, is_detached=True, on_exit="keep", is_live=True, functions=2)

    assert read(written(session)) == session
    assert read(b"{}") is None
    assert read(b"not JSON") is None


def test_a_broken_description_stops_no_command() -> None:
    whole = written(replace(SESSION, pid=13536))

    for broken in (b"1e999", b"NaN", b'"13536"'):
        session = read(whole.replace(b"13536", broken))
        assert session is not None
        assert session.pid == 0
    assert read(whole.replace(b'00.000Z"', b'00.000"')) is None, "no time zone"
    other = read(whole.replace(b'"on_exit": ""', b'"on_exit": "never"'))
    assert other is not None
    assert other.on_exit == ""


def test_a_project_without_a_session_has_none(tmp_path: Path) -> None:
    assert running(tmp_path) is None


def test_a_session_runs_as_long_as_its_process_holds_the_lock(tmp_path: Path) -> None:
    _, descriptor = folders.create(tmp_path, SESSION)

    assert running(tmp_path) == SESSION
    assert running(tmp_path, sandbox=True) is None, "the same name elsewhere is another stage"
    os.close(descriptor)
    assert running(tmp_path) is None, "although a process of this pid lives"
    (ended,) = folders.sessions(tmp_path, "dev-ana", is_sandbox=False)
    assert (ended.session, ended.is_running) == (SESSION, False)


def test_a_session_that_was_killed_does_not_run(tmp_path: Path) -> None:
    line = written(SESSION).replace(b"\n", b"") + b"\n"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_IT, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == b"running\n"
        assert running(tmp_path) == SESSION
        process.kill()
        process.wait()
        assert running(tmp_path) is None


def test_old_sessions_are_removed_and_running_ones_never(tmp_path: Path) -> None:
    held = []
    for number in range(14):
        began = BEGAN + timedelta(hours=number)
        session = replace(SESSION, id=f"session-{number}", since=began)
        held.append(folders.create(tmp_path, session)[1])
    for descriptor in held[1:]:
        os.close(descriptor)
    folders.remove_old(tmp_path, BEGAN + timedelta(days=1))
    left = {item.session.id for item in folders.sessions(tmp_path, "dev-ana", is_sandbox=False)}

    assert left == {"session-0", *(f"session-{number}" for number in range(9, 14))}
    folders.remove_old(tmp_path, BEGAN + timedelta(days=30))
    (last,) = folders.sessions(tmp_path, "dev-ana", is_sandbox=False)
    assert last.session.id == "session-0"
    os.close(held[0])
