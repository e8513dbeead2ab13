"""A debug run with TERRALIVE_LOG: it shows the protocol, and no secret that the test plants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terralive_testing.drivers.command import Command
from terralive_testing.drivers.plain_app import MAIN, plain_project

pytestmark = pytest.mark.timeout(300)

PLANTED = {
    "environment value": "planted-environment-value",
    "payload": "planted-payload",
    "output": "planted-output",
    "result": "planted-result",
}
HANDLER = """
import os

def handler(event, context):
    print("planted-output")
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return {"result": "planted-result", "keys": [os.environ[name] for name in names]}
"""
ENVIRONMENT = """
  environment {
    variables = { PASSWORD = "planted-environment-value" }
  }
}
"""


def test_a_debug_run_shows_the_protocol_and_no_secret(tmp_path: Path) -> None:
    project = plain_project(tmp_path / "plain")
    (project.root / "main.tf").write_text(MAIN.rstrip().removesuffix("}") + ENVIRONMENT, "utf-8")
    project.write_handler("greet", HANDLER)
    file = tmp_path / "debug.log"
    variables = {"TERRALIVE_LOG": "debug", "TERRALIVE_LOG_FILE": str(file)}

    with Command(["start", "--sandbox", "--yes"], project.root, variables) as live:
        project.sandbox = live.wait_for_type("ready", timeout_s=180)["sandbox"]
        payload = json.dumps({"password": PLANTED["payload"]}).encode()
        answer = project.client("lambda").invoke(FunctionName="plain-greet", Payload=payload)
        result = json.loads(answer["Payload"].read())
        live.interrupt()
        assert live.finish(60) == 130, live.story()

    assert result["result"] == PLANTED["result"]
    assert PLANTED["output"] in [event["line"] for event in live.of_type("log")]
    log = file.read_text("utf-8")
    for logger in ("cli", "relay", "workers", "terraform", "sandbox"):
        assert f" DEBUG terralive.{logger} [" in log, logger
    assert "lease granted to connection" in log
    assert live.of_type("invocation")[0]["request_id"] in log
    secrets = [
        *PLANTED.values(),
        *result["keys"][1:],
        project.sandbox["secret_access_key"],
    ]
    assert [secret for secret in secrets if secret and secret in log] == []
    assert live.noise == []
