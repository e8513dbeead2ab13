"""Run a Node.js handler by terralive's bootstrap and by aws-lambda-ric, and compare the two."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest

from terralive_stub.protocol.invocation import Invocation
from terralive_testing.drivers.workers import Transcript, transcript
from terralive_workers.launch import NODE_BOOTSTRAP
from terralive_workers.runtime_api.server import RuntimeApi

NODE = shutil.which("node") or ""
ORACLE = Path(__file__).parents[3] / "tests/contract/workers/node/oracle.mjs"
# Where `make` puts it, from tests/contract/workers/node/package-lock.json.
CLIENT = (
    Path(sys.prefix) / "aws-lambda-ric" / "node_modules" / "aws-lambda-ric" / "dist" / "index.mjs"
)

# Marks of a test module that runs both.
NEEDS_BOTH = [
    pytest.mark.skipif(not NODE, reason="there is no node on PATH"),
    pytest.mark.skipif(
        not CLIENT.is_file(),
        reason="aws-lambda-ric is not installed (no npm when .venv was set up)",
    ),
    pytest.mark.skipif(
        not shutil.which("curl"), reason="there is no curl, by which the oracle answers"
    ),
]

ENVIRONMENT = {
    "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x",
    "AWS_LAMBDA_FUNCTION_NAME": "orders",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/orders",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]abc",
    "GREETING": "hello",
}


def both(
    api: RuntimeApi,
    folder: Path,
    code: str | Mapping[str, str],
    invocations: list[Invocation],
    *,
    handler: str = "app.handler",
    environment: Mapping[str, str] | None = None,
) -> tuple[Transcript, Transcript]:
    """Return the transcripts of terralive's bootstrap and of aws-lambda-ric."""
    files = {"helper.js": "throw new Error('in the helper')\n"}
    files |= {"app.js": code} if isinstance(code, str) else code
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text))
    variables = ENVIRONMENT | dict(environment or {})
    commands = [[NODE, str(NODE_BOOTSTRAP), handler], [NODE, str(ORACLE), str(CLIENT), handler]]
    with ThreadPoolExecutor() as side_by_side:
        runs = [
            side_by_side.submit(transcript, api, command, folder, invocations, variables)
            for command in commands
        ]
    ours, theirs = (run.result() for run in runs)
    return ours, theirs


def same(ours: Transcript, theirs: Transcript) -> None:
    assert [comparable(*call) for call in ours.calls] == [
        comparable(*call) for call in theirs.calls
    ]
    assert log_of(ours) == log_of(theirs)
    assert ours.exit_status == theirs.exit_status


def comparable(call: str, error_type: str, body: bytes) -> tuple[str, str, object]:
    """Return a call as it must be the same: responses as bytes, errors without own frames."""
    if call.startswith("response"):
        return call, error_type, body
    document = json.loads(body)
    if call.startswith("broken response"):
        error = comparable("error", error_type, document["error"].encode())
        return call, error_type, (document["written"], error)
    document["errorMessage"] = "\n".join(without_own(document["errorMessage"].split("\n")))
    if "trace" in document:
        document["trace"] = without_own(document["trace"])
    return call, error_type, json.dumps(document, ensure_ascii=False)


OWN = re.compile(r"aws-lambda-ric|oracle\.mjs|node_bootstrap\.mjs")


def without_own(lines: list[str]) -> list[str]:
    """Return the lines without the frames of each runtime itself and the frames below them."""
    kept: list[str] = []
    below = False
    for line in lines:
        below = line.lstrip().startswith("at ") and (below or bool(OWN.search(line)))
        if below and line.endswith(" {"):
            kept[-1] += " {"
        elif not below and not OWN.search(line):
            kept.append(line)
    return kept


def log_of(run: Transcript) -> list[object]:
    """Return the log without times. JSON is parsed, also behind a text."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "<time>", run.stdout)
    return [logged(line) for line in text.split("\n")]


def logged(line: str) -> object:
    head, tab, text = line.rpartition("\t")
    if text.startswith("{"):
        with contextlib.suppress(ValueError):
            return head + tab, cleaned(json.loads(text))
    return "\r".join(without_own(line.split("\r")))


def cleaned(value: object) -> object:
    if isinstance(value, dict):
        return {name: cleaned(item) for name, item in value.items()}
    if isinstance(value, list):
        return (
            without_own(value)
            if all(isinstance(item, str) for item in value)
            else [cleaned(item) for item in value]
        )
    return "\n".join(without_own(value.split("\n"))) if isinstance(value, str) else value
