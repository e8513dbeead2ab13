"""A pipeline replaces the stub of a live function while `terralive start` runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import plain_project, start
from terralive_testing.drivers.project import Project
from terralive_testing.machine.waiting import eventually

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """The app, whose functions are looked at every second."""
    made = plain_project(tmp_path / "plain")
    settings = made.root / "terralive.toml"
    text = settings.read_text("utf-8")
    settings.write_text(f"stub_check_seconds = 1\n{text}", "utf-8")
    with Command(["sandbox"], made.root) as command:
        made.sandbox = command.wait_for_type("ready")["sandbox"]
        yield made


def invoke(project: Project) -> object:
    answer = project.client("lambda").invoke(FunctionName="plain-greet")
    return json.loads(answer["Payload"].read())


def test_a_pipelines_apply_is_named_and_so_is_the_return_of_the_stub(project: Project) -> None:
    (project.root / "functions" / "greet" / "app.py").write_text(
        'def handler(event, context):\n    return "local"\n', "utf-8"
    )
    client = project.client("lambda")
    with start(project) as live:
        live.wait_for_type("ready", timeout_s=300)
        assert invoke(project) == "local"
        stub = client.get_function(FunctionName="plain-greet")["Configuration"]

        # What a pipeline does, with the code that it has built.
        restored = run(["restore", "--sandbox", "--yes"], project.root, timeout_s=300)
        assert restored.process.returncode == 0, restored.story()
        warning = live.wait_for(
            lambda event: event.get("reference") == "stub-replaced", "the warning"
        )
        assert warning["function"] == "plain-greet"
        assert "a pipeline or a colleague" in warning["message"]
        assert invoke(project) == "deployed"

        again = run(["apply", "--sandbox", "--yes"], project.root, timeout_s=300)
        assert again.process.returncode == 0, again.story()
        back = live.wait_for(lambda event: event.get("reference") == "stub-back", "the warning")
        assert back["function"] == "plain-greet"
        now = client.get_function(FunctionName="plain-greet")["Configuration"]
        assert now["CodeSha256"] == stub["CodeSha256"]
        eventually(lambda: invoke(project) == "local", "the local answer")
        said = [event["reference"] for event in live.of_type("warning")]
        assert said.count("stub-replaced") == said.count("stub-back") == 1
