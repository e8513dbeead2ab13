from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from terralive_cli.main import cli

REQUEST_ID = "2b8a9f0e-1111-4222-8333-944455566677"
HEAVY = ("boto3", "botocore", "rich", "cdktf", "watchfiles", "terralive_cli.output.renderer")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which two stages were live, one of them in a sandbox."""
    work = tmp_path / ".terralive" / "aws" / "123456789012-eu-west-1" / "dev-ana"
    other = tmp_path / ".terralive" / "sandbox" / "1f" / "pr-412"
    functions = [
        {"name": "shop-api", "address": "aws_lambda_function.api"},
        {"name": "shop-api-admin", "address": "aws_lambda_function.admin"},
        {"name": "shop-worker", "address": "aws_lambda_function.worker"},
    ]
    (work / "events" / "shop-worker").mkdir(parents=True)
    (work / "events" / "shop-worker" / f"{REQUEST_ID}.json").write_text("{}")
    (work / "session.json").write_text(json.dumps({"functions": functions}))
    other.mkdir(parents=True)
    (other / "session.json").write_text(json.dumps({"functions": [{"name": "pr-job"}]}))
    (tmp_path / "terralive.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def completed(*words: str) -> list[str]:
    """Return what a shell shows after these words; the last one is not complete."""
    *before, incomplete = words
    completer = ShellComplete(cli, {}, "terralive", "_TERRALIVE_COMPLETE")
    return [item.value for item in completer.get_completions(before, incomplete)]


@pytest.mark.usefixtures("project")
def test_functions_of_the_last_session_are_completed_by_their_beginning_or_a_part() -> None:
    assert completed("invoke", "shop-a") == ["shop-api", "shop-api-admin"]
    assert completed("invoke", "work") == ["shop-worker"]
    assert completed("invoke", "nothing") == []
    assert completed("start", "--debug", "shop-w") == ["shop-worker"]
    assert sorted(completed("start", "--only", "")) == [
        *("pr-job", "shop-api", "shop-api-admin", "shop-worker"),
    ]


def test_logs_take_a_function_or_the_request_id_of_an_invocation_that_is_kept(
    project: Path,
) -> None:
    kept = project / ".terralive" / "logs" / "shop-worker"
    kept.mkdir(parents=True)
    (kept / f"{REQUEST_ID}.log").write_text("")

    assert completed("logs", "shop-w") == ["shop-worker"]
    assert completed("logs", "2b8a") == [REQUEST_ID]


@pytest.mark.usefixtures("project")
def test_only_functions_of_the_stage_that_was_typed_are_completed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert completed("--stage", "pr-412", "invoke", "") == ["pr-job"]
    assert completed("invoke", "--stage", "pr-412", "") == ["pr-job"]
    monkeypatch.setenv("TERRALIVE_STAGE", "pr-412")
    assert completed("invoke", "") == ["pr-job"]


@pytest.mark.usefixtures("project")
def test_stages_are_completed_before_and_after_the_command() -> None:
    assert completed("--stage", "") == ["dev-ana", "pr-412"]
    assert completed("destroy", "--stage", "pr") == ["pr-412"]


@pytest.mark.usefixtures("project")
def test_events_are_examples_kept_ones_and_files() -> None:
    assert completed("invoke", "shop-api", "--event", "@sq") == ["@sqs"]
    assert completed("invoke", "shop-api", "--event", "@la") == ["@last"]
    assert completed("invoke", "shop-api", "--event", "2b") == [REQUEST_ID]
    completer = ShellComplete(cli, {}, "terralive", "_TERRALIVE_COMPLETE")
    (file,) = completer.get_completions(["invoke", "shop-api", "--event"], "order")
    assert file.type == "file"


def test_an_id_whose_log_is_here_is_completed_for_logs(project: Path) -> None:
    log = project / ".terralive" / "logs" / "shop-api" / f"{REQUEST_ID}.log"
    log.parent.mkdir(parents=True)
    log.write_text("")

    assert completed("logs", "2b8") == [REQUEST_ID]
    assert completed("logs", "shop-w") == ["shop-worker"]


def test_another_project_is_completed_where_it_was_named(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    assert completed("invoke", "shop-w") == []
    assert completed("--project", str(project), "invoke", "shop-w") == ["shop-worker"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_asks_terralive_without_a_configuration(
    shell: str, tmp_path: Path
) -> None:
    (tmp_path / "terralive.toml").write_text("this is no TOML")

    ended = CliRunner().invoke(cli, ["--project", str(tmp_path), "completion", shell])

    assert (ended.exit_code, ended.stderr) == (0, "")
    assert f"_TERRALIVE_COMPLETE={shell}_complete" in ended.stdout


def test_a_completion_imports_nothing_heavy_and_asks_nobody(project: Path) -> None:
    script = (
        "import sys\n"
        "from terralive_cli.main import main\n"
        "try:\n"
        "    main([])\n"
        "except SystemExit:\n"
        f"    print('HEAVY', [name for name in {HEAVY} if name in sys.modules])\n"
    )
    environment = {
        **os.environ,
        "COMP_WORDS": "terralive invoke shop-w",
        "COMP_CWORD": "2",
        "_TERRALIVE_COMPLETE": "bash_complete",
    }

    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.splitlines() == ["plain,shop-worker", "HEAVY []"]
