from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from terralive_cli.deploy import record
from terralive_cli.invoking.deployed import DeployedSettings
from terralive_cli.invoking.local import LocalRun, invocation_of, variables_of
from terralive_cli.live import last_session
from terralive_cli.main import main
from terralive_workers.function import LocalFunction

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:shop-api"
DEPLOYED = DeployedSettings("Shop", "app.handler", 7, 256, "role", {"TABLE": "orders"})
KEYS = {"AWS_ACCESS_KEY_ID": "ASIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}


def function(folder: Path) -> LocalFunction:
    return LocalFunction(
        name="shop-api",
        arn=ARN,
        address="aws_lambda_function.api",
        runtime="python3.12",
        handler="app.handler",
        path=folder,
        python=Path(sys.executable),
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without credentials, in which the stages `dev-ana` and `prod` were live once."""
    (tmp_path / "main.tf").write_text("")
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return event\n")
    for stage in ("dev-ana", "prod"):
        work = tmp_path / ".terralive" / "aws" / "123456789012-eu-west-1" / stage
        work.mkdir(parents=True)
        last_session.write(record.session(work), "wss://relay", [function(tmp_path)])
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("TERRALIVE_USER", "ana")
    return tmp_path


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_local_handler_has_the_variables_of_lambda_and_of_its_role(tmp_path: Path) -> None:
    variables = variables_of(function(tmp_path), LocalRun(DEPLOYED, KEYS))

    assert variables["TABLE"] == "orders"
    assert variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert variables["AWS_REGION"] == "eu-west-1"
    assert {name: variables[name] for name in KEYS} == KEYS
    assert "ASIA" not in repr(LocalRun(DEPLOYED, KEYS))


def test_without_the_deployed_function_there_are_no_credentials_and_much_time(
    tmp_path: Path,
) -> None:
    alone = invocation_of(function(tmp_path), b"{}", LocalRun(), 100.0)
    known = invocation_of(function(tmp_path), b"{}", LocalRun(DEPLOYED), 100.0)

    assert not KEYS.keys() & alone.environment.keys()
    assert alone.deadline.remaining(100.0) == 900 + 10
    assert known.deadline.remaining(100.0) == 7 + 10
    assert alone.function_arn == ARN


@pytest.mark.parametrize("stage", ["prod", "main"])
def test_a_protected_stage_is_not_invoked(
    stage: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--project", str(project), "--output", "json", "--stage", stage, "invoke", "api"]

    assert main(words) == 2
    (error,) = events(capsys)
    assert error["reference"] == "stage-protected"


def test_a_local_run_of_a_protected_stage_asks_aws_for_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--project", str(project), "--output", "json", "--stage", "prod"]

    assert main([*words, "invoke", "api", "--local", "--event", "@sqs", "--print-event"]) == 0
    warning, note, shown = events(capsys)
    assert warning["reference"] == "aws-not-asked"
    assert "neither" in warning["message"]
    assert 'Stage "prod" is protected' in warning["message"]
    assert note["message"].startswith("No queue that invokes the function is known")
    assert "arn:aws:sqs:eu-west-1:123456789012:example" in json.dumps(shown)


def test_what_is_wrong_with_a_local_run_is_said(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--project", str(project), "--output", "json"]

    assert main([*words, "invoke", "api", "--local", "--async"]) == 2
    assert events(capsys)[0]["reference"] == "usage"
    assert main([*words, "invoke", "billing", "--local"]) == 2
    assert events(capsys)[-1]["reference"] == "function-unknown"
    assert main([*words, "invoke", "api", "--local", "--event", "none.json"]) == 2
    assert events(capsys)[-1]["reference"] == "event-not-found"
    assert main([*words, "--stage", "dev-ben", "invoke", "api", "--local"]) == 2
    error = events(capsys)[-1]
    assert error["reference"] == "local-code-unknown"
    assert "dev-ana, prod (`--stage`)" in error["hint"]
