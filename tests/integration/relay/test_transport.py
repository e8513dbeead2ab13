"""The relay's WebSocket against a real server: messages, ends of connections, and left-overs."""

from __future__ import annotations

import calendar
import gc
import http
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection, serve

from terralive_relay.connection.transport import ClockRead, Transport
from terralive_stub.errors import ConfigurationError
from terralive_stub.protocol.limits import FRAME_BYTES, MESSAGE_BYTES
from terralive_stub.protocol.transport_events import Closed, Opened, TextReceived, TransportEvent
from terralive_stub.shared.sigv4 import Credentials
from terralive_testing.machine.waiting import eventually

Script = Callable[[ServerConnection], None]
UpgradeScript = Callable[[ServerConnection, Request], Response | None]


class Observed:
    """The events of a transport, in order; a test takes one after the other."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[TransportEvent | ClockRead] = queue.SimpleQueue()
        self.failures: queue.SimpleQueue[Exception] = queue.SimpleQueue()
        self.take = self.events.put
        self.failed = self.failures.put

    def next(self, seconds: float = 10.0) -> TransportEvent | ClockRead:
        return self.events.get(timeout=seconds)

    def opened(self) -> int:
        event = self.next()
        assert isinstance(event, Opened)
        return event.connection

    def closed(self, seconds: float = 10.0) -> Closed:
        event = self.next(seconds)
        assert isinstance(event, Closed)
        return event


class Gateway:
    """Keeps every connection open until its peer or the test ends it, and what came over it."""

    def __init__(self) -> None:
        self.connections: queue.SimpleQueue[ServerConnection] = queue.SimpleQueue()
        self.texts: queue.SimpleQueue[tuple[ServerConnection, str]] = queue.SimpleQueue()

    def __call__(self, connection: ServerConnection) -> None:
        self.connections.put(connection)
        try:
            for text in connection:
                self.texts.put((connection, str(text)))
        except ConnectionClosed:
            return

    def connection(self) -> ServerConnection:
        return self.connections.get(timeout=10)

    def text(self) -> str:
        return self.texts.get(timeout=10)[1]


@contextmanager
def server(script: Script, *, upgrade: UpgradeScript | None = None) -> Iterator[int]:
    with serve(
        script, "127.0.0.1", 0, compression=None, max_size=2**20, process_request=upgrade
    ) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running.socket.getsockname()[1]
        finally:
            running.shutdown()
            thread.join()


@contextmanager
def transport(
    port: int,
    seen: Observed,
    *,
    ping: tuple[float, float] = (20, 10),
    scale: float = 0.1,
    host: str = "127.0.0.1",
    clock: Callable[[], float] = time.time,
) -> Iterator[Transport]:
    made = Transport(
        f"ws://{host}:{port}/relay",
        "eu-west-1",
        lambda: Credentials("AKID", "secret"),
        seen.take,
        seen.failed,
        token=lambda now: f"token of {now:.0f}",
        clock=clock,
        backoff_scale=scale,
        ping_interval_s=ping[0],
        ping_timeout_s=ping[1],
    )
    made.start()
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port of this machine that nobody listens on, and that nobody else gets."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("relay-")]


def test_a_redirect_sends_the_token_to_no_other_server() -> None:
    """A proxy that checks TLS may answer with its own login page."""
    seen = Observed()
    stolen: list[Request] = []

    def steal(_: ServerConnection, request: Request) -> None:
        stolen.append(request)

    with server(Gateway(), upgrade=steal) as other:

        def redirect(connection: ServerConnection, _: Request) -> Response:
            answer = connection.respond(http.HTTPStatus.FOUND, "log in first")
            answer.headers["Location"] = f"ws://127.0.0.1:{other}/login"
            return answer

        with server(Gateway(), upgrade=redirect) as port, transport(port, seen):
            assert "redirect" in seen.closed().reason
    assert stolen == []


def test_messages_pass_both_ways_and_stopping_leaves_no_thread_and_no_socket() -> None:
    gateway, seen = Gateway(), Observed()
    with server(gateway) as port:
        with transport(port, seen) as relay:
            number = seen.opened()
            connection = gateway.connection()
            relay.send(number, "one")
            relay.send(number, "two")
            assert [gateway.text(), gateway.text()] == ["one", "two"]
            connection.send("three")
            assert seen.next() == TextReceived(number, "three")
        assert ours() == []
    gc.collect()  # an unclosed socket is a ResourceWarning, which fails the test


def test_a_message_that_comes_in_several_frames_is_one_message() -> None:
    """API Gateway's frames end at 32 KB, its messages at 128."""
    gateway, seen = Gateway(), Observed()
    with server(gateway) as port, transport(port, seen):
        number = seen.opened()
        gateway.connection().send(["one ", "and ", "two"])
        assert seen.next() == TextReceived(number, "one and two")


