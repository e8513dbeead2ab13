"""Identity sources: the parts of a request that an authorizer needs. Everything here is pure.

A request that lacks one of them is unauthorized, and the authorizer's function does not run.
https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-authorizers.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from terralive_stub.shared.json_documents import as_object

# WebSocket APIs write `route.request.header.NAME`, REST APIs `method.request.header.NAME`, and HTTP
# APIs `$request.header.NAME`.
_SOURCE: Final = re.compile(
    r"(?:\$|route\.|method\.)?"
    r"(?P<place>request\.header|request\.querystring|stageVariables|context)\.(?P<name>.+)"
)


@dataclass(frozen=True, slots=True)
class RequestParts:
    """The parts of a request that identity sources can name.

    Attributes:
        headers: names and values as the client sent them.
        query: the query string.
        stage_variables: the stage variables.
        context: the `requestContext` of the event.
    """

    headers: tuple[tuple[str, str], ...]
    query: str
    stage_variables: Mapping[str, str]
    context: Mapping[str, object]


def values_of(sources: Sequence[str], parts: RequestParts) -> tuple[str, ...] | None:
    """Return the values of identity sources, in their order; None if one is missing or empty."""
    values: list[str] = []
    for source in sources:
        value = _value_of(source, parts)
        if not value:
            return None
        values.append(value)
    return tuple(values)


def _value_of(source: str, parts: RequestParts) -> str:
    """Return the value of one identity source, empty if the request does not have it."""
    found = _SOURCE.fullmatch(source.strip())
    if found is None:
        return ""
    name = found["name"]
    match found["place"]:
        case "request.header":
            return _header(parts.headers, name)
        case "request.querystring":
            return parse_qs(parts.query).get(name, [""])[-1]
        case "stageVariables":
            return parts.stage_variables.get(name, "")
        case _:
            return _context_value(parts.context, name)


def _header(headers: tuple[tuple[str, str], ...], name: str) -> str:
    for key, value in headers:
        if key.lower() == name.lower():
            return value
    return ""


def _context_value(context: Mapping[str, object], path: str) -> str:
    value: object = context
    for name in path.split("."):
        value = as_object(value).get(name)
    if value is None or isinstance(value, dict | list):
        return ""
    return str(value)
