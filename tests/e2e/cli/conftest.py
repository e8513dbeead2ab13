from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from terralive_testing.drivers.command import Command
from terralive_testing.drivers.project import EXAMPLE, Live, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the example, as a user has it."""
    root = tmp_path_factory.mktemp("project") / "sns_demo"
    shutil.copytree(
        EXAMPLE, root, ignore=shutil.ignore_patterns(".terralive", "cdktf.out", "__pycache__")
    )
    return Project(root)


@pytest.fixture(scope="module")
def sandbox(project: Project) -> Iterator[Command]:
    """`terralive sandbox`, running in the foreground of another terminal."""
    with Command(["--project", str(project.root), "sandbox"], project.root) as command:
        project.sandbox = command.wait_for_type("ready")["sandbox"]
        yield command


@pytest.fixture(scope="module")
def live(project: Project, sandbox: Command) -> Iterator[Live]:
    """`terralive start --sandbox`, live."""
    assert sandbox.process.poll() is None
    with Command(
        ["--project", str(project.root), "start", "--sandbox", "--yes"], project.root
    ) as command:
        ready = command.wait_for_type("ready", timeout_s=180)
        yield Live(project, command, ready)
