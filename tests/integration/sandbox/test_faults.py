"""Faults on demand: the address that sets them, and messages and connections that meet them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from terralive_sandbox.faults import Direction, FaultKind
from terralive_sandbox.info import SandboxInfo
from terralive_testing.deployers.faults import Faults
from terralive_testing.deployers.rest_api import fetch
from terralive_testing.deployers.sandbox import Aws
from terralive_testing.drivers.websocket_clients import PATIENCE, ask, client, two_way

WHO = """
def handler(event, context):
    return {"statusCode": 200, "body": __import__("json").dumps(event["requestContext"])}
"""


class FaultyApi:
    """An API whose `$default` answers with the request context, and clients of the API."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.faults = Faults(aws.info)
        self.function = aws.function(WHO)
        self.api = aws.websocket_api(self.function, "$default", stages=["stub", "relay"])
        two_way(aws, self.api, "$default")

    @contextmanager
    def client(self, stage: str = "stub") -> Iterator[tuple[ClientConnection, str]]:
        """Open a connection; yields it and its id."""
        with client(self.aws.info.websocket_url.format(api=self.api, stage=stage)) as connection:
            yield connection, str(ask(connection, "who")["connectionId"])

    def post(self, connection_id: str, *texts: str) -> None:
        management = self.aws.connections(self.api, "stub")
        for text in texts:
            management.post_to_connection(ConnectionId=connection_id, Data=text.encode())

    @contextmanager
    def rule(
        self, kind: FaultKind, direction: Direction = Direction.OUT, **others: float
    ) -> Iterator[None]:
        """Set a rule for this API's stage `stub` within the block."""
        name = self.faults.set(kind, direction=direction, api=self.api, stage="stub", **others)
        try:
            yield
        finally:
            assert self.faults.clear(name) == 1


@pytest.fixture(scope="module")
def faulty(sandbox: SandboxInfo) -> FaultyApi:
    return FaultyApi(Aws(sandbox))


def received(connection: ClientConnection, count: int) -> list[str]:
    return [str(connection.recv(timeout=PATIENCE)) for _ in range(count)]


def close_code(connection: ClientConnection) -> int | None:
    """Return the close code of the other side, None if the connection is cut."""
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=PATIENCE)
    received = closed.value.rcvd
    if received is None:
        return None
    return received.code


def test_connections_are_dropped_or_expire_by_name_stage_or_all(faulty: FaultyApi) -> None:
    with (
        faulty.client() as (one, first),
        faulty.client() as (two, _),
        faulty.client("relay") as (three, third),
    ):
        assert faulty.faults.drop_connections(first, "unknown") == 1
        assert close_code(one) is None
        assert faulty.faults.expire_connections(third, api=faulty.api, stage="stub") == 0
        assert faulty.faults.expire_connections(api=faulty.api, stage="rel*") == 1
        assert close_code(three) == 1001
        assert faulty.faults.drop_connections() >= 1
        assert close_code(two) is None


def test_what_is_posted_can_be_lost_doubled_delayed_and_reordered(faulty: FaultyApi) -> None:
    with faulty.client() as (connection, name):
        with faulty.rule(FaultKind.DROP, times=1):
            faulty.post(name, "lost", "kept")
            assert received(connection, 1) == ["kept"]
        with faulty.rule(FaultKind.DUPLICATE):
            faulty.post(name, "twice")
            assert received(connection, 2) == ["twice", "twice"]
        with faulty.rule(FaultKind.DELAY, times=1, seconds=120):
            faulty.post(name, "much too late", "in time")
            assert received(connection, 1) == ["in time"]
        with faulty.rule(FaultKind.DELAY, seconds=0.1):
            faulty.post(name, "a little late")
            assert received(connection, 1) == ["a little late"]
        with faulty.rule(FaultKind.REORDER, times=1, seconds=60):
            faulty.post(name, "first", "second", "third")
            assert received(connection, 3) == ["second", "first", "third"]
        with faulty.rule(FaultKind.REORDER, seconds=0.1):
            faulty.post(name, "held, but not for good")
            assert received(connection, 1) == ["held, but not for good"]
        faulty.post(name, "well again")
        assert received(connection, 1) == ["well again"]


def test_what_clients_send_can_be_lost_and_doubled(faulty: FaultyApi) -> None:
    with faulty.client() as (connection, _):
        with faulty.rule(FaultKind.DROP, Direction.IN, times=1):
            connection.send("lost")
            kept = ask(connection, "kept")["messageId"]
        with faulty.rule(FaultKind.DUPLICATE, Direction.IN):
            connection.send("twice")
            ids = [json.loads(text)["messageId"] for text in received(connection, 2)]
        with faulty.rule(FaultKind.DELAY, Direction.IN, seconds=0.1):
            connection.send("late, and its sender is gone")
    assert len({kept, *ids}) == 3


def test_rules_of_one_stage_leave_the_other_alone(faulty: FaultyApi) -> None:
    with (
        faulty.rule(FaultKind.DROP),
        faulty.rule(FaultKind.DROP, Direction.IN),
        faulty.client("relay") as (_, name),
    ):
        assert name


def test_rules_are_listed_with_how_often_they_acted(faulty: FaultyApi) -> None:
    with faulty.client() as (connection, name), faulty.rule(FaultKind.DUPLICATE, times=3):
        faulty.post(name, *"abcdefgh")
        assert len(received(connection, 11)) == 11
        assert [rule["acts"] for rule in faulty.faults.listed() if rule["api"] == faulty.api] == [3]
    assert not [rule for rule in faulty.faults.listed() if rule["api"] == faulty.api]
    assert faulty.faults.clear("fault-unknown") == 0


def test_functions_fail_or_are_throttled_whoever_invokes_them(faulty: FaultyApi) -> None:
    name = faulty.function.rpartition(":")[2]
    lambda_ = faulty.aws.lambda_
    with faulty.client() as (connection, _):
        faulty.faults.set(FaultKind.FAIL, function=f"{name[:-2]}*", times=2)
        answer = lambda_.invoke(FunctionName=name)
        assert answer["FunctionError"] == "Unhandled"
        assert json.loads(answer["Payload"].read())["errorType"] == "Sandbox.FaultInjected"
        assert ask(connection, "by API Gateway")["message"] == "Internal server error"
        assert "connectionId" in ask(connection, "the next is well again")
    faulty.faults.set(FaultKind.THROTTLE, function=name, times=1)
    with pytest.raises(lambda_.exceptions.TooManyRequestsException):
        lambda_.invoke(FunctionName=name)
    faulty.faults.set(FaultKind.FAIL, function="another")
    assert [
        (rule["acts"], faulty.faults.clear(str(rule["id"]))) for rule in faulty.faults.listed()
    ] == [
        (2, 1),
        (1, 1),
        (0, 1),
    ]


def test_bad_requests_for_faults_say_what_is_expected(faulty: FaultyApi) -> None:
    address = f"{faulty.aws.info.endpoint}/_sandbox/faults"
    mine = {"x-terralive-sandbox": faulty.aws.info.id}
    assert fetch("GET", address).status_code == 403
    assert fetch("DELETE", address, headers={"x-terralive-sandbox": "another"}).status_code == 403
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
            answer = fetch("POST", address + path, content=body, headers=mine)
            assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (
                400,
                "ValidationException",
            )
            assert "The body is" in answer.json()["message"]
    assert fetch("PUT", address, headers=mine).status_code == 404
