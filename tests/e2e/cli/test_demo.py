"""`make demo`, as a newcomer sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from terralive_testing.drivers.command import clean_environment
from terralive_testing.drivers.project import EXAMPLE

DEMO = Path(__file__).parents[3] / "scripts" / "demo.py"


@pytest.mark.timeout(300)
def test_the_demo_tells_its_story_ends_with_ok_and_leaves_the_tree_clean() -> None:
    before = sorted(path.relative_to(EXAMPLE) for path in EXAMPLE.rglob("*"))
    # `make demo` activates no virtual environment.
    own = str(Path(sys.executable).parent)
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder != own]

    ended = subprocess.run(
        [sys.executable, str(DEMO)],
        env=clean_environment({"PATH": os.pathsep.join(folders)}),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )

    lines = ended.stdout.splitlines()
    assert (ended.returncode, lines[-1]) == (0, "demo: ok"), ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert "     -> 200 Hello World" in lines
    assert "     -> 200 Hello from an edit" in lines
    nothing = "0 functions, 0 APIs, 0 tables, 0 topics, 0 roles, 0 buckets"
    assert f"   left in the account: {nothing}" in lines
    assert sorted(path.relative_to(EXAMPLE) for path in EXAMPLE.rglob("*")) == before
