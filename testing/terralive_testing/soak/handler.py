"""The code of every function under soak. It does what its event says, and records begin and end.

It runs by itself as `app.py` in a worker. The soak imports `digest` from it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from random import Random
from typing import Any

_RELAY = os.getppid()  # the process that started this worker: a relay, or the sandbox


class SoakError(Exception):
    """The error that an event asks for."""


def digest(value: object) -> str:
    """Return a digest of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def handler(event: dict[str, Any], context: Any) -> object:  # noqa: ANN401 - Lambda's
    """Answer with so many bytes, fail, or end the process. No two answers are the same."""
    request_id = str(context.aws_request_id)
    # "$LATEST", unless the deployed code answers: that is a published version.
    version = str(context.function_version)
    _write(what="begin", id=request_id, version=version, event=digest(event))
    time.sleep(event.get("seconds", 0))
    wanted = event.get("fails", "")
    if wanted == "exit":
        _write(what="end", id=request_id, error="Runtime.ExitError")
        os._exit(3)
    if wanted:
        _write(what="end", id=request_id, error="SoakError")
        raise SoakError(event["n"])
    answer = _answer(event)
    text = json.dumps(answer)
    _write(what="end", id=request_id, error="", answer=digest(answer), bytes=len(text))
    return answer


def _answer(event: dict[str, Any]) -> dict[str, object]:
    answer: dict[str, object] = {"run": uuid.uuid4().hex, "filling": ""}
    missing = int(event.get("answer", 0)) - len(json.dumps(answer))
    if missing > 0:
        answer["filling"] = filling(missing, event["n"])
    return answer


def filling(characters: int, seed: int) -> str:
    """Return text that hardly compresses."""
    return Random(seed).randbytes(characters // 2 + 1).hex()[:characters]


def _write(**fields: object) -> None:
    """Append one line at once: lines of several processes never mix, and a kill cuts none."""
    line = json.dumps({**fields, "relay": _RELAY, "at": time.time()}) + "\n"
    file = os.open(os.environ["SOAK_LEDGER"], os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
