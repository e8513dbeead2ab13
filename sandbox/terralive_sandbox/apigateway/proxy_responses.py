"""Read a function's answer to a proxy integration, one part at a time.

Everything here is pure, and strict where API Gateway is strict. Each kind of API decides by itself
which parts there may be.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Final

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# A 1xx is not a final response.
_STATUSES: Final = range(200, 600)


class MalformedAnswerError(Exception):
    """A function's answer is not what a proxy integration has to give.

    HTTP APIs answer 500 then, REST and WebSocket APIs 502.
    """


def parsed(answer: bytes) -> object:
    """Parse an answer as JSON.

    Raises:
        MalformedAnswerError: it is not JSON.
    """
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as broken:
        raise MalformedAnswerError("not JSON") from broken


def status(value: object) -> int:
    """Return a `statusCode` as a number.

    Raises:
        MalformedAnswerError: it is not a number from 200 to 599.
    """
    # API Gateway takes a number in quotes too.
    try:
        code = int(value) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        code = 0
    if code not in _STATUSES:
        raise MalformedAnswerError(f"{str(value)[:100]} is no status code")
    return code


def body_bytes(body: object, *, is_base64: object = False) -> bytes:
    """Return a text `body` as bytes, decoded if it is base64; null is empty.

    Raises:
        MalformedAnswerError: it is not text, or not base64.
    """
    if body is not None and not isinstance(body, str):
        raise MalformedAnswerError("the body is not a string")
    # JSON can hold half of a surrogate pair, which UTF-8 cannot.
    raw = (body or "").encode("utf-8", "replace")
    if not is_base64:
        return raw
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error as broken:
        raise MalformedAnswerError("the body is not base64") from broken


def headers(given: object) -> list[tuple[str, str]]:
    """Return the names, in lower case, and values of `headers`, without those that are null.

    Raises:
        MalformedAnswerError: it is not an object, or one of its entries is not a header.
    """
    if given is None:
        return []
    if not isinstance(given, dict):
        raise MalformedAnswerError("headers is no object")
    return [
        (header_name(name), header_value(value))
        for name, value in given.items()
        if value is not None
    ]


def cookies(given: object) -> list[tuple[str, str]]:
    """Return the headers of `cookies`, without those that are null.

    Raises:
        MalformedAnswerError: it is not a list, or one of its entries is not a header's value.
    """
    if not given:
        return []
    if not isinstance(given, list):
        raise MalformedAnswerError("cookies are not a list")
    return [("set-cookie", header_value(cookie)) for cookie in given if cookie is not None]


def header_name(name: object) -> str:
    """Return a header's name in lower case.

    Raises:
        MalformedAnswerError: it cannot be a header's name.
    """
    if _TOKEN.fullmatch(str(name)) is None:
        raise MalformedAnswerError(f"{str(name)[:100]!r} is no header")
    return str(name).lower()


def header_value(value: object) -> str:
    """Return a header's value as text.

    Raises:
        MalformedAnswerError: it cannot be a header's value.
    """
    if isinstance(value, dict | list):
        raise MalformedAnswerError("a header's value is no text")
    # JSON writes `true`, Python `True`.
    text = str(value).lower() if isinstance(value, bool) else str(value).strip(" \t")
    # A line break would let a function write headers that API Gateway has not checked.
    if _CONTROL.search(text) is not None:
        raise MalformedAnswerError("a header has a line break or control character")
    return text


def merged_headers(value: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the headers of an answer's `headers` and `multiValueHeaders`.

    A name that is in both has the values of both, those of `multiValueHeaders` first. A pair of
    name and value that is in both is sent once.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html

    Raises:
        MalformedAnswerError: one of the two has the wrong type or an entry that is not a header.
    """
    multi_values = value.get("multiValueHeaders") or {}
    if not isinstance(multi_values, dict):
        raise MalformedAnswerError("multiValueHeaders is no object of lists")
    merged: list[tuple[str, str]] = []
    for name, values in multi_values.items():
        if not isinstance(values, list):
            raise MalformedAnswerError("multiValueHeaders is no object of lists")
        merged += [(header_name(name), header_value(item)) for item in values if item is not None]
    merged += [pair for pair in headers(value.get("headers")) if pair not in merged]
    return merged
