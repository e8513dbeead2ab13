from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from terralive_terraform.runs.file_lock import take_lock
from terralive_terraform.runs.process import run_process
from terralive_terraform.side_by_side.runs import RunsAtOnce, StoppedError
from terralive_testing.machine.processes import running
from terralive_testing.machine.waiting import eventually

RUN = """
import os, sys
from pathlib import Path
from terralive_terraform.runs.process import run_process
folder = Path(sys.argv[1])
environment = dict(os.environ)
run_process(sys.argv[2:], cwd=folder, environment=environment, scratch=folder, on_line=print)
"""


def test_what_a_killed_terralive_has_started_ends_before_the_next_run_begins(
    tmp_path: Path,
) -> None:
    slow = [
        "sh",
        "-c",
        "echo $$ > pid.new; mv pid.new pid; mkfifo gate; read -r _ < gate; echo done > done",
    ]
    (tmp_path / "gate").unlink(missing_ok=True)
    first = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), *slow])
    while not (tmp_path / "gate").exists():
        assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait()
    waits, ended = threading.Event(), threading.Event()
    seen: list[str] = []

    def second() -> None:
        run_process(
            ["cat", "done"],
            cwd=tmp_path,
            environment=dict(os.environ),
            scratch=tmp_path,
            on_line=seen.append,
            on_wait=waits.set,
        )
        ended.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert waits.wait(20)
    assert not ended.is_set()
    assert running([int((tmp_path / "pid").read_text())])
    (tmp_path / "gate").write_text("go\n")
    thread.join(20)
    assert seen == ["done"]


def test_a_run_that_another_thread_stops_is_interrupted_and_waited_for(tmp_path: Path) -> None:
    # It does at an interrupt what Terraform does: it finishes, and removes its lock.
    slow = (
        "touch locked; trap 'rm locked; echo $$ > ended; exit 1' INT; touch ready; "
        "while :; do sleep 0.1; done"
    )
    runs = RunsAtOnce()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            run_process(
                ["bash", "-c", slow],
                cwd=tmp_path,
                environment=dict(os.environ),
                scratch=tmp_path,
                on_line=lambda _: None,
                runs=runs,
            )
        except StoppedError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    eventually((tmp_path / "ready").exists, "the run")
    assert (tmp_path / "locked").exists()
    runs.stop()
    thread.join(20)
    assert len(ended) == 1
    assert not (tmp_path / "locked").exists()
    assert not running([int((tmp_path / "ended").read_text())])


def test_a_run_that_waits_for_an_earlier_one_can_be_stopped(tmp_path: Path) -> None:
    runs = RunsAtOnce()
    runs.stop()
    descriptor = os.open(tmp_path / "terralive-run.lock", os.O_RDWR | os.O_CREAT)
    try:
        assert take_lock(descriptor, 0)
        with pytest.raises(StoppedError):
            run_process(
                ["touch", str(tmp_path / "ran")],
                cwd=tmp_path,
                environment=dict(os.environ),
                scratch=tmp_path,
                on_line=print,
                runs=runs,
            )
    finally:
        os.close(descriptor)
    assert not (tmp_path / "ran").exists()
