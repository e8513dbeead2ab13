"""Random bytes: the sandbox answers and goes on, and its log shows no failure."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from terralive_sandbox.info import SandboxInfo, local_url
from terralive_testing.deployers.rest_api import fetch
from terralive_testing.deployers.sandbox import Aws, running_sandbox, unique
from terralive_testing.drivers.websocket_clients import head_of, raw, two_way, upgrade_request

if TYPE_CHECKING:
    from types_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient

ECHO = """
def handler(event, context):
    if event["requestContext"].get("eventType") == "CONNECT":
        return {"statusCode": 401}
    return {"statusCode": 200, "body": event.get("body")}
"""


@dataclass(frozen=True)
class Place:
    """A sandbox with every kind of address.

    Attributes:
        info: the sandbox.
        log: its log file.
        websocket: the address of an API that accepts connections.
        refusing: the address of an API that accepts none.
        http: the addresses of an HTTP API, a REST API and a function URL.
        management: a client of the first API's `@connections`.
    """

    info: SandboxInfo
    log: Path
    websocket: str
    refusing: str
    http: tuple[str, ...]
    management: ApiGatewayManagementApiClient

    @property
    def requests(self) -> tuple[bytes, ...]:
        """Well-formed requests, which tests change."""
        admin = f"Host: h\r\nx-terralive-sandbox: {self.info.id}\r\n".encode()
        key = self.info.access_key_id
        scope = f"{key}/20260101/us-east-1/execute-api/aws4_request"
        signature = f"Credential={scope}, SignedHeaders=host, Signature=00"
        signed = f"Authorization: AWS4-HMAC-SHA256 {signature}\r\n".encode()
        signed += b"X-Amz-Date: 20260101T000000Z\r\nContent-Length: 2\r\n\r\n{}"
        stage = self.websocket.partition("/_sandbox/websocket")[2]
        connection = f"/_sandbox/management{stage}/@connections/L0SM9cOFvHcCIhw="
        query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}"
        to_apis: list[bytes] = []
        for address in self.http:
            line = f"POST {urlsplit(address).path}a/b?c=d HTTP/1.1\r\n".encode()
            headers = b"Host: h\r\nCookie: a=b\r\nAccept: */*\r\n"
            headers += b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"
            to_apis.append(line + headers + b"\r\nabc")
        faults = b"/_sandbox/faults"
        rule = b'Content-Length: 15\r\n\r\n{"kind":"drop"}'
        nothing = b"Content-Length: 2\r\n\r\n{}"
        target = b"X-Amz-Target: DynamoDB_20120810.GetItem\r\n"
        chunked = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        return (
            upgrade_request(self.websocket),
            upgrade_request(f"{self.websocket}?{query}"),
            *to_apis,
            b"POST " + faults + b" HTTP/1.1\r\n" + admin + rule,
            b"POST " + faults + b"/drop-connections HTTP/1.1\r\n" + admin + nothing,
            b"DELETE " + faults + b" HTTP/1.1\r\n" + admin + b"\r\n",
            f"POST {connection} HTTP/1.1\r\nHost: h\r\n".encode() + signed,
            b"GET /@connections/a%3D HTTP/1.1\r\nHost: h\r\n" + signed,
            b"POST / HTTP/1.1\r\nHost: h\r\n" + target + signed,
            b"POST / HTTP/1.1\r\nHost: h\r\n" + chunked,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("fuzz")
    with running_sandbox(folder) as info:
        aws = Aws(info)
        function = aws.function(ECHO)
        api = aws.websocket_api(function, "$disconnect", "echo")
        two_way(aws, api, "echo")
        for action, settings in (
            ("lambda:InvokeFunctionUrl", {"FunctionUrlAuthType": "NONE"}),
            ("lambda:InvokeFunction", {"InvokedViaFunctionUrl": True}),
        ):
            aws.lambda_.add_permission(
                FunctionName=function,
                StatementId=unique("url"),
                Action=action,
                Principal="*",
                **settings,
            )
        http_api = aws.http_api(function, "ANY /{proxy+}")
        function_url = aws.lambda_.create_function_url_config(
            FunctionName=function, AuthType="NONE"
        )["FunctionUrl"]
        http = (
            info.http_url.format(api=http_api, stage="$default") + "/",
            info.http_url.format(api=rest_api(aws, function), stage="dev") + "/",
            local_url(info, function_url),
        )
        websocket = info.websocket_url.format(api=api, stage="live")
        refusing_api = aws.websocket_api(function, "$connect")
        refusing = info.websocket_url.format(api=refusing_api, stage="live")
        yield Place(
            info, folder / "sandbox.log", websocket, refusing, http, aws.connections(api, "live")
        )
        assert fetch("GET", f"{info.endpoint}/_sandbox/health").json()["id"] == info.id
        log = (folder / "sandbox.log").read_text(errors="replace")
        assert "Traceback" not in log, log[-4000:]
        assert "exception" not in log.lower(), log[-4000:]


def rest_api(aws: Aws, function: str) -> str:
    """Make a REST API that sends all requests to one function. Return its id."""
    api = aws.rest.create_rest_api(name=unique("rest"))["id"]
    root = aws.rest.get_resources(restApiId=api)["items"][0]["id"]
    resource = aws.rest.create_resource(restApiId=api, parentId=root, pathPart="{proxy+}")["id"]
    service = f"arn:aws:apigateway:{aws.info.region}:lambda"
    uri = f"{service}:path/2015-03-31/functions/{function}/invocations"
    aws.rest.put_method(
        restApiId=api, resourceId=resource, httpMethod="ANY", authorizationType="NONE"
    )
    aws.rest.put_integration(
        restApiId=api,
        resourceId=resource,
        httpMethod="ANY",
        type="AWS_PROXY",
        integrationHttpMethod="POST",
        uri=uri,
    )
    aws.rest.create_deployment(restApiId=api, stageName="dev")
    aws.allow(function, "apigateway.amazonaws.com", f"{aws.execution_arn(api)}/*/*")
    return api


def bounded(examples: int) -> settings:
    """Return settings for a few seconds of examples.

    A failure is shown as it was found: a server's state cannot be shrunk.
    """
    return settings(
        max_examples=examples,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def answer_to(place: Place, *parts: bytes, upgrade: bool = False) -> bytes:
    """Send the parts, close this side, and return what comes until the sandbox closes."""
    received = b""
    with raw(place.info) as connection:
        if upgrade:
            connection.sendall(upgrade_request(place.websocket))
            received = head_of(connection)
        with contextlib.suppress(OSError):  # it may have closed after an earlier part
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            received += rest_of(connection)
    return received


def rest_of(connection: socket.socket) -> bytes:
    """Return what comes until the sandbox closes."""
    received = b""
    while True:
        more = connection.recv(65536)
        if not more:
            return received
        received += more


def test_clients_leave_before_they_are_refused(place: Place) -> None:
    for _ in range(5):
        answer_to(place, upgrade_request(place.refusing))
        with raw(place.info) as gone:
            gone.sendall(upgrade_request(place.refusing))
    with raw(place.info) as stays:
        stays.sendall(upgrade_request(place.refusing))
        assert head_of(stays).startswith(b"HTTP/1.1 401")


MUTATIONS = st.lists(
    st.tuples(
        st.integers(0, 2000),
        st.integers(0, 3),
        st.binary(max_size=8)
        | st.sampled_from(
            [
                b"\r\n",
                b"\r\n\r\n",
                b"%",
                b"//[",
                b"\x00",
                b"\xff",
                b'"',
                b"?",
                b":",
                b"\r\nX-A: \xff",
            ]
        ),
    ),
    max_size=4,
)


def mutated(request: bytes, mutations: list[tuple[int, int, bytes]]) -> bytes:
    for at, removed, added in mutations:
        where = at % (len(request) + 1)
        request = request[:where] + added + request[where + removed :]
    return request


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=3))
@bounded(150)
def test_any_bytes_are_no_request(place: Place, parts: list[bytes]) -> None:
    answer_to(place, *parts)


@given(st.data(), MUTATIONS)
@bounded(600)
def test_a_request_with_a_few_bytes_changed_is_answered(
    place: Place, data: st.DataObject, mutations: list[tuple[int, int, bytes]]
) -> None:
    answer_to(place, mutated(data.draw(st.sampled_from(place.requests)), mutations))


def test_those_requests_unchanged_are_answered(place: Place) -> None:
    upgrades, others = place.requests[:2], place.requests[2:]
    statuses = []
    for request in others:
        with raw(place.info) as connection:
            connection.sendall(request)
            statuses.append(head_of(connection).split(b" ", 2)[1])
    assert statuses[:3] == [b"200"] * 3, "HTTP API, REST API, function URL"
    assert all(b"200" <= status < b"500" for status in statuses)
    for request in upgrades:
        with raw(place.info) as connection:
            connection.sendall(request)
            assert head_of(connection).startswith(b"HTTP/1.1 101")


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=3))
@bounded(150)
def test_any_bytes_after_an_upgrade_are_no_frames(place: Place, parts: list[bytes]) -> None:
    assert answer_to(place, *parts, upgrade=True).startswith(b"HTTP/1.1 101")


@dataclass(frozen=True)
class OddFrame:
    """A frame that no library would write.

    Attributes:
        first: the first byte: flags and opcode.
        size: the number of data bytes.
        claimed: the length in the header, if it is not `size`.
        masked: whether the frame has a mask, as frames of clients need one.
    """

    first: int
    size: int
    claimed: int | None
    masked: bool

    def __bytes__(self) -> bytes:
        length = self.size
        if self.claimed is not None:
            length = self.claimed
        if length < 126:
            short, rest = length, b""
        elif length < 65536:
            short, rest = 126, length.to_bytes(2, "big")
        else:
            short, rest = 127, length.to_bytes(8, "big")
        header = bytes([self.first, short | self.masked << 7]) + rest
        return header + b"\0" * 4 * self.masked + b"x" * self.size


FRAMES = st.lists(
    st.builds(
        OddFrame,
        st.integers(0, 255)
        | st.sampled_from([0x01, 0x81, 0x80, 0x00, 0x02, 0x82, 0x88, 0x89, 0x8A]),
        st.integers(0, 200) | st.sampled_from([32 * 1024, 32 * 1024 + 1, 128 * 1024 + 1]),
        st.none() | st.none() | st.integers(0, 2**64 - 1),
        st.booleans() | st.just(value=True),
    ),
    max_size=5,
)


@given(FRAMES)
@bounded(200)
def test_frames_of_any_kind_end_in_a_close_or_an_answer(
    place: Place, frames: list[OddFrame]
) -> None:
    answer_to(place, *map(bytes, frames), upgrade=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["action", "a", ""]), inner, max_size=3)
    ),
)


@given(st.text(max_size=60) | JSON.map(json.dumps))
@bounded(150)
def test_any_message_is_answered_or_taken(place: Place, text: str) -> None:
    message = Frame(Opcode.TEXT, text.encode("utf-8", "replace")).serialize(mask=True)
    close = Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True)
    answer_to(place, message, close, upgrade=True)


@given(st.text(min_size=1, max_size=20), st.binary(max_size=200), JSON)
@bounded(60)
def test_any_connection_and_any_rule_are_answered(
    place: Place, name: str, data: bytes, rule: object
) -> None:
    with pytest.raises(ClientError):
        place.management.post_to_connection(ConnectionId=name, Data=data)
    head = b"HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
    head += f"x-terralive-sandbox: {place.info.id}\r\nContent-Length:".encode()
    for path in (b"", b"/drop-connections", b"/expire-connections"):
        for body in (data, json.dumps(rule).encode()):
            request = b"POST /_sandbox/faults%s %s %d\r\n\r\n%s" % (path, head, len(body), body)
            # This side stays open: the sandbox need not answer a client that has closed it.
            with raw(place.info) as connection:
                connection.sendall(request)
                assert rest_of(connection).split(b" ", 2)[1] in {b"200", b"400"}
