"""A custom runtime for the functions under soak that stream: the answer of `handler`, in pieces.

It runs by itself as `stream.py` beside `app.py`, started by `bootstrap`.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
from collections.abc import Iterator
from random import Random
from types import SimpleNamespace
from typing import Any

_INVOCATIONS = "/2018-06-01/runtime/invocation/"
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
_LONGEST_PAUSE_SECONDS = 0.05


def run() -> None:
    """Run invocations until this process is ended."""
    import app  # type: ignore[import-not-found]  # noqa: PLC0415  # beside this file, when it runs

    host, _, prefix = os.environ["AWS_LAMBDA_RUNTIME_API"].partition("/")
    path = _INVOCATIONS
    if prefix:
        path = f"/{prefix}{_INVOCATIONS}"
    connection = http.client.HTTPConnection(host)
    while True:
        connection.request("GET", f"{path}next")
        answer = connection.getresponse()
        event = json.loads(answer.read())
        request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        context = SimpleNamespace(
            aws_request_id=request_id,
            function_version=os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
        )
        failure = ""
        content = b"the beginning of an answer"
        try:
            content = json.dumps(app.handler(event, context)).encode()
        except app.SoakError as error:
            failure = str(error)
        _stream(connection, f"{path}{request_id}/response", pieces(content, event), failure)


def pieces(content: bytes, event: dict[str, Any]) -> Iterator[bytes]:
    """Return a response in pieces of many sizes, always the same for one event."""
    random = Random(event.get("n", 0))
    at = 0
    while at < len(content):
        size = random.choice((1, 100, 10_000, 300_000))
        yield content[at : at + size]
        at += size
        if random.random() < 0.2:
            time.sleep(random.random() * _LONGEST_PAUSE_SECONDS)


def _stream(
    connection: http.client.HTTPConnection, path: str, content: Iterator[bytes], failure: str
) -> None:
    connection.putrequest("POST", path)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Trailer", f"{_ERROR_TYPE}, {_ERROR_BODY}")
    connection.endheaders()
    for piece in content:
        connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    trailers = ""
    if failure:
        document = json.dumps({"errorType": "SoakError", "errorMessage": failure})
        body = base64.b64encode(document.encode()).decode()
        trailers = f"{_ERROR_TYPE}: SoakError\r\n{_ERROR_BODY}: {body}\r\n"
    connection.send(f"0\r\n{trailers}\r\n".encode())
    connection.getresponse().read()


if __name__ == "__main__":
    run()
