"""A streamed response on its whole way: a worker, the relay, the broker and a real stub."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from terralive_relay.events import InvocationFinished
from terralive_relay.relay import Relay
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.settings import RelaySettings
from terralive_sandbox.info import SandboxInfo
from terralive_stub.shared.sigv4 import Credentials
from terralive_terraform.artifacts import STREAMING_STUB_HANDLER
from terralive_testing.deployers.rest_api import RestApi, fetch, streaming_uri
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.deployers.stage import deploy
from terralive_testing.drivers.workers import Recorder
from terralive_testing.machine.waiting import eventually
from terralive_workers.function import LocalFunction

# A custom runtime that streams what the event asks for, and fails or ends in the middle.
RUNTIME = """
import base64, http.client, json, os, time

connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
top = "/2018-06-01/runtime/invocation/"

while True:
    connection.request("GET", top + "next")
    answer = connection.getresponse()
    event = json.loads(answer.read())
    request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]

    def pieces():
        if "rawPath" in event:
            yield b"first "
            while not os.path.exists("gate"):
                time.sleep(0.01)
            yield b"rest"
            return
        for number in range(event["pieces"]):
            yield bytes([number % 251]) * event["size"]
        if event.get("ends") == "twice":
            second = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
            second.request("POST", top + request_id + "/response", b'"another one"')
            yield str(second.getresponse().status).encode()
        if event.get("ends") == "exit":
            os._exit(3)

    connection.putrequest("POST", top + request_id + "/response")
    connection.putheader("Content-Type", "text/event-stream")
    connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader(
        "Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"
    )
    connection.endheaders()
    for piece in pieces():
        connection.send(b"%x\\r\\n%b\\r\\n" % (len(piece), piece))
    trailers = b""
    if event.get("ends") == "error":
        document = {"errorType": "OrderError", "errorMessage": "in the middle"}
        trailers = b"Lambda-Runtime-Function-Error-Type: OrderError\\r\\n"
        trailers += b"Lambda-Runtime-Function-Error-Body: "
        trailers += base64.b64encode(json.dumps(document).encode()) + b"\\r\\n"
    connection.send(b"0\\r\\n" + trailers + b"\\r\\n")
    connection.getresponse().read()
