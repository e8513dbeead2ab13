"""The stub's shell against a real WebSocket server whose relay is scripted."""

from __future__ import annotations

import http
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from terralive_stub.protocol.chunks import Assembler, split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.messages import Ack, Chunk, Kind, Resume
from terralive_stub.protocol.payloads import (
    EnvironmentUnknownError,
    pack_outcome,
    unpack_invocation,
)
from terralive_stub.protocol.token import HEADER, Api, Token, check_token, function_key
from terralive_stub.protocol.wire import decode, encode
from terralive_stub.stub import waits
from terralive_stub.stub.effects import Connect
from terralive_stub.stub.session import StubSession
from terralive_stub.stub.stub import Stub

SECRET = bytes(range(32))
KEY = partial(function_key, SECRET)
OK = Outcome(b'"ok"')
Script = Callable[[ServerConnection], None]
UpgradeScript = Callable[[ServerConnection, Request], Response | None]


class Peer:
    """Broker and relay as a stub sees them.

    Acknowledges, then answers with `outcome`; counts connections and runs.
    """

    def __init__(self, outcome: Outcome = OK) -> None:
        self.outcome = outcome
        self.connections = 0
        self.ran: list[str] = []
        self.events: list[int] = []
        self.environments: list[Mapping[str, str] | None] = []
        self.open: list[ServerConnection] = []
        self.lost_after_ack = 0
        self._assembler = Assembler()

    def __call__(self, connection: ServerConnection) -> None:
        self.connections += 1
        self.open.append(connection)
        try:
            for text in connection:
                self._answer(connection, decode(str(text)))
        except ConnectionClosed:
            return

    def _answer(self, connection: ServerConnection, message: object) -> None:
        if isinstance(message, Chunk):
            payload = self._assembler.add(message, 0.0)
            if payload is None:
                return
            self.ran.append(message.request_id)
            self.events.append(len(payload))
            self.environments.append(environment_of(payload))
            connection.send(encode(Ack(message.request_id, message.function)))
            if self.lost_after_ack:
                self.lost_after_ack -= 1
                connection.socket.close()
                return
        if isinstance(message, Chunk | Resume):
            for chunk in split(
                Kind.RESULT, message.request_id, message.function, pack_outcome(self.outcome)
            ):
                connection.send(encode(chunk))


def environment_of(payload: bytes) -> Mapping[str, str] | None:
    """Return the environment that travelled with an invocation; None for its digest alone."""
    try:
        return unpack_invocation(payload, now=0.0).environment
    except EnvironmentUnknownError:
        return None


