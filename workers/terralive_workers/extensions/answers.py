"""Requests to an extension and its answers, without their transport. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

from terralive_workers.runtime_api.http_messages import Request

# Takes a line for the function's log.
Log: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Question:
    """A request to an extension.

    Attributes:
        method: `GET`, …
        path: the path without the query. Its parts may be percent-encoded.
        query: the values of the query's names.
        headers: the headers, with their names in lower case.
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, request: Request) -> Question:
        """Return the question that a request asks."""
        parts = urlsplit(request.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        return cls(request.method, parts.path.rstrip("/"), query, request.headers)

    def value(self, name: str) -> str:
        """Return the first value of a name in the query; "" for none."""
        return self.query.get(name, [""])[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request.

    Attributes:
        status: the HTTP status.
        body: the body.
        headers: the headers, but for its length.
    """

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str]


def plain(status: int, text: str) -> Answer:
    """Return an answer of one sentence."""
    return Answer(status, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})


def document(value: object) -> Answer:
    """Return a JSON document as a successful answer."""
    return Answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})
