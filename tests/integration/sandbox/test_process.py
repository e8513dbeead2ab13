"""The sandbox's process: its start, its end, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from terralive_sandbox.info import attach, environment
from terralive_sandbox.process import SandboxProcess
from terralive_stub.errors import TerraliveError
from terralive_testing.deployers.sandbox import Aws, running_sandbox
from terralive_testing.machine.processes import command_lines
from terralive_testing.machine.waiting import eventually

WAITS = "import os, time\ndef handler(event, context):\n    return os.getpid()\n"


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def function_pid(aws: Aws) -> int:
    return int(aws.lambda_.invoke(FunctionName=aws.function(WAITS))["Payload"].read())


def test_a_stopped_sandbox_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as info:
        path = tmp_path / "sandbox.json"
        assert attach(path) == info
        assert path.stat().st_mode & 0o777 == 0o600
        pid = function_pid(Aws(info))
        assert not gone(pid)
    eventually(lambda: gone(pid))
    assert gone(info.pid)
    assert not path.exists()
    assert attach(path) is None


def test_a_file_of_the_projects_is_not_taken_for_a_module_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    with running_sandbox(tmp_path) as info:
        assert attach(tmp_path / "sandbox.json") == info


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(tmp_path: Path, by: signal.Signals) -> None:
    path = tmp_path / "sandbox.json"
    process = SandboxProcess.start(path, log_path=tmp_path / "log")
    try:
        pid = function_pid(Aws(process.info))
        os.kill(process.info.pid, by)
        eventually(lambda: gone(process.info.pid) and gone(pid) and not path.exists())
    finally:
        process.stop()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_stopped_while_functions_start_it_writes_no_traceback_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    process = SandboxProcess.start(tmp_path / "sandbox.json", log_path=log)
    aws = Aws(process.info)
    names = [aws.function(WAITS) for _ in range(24)]
    with ThreadPoolExecutor(len(names)) as callers:
        calls = [callers.submit(aws.lambda_.invoke, FunctionName=name) for name in names]
        # The first answer comes while the others start.
        wait(calls, return_when=FIRST_COMPLETED)
        process.stop()
    ended = [call.exception() for call in calls]
    assert None in ended, "the first one was answered"
    unnamed = [
        error
        for error in ended
        if error is not None and not isinstance(error, (ClientError, BotoCoreError))
    ]
    assert not unnamed
    assert "Traceback" not in log.read_text()
    own = f"terralive-sandbox-{process.info.pid}-"
    eventually(lambda: not [line for line in command_lines().values() if own in line])


def test_a_caller_whose_function_still_runs_at_the_end_gets_an_error_of_lambda(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    process = SandboxProcess.start(tmp_path / "sandbox.json", log_path=log)
    aws = Aws(process.info)
    code = "import time\ndef handler(event, context):\n    time.sleep(120)\n"
    name = aws.function(code, timeout=120)
    own = f"terralive-sandbox-{process.info.pid}-"
    try:
        with ThreadPoolExecutor(1) as callers:
            call = callers.submit(aws.lambda_.invoke, FunctionName=name)
            eventually(
                lambda: [line for line in command_lines().values() if own in line],
                "the function's process",
            )
            # One signal: the sandbox waits for requests that end soon, and gives this one up.
            os.kill(process.info.pid, signal.SIGTERM)
            with pytest.raises(ClientError, match="The sandbox is stopping"):
                call.result()
    finally:
        process.stop()
    assert "Traceback" not in log.read_text()


def test_it_ends_with_its_parent_even_when_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from terralive_sandbox.process import SandboxProcess\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "process = SandboxProcess.start(folder / 'i', log_path=folder / 'log')\n"
        "print('ready', flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        info = attach(tmp_path / "i")
        assert info is not None
        pid = function_pid(Aws(info))
        parent.kill()
    eventually(lambda: gone(info.pid) and gone(pid))
    assert attach(tmp_path / "i") is None


def test_a_file_of_a_killed_sandbox_is_not_attached_to(tmp_path: Path) -> None:
    process = SandboxProcess.start(tmp_path / "i", log_path=tmp_path / "log")
    try:
        text = (tmp_path / "i").read_text()
        pid = function_pid(Aws(process.info))
        os.kill(process.info.pid, signal.SIGKILL)
        eventually(lambda: gone(process.info.pid) and gone(pid))
        assert (tmp_path / "i").read_text() == text
        assert attach(tmp_path / "i") is None
    finally:
        process.stop()


def test_a_sandbox_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(TerraliveError) as failed:
        SandboxProcess.start(tmp_path / "i", port=taken.getsockname()[1], log_path=tmp_path / "log")
    assert failed.value.reference == "sandbox-failed"
    assert "Address already in use" in failed.value.message
    assert failed.value.hint


def test_the_callers_aws_environment_does_not_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_PROFILE": "nobody",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "MOTO_ACCOUNT_ID": "999999999999",
    }.items():
        monkeypatch.setenv(name, value)
    with running_sandbox(tmp_path) as info:
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
            monkeypatch.delenv(name)
        aws = Aws(info)
        function = aws.function(
            "import os\ndef handler(event, context):\n    return dict(os.environ)\n"
        )
        text = aws.lambda_.invoke(FunctionName=function)["Payload"].read().decode()
        assert aws.sts.get_caller_identity()["Account"] == info.account_id == "123456789012"
    assert "AKIAREAL" not in text
    assert "nobody" not in text
    assert "999999999999" not in text
    assert environment(info)["AWS_REGION"] == "us-east-1"