def test_a_message_that_is_no_text_ends_the_connection_and_shows_in_no_reason() -> None:
    gateway, seen = Gateway(), Observed()
    with server(gateway) as port, transport(port, seen):
        seen.opened()
        gateway.connection().send(b"wJalrXUtnFEMI \xff", text=True)
        assert seen.closed().reason == "a message was not valid UTF-8"


def test_messages_that_were_queued_before_the_stop_are_sent() -> None:
    gateway, seen = Gateway(), Observed()
    with server(gateway) as port:
        with transport(port, seen) as relay:
            connection = seen.opened()
            for number in range(50):
                relay.send(connection, f"{number}")
        assert [gateway.text() for _ in range(50)] == [str(number) for number in range(50)]


def test_no_frame_is_larger_than_api_gateway_lets_through() -> None:
    """A frame over 32 KB costs the connection (1009); a message of 128 KB leaves in several."""
    sizes: list[int] = []
    arrived = threading.Event()

    def measure(connection: ServerConnection) -> None:
        sizes.extend(len(piece) for piece in connection.recv_streaming(decode=False))
        arrived.set()

    seen = Observed()
    with server(measure) as port, transport(port, seen) as relay:
        relay.send(seen.opened(), "x" * MESSAGE_BYTES)
        assert arrived.wait(10)
    assert sum(sizes) == MESSAGE_BYTES
    assert max(sizes) + 14 <= FRAME_BYTES


def test_a_refused_handshake_is_reported_as_such_and_tried_again_with_growing_waits() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        assert "AWS4-HMAC-SHA256" in request.headers["Authorization"]
        assert request.headers["X-Terralive-Token"].startswith("token of 1")
        return connection.respond(http.HTTPStatus.FORBIDDEN, '{"message":"Forbidden"}')

    seen = Observed()
    with server(lambda _: None, upgrade=refuse) as port, transport(port, seen, scale=0.05):
        reported = [seen.closed() for _ in range(4)]
    assert [event.refused_with for event in reported] == [403] * 4
    assert "403" in reported[0].reason
    assert "Forbidden" in reported[0].reason
    waits = [event.retry_in_s or 0.0 for event in reported]
    assert waits[0] < waits[2] < waits[3] * 2
    assert waits[0] <= 0.1 * 0.05


def test_a_gateway_that_fails_is_not_taken_for_one_that_forbids() -> None:
    seen = Observed()
    with (
        server(
            lambda _: None, upgrade=lambda link, _: link.respond(http.HTTPStatus.BAD_GATEWAY, "no")
        ) as port,
        transport(port, seen),
    ):
        assert seen.closed().refused_with == 0


def test_an_abrupt_end_is_reported_and_followed_by_another_connection() -> None:
    gateway, seen = Gateway(), Observed()
    with server(gateway) as port, transport(port, seen) as relay:
        seen.opened()
        gateway.connection().socket.shutdown(socket.SHUT_RDWR)
        assert seen.closed().retry_in_s
        number = seen.opened()
        gateway.connection()
        relay.send(number, "again")
        assert gateway.text() == "again"


def test_a_closing_gateways_words_are_passed_on() -> None:
    gateway, seen = Gateway(), Observed()
    with server(gateway) as port, transport(port, seen):
        seen.opened()
        gateway.connection().close(1001, "Going away")
        why = seen.closed().reason
    assert "1001" in why
    assert "Going away" in why


def test_a_peer_that_falls_silent_is_found_out_by_its_missing_pong() -> None:
    """A socket accepts everything and answers nothing, as after a change of the network."""
    seen = Observed()
    listener = socket.create_server(("127.0.0.1", 0))
    peers: list[socket.socket] = []

    def accept() -> None:
        for _ in range(2):
            peer, _address = listener.accept()
            peers.append(peer)
            protocol = ServerProtocol()  # no more than the upgrade, then deaf and mute
            while not (events := protocol.events_received()):
                protocol.receive_data(peer.recv(65536))
            request = events[0]
            assert isinstance(request, Request)
            protocol.send_response(protocol.accept(request))
            for data in protocol.data_to_send():
                peer.sendall(data)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        with transport(listener.getsockname()[1], seen, ping=(0.4, 0.2)):
            seen.opened()
            closed = seen.closed()
            assert "ping" in closed.reason.lower() or "pong" in closed.reason.lower()
            seen.opened()
    finally:
        thread.join()
        for sock in (listener, *peers):
            sock.close()


