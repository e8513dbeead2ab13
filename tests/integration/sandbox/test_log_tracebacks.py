"""A traceback in the log of a sandbox fails the test that has caused it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
# Two tests of one sandbox. The first one makes it fail, although its own assertions hold.
PLANTED = """
import pytest
from terralive_testing.deployers.sandbox import Aws, running_sandbox

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sandbox")

@pytest.fixture(scope="module")
def aws(folder):
    with running_sandbox(folder) as info:
        yield Aws(info)

def test_that_makes_the_sandbox_fail(aws, folder):
    with (folder / "sandbox.log").open("a") as log:
        print("a line before", file=log)
        print("Traceback (most recent call last):", file=log)
        print("ValueError: planted", file=log)

def test_that_does_not(aws):
    assert aws.sqs.list_queues()
"""


def test_a_traceback_in_a_sandboxes_log_fails_its_test_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text(PLANTED)
    paths = [str(TESTS), *(path for path in sys.path if path)]
    # `-p conftest`: the hooks of tests/conftest.py.
    options = ["-p", "conftest", "-c", os.devnull, "--rootdir", str(tmp_path), "-rA"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path / "test_planted.py")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    report = ended.stdout
    # The path before the file's name differs.
    assert re.search(r"FAILED \S*test_planted.py::test_that_makes_the_sandbox_fail", report), report
    assert re.search(r"PASSED \S*test_planted.py::test_that_does_not", report), report
    assert "ValueError: planted" in report
    assert "1 failed, 1 passed" in report
