"""What functions of proxy integrations answer, read part by part: pure, and strict where API Gateway is.

It says what a part is worth; which parts there may be is each kind of API's own.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class MalformedAnswerError(Exception):
    """A function's answer is not what a proxy integration has to give (HTTP APIs say 500, REST and WebSocket 502)."""


def parsed(answer: bytes) -> object:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as broken:
        raise MalformedAnswerError("not JSON") from broken


def status(value: object) -> int:
    try:
        code = int(value) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        code = 0
    if not 200 <= code <= 599:  # noqa: PLR2004 - a 1xx is no final response
        raise MalformedAnswerError(f"{str(value)[:100]} is no status code")
    return code


def encoded(body: object) -> bytes:
    """A body as it stands.

    Raises:
        MalformedAnswerError: it is no text.
    """
    if body is not None and not isinstance(body, str):
        raise MalformedAnswerError("the body is not a string")
    return (body or "").encode("utf-8", "replace")


def decoded(body: object) -> bytes:
    """Raises MalformedAnswerError unless the body is base64."""
    try:
        return base64.b64decode(encoded(body), validate=True)
    except binascii.Error as broken:
        raise MalformedAnswerError("the body is not base64") from broken


def headers(given: object) -> list[tuple[str, str]]:
    if given is not None and not isinstance(given, dict):
        raise MalformedAnswerError("headers is no object")
    return [(header_name(name), header_value(value)) for name, value in (given or {}).items()]


def header_name(name: object) -> str:
    """In lower case. Raises MalformedAnswerError for what is no header's name."""
    if _TOKEN.fullmatch(str(name)) is None:
        raise MalformedAnswerError(f"{str(name)[:100]!r} is no header")
    return str(name).lower()


def header_value(value: object) -> str:
    """Raises MalformedAnswerError for what cannot be a header's value."""
    if isinstance(value, dict | list):
        raise MalformedAnswerError("a header's value is no text")
    text = (str(value).lower() if isinstance(value, bool) else str(value)).strip(" \t")
    if _CONTROL.search(text) is not None:
        raise MalformedAnswerError("a header has a line break or control character")
    return text


def merged_headers(value: Mapping[str, object]) -> list[tuple[str, str]]:
    """`headers` and `multiValueHeaders` of an answer; a name in both has the values of the latter."""
    many = value.get("multiValueHeaders") or {}
    if not isinstance(many, dict) or not all(isinstance(values, list) for values in many.values()):
        raise MalformedAnswerError("multiValueHeaders is no object of lists")
    pairs = [
        (header_name(name), header_value(one)) for name, values in many.items() for one in values
    ]
    names = {name for name, _ in pairs}
    return [
        *((name, one) for name, one in headers(value.get("headers")) if name not in names),
        *pairs,
    ]
