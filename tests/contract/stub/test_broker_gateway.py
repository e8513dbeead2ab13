"""The gateway in memory and API Gateway's `@connections` (the sandbox) keep one contract.

It is that of `terralive_stub.broker.exchange.Gateway`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import boto3
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from terralive_sandbox.info import SandboxInfo
from terralive_stub.broker.aws import ManagementApi
from terralive_stub.broker.services import Gateway, Gone
from terralive_stub.protocol.messages import Ack, Done, Message
from terralive_stub.protocol.token import Api
from terralive_stub.protocol.wire import decode, encode
from terralive_testing.deployers.sandbox import Aws, code
from terralive_testing.drivers.websocket_clients import ask, client, two_way
from terralive_testing.fakes.broker import FakeGateway
from terralive_testing.machine.waiting import eventually

FIRST = Ack("request-1", "orders")
SECOND = Done("request-1", "orders")
# Answers with the id of the connection, which a client cannot learn otherwise.
TELLS_ITS_CONNECTION = """
def handler(event, context):
    return {"statusCode": 200, "body": '{"id": "%s"}' % event["requestContext"]["connectionId"]}
"""


class Connections(Protocol):
    """A gateway, and the other ends of its connections."""

    gateway: Gateway

    def open(self, api: Api) -> str:
        """Open a connection and return its id."""
        ...

    def received(self, connection: str, count: int) -> list[Message]:
        """Return the next messages of a connection."""
        ...

    def leave(self, connection: str) -> None:
        """Close a connection from the client's side."""
        ...


class InMemory:
    def __init__(self) -> None:
        self.fake = FakeGateway()
        self.gateway: Gateway = self.fake
        self._opened = 0

    def open(self, api: Api) -> str:
        self._opened += 1
        return f"{api}-{self._opened}"

    def received(self, connection: str, count: int) -> list[Message]:
        messages = self.fake.take(connection)
        assert len(messages) == count
        return messages

    def leave(self, connection: str) -> None:
        self.fake.gone.add(connection)


class InSandbox:
    def __init__(self, aws: Aws, api: str, clients: ExitStack) -> None:
        self._aws = aws
        self._api = api
        self._clients = clients  # closes the connections at the end
        self._opened: dict[str, ClientConnection] = {}
        endpoints = {each: aws.info.management_url.format(api=api, stage=each) for each in Api}
        session = boto3.Session(
            aws.info.access_key_id, aws.info.secret_access_key, region_name=aws.info.region
        )
        self.gateway: Gateway = ManagementApi(session, endpoints)

    def open(self, api: Api) -> str:
        url = self._aws.info.websocket_url.format(api=self._api, stage=api)
        connection = self._clients.enter_context(client(url))
        name = str(ask(connection, "{}")["id"])
        self._opened[name] = connection
        return name

    def received(self, connection: str, count: int) -> list[Message]:
        opened = self._opened[connection]
        return [decode(str(opened.recv(timeout=30))) for _ in range(count)]

    def leave(self, connection: str) -> None:
        self._opened[connection].close()


@pytest.fixture(params=["memory", "sandbox"])
def connections(request: pytest.FixtureRequest) -> Iterator[Connections]:
    if request.param == "memory":
        yield InMemory()
        return
    info: SandboxInfo = request.getfixturevalue("sandbox")
    aws = Aws(info)
    function = aws.function(code(TELLS_ITS_CONNECTION))
    api = aws.websocket_api(function, "$connect", "$default", stages=("relay", "stub"))
    two_way(aws, api, "$default")
    with ExitStack() as clients:
        yield InSandbox(aws, api, clients)


@pytest.mark.parametrize("api", Api)
def test_messages_arrive_at_their_connection_in_order(connections: Connections, api: Api) -> None:
    mine = connections.open(api)
    other = connections.open(api)
    for message in (FIRST, SECOND):
        connections.gateway.post(api, mine, encode(message))
    connections.gateway.post(api, other, encode(SECOND))
    assert connections.received(mine, 2) == [FIRST, SECOND]
    assert connections.received(other, 1) == [SECOND]


def test_a_message_to_a_connection_that_has_left_raises_gone(connections: Connections) -> None:
    relay = connections.open(Api.RELAY)
    connections.leave(relay)

    def is_gone() -> bool:
        try:
            connections.gateway.post(Api.RELAY, relay, encode(FIRST))
        except Gone:
            return True
        return False

    # API Gateway learns of the client's end a moment later.
    assert eventually(is_gone, "the connection is gone")


def test_a_connection_that_was_closed_is_gone_and_can_be_closed_again(
    connections: Connections,
) -> None:
    stub = connections.open(Api.STUB)
    connections.gateway.close(Api.STUB, stub)
    with pytest.raises(Gone):
        connections.gateway.post(Api.STUB, stub, encode(FIRST))
    connections.gateway.close(Api.STUB, stub)
    if isinstance(connections, InSandbox):
        with pytest.raises(ConnectionClosed):
            connections.received(stub, 1)


def test_closing_a_connection_leaves_the_others_open(connections: Connections) -> None:
    first = connections.open(Api.RELAY)
    second = connections.open(Api.RELAY)
    connections.gateway.close(Api.RELAY, first)
    connections.gateway.post(Api.RELAY, second, encode(FIRST))
    assert connections.received(second, 1) == [FIRST]
