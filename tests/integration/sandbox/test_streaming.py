"""Functions that stream their responses, as their callers see them.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import io
import json
import shutil
import socket
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.rest_api import RestApi, at, fetch, streaming_uri
from terralive_testing.deployers.sandbox import Aws

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not on PATH")

# What it does is named by the path of a URL, or by the event.
STREAMS = """
const net = require('net')
const { once } = require('events')
const opened = (port) => once(net.connect(port, '127.0.0.1').resume(), 'close')
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  const given = { path: event.rawPath, ...event.queryStringParameters, ...event }
  const { path, port, fails } = given
  if (path === '/throw') throw new RangeError('nothing was written')
  if (path === '/empty') return stream.end()
  if (path === '/large') {
    for (let n = 0; n < 25; n++) {
      if (!stream.write(Buffer.alloc(1_000_000, n))) await once(stream, 'drain')
    }
    return stream.end()
  }
  if (path === '/prelude' || path === '/teapot') {
    stream = awslambda.HttpResponseStream.from(stream, {
      statusCode: path === '/teapot' ? 418 : 201,
      headers: { 'Content-Type': 'text/event-stream', 'X-A': 'b' },
      cookies: ['c=d', 'e=f'],
    })
  }
  if (path === '/broken') {
    stream.setContentType('application/vnd.awslambda.http-integration-response')
    return stream.end('no prelude')
  }
  if (path === '/type') stream.setContentType('text/csv')
  await new Promise((written) => stream.write('first ', written))
  if (port) await opened(Number(port))
  if (path === '/half' || fails) throw new RangeError('half way')
  if (path === '/exit') process.exit(3)
  stream.write('rest')
  stream.end()
})
"""
BUFFERED = """
exports.handler = async (event) => ({ statusCode: 201, body: 'not streamed' })
"""
# A custom runtime that streams.
CUSTOM = f"""#!{sys.executable}
import http.client, json, os, socket
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
base = "/2018-06-01/runtime/invocation"
while True:
    api.request("GET", base + "/next")
    asked = api.getresponse()
    event = json.loads(asked.read())
    def pieces():
        yield b"first "
        socket.create_connection(("127.0.0.1", event["port"])).recv(1)
        yield b"rest"
    request_id = asked.headers["Lambda-Runtime-Aws-Request-Id"]
    headers = {{"Lambda-Runtime-Function-Response-Mode": "streaming",
               "Transfer-Encoding": "chunked"}}
    api.request("POST", f"{{base}}/{{request_id}}/response", pieces(), headers, encode_chunked=True)
    api.getresponse().read()
"""


@pytest.fixture
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


class Gate:
    """A handler stops at it until the test opens it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(60)
        self.port = self._server.getsockname()[1]

    def open(self) -> None:
        """Wait until the handler is at the gate, and let it go on."""
        self._server.accept()[0].close()

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.close()


def zipped(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, text)
    return buffer.getvalue()


@dataclass
class Deployed:
    """A function and its URL, which streams."""

    arn: str
    url: str


def deploy(aws: Aws, source: str) -> Deployed:
    archive = zipped("app.js", source)
    arn = aws.function(archive, runtime="nodejs20.x", timeout=30)
    return Deployed(arn, aws.streaming_url(arn))


@pytest.fixture(scope="module")
def streams(sandbox: SandboxInfo) -> Deployed:
    """One function for the whole module, which keeps its process."""
    return deploy(Aws(sandbox), STREAMS)