def test_a_message_for_an_old_connection_is_not_sent_on_the_new_one() -> None:
    gateway, seen = Gateway(), Observed()
    with server(gateway) as port, transport(port, seen) as relay:
        old = seen.opened()
        gateway.connection().socket.shutdown(socket.SHUT_RDWR)
        seen.closed()
        relay.send(old, "for the old one")
        new = seen.opened()
        relay.send(old, "for the old one")
        relay.send(new, "for the new one")
        assert gateway.text() == "for the new one"


def test_a_dropped_connection_is_replaced_and_its_reason_kept() -> None:
    gateway, seen = Gateway(), Observed()
    with server(gateway) as port, transport(port, seen) as relay:
        relay.close(seen.opened(), "the debug stack did not answer in time")
        assert seen.closed().reason == "the debug stack did not answer in time"
        seen.opened()


def test_credentials_that_cannot_be_had_are_a_failed_attempt_and_no_end() -> None:
    gateway, seen = Gateway(), Observed()
    expired = [1, 2]

    def credentials() -> Credentials:
        if expired:
            expired.pop()
            raise KeyError("expired")
        return Credentials("AKID", "secret")

    with server(gateway) as port:
        relay = Transport(
            f"ws://127.0.0.1:{port}/relay",
            "eu-west-1",
            credentials,
            seen.take,
            seen.failed,
            token=lambda _: "token",
            backoff_scale=0.1,
        )
        relay.start()
        try:
            assert "credentials" in seen.closed().reason
            seen.closed()
            seen.opened()
        finally:
            relay.stop()


@pytest.mark.parametrize("answers_upgrade", [False, True])
def test_stopping_while_connecting_ends_at_once_and_leaves_nothing(
    *, answers_upgrade: bool
) -> None:
    seen = Observed()
    asked, go_on = threading.Event(), threading.Event()

    def slow(connection: ServerConnection, _: Request) -> None:
        del connection
        asked.set()
        go_on.wait(10)

    with server(Gateway(), upgrade=slow) as port:
        with transport(port, seen):
            assert asked.wait(10)
            if answers_upgrade:
                go_on.set()
        go_on.set()
        assert ours() == []
    gc.collect()


def test_stopping_while_waiting_for_the_next_attempt_ends_at_once() -> None:
    seen = Observed()
    with refusing_port() as port:
        with transport(port, seen, scale=1000):
            wait_s = seen.closed().retry_in_s or 0
            assert wait_s > 10
            began = time.monotonic()
        assert ours() == []
        assert time.monotonic() - began < wait_s


def test_a_second_connection_opens_beside_the_first_and_either_may_end_alone() -> None:
    gateway, seen = Gateway(), Observed()
    with server(gateway) as port, transport(port, seen) as relay:
        first = seen.opened()
        gateway.connection()
        relay.renew()
        second = seen.opened()
        beside = gateway.connection()
        relay.send(first, "over the first")
        relay.send(second, "over the second")
        assert {gateway.text(), gateway.text()} == {"over the first", "over the second"}
        relay.close(first, "renewed")
        assert seen.closed() == Closed(first, "renewed", None)
        beside.send("still here")
        assert seen.next() == TextReceived(second, "still here")
        relay.close(second, "gone")
        assert seen.closed().retry_in_s is not None
        assert seen.opened() not in {first, second}
    assert ours() == []


def test_a_wait_before_the_next_attempt_can_be_cut_short() -> None:
    gateway, seen = Gateway(), Observed()
    with server(gateway) as port, transport(port, seen, scale=1000) as relay:
        relay.close(seen.opened(), "asleep")
        assert (seen.closed().retry_in_s or 0) > 10
        relay.try_now()
        seen.opened()


def test_why_there_is_no_connection_is_said_without_classes_and_numbers() -> None:
    seen = Observed()
    with refusing_port() as port, transport(port, seen):
        assert seen.closed().reason == "Connection refused"


# Clocks


