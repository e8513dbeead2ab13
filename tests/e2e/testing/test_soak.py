"""The soak's short form: `make soak` as it is, with fewer functions, callers and invocations."""

from __future__ import annotations

import subprocess
import sys

import pytest

from terralive_testing.drivers.command import clean_environment


@pytest.mark.timeout(600)
def test_under_faults_nothing_is_lost_answered_falsely_or_run_twice() -> None:
    load = "--seed 4 --invocations 250 --functions 3 --streams 1 --concurrency 8"
    arguments = f"{load} --time-scale 0.5 --minutes-limit 5 --longest-absence 6"

    ended = subprocess.run(
        [sys.executable, "-m", "terralive_testing.soak", *arguments.split()],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "killed 1 times" in ended.stdout
    assert "left behind     nothing" in ended.stdout
