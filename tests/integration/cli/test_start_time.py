from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HEAVY = (
    "boto3",
    "botocore",
    "cdktf",
    "constructs",
    "jsii",
    "moto",
    "rich",
    "watchfiles",
    "websocket",
    "jinja2",
    "terralive_cli.output.formats.text",
    "terralive_stub.broker.admission",
    "terralive_stub.protocol.messages",
)
PROGRAM = f"""
import sys
from terralive_cli.main import main
code = main(["--help"])
print("heavy:", *sorted(set(sys.modules) & set({HEAVY!r})))
sys.exit(code)
"""


def test_help_waits_for_no_heavy_module() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )

    assert ended.stdout.splitlines()[-1] == "heavy:"
    assert "start" in ended.stdout


def test_help_into_a_closed_pipe_is_quiet() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "terralive_cli", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert not process.stderr.read()


def test_a_terminal_without_utf_8_gets_every_word(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "terralive_cli", "--output", "plain", "start"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode == 2
    assert "  ? Go to your app's folder" in ended.stderr
