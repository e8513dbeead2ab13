from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from terralive_terraform.runs.process import run_process
from terralive_testing.machine.processes import running

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
