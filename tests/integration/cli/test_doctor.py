"""`terralive doctor` and its self-test, in the sandbox that all tests share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from terralive_sandbox import info
from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.drivers.command import Command, run
from terralive_testing.drivers.plain_app import plain_project

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def project(tmp_path: Path, sandbox: SandboxInfo) -> Path:
    """A plain app with one function, and the shared sandbox as if it were its own."""
    made = plain_project(tmp_path / "plain")
    (made.root / ".terralive").mkdir(exist_ok=True)
    info.write(sandbox, made.root / ".terralive" / "sandbox.json")
    # The Python that runs the tests is as good as any, and no other one is looked for.
    this = f"python{sys.version_info.major}.{sys.version_info.minor}"
    main = made.root / "main.tf"
    main.write_text(main.read_text("utf-8").replace("python3.12", this), "utf-8")
    return made.root


def states(command: Command) -> dict[str, str]:
    return {event["check"]: event["state"] for event in command.of_type("check")}


def done(command: Command) -> dict[str, Any]:
    (event,) = command.of_type("doctor")
    return event


def test_each_check_is_one_object_and_the_function_of_the_app_is_found(
    project: Path, sandbox: SandboxInfo
) -> None:
    ended = run(["doctor", "--sandbox", "--region", sandbox.region], project)

    assert ended.process.returncode == 0, ended.story()
    assert states(ended) == {
        "versions": "ok",
        "provider": "ok",
        "leftovers": "ok",
        "region": "ok",
        "credentials": "ok",
        "clock": "ok",
        "permissions": "skipped",  # by AWS's simulator only
        "limits": "ok",
        "connection": "ok",
        "stages": "ok",
        "functions": "ok",
        "others": "ok",
    }, ended.story()
    (functions,) = [item for item in ended.of_type("check") if item["check"] == "functions"]
    assert functions["message"] == "1 of 1 can run here"
    assert (done(ended)["ok"], done(ended)["skipped"]) == (11, 1)


def test_without_credentials_the_other_checks_go_on(tmp_path: Path) -> None:
    nobody = {"AWS_CONFIG_FILE": str(tmp_path / "no"), "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
    # No request leaves this machine.
    nobody |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}

    ended = run(["doctor", "--region", "eu-west-1"], tmp_path, nobody)

    assert ended.process.returncode == 1, ended.story()
    found = states(ended)
    assert (found["credentials"], found["clock"]) == ("failed", "failed"), ended.story()
    assert (found["versions"], found["leftovers"], found["region"]) == ("ok", "ok", "ok")
    assert (found["limits"], found["functions"], found["others"]) == ("skipped",) * 3
    (credentials,) = [item for item in ended.of_type("check") if item["check"] == "credentials"]
    (finding,) = credentials["findings"]
    assert finding["reference"] == "no-credentials"
    assert finding["why"]
    assert finding["fix"]
    assert not (tmp_path / ".terralive").exists()


def test_the_quick_self_test_deploys_measures_removes_and_reports(
    project: Path, sandbox: SandboxInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its folder is below TMPDIR; everything of this test goes with the project.
    monkeypatch.setenv("TMPDIR", str(project.parent))
    report = project / "report.md"
    words = ["--self-test", "--quick", "--sandbox", "--region", sandbox.region, "--yes"]

    ended = run(["doctor", *words, "--report", str(report)], project, timeout_s=280)

    assert ended.process.returncode == 0, ended.story()
    steps = ended.of_type("self-test-step")
    assert [(step["step"], step["ok"]) for step in steps] == [
        ("deploy", True),
        ("main job", True),
        ("round trips", True),
        ("edit", True),
        ("remove", True),
    ]
    page = report.read_text("utf-8")
    for time in ("round trip, 1 KB each way", "round trip, 6 MB each way", "edit to live"):
        assert f"| {time} |" in page
    for private in (sandbox.account_id, sandbox.secret_access_key, str(project)):
        assert private not in page
    (end,) = ended.of_type("self-test")
    assert (end["ok"], end["is_clean"], end["report"]) == (True, True, str(report))
    assert not list(project.parent.glob("terralive-selftest-*"))
    functions = Aws(sandbox).lambda_.list_functions()["Functions"]
    names = [item["FunctionName"] for item in functions]
    assert not [name for name in names if "selftest" in name]
