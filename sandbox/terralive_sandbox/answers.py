"""What the sandbox's HTTP side answers with: status, headers, body."""

from __future__ import annotations

import json
from typing import TypeAlias

Headers: TypeAlias = list[tuple[str, str]]
Answer: TypeAlias = tuple[int, Headers, bytes]


def json_answer(status: int, value: object) -> Answer:
    return status, [("content-type", "application/json")], json.dumps(value).encode()


def error_answer(status: int, code: str, message: str) -> Answer:
    body = (
        json.dumps({"message": message, "Message": message}).encode()
        if code
        else json.dumps({"message": message}).encode()
    )
    headers = [("content-type", "application/json")]
    return status, [*headers, ("x-amzn-errortype", code)] if code else headers, body
