"""Faults on demand: the admin address, its client, and what they do to messages and connections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from terralive_sandbox.faults import Direction, Kind
from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.faults import Faults
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.drivers.websocket_clients import PATIENCE, ask, client, two_way

WHO = """
def handler(event, context):
    return {"statusCode": 200, "body": __import__("json").dumps(event["requestContext"])}
"""


class Room:
    """An API whose `$default` says who asks, and clients of it that can be posted to."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.faults = Faults(aws.info)
        self.function = aws.function(WHO)
        self.api = aws.websocket_api(self.function, "$default", stages=["stub", "relay"])
        two_way(aws, self.api, "$default")

    @contextmanager
    def client(self, stage: str = "stub") -> Iterator[tuple[ClientConnection, str]]:
        """A connection and its id."""
        with client(self.aws.info.websocket_url.format(api=self.api, stage=stage)) as connection:
            yield connection, str(ask(connection, "who")["connectionId"])

    def post(self, connection_id: str, *texts: str) -> None:
        management = self.aws.connections(self.api, "stub")
        for text in texts:
            management.post_to_connection(ConnectionId=connection_id, Data=text.encode())

    @contextmanager
    def rule(
        self, kind: Kind, direction: Direction = Direction.OUT, **others: float
    ) -> Iterator[None]:
        """A rule for this API's stage `stub`."""
        name = self.faults.set(kind, direction=direction, api=self.api, stage="stub", **others)
        try:
            yield
        finally:
            assert self.faults.clear(name) == 1


@pytest.fixture(scope="module")
def room(sandbox: SandboxInfo) -> Room:
    return Room(Aws(sandbox))


def received(connection: ClientConnection, count: int) -> list[str]:
    return [str(connection.recv(timeout=PATIENCE)) for _ in range(count)]


def close_code(connection: ClientConnection) -> int | None:
    """The code that the other side closes with; None for a connection that is cut."""
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=PATIENCE)
    return closed.value.rcvd.code if closed.value.rcvd is not None else None


def test_connections_are_dropped_or_expire_by_name_stage_or_all(room: Room) -> None:
    with (
        room.client() as (one, first),
        room.client() as (two, _),
        room.client("relay") as (three, third),
    ):
        assert room.faults.drop_connections(first, "unknown") == 1
        assert close_code(one) is None
        assert room.faults.expire_connections(third, api=room.api, stage="stub") == 0
        assert room.faults.expire_connections(api=room.api, stage="rel*") == 1
        assert close_code(three) == 1001
        assert room.faults.drop_connections() >= 1
        assert close_code(two) is None


def test_what_is_posted_can_be_lost_doubled_delayed_and_reordered(room: Room) -> None:
    with room.client() as (connection, name):
        with room.rule(Kind.DROP, times=1):
            room.post(name, "lost", "kept")
            assert received(connection, 1) == ["kept"]
        with room.rule(Kind.DUPLICATE):
            room.post(name, "twice")
            assert received(connection, 2) == ["twice", "twice"]
        with room.rule(Kind.DELAY, times=1, seconds=120):
            room.post(name, "much too late", "in time")
            assert received(connection, 1) == ["in time"]
        with room.rule(Kind.DELAY, seconds=0.1):
            room.post(name, "a little late")
            assert received(connection, 1) == ["a little late"]
        with room.rule(Kind.REORDER, times=1, seconds=60):
            room.post(name, "first", "second", "third")
            assert received(connection, 3) == ["second", "first", "third"]
        with room.rule(Kind.REORDER, seconds=0.1):
            room.post(name, "held, but not for good")
            assert received(connection, 1) == ["held, but not for good"]
        room.post(name, "well again")
        assert received(connection, 1) == ["well again"]


def test_what_clients_send_can_be_lost_and_doubled(room: Room) -> None:
    with room.client() as (connection, _):
        with room.rule(Kind.DROP, Direction.IN, times=1):
            connection.send("lost")
            kept = ask(connection, "kept")["messageId"]
        with room.rule(Kind.DUPLICATE, Direction.IN):
            connection.send("twice")
            ids = [json.loads(text)["messageId"] for text in received(connection, 2)]
        with room.rule(Kind.DELAY, Direction.IN, seconds=0.1):
            connection.send("late, and its sender is gone")
    assert len({kept, *ids}) == 3


def test_rules_of_one_stage_leave_the_other_alone(room: Room) -> None:
    with (
        room.rule(Kind.DROP),
        room.rule(Kind.DROP, Direction.IN),
        room.client("relay") as (_, name),
    ):
        assert name


def test_rules_are_listed_with_how_often_they_acted(room: Room) -> None:
    with room.client() as (connection, name), room.rule(Kind.DUPLICATE, times=3):
        room.post(name, *"abcdefgh")
        assert len(received(connection, 11)) == 11
        assert [rule["acts"] for rule in room.faults.listed() if rule["api"] == room.api] == [3]
    assert not [rule for rule in room.faults.listed() if rule["api"] == room.api]
    assert room.faults.clear("fault-unknown") == 0


def test_functions_fail_or_are_throttled_whoever_invokes_them(room: Room) -> None:
    name = room.function.rpartition(":")[2]
    lambda_ = room.aws.lambda_
    with room.client() as (connection, _):
        room.faults.set(Kind.FAIL, function=f"{name[:-2]}*", times=2)
        answer = lambda_.invoke(FunctionName=name)
        assert answer["FunctionError"] == "Unhandled"
        assert json.loads(answer["Payload"].read())["errorType"] == "Sandbox.FaultInjected"
        assert ask(connection, "by API Gateway")["message"] == "Internal server error"
        assert "connectionId" in ask(connection, "the next is well again")
    room.faults.set(Kind.THROTTLE, function=name, times=1)
    with pytest.raises(lambda_.exceptions.TooManyRequestsException):
        lambda_.invoke(FunctionName=name)
    room.faults.set(Kind.FAIL, function="another")
    assert [
        (rule["acts"], room.faults.clear(str(rule["id"]))) for rule in room.faults.listed()
    ] == [
        (2, 1),
        (1, 1),
        (0, 1),
    ]


def test_bad_requests_for_faults_say_what_is_expected(room: Room) -> None:
    address = f"{room.aws.info.endpoint}/_sandbox/faults"
    mine = {"x-terralive-sandbox": room.aws.info.id}
    assert httpx.get(address).status_code == 403
    assert httpx.delete(address, headers={"x-terralive-sandbox": "another"}).status_code == 403
    for path in ("", "/drop-connections", "/expire-connections"):
        for body in (
            b"[]",
            b"{",
            b'{"connections": 1}',
            b'{"connections": [1]}',
            b'{"api": 1}',
            b"\xff",
            b"[" * 99_999,
        ):
            answer = httpx.post(address + path, content=body, headers=mine)
            assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (
                400,
                "ValidationException",
            )
            assert "The body is" in answer.json()["message"]
    assert httpx.put(address, headers=mine).status_code == 404
