"""After any message to a session, the next ordinary invocation runs to its end.

The sessions are those of a relay, a stub and a broker. Each driver does with its session what the
shell around it does (`relay.py`, `stub.py`, `lambda_function.py`) and nothing more: what a shell
does not catch must not be raised. Time is a parameter.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import random
import re
import traceback
import zlib
from dataclasses import dataclass, field

import pytest
from botocore.exceptions import ClientError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from terralive_relay.events import Warned
from terralive_relay.session.effects import Effect, Publish, Run, Send, Stop
from terralive_relay.session.leasing import RelayIdentity
from terralive_relay.session.session import RelaySession
from terralive_stub.broker.admission import Admission
from terralive_stub.broker.exchange import Exchange
from terralive_stub.broker.gateway_events import Broker
from terralive_stub.broker.leases import LEASE_MS
from terralive_stub.protocol.chunks import CHUNK_BYTES, PAYLOAD_BYTES, Assembler, split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.messages import (
    Ack,
    Chunk,
    Done,
    GatewayError,
    Heartbeat,
    Hello,
    Kind,
    Message,
    Missing,
    NoRelay,
    Piece,
    ProtocolError,
    Resume,
    Unknown,
    Welcome,
)
from terralive_stub.protocol.named_errors import ErrorName
from terralive_stub.protocol.payloads import pack_invocation, pack_outcome, unpack_outcome
from terralive_stub.protocol.token import HEADER, NONCE_BYTES, Api, make_token, signing_key
from terralive_stub.protocol.wire import decode, encode
from terralive_stub.stub import effects as stub_effects
from terralive_stub.stub.session import StubSession
from terralive_testing.fakes.broker import FakeGateway, FakeTable
from terralive_testing.fakes.messages import JSON, MESSAGES, NAMES, NUMBERS, TEXTS, UNREADABLE

NOW_MS = 1_700_000_000_000
OK = Outcome(b'"ok"')
ANA = "arn:aws:sts::1:assumed-role/Developer/ana"
# The ARN of the function, shortened.
STUB = "fn"
SECRET = bytes(range(32))
BOMB = zlib.compress(bytes(50_000_000), 9)


def chunk(
    kind: Kind, request_id: str, data: bytes, *, encoding: str = "raw", function: str = "fn"
) -> Chunk:
    return Chunk(kind, request_id, function, 0, 1, len(data), encoding, data, peer="c1")


@st.composite
def _chunks(draw: st.DrawFn) -> Chunk:
    """Chunks that agree with themselves.

    Of nonsense, of bombs, of payloads that never get whole or are packed anew.
    """
    kind, request_id = draw(st.sampled_from(Kind)), draw(NAMES)
    data = draw(
        st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode() + b"\n{}")
    )
    data = draw(st.sampled_from([data, zlib.compress(data), BOMB]))
    parts = draw(st.sampled_from([1, 1, 2, 77]))
    if parts == 1:
        return chunk(kind, request_id, data, encoding=draw(st.sampled_from(["raw", "zlib"])))
    part, peer = draw(st.integers(0, parts - 2)), draw(NAMES)
    size = (parts - 1) * CHUNK_BYTES + draw(st.integers(1, 3))
    return Chunk(kind, request_id, "fn", part, parts, size, "raw", bytes(CHUNK_BYTES), peer)


def endless(number: int) -> Chunk:
    """The first part of a payload as large as any may be."""
    parts = -(-PAYLOAD_BYTES // CHUNK_BYTES)
    return Chunk(
        Kind.INVOKE,
        f"endless{number}",
        "fn",
        0,
        parts,
        PAYLOAD_BYTES,
        "raw",
        bytes(CHUNK_BYTES),
        "c2",
    )


HOSTILE = st.lists(TEXTS | _chunks().map(encode), max_size=8)
EVERY_UNREADABLE = [
    *UNREADABLE,
    *(encode(chunk(kind, "x", BOMB, encoding="zlib")) for kind in Kind),
]


@dataclass
class RelaySide:
    """A relay's shell without sockets, workers and threads.

    `receive` is its `_received` and `_carry_out`, and the only place that calls the session.
    """

    session: RelaySession = field(
        default_factory=lambda: RelaySession(RelayIdentity("life", ("fn",), "ana", "laptop"))
    )
    now: float = 0.0
    connection: int = 0
    ran: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    stopped: bool = False

    def connect(self, heartbeat_ms: int = 20_000) -> None:
        """Lose the connection, open another and get the lease."""
        if self.connection:
            self._do(self.session.leasing.closed(self.connection, self.now, "reset", 0.1))
        self.connection += 1
        self._do(self.session.leasing.opened(self.connection, self.now))
        self.receive(encode(Welcome("life", NOW_MS + LEASE_MS, heartbeat_ms)))

    def receive(self, text: str) -> list[Message]:
        self.now += 0.01
        try:
            return self._do(self.session.received(self.connection, decode(text), self.now, NOW_MS))
        except ProtocolError as error:
            self.warned.append(str(error))
            return []

    def finish(self, request_id: str, outcome: Outcome) -> list[Message]:
        return self._do(
            self.session.invocations.finished(
                request_id, outcome, 1.0, self.now, answered_by_lambda=False
            )
        )

    def tick(self) -> list[Message]:
        """Sleep until something is due, and do it."""
        self.now = max(self.now, self.session.next_tick(self.now))
        return self._do(self.session.tick(self.now))

    def invoke(self, request_id: str, *, peer: str = "c1", seconds: float = 3.0) -> None:
        call = Invocation(request_id, "fn", "fn", Deadline(seconds), b"{}")
        payload = pack_invocation(call, now=0.0)
        for part in split(Kind.INVOKE, request_id, "fn", payload, peer=peer):
            self.receive(encode(part))

    def _do(self, effects: list[Effect]) -> list[Message]:
        sent: list[Message] = []
        for effect in effects:
            match effect:
                case Send(message=message):
                    sent.append(decode(encode(message)))
                case Run(invocation=invocation):
                    self.ran.append(invocation.request_id)
                case Publish(event=Warned(message=message)):
                    self.warned.append(message)
                case Stop():
                    self.stopped = True
        return sent


def outcomes(messages: list[Message], request_id: str) -> list[Outcome]:
    assembler = Assembler()
    mine = [
        message
        for message in messages
        if isinstance(message, Chunk) and message.request_id == request_id
    ]
    payloads = [assembler.add(message, 0.0) for message in mine]
    return [unpack_outcome(payload) for payload in payloads if payload is not None]


@settings(max_examples=200, deadline=None)
@given(HOSTILE)
@example(EVERY_UNREADABLE)
def test_a_relay_goes_on_after_hostile_messages(texts: list[str]) -> None:
    relay = RelaySide()
    relay.connect()
    relay.invoke("running", seconds=900.0)
    for text in texts:
        before = len(relay.ran)
        assert len(relay.receive(text)) <= 2, "one message must not cost many"
        assert len(relay.ran) - before <= 1
        assert len(relay.session.invocations.store.entries) == len(relay.ran)
        relay.tick()
        if (
            relay.stopped
        ):  # a broker has said that the stage is somebody else's: that is the end, by design
            return
    relay.connect()
    relay.finish("running", OK)
    assert outcomes(relay.receive(encode(Resume("running", "fn", "c2"))), "running") == [OK]
    relay.invoke("fresh")
    assert outcomes(relay.finish("fresh", OK), "fresh") == [OK]
    assert relay.ran.count("running") == relay.ran.count("fresh") == 1


def test_questions_about_invocations_that_a_relay_never_had_leave_nothing_behind() -> None:
    relay = RelaySide()
    relay.connect()
    for number in range(3000):
        name = f"r{number}"
        assert relay.receive(encode(Resume(name, "fn", "c1"))) == [Unknown(name, "fn", "c1", name)]
        assert relay.receive(encode(Done(name, "fn", "c1"))) == []
        assert relay.receive(encode(Missing(Kind.RESULT, name, "fn", tuple(range(76)), "c1"))) == []
    invocations = relay.session.invocations
    assert (len(invocations.store.entries), len(invocations.store.results)) == (0, 0)
    assert invocations.assembler.stats().payloads == 0


def test_payloads_that_never_get_whole_are_bounded_and_forgotten() -> None:
    relay = RelaySide()
    relay.connect()
    for number in range(300):
        relay.receive(encode(endless(number)))
    assembler = relay.session.invocations.assembler
    assert 0 < assembler.stats().announced_bytes <= Assembler().most_bytes
    relay.invoke("fresh")
    assert relay.ran == ["fresh"]
    end = relay.now + 60
    while relay.now < end:
        relay.tick()
        relay.receive(encode(Welcome("life", NOW_MS, 20_000)))
    assert assembler.stats().payloads == 0


def test_a_peer_that_repeats_its_first_parts_forever_does_not_keep_a_large_event_out() -> None:
    relay = RelaySide()
    relay.connect()
    hogs = [endless(number) for number in range(20)]
    event = random.Random(1).randbytes(2 * CHUNK_BYTES)
    payload = pack_invocation(Invocation("fresh", "fn", "fn", Deadline(3.0), event), now=0.0)
    for _ in range(60):
        for message in (*hogs, *split(Kind.INVOKE, "fresh", "fn", payload, peer="c1")):
            relay.receive(encode(message))
        relay.tick()
        relay.receive(encode(Welcome("life", NOW_MS, 20_000)))
    assert relay.ran == ["fresh"]


@pytest.mark.parametrize("heartbeat_ms", [0, 1, 2**53 - 1])
def test_a_relay_renews_its_lease_in_time_and_not_all_the_time(heartbeat_ms: int) -> None:
    """Whatever a broker says; a lease lasts a minute."""
    relay = RelaySide()
    relay.connect(heartbeat_ms)
    welcome = encode(Welcome("life", NOW_MS + LEASE_MS, heartbeat_ms))
    beats, end = 0, relay.now + LEASE_MS / 1000
    for _ in range(1000):
        beat = Heartbeat("life") in relay.tick()
        if relay.now >= end:
            break
        if beat:
            beats += 1
            relay.receive(welcome)
    assert relay.now >= end, "a relay that is always at it"
    assert 1 <= beats <= 60


def test_asking_again_and_again_for_a_large_result_costs_a_relay_a_few_times_its_size() -> None:
    """Messages wait in the transport's queue.

    A thousand tiny questions would be gigabytes there.
    """
    relay = RelaySide()
    relay.connect()
    relay.invoke("r1")
    result = relay.finish("r1", Outcome(random.Random(1).randbytes(10 * CHUNK_BYTES)))
    again = [
        message for _ in range(50) for message in relay.receive(encode(Resume("r1", "fn", "c1")))
    ]
    assert len(again) <= 4 * len(result)


@dataclass
class StubSide:
    """A stub's shell without socket and clock: `receive` is its `_process` and `_carry_out`.

    The only place that calls the session.
    """

    session: StubSession = field(default_factory=lambda: StubSession(app="orders", stage="dev"))
    now: float = 0.0
    finished: list[Outcome] = field(default_factory=list)

    def begin(self, request_id: str, *, seconds: float = 60.0) -> list[Message]:
        deadline = Deadline.after(seconds, now=self.now)
        invocation = Invocation(request_id, "fn", "fn", deadline, b"{}", streams=True)
        return self._do(self.session.begin(invocation, self.now))

    def receive(self, text: str) -> list[Message]:
        self.now += 0.001
        try:
            message = decode(text)
        except GatewayError:
            return self._do(self.session.gateway_failed(self.now))
        except ProtocolError:
            return self._do(self.session.tick(self.now))
        return self._do(self.session.received(message, self.now))

    def tick(self) -> None:
        self.now = max(self.now, self.session.next_tick(self.now))
        self._do(self.session.tick(self.now))

    def answer(self, request_id: str, outcome: Outcome) -> None:
        for part in split(Kind.RESULT, request_id, "fn", pack_outcome(outcome)):
            self.receive(encode(part))

    def _do(self, effects: list[stub_effects.Effect]) -> list[Message]:
        sent: list[Message] = []
        pending = list(effects)
        while pending:
            match pending.pop(0):
                case stub_effects.Connect():
                    pending = self.session.connected(self.now) + pending
                case stub_effects.Send(message=message):
                    sent.append(decode(encode(message)))
                case stub_effects.Write():
                    pending = self.session.wrote(self.now, accepted=True) + pending
                case stub_effects.Finish(outcome=outcome):
                    self.finished.append(outcome)
        return sent


@settings(max_examples=200, deadline=None)
@given(HOSTILE, st.booleans())
@example(EVERY_UNREADABLE, True)
def test_a_stub_goes_on_after_hostile_messages(texts: list[str], owned: bool) -> None:
    side = StubSide()
    side.begin("running")
    if owned:
        side.receive(encode(Ack("running", "fn")))
    for text in texts:
        assert len(side.receive(text)) <= 2, "one message must not cost many"
    for _ in range(1000):
        if not side.session.busy:
            break
        side.tick()
    assert len(side.finished) == 1, "an invocation ends once, and at its deadline at the latest"
    side.begin("fresh")
    side.answer("fresh", OK)
    assert side.finished[1:] == [OK]


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Piece,
            st.just("running"),
            st.just("fn"),
            st.sampled_from(["life", "other"]),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
            NUMBERS,
            st.binary(max_size=200),
        ),
        max_size=10,
    )
)
def test_a_stub_goes_on_after_hostile_pieces(pieces: list[Piece]) -> None:
    side = StubSide()
    side.begin("running")
    side.receive(encode(Ack("running", "fn")))
    for piece in pieces:
        side.receive(encode(piece))
    side.answer("running", OK)
    for _ in range(1000):
        if not side.session.busy:
            break
        side.tick()
    (outcome,) = side.finished
    assert not outcome.ok or outcome == OK, "a stream without its end is no success"
    side.begin("fresh")
    side.answer("fresh", OK)
    assert side.finished[1:] == [OK]


@given(
    st.lists(
        MESSAGES.filter(lambda message: getattr(message, "request_id", "") != "running").map(
            encode
        ),
        max_size=8,
    )
)
def test_messages_about_anything_else_change_nothing_for_an_invocation(texts: list[str]) -> None:
    side = StubSide()
    side.begin("running")
    assert [side.receive(text) for text in texts] == [[]] * len(texts)
    side.answer("running", OK)
    assert side.finished == [OK]


@given(
    st.builds(NoRelay, st.just("running"), st.text(), st.text(), NUMBERS, NUMBERS, NUMBERS, NAMES)
)
def test_nobody_connected_is_a_named_error_whatever_the_broker_says_of_owner_and_times(
    notice: NoRelay,
) -> None:
    side = StubSide()
    side.begin("running")
    side.now += 0.001
    side._do(side.session.received(notice, side.now))
    while side.session.busy:
        side.tick()
    (outcome,) = side.finished
    assert outcome.error_type in {ErrorName.NO_RELAY, ErrorName.NOT_SERVED, ErrorName.NOT_DELIVERED}


@dataclass
class Stack:
    """A broker as Lambda calls it, with a table and a gateway in memory."""

    table: FakeTable = field(default_factory=FakeTable)
    gateway: FakeGateway = field(default_factory=FakeGateway)
    now_ms: int = NOW_MS

    nonces: int = 0
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table.secret = SECRET
        exchange = Exchange(self.table, self.gateway)
        self.broker = Broker(Admission(self.table), exchange, self.log.append)

    def event(self, kind: str, connection: str, body: object = None) -> dict[str, object]:
        api = Api.RELAY if connection.startswith("relay") else Api.STUB
        self.nonces += 1
        nonce = self.nonces.to_bytes(NONCE_BYTES)
        context: dict[str, object] = {
            "eventType": kind,
            "connectionId": connection,
            "stage": str(api),
        }
        if api is Api.RELAY:
            subject = ANA
            context["identity"] = {"userArn": ANA}
        else:
            subject = STUB
            context["authorizer"] = {"subject": STUB}
        key = signing_key(SECRET, api, subject)
        token = make_token(api, subject, key, now=self.now_ms / 1000, nonce=nonce)
        return {
            "headers": {HEADER: token},
            "requestContext": context,
            "body": body,
            "isBase64Encoded": False,
        }

    def handle(self, event: dict[str, object]) -> int:
        status = self.broker.handle(event, self.now_ms)["statusCode"]
        assert isinstance(status, int)
        return status

    def say(self, connection: str, message: Message) -> list[Message]:
        self.handle(self.event("MESSAGE", connection, encode(message)))
        return self.gateway.take(connection)

    def join(self, connection: str) -> None:
        self.handle(self.event("CONNECT", connection))

    def serve(self) -> None:
        """A relay takes the stage, and an invocation and its result pass."""
        self.join("relay9")
        self.join("stub9")
        (welcome,) = self.say("relay9", Hello("life9", ("fn",), "ana", "laptop", takeover=True))
        assert isinstance(welcome, Welcome)
        assert self.say("stub9", chunk(Kind.INVOKE, "fresh", b"x")) == []
        (offered,) = self.gateway.take("relay9")
        assert isinstance(offered, Chunk)
        assert self.say("relay9", Ack("fresh", "fn", offered.peer)) == []
        assert self.gateway.take("stub9") == [Ack("fresh", "fn", "stub9")]


_CONNECTIONS = st.sampled_from(["relay1", "relay2", "stub1", "stub2"])


@st.composite
def _events(draw: st.DrawFn) -> dict[str, object]:
    """An event as API Gateway sends it, with something missing or other in it."""
    kind = draw(st.sampled_from(["MESSAGE", "MESSAGE", "MESSAGE", "CONNECT", "DISCONNECT"]))
    body = draw(HOSTILE.map(lambda texts: texts[0] if texts else None) | JSON)
    event = Stack().event(kind, draw(_CONNECTIONS), body)
    context = event["requestContext"]
    assert isinstance(context, dict)
    for document in (event, context):
        name = draw(st.sampled_from(["", *document]))
        if name == "connectionId":
            document[name] = draw(st.none() | st.integers() | st.just(""))
        elif name:
            document[name] = draw(JSON)
        if draw(st.integers(0, 9)) == 0:
            document.pop(draw(st.sampled_from(sorted(document))))
    return event


@settings(max_examples=200, deadline=None)
@given(st.lists(_events(), max_size=8))
@example(
    [
        Stack().event("MESSAGE", name, text)
        for text in EVERY_UNREADABLE
        for name in ("relay1", "stub1")
    ]
)
@example(
    [
        {},
        {"requestContext": None},
        {"requestContext": {"connectionId": "c", "eventType": "MESSAGE"}},
    ]
)
def test_a_broker_goes_on_after_hostile_events_and_logs_none_of_them(
    events: list[dict[str, object]],
) -> None:
    stack, log = Stack(), io.StringIO()
    for name in ("relay1", "stub1"):
        stack.join(name)
    stack.say("relay1", Hello("life", ("fn",), "ana", "laptop"))
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        for event in events:
            assert stack.handle(event) in {200, 400, 401, 403}
    assert log.getvalue() == ""
    # Only the reasons of refusals are logged, in words of ours.
    assert all(re.fullmatch("refused a connection: [a-z0-9-]+", line) for line in stack.log)
    stack.serve()


def test_a_flood_of_connections_costs_a_busy_one_no_access_of_the_table() -> None:
    stack = Stack()
    stack.serve()
    exchange = stack.broker.exchange
    for number in range(10_000):
        stack.join(f"stub-{number}")
        before = stack.table.accesses
        stack.say("stub9", chunk(Kind.INVOKE, "fresh", b"x"))
        assert stack.table.accesses == before
    stack.gateway.take("relay9")
    assert len(exchange._identities) <= 4096


class Throttled(FakeGateway):
    """API Gateway takes no more calls."""

    def post(self, api: Api, connection: str, text: str) -> None:
        del api, connection, text
        raise ClientError(
            {"Error": {"Code": "LimitExceededException", "Message": ""}}, "PostToConnection"
        )


def test_a_failing_brokers_traceback_holds_nothing_of_the_message() -> None:
    """Lambda logs it, and an invocation carries the role's credentials."""
    stack = Stack(gateway=Throttled())
    stack.join("stub1")
    secret = random.Random(1).randbytes(30)
    event = stack.event("MESSAGE", "stub1", encode(chunk(Kind.INVOKE, "r1", secret)))
    with pytest.raises(ClientError) as failed:
        stack.handle(event)
    assert base64.b64encode(secret).decode() not in "".join(
        traceback.format_exception(failed.value)
    )


@pytest.mark.parametrize(
    "spoiled", ["v", "action", "part", "size", "encoding", "function", "data", "request_id"]
)
@pytest.mark.parametrize("other", [None, 7, "x", "\x00"])
def test_what_a_relay_says_of_a_refused_message_holds_nothing_of_its_payload(
    spoiled: str, other: object
) -> None:
    relay = RelaySide()
    relay.connect()
    secret = b"wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
    header = json.dumps(
        {"request_id": "r1", "function_name": "fn", "environment": {"KEY": secret.decode()}}
    ).encode()
    document = json.loads(encode(chunk(Kind.INVOKE, "r1", header + b"\n{}")))
    relay.receive(json.dumps(document))
    relay.receive(json.dumps(document | {spoiled: other}))
    assert relay.warned
    told = "".join(relay.warned)
    assert secret.decode() not in told
    assert document["data"][:40] not in told