def test_a_refusal_tells_the_clock_of_aws_and_the_next_attempt_uses_it() -> None:
    """The clock of this machine is ten minutes slow; a signature may be five minutes old."""
    stamps: queue.SimpleQueue[str] = queue.SimpleQueue()

    def refuse_old(connection: ServerConnection, request: Request) -> Response | None:
        stamp = request.headers["X-Amz-Date"]
        signed_at = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
        stamps.put(stamp)
        if abs(signed_at - time.time()) < 300:
            return None
        return connection.respond(http.HTTPStatus.FORBIDDEN, "Signature expired")

    gateway, seen = Gateway(), Observed()
    with (
        server(gateway, upgrade=refuse_old) as port,
        transport(port, seen, clock=lambda: time.time() - 600),
    ):
        read = seen.next()
        assert isinstance(read, ClockRead)
        assert abs(read.offset_s - 600) < 30
        assert seen.closed().refused_with == 403
        seen.opened()
    assert stamps.get(timeout=0) != stamps.get(timeout=0)


def test_a_refusal_by_a_gateway_with_the_same_clock_is_about_something_else() -> None:
    seen = Observed()
    refusal = http.HTTPStatus.FORBIDDEN
    with (
        server(lambda _: None, upgrade=lambda link, _: link.respond(refusal, "no")) as port,
        transport(port, seen),
    ):
        assert [seen.closed().refused_with for _ in range(3)] == [403] * 3


# Endpoints that are not AWS's


def test_a_name_below_localhost_reaches_this_machine_and_the_gateway_sees_the_name() -> None:
    names: queue.SimpleQueue[str] = queue.SimpleQueue()

    def keep_name(_: ServerConnection, request: Request) -> None:
        names.put(request.headers["Host"])

    gateway, seen = Gateway(), Observed()
    host = "a1b2.execute-api.localhost"
    with server(gateway, upgrade=keep_name) as port, transport(port, seen, host=host) as relay:
        relay.send(seen.opened(), "hello")
        assert gateway.text() == "hello"
        assert names.get(timeout=10) == f"{host}:{port}"


def test_an_address_that_begins_with_http_is_taken_as_a_websocket() -> None:
    gateway, seen = Gateway(), Observed()
    with server(gateway) as port:
        relay = Transport(
            f"http://127.0.0.1:{port}/relay",
            "eu-west-1",
            lambda: Credentials("AKID", "secret"),
            seen.take,
            seen.failed,
            token=lambda _: "token",
        )
        relay.start()
        try:
            relay.send(seen.opened(), "hello")
            assert gateway.text() == "hello"
        finally:
            relay.stop()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/relay", "127.0.0.1:80", ""])
def test_an_address_of_no_websocket_is_refused_by_name_before_a_thread_starts(url: str) -> None:
    seen = Observed()
    with pytest.raises(ConfigurationError) as refused:
        Transport(
            url,
            "eu-west-1",
            lambda: Credentials("AKID", "secret"),
            seen.take,
            seen.failed,
            token=lambda _: "token",
        )
    assert refused.value.reference == "relay-url-invalid"
    assert ours() == []


# Defects


@pytest.mark.parametrize("kind", [Opened, TextReceived, Closed])
def test_an_exception_in_the_callback_is_reported_once_and_ends_all_threads(
    kind: type[TransportEvent],
) -> None:
    gateway, seen = Gateway(), Observed()

    def raise_at_kind(event: TransportEvent | ClockRead) -> None:
        if isinstance(event, kind):
            raise ZeroDivisionError("a defect")
        seen.take(event)

    with server(gateway) as port:
        relay = Transport(
            f"ws://127.0.0.1:{port}/relay",
            "eu-west-1",
            lambda: Credentials("AKID", "secret"),
            raise_at_kind,
            seen.failed,
            token=lambda _: "token",
            backoff_scale=0.01,
        )
        relay.start()
        try:
            connection = gateway.connection()
            if kind is TextReceived:
                connection.send("hello")
            if kind is Closed:
                connection.socket.shutdown(socket.SHUT_RDWR)
            failure = seen.failures.get(timeout=10)
            assert str(failure) == "a defect"
            eventually(lambda: ours() in ([], ["relay-writer"]), "the connections' end")
        finally:
            relay.stop()
    assert ours() == []
    assert seen.failures.empty()
    assert gateway.connections.empty()


def test_an_exception_of_the_writer_is_reported() -> None:
    gateway, seen = Gateway(), Observed()
    with server(gateway) as port, transport(port, seen) as relay:
        relay.send(seen.opened(), "\ud800")  # a lone surrogate is no text
        assert isinstance(seen.failures.get(timeout=10), UnicodeEncodeError)
    assert ours() == []