@contextmanager
def serving(peer: Script, upgrade: UpgradeScript | None = None) -> Iterator[Stub]:
    with serve(
        peer,
        "127.0.0.1",
        0,
        compression=None,
        max_size=2**20,
        process_request=upgrade,
        close_timeout=1,
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/stub"
        # The longest waits: attempts at 0, 0.1, 0.4 and 1.4 s.
        session = StubSession(app="orders", stage="dev", jitter=lambda: 1.0)
        stub = Stub(url, KEY, session)
        try:
            yield stub
        finally:
            stub.close()
            server.shutdown()
            thread.join()


def invocation(name: str = "r1", event: bytes = b"{}", *, seconds: float = 20.0) -> Invocation:
    return Invocation(name, "fn", "fn", Deadline.after(seconds, now=time.monotonic()), event)


def readers() -> list[str]:
    return [
        thread.name for thread in threading.enumerate() if thread.name.startswith("stub-reader")
    ]


@pytest.fixture
def early_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an invocation end by name 3 s before its deadline: a slow machine is still in time."""
    monkeypatch.setattr(waits, "MARGIN_SECONDS", 3.0)
    monkeypatch.setattr(waits, "MOST_MARGIN_SECONDS", 3.0)


def test_warm_invocations_share_one_connection_and_closing_leaves_no_thread() -> None:
    peer = Peer()
    with serving(peer) as stub:
        assert [stub.handle(invocation(f"r{number}")) for number in range(5)] == [OK] * 5
        assert len(readers()) == 1
    assert peer.connections == 1
    assert readers() == []


def test_every_attempt_to_connect_has_a_token_of_its_own_for_the_function() -> None:
    peer = Peer()
    with serving(peer) as stub:
        assert stub.handle(invocation("r1")) == OK
        peer.open[0].close()
        assert stub.handle(invocation("r2")) == OK
    tokens = [
        check_token(connection.request.headers[HEADER], Api.STUB, SECRET, now=time.time())
        for connection in peer.open
        if connection.request is not None
    ]
    first, second = tokens
    assert isinstance(first, Token)
    assert isinstance(second, Token)
    assert (first.subject, second.subject) == ("fn", "fn")
    assert first.nonce != second.nonce


def test_a_redirect_sends_the_token_to_no_other_server() -> None:
    other = Peer()
    with serving(other) as target:

        def redirect(connection: ServerConnection, _: Request) -> Response:
            answer = connection.respond(http.HTTPStatus.TEMPORARY_REDIRECT, "")
            answer.headers["Location"] = target.url
            return answer

        with serving(Peer(), upgrade=redirect) as stub:
            # The error names the reason of the last attempt, so none begins shortly before the end.
            outcome = stub.handle(invocation(seconds=1.8))
    assert outcome.error_type == "Terralive.CannotConnect"
    assert b"redirect" in outcome.body
    assert other.connections == 0


def test_an_environment_that_changed_in_one_process_is_that_of_the_next_invocation() -> None:
    """Lambda never changes it. Emulators that call the handler may."""
    peer = Peer()
    first, second = {"STAGE": "dev"}, {"STAGE": "test"}
    with serving(peer) as stub:
        for number, environment in enumerate((first, first, second, second)):
            call = replace(invocation(f"r{number}"), environment=environment)
            assert stub.handle(call) == OK
    assert peer.environments == [first, None, second, None]


def test_an_invocation_that_failed_in_the_middle_leaves_no_connection_to_the_next() -> None:
    peer = Peer()
    with serving(peer) as stub:
        assert stub.handle(invocation("r1")) == OK
        stub.abandon()
        assert readers() == []
        assert stub.session.begin(invocation("r2"), time.monotonic()) == [Connect()]
        assert stub.handle(invocation("r3")) == OK
    assert peer.connections == 2


def test_a_message_that_is_no_text_shows_in_no_error() -> None:
    def garbled(connection: ServerConnection) -> None:
        for _ in connection:
            connection.send(b"wJalrXUtnFEMI \xff", text=True)

    with serving(garbled) as stub:
        # As above.
        outcome = stub.handle(invocation(seconds=1.8))
    assert outcome.error_type.startswith("Terralive.")
    assert b"not valid UTF-8" in outcome.body
    assert b"wJalrXUtnFEMI" not in outcome.body


def test_a_stub_shows_its_key_to_nobody() -> None:
    stub = Stub("ws://127.0.0.1:1/stub", KEY, StubSession(app="orders", stage="dev"))
    assert repr(SECRET) not in repr(stub)
    assert "function_key" not in repr(stub)


def test_six_megabytes_travel_each_way() -> None:
    event = bytes(range(256)) * (6 * 4096)
    peer = Peer(Outcome(event))
    with serving(peer) as stub:
        assert stub.handle(invocation(event=event)).body == event
    assert peer.events[0] > len(event)


def test_a_connection_that_died_while_frozen_costs_one_reconnect_and_no_invocation() -> None:
    peer = Peer()
    with serving(peer) as stub:
        assert stub.handle(invocation("r1")) == OK
        peer.open[0].close()
        assert stub.handle(invocation("r2")) == OK
    assert peer.connections == 2
    assert peer.ran == ["r1", "r2"]


def test_a_connection_lost_while_the_handler_runs_is_resumed_and_the_handler_runs_once() -> None:
    peer = Peer()
    peer.lost_after_ack = 1
    with serving(peer) as stub:
        assert stub.handle(invocation()) == OK
    assert (peer.connections, peer.ran) == (2, ["r1"])


def test_a_result_counts_although_its_receipt_cannot_be_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = Peer()
    with serving(peer) as stub:
        assert stub.handle(invocation("r1")) == OK
        connection = stub._connection
        assert connection is not None
        send = connection.send

        def refuses_done(text: str, *, until: Deadline) -> None:
            if '"done"' in text:
                raise ConnectionResetError("gone")
            send(text, until=until)

        monkeypatch.setattr(connection, "send", refuses_done)
        assert stub.handle(invocation("r2")) == OK


def test_an_unreachable_gateway_is_a_named_error_before_the_deadline() -> None:
    with serving(Peer()) as stub:
        dead = Stub("ws://127.0.0.1:1/stub", stub.key, StubSession(app="orders", stage="dev"))
        outcome = dead.handle(invocation(seconds=2.0))
    assert outcome.error_type == "Terralive.CannotConnect"


@pytest.mark.usefixtures("early_end")
def test_a_gateway_that_never_answers_the_upgrade_is_a_named_error_before_the_deadline() -> None:

    with socket.create_server(("127.0.0.1", 0)) as silent, serving(Peer()) as stub:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/stub"
        mute = Stub(url, stub.key, StubSession(app="orders", stage="dev"))
        call = invocation(seconds=4.5)
        outcome = mute.handle(call)
        assert not call.deadline.has_passed(time.monotonic())
    assert outcome.error_type == "Terralive.CannotConnect"


@pytest.mark.usefixtures("early_end")
def test_a_gateway_that_stops_reading_is_a_named_error_before_the_deadline() -> None:
    """Megabytes fill every buffer on the way.

    A send that waits for room would outlast the function.
    """
    over = threading.Event()

    def deaf(connection: ServerConnection) -> None:
        del connection  # its library stops reading when nobody takes what has come
        over.wait(30)

    with serving(deaf) as stub:
        event = random.Random(1).randbytes(6 * 1024 * 1024)
        call = invocation(event=event, seconds=6.0)
        outcome = stub.handle(call)
        in_time = not call.deadline.has_passed(time.monotonic())
        over.set()
    assert in_time
    assert outcome.error_type in {"Terralive.CannotConnect", "Terralive.NotDelivered"}


@pytest.mark.parametrize("number", ["of a closed file", "none any more"])
def test_a_socket_that_the_reader_closes_at_this_very_moment_is_a_lost_connection(
    number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both threads wake when Lambda thaws the process.

    One looks at the socket while the other closes it.
    """
    with serving(Peer()) as stub:
        assert stub.handle(invocation("a")) == OK
        connection = stub._connection
        assert connection is not None
        descriptor = os.open(os.devnull, os.O_RDONLY)
        os.close(descriptor)
        closing = SimpleNamespace(fileno=lambda: descriptor if number == "of a closed file" else -1)
        with monkeypatch.context() as patch:
            patch.setattr(connection._socket, "sock", closing)
            assert connection.unread()
            with pytest.raises(OSError):  # noqa: PT011  # which one is the system's choice
                connection.send("late")
