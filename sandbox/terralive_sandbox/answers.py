"""What the sandbox's HTTP side answers with: status, headers, body."""

from __future__ import annotations

import json
from typing import TypeAlias

Headers: TypeAlias = list[tuple[str, str]]
Answer: TypeAlias = tuple[int, Headers, bytes]


def json_answer(status: int, value: object) -> Answer:
    return status, [("content-type", "application/json")], json.dumps(value).encode()


def error_answer(status: int, code: str, message: str) -> Answer:
    headers = [("content-type", "application/json"), ("x-amzn-errortype", code)]
    return status, headers, json.dumps({"message": message, "Message": message}).encode()