"""


# A Node.js handler, as AWS documents it, with status and headers in the prelude.
HANDLER = """
export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
  const head = { statusCode: 201, headers: { "x-order": context.functionName } };
  const body = awslambda.HttpResponseStream.from(stream, head);
  body.write("one ");
  body.write("two");
  body.end();
});
"""


@dataclass
class Live:
    """A function that is live."""

    aws: Aws
    arns: Mapping[str, str]
    events: Recorder
    # The folder of the local code.
    folder: Path

    def invoke(self, key: str = "fn", **event: object) -> tuple[str, bytes]:
        """Invoke a function, and return the type of its error, or "", and its body."""
        payload = json.dumps(event).encode()
        answer = self.aws.lambda_.invoke(FunctionName=self.arns[key], Payload=payload)
        body = answer["Payload"].read()
        if answer.get("FunctionError"):
            return json.loads(body)["errorType"], body
        return "", body

    def last_result(self, number: int) -> InvocationFinished:
        """Wait for the event of the invocation with this number, counted from 1."""
        eventually(
            lambda: len(self.events.of_type(InvocationFinished)) >= number, f"event {number}"
        )
        return self.events.of_type(InvocationFinished)[number - 1]


@pytest.fixture
def live(sandbox: SandboxInfo, tmp_path: Path) -> Iterator[Live]:
    aws = Aws(sandbox)
    stage = deploy(aws, tmp_path / "zips", {"fn": 60, "node": 60})
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "client.py").write_text(RUNTIME)
    (folder / "app.mjs").write_text(HANDLER)
    custom = LocalFunction(
        name=stage.functions["fn"],
        arn=stage.arns["fn"],
        address="aws_lambda_function.fn",
        runtime="provided.al2023",
        handler="any",
        path=folder,
        python=Path(sys.executable),
        command=(sys.executable, "client.py"),
    )
    node = replace(
        custom,
        name=stage.functions["node"],
        arn=stage.arns["node"],
        address="aws_lambda_function.node",
        runtime="nodejs22.x",
        handler="app.handler",
        command=(),
    )
    events = Recorder()
    settings = RelaySettings(
        stage.url,
        sandbox.region,
        stage.name,
        RelayIdentity("life", (custom.arn, node.arn), "ana", "laptop"),
        (custom, node),
        aws.caller_arn,
        stage.secret,
    )
    keys = Credentials(sandbox.access_key_id, sandbox.secret_access_key)
    relay = Relay(settings, lambda: keys, events)
    relay.start()
    try:
        relay.wait_connected(60)
        yield Live(aws, stage.arns, events, folder)
    finally:
        relay.stop()


def test_a_streamed_response_arrives_whole_or_as_an_error(live: Live) -> None:
    pieces, size = 60, 30_000
    body = b"".join(bytes([number % 251]) * size for number in range(pieces))
    assert live.invoke(pieces=pieces, size=size) == ("", body)
    event = live.last_result(1)
    assert event.ok
    assert event.streamed_bytes == len(body)
    assert event.first_byte_ms is not None
    assert 0 <= event.first_byte_ms <= event.handler_ms

    error, _ = live.invoke(pieces=3, size=10, ends="error")
    assert error == "OrderError"
    event = live.last_result(2)
    assert (event.ok, event.error_type, event.streamed_bytes) == (False, "OrderError", 30)

    # Its worker ends in the middle of the response. If its end is noticed before the request that
    # it has begun, nothing was streamed.
    error, _ = live.invoke(pieces=3, size=10, ends="exit")
    assert error in {"Runtime.TruncatedResponse", "Runtime.ExitError"}
    event = live.last_result(3)
    assert event.error_type == error
    assert (event.streamed_bytes or 0) <= 30

    assert live.invoke(pieces=0, size=0) == ("", b"")
    assert live.last_result(4).streamed_bytes == 0

    # A response beside the one that it streams.
    assert live.invoke(pieces=1, size=3, ends="twice") == ("", bytes(3) + b"403")
    assert live.last_result(5).ok

    error, body = live.invoke("node")
    assert error == ""
    prelude, _, rest = body.partition(bytes(8))
    assert json.loads(prelude)["statusCode"] == 201
    assert rest == b"one two"
    assert live.last_result(6).streamed_bytes == len(body)


def test_a_url_or_an_api_that_streams_has_the_first_byte_before_the_local_handler_ends(
    live: Live,
) -> None:
    for arn in live.arns.values():
        live.aws.lambda_.update_function_configuration(
            FunctionName=arn, Handler=STREAMING_STUB_HANDLER
        )
    with httpx.stream("GET", live.aws.streaming_url(live.arns["fn"]), timeout=60) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
        pieces = answer.iter_raw()
        assert next(pieces) == b"first "
        # The handler waits for this file.
        (live.folder / "gate").touch()
        assert b"".join(pieces) == b"rest"

    answer = fetch("GET", live.aws.streaming_url(live.arns["node"]))
    assert (answer.status_code, answer.text) == (201, "one two")
    assert answer.headers["x-order"] == live.arns["node"].rpartition(":")[2]

    api = RestApi(live.aws)
    api.method("GET", "/order", streaming_uri(live.aws, live.arns["node"]), mode="STREAM")
    source = f"{live.aws.execution_arn(api.id)}/*/*"
    live.aws.allow(live.arns["node"], "apigateway.amazonaws.com", source)
    api.deploy()
    answer = api.ask("GET", "/order")
    assert (answer.status_code, answer.text) == (201, "one two")
    assert answer.headers["transfer-encoding"] == "chunked"
