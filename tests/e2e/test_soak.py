"""The soak's short form: `make soak` as it is, with fewer functions, callers and invocations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import clean_environment

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_under_faults_nothing_is_lost_answered_falsely_or_run_twice() -> None:
    search = os.pathsep.join([str(ROOT / "bench"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    arguments = "--seed 4 --invocations 250 --functions 4 --concurrency 8 --time-scale 0.5 --minutes-limit 5"

    ended = subprocess.run(
        [sys.executable, "-m", "soak", *arguments.split()],
        env=clean_environment({"PYTHONPATH": search}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "killed 1 times" in ended.stdout
    assert "left behind     nothing" in ended.stdout