def stream(aws: Aws, arn: str, event: object, **options: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    """Invoke a function, and return the events as botocore reads them."""
    payload = json.dumps(event).encode()
    answer = aws.lambda_.invoke_with_response_stream(FunctionName=arn, Payload=payload, **options)
    yield from answer["EventStream"]  # type: ignore[misc] # a literal of the stubs


def chunks(events: list[dict[str, Any]]) -> bytes:
    return b"".join(event["PayloadChunk"]["Payload"] for event in events[:-1])


@contextlib.contextmanager
def connected(url: str, path: str) -> Iterator[http.client.HTTPResponse]:
    """Send a request, and read the answer while it comes."""
    host, _, prefix = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("GET", f"/{prefix}{path}")
    with connection.getresponse() as answer:
        yield answer
    connection.close()


@needs_node
def test_the_first_byte_reaches_the_client_of_a_url_before_the_handler_ends(
    streams: Deployed, gate: Gate
) -> None:
    with connected(streams.url, f"/?port={gate.port}") as answer:
        assert answer.status == 200
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.read(6) == b"first "
        gate.open()
        assert answer.read() == b"rest"


@needs_node
def test_a_prelude_has_the_status_headers_and_cookies_of_the_answer(
    streams: Deployed, gate: Gate
) -> None:
    with connected(streams.url, f"/prelude?port={gate.port}") as answer:
        assert answer.status == 201
        assert (answer.headers["Content-Type"], answer.headers["X-A"]) == ("text/event-stream", "b")
        assert answer.headers.get_all("Set-Cookie") == ["c=d", "e=f"]
        assert answer.read(6) == b"first "
        gate.open()
        assert answer.read() == b"rest"


@needs_node
@pytest.mark.parametrize(
    ("path", "status", "content_type", "body"),
    [
        ("/teapot", 418, "text/event-stream", "first rest"),
        ("/type", 200, "text/csv", "first rest"),
        ("/empty", 200, "application/octet-stream", ""),
        ("/throw", 502, "application/json", "Internal Server Error"),
        ("/broken", 502, "application/json", "Internal Server Error"),
    ],
)
def test_what_a_streaming_url_answers(
    streams: Deployed, path: str, status: int, content_type: str, body: str
) -> None:
    answer = fetch("GET", streams.url + path)
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (
        status,
        content_type,
        body,
    )


@needs_node
@pytest.mark.parametrize("path", ["/half", "/exit"])
def test_an_error_in_the_middle_breaks_the_clients_connection_off(
    streams: Deployed, gate: Gate, path: str
) -> None:
    with connected(streams.url, f"{path}?port={gate.port}") as answer:
        assert answer.read(6) == b"first "
        gate.open()
        with pytest.raises(http.client.IncompleteRead):
            answer.read()


@needs_node
def test_more_than_the_limit_of_a_buffered_response_is_streamed_whole(streams: Deployed) -> None:
    expected = hashlib.sha256(b"".join(bytes([n]) * 1_000_000 for n in range(25)))
    answer = fetch("GET", streams.url + "/large")
    assert len(answer.content) == 25_000_000
    assert hashlib.sha256(answer.content).digest() == expected.digest()


@needs_node
def test_a_function_runs_on_when_the_client_of_its_url_is_gone(
    aws: Aws, streams: Deployed, gate: Gate
) -> None:
    with connected(streams.url, f"/?port={gate.port}") as answer:
        assert answer.read(6) == b"first "
    # The client has closed its connection.
    gate.open()
    events = list(stream(aws, streams.arn, {"path": "/type"}))
    assert chunks(events) == b"first rest"


@pytest.fixture(scope="module")
def rest(sandbox: SandboxInfo, streams: Deployed) -> RestApi:
    """A REST API whose integration streams the answers of the same function."""
    aws = Aws(sandbox)
    api = RestApi(aws)
    api.method("GET", "/{path}", streaming_uri(aws, streams.arn), mode="STREAM")
    aws.allow(streams.arn, "apigateway.amazonaws.com", f"{aws.execution_arn(api.id)}/*/*")
    api.deploy()
    return api


@needs_node
def test_a_rest_api_that_streams_sends_each_piece_as_it_is_written(
    aws: Aws, rest: RestApi, gate: Gate
) -> None:
    url = at(aws, rest.id, "dev", "")
    with connected(url, f"/prelude?port={gate.port}") as answer:
        assert answer.status == 201
        assert (answer.headers["Content-Type"], answer.headers["X-A"]) == ("text/event-stream", "b")
        assert answer.headers.get_all("Set-Cookie") == ["c=d", "e=f"]
        assert answer.headers["X-Amzn-Trace-Id"]
        assert answer.read(6) == b"first "
        gate.open()
        assert answer.read() == b"rest"
    with connected(url, f"/teapot?fails=1&port={gate.port}") as answer:
        assert answer.read(6) == b"first "
        gate.open()
        with pytest.raises(http.client.IncompleteRead):
            answer.read()


@needs_node
@pytest.mark.parametrize("path", ["/throw", "/empty", "/type"])
def test_a_rest_api_answers_502_for_what_does_not_begin_with_a_prelude(
    rest: RestApi, path: str
) -> None:
    answer = rest.ask("GET", path)
    assert (answer.status_code, answer.json()) == (502, {"message": "Internal server error"})


def test_a_rest_api_keeps_the_transfer_mode_which_only_proxies_have(aws: Aws) -> None:
    api = RestApi(aws)
    uri = streaming_uri(aws, "arn:aws:lambda:us-east-1:123456789012:function:orders")
    api.method("GET", "/orders", uri, mode="STREAM")
    where: Any = {"restApiId": api.id, "resourceId": api.resource("/orders"), "httpMethod": "GET"}
    assert aws.rest.get_integration(**where)["responseTransferMode"] == "STREAM"
    change: Any = {"op": "replace", "path": "/responseTransferMode", "value": "BUFFERED"}
    changed = aws.rest.update_integration(**where, patchOperations=[change])
    assert changed["responseTransferMode"] == "BUFFERED"
    with pytest.raises(ClientError, match="Only proxy integrations"):
        api.method("POST", "/orders", uri, kind="AWS", mode="STREAM")


@needs_node
def test_invoke_with_response_stream_gives_each_piece_as_it_is_written(
    aws: Aws, streams: Deployed, gate: Gate
) -> None:
    events = stream(aws, streams.arn, {"port": gate.port})
    assert next(events) == {"PayloadChunk": {"Payload": b"first "}}
    gate.open()
    left = list(events)
    assert chunks(left) == b"rest"
    assert left[-1] == {"InvokeComplete": {}}


@needs_node
@pytest.mark.parametrize(
    ("path", "written", "code"),
    [
        ("/throw", b"", "RangeError"),
        ("/half", b"first ", "RangeError"),
        ("/exit", b"first ", "Runtime.TruncatedResponse"),
    ],
)
def test_an_error_of_a_stream_is_in_its_last_event(
    aws: Aws, streams: Deployed, path: str, written: bytes, code: str
) -> None:
    events = list(stream(aws, streams.arn, {"path": path}, LogType="Tail"))
    assert chunks(events) == written
    complete = events[-1]["InvokeComplete"]
    assert complete["ErrorCode"] == json.loads(complete["ErrorDetails"])["errorType"] == code
    assert b"REPORT RequestId" in base64.b64decode(complete["LogResult"])


@needs_node
def test_a_buffered_invocation_of_a_streaming_function_gets_all_of_the_body(
    aws: Aws, streams: Deployed
) -> None:
    answer = aws.lambda_.invoke(FunctionName=streams.arn, Payload=b'{"path": "/type"}')
    assert (answer["StatusCode"], answer["Payload"].read()) == (200, b"first rest")
    failed = aws.lambda_.invoke(FunctionName=streams.arn, Payload=b'{"path": "/half"}')
    assert failed["FunctionError"] == "Unhandled"
    assert json.loads(failed["Payload"].read())["errorMessage"] == "half way"


@needs_node
def test_a_function_that_does_not_stream_has_its_answer_sent_as_it_is(aws: Aws) -> None:
    function = deploy(aws, BUFFERED)
    whole = {"statusCode": 201, "body": "not streamed"}
    answer = fetch("GET", function.url)
    assert (answer.status_code, answer.json()) == (200, whole)
    events = list(stream(aws, function.arn, {}))
    assert json.loads(chunks(events)) == whole
    assert events[-1] == {"InvokeComplete": {}}


def test_a_custom_runtime_streams(aws: Aws, gate: Gate) -> None:
    arn = aws.function(zipped("bootstrap", CUSTOM), runtime="provided.al2023")
    events = stream(aws, arn, {"port": gate.port})
    assert next(events) == {"PayloadChunk": {"Payload": b"first "}}
    gate.open()
    assert chunks(list(events)) == b"rest"


def test_a_function_that_takes_too_long_has_its_stream_ended(aws: Aws, gate: Gate) -> None:
    arn = aws.function(zipped("bootstrap", CUSTOM), runtime="provided.al2023", timeout=1)
    events = list(stream(aws, arn, {"port": gate.port}))
    assert b"first ".startswith(chunks(events))
    assert events[-1]["InvokeComplete"]["ErrorCode"] == "Sandbox.Timedout"


def test_an_invocation_that_lambda_refuses_is_an_ordinary_error(aws: Aws) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        list(stream(aws, "no-such-function", {}))
    arn = aws.function("def handler(event, context):\n    return 1\n")
    with pytest.raises(ClientError, match="ValidationException"):
        aws.lambda_.invoke_with_response_stream(
            FunctionName=arn,
            InvocationType="Event",  # type: ignore[arg-type] # not one of its types
        )
    aws.lambda_.put_function_concurrency(FunctionName=arn, ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError, match="TooManyRequestsException"):
        list(stream(aws, arn, {}))
