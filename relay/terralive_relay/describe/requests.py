"""Describes HTTP requests, WebSocket messages and questions to authorizers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

from terralive_relay.describe.values import as_text, folded, joined
from terralive_stub.shared.json_documents import Json, as_object, parse_object, section, text

# A larger body is not parsed for its names.
_FOLDED_CHARACTERS: Final = 16 * 1024
# Values of parameters with such names stay out of terminals and logs of CI.
_SECRET: Final = re.compile(
    r"token|secret|passw|pwd|signature|credential|api-?_?key|auth|session|\bcode\b|\bsig\b|\bkey\b",
    re.IGNORECASE,
)
_HIDDEN: Final = "…"


def request(document: Mapping[str, Json]) -> tuple[str, str] | None:
    """Return the trigger and summary of a request; None if the event is none.

    HTTP API and function URL: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    Load balancer: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
    VPC Lattice: https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html
    """
    arn = document.get("methodArn") or document.get("routeArn")
    if isinstance(arn, str):
        return "authorizer", _method_of(arn)
    context = section(document, "requestContext")
    http = section(context, "http")
    if http:
        # An HTTP API's event in format 2.0, or a function URL's.
        query = _hidden(text(document, "rawQueryString"))
        return "http", _line(http.get("method"), http.get("path"), query)
    if "httpMethod" in document:
        # A REST API's event, an HTTP API's in format 1.0, or a load balancer's.
        return "http", _line(document["httpMethod"], document.get("path"), _query(document))
    if "connectionId" in context:
        return "websocket", as_text(context.get("routeKey"))
    if "authorizationToken" in document and "queryString" in context:
        # https://docs.aws.amazon.com/appsync/latest/devguide/security-authz.html
        return "authorizer", joined(("AppSync", context.get("operationName")))
    return _of_lattice(document)


def _of_lattice(document: Mapping[str, Json]) -> tuple[str, str] | None:
    """Return the trigger and summary of a request of VPC Lattice, in either of its formats."""
    if "raw_path" in document and "method" in document:
        path, _, query = text(document, "raw_path").partition("?")
        return "lattice", _line(document["method"], path, _hidden(query))
    if "serviceNetworkArn" in section(document, "requestContext"):
        return "lattice", _line(document.get("method"), document.get("path"), _query(document))
    return None


def body_of(document: Mapping[str, Json]) -> tuple[str, int]:
    """Return the shape of a request's body without its data, and its size in bytes."""
    body = text(document, "body")
    if not body:
        return "", 0
    is_encoded = document.get("isBase64Encoded") or document.get("is_base64_encoded")
    if is_encoded:
        return "", len(body) * 3 // 4 - body[-2:].count("=")
    shape = ""
    if len(body) <= _FOLDED_CHARACTERS and body.startswith("{"):
        shape = folded(parse_object(body))
    return shape, len(body.encode("utf-8", "replace"))


def _line(method: object, path: object, query: str) -> str:
    line = joined((method, path))
    if query:
        line += f"?{query}"
    return line


def _query(document: Mapping[str, Json]) -> str:
    """Return the query of an event that has its parameters in an object."""
    parameters = as_object(
        document.get("multiValueQueryStringParameters") or document.get("queryStringParameters")
    )
    pairs: list[str] = []
    for name, value in _pairs(parameters):
        pair = _quoted(name)
        if value:
            pair = f"{pair}={_quoted(value)}"
        pairs.append(pair)
    return _hidden("&".join(pairs))


def _pairs(parameters: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for name, values in parameters.items():
        if isinstance(values, list):
            for value in values:
                yield name, as_text(value)
        else:
            yield name, as_text(values)


def _quoted(text: str) -> str:
    # A load balancer passes on parameters as they were encoded by the client.
    return quote(text, safe="%/:@,;!*'()$+-._~", errors="replace")


def _hidden(query: str) -> str:
    """Return a query without the values of parameters that are called like secrets."""
    if not _SECRET.search(query):
        return query
    parts = []
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if value and _SECRET.search(name):
            value = _HIDDEN
        parts.append(f"{name}{equals}{value}")
    return "&".join(parts)


def _method_of(arn: str) -> str:
    """Return the method and path, or the route, that an authorizer is asked about.

    The ARN ends with the API, the stage, the method and the path, or with `$connect`
    (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html).
    """
    method, slash, path = arn.partition("/")[2].partition("/")[2].partition("/")
    return joined((method, slash + path))
