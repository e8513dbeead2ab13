"""An attacker who cannot read the stage's secret gets no invocation, no credential and no lease.

Two stages in a sandbox. A relay of ana's, written here, holds the first one. The attacker has a
role of the same account that may call every API, a stage of their own, the key of a stub image, and
what they have seen of others: tokens that were used and connection ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from websockets.sync.client import ClientConnection

from terralive_sandbox.info import SandboxInfo
from terralive_stub.broker.aws import DynamoDBTable
from terralive_stub.protocol.chunks import Assembler, split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome, name_of
from terralive_stub.protocol.messages import (
    Ack,
    Chunk,
    Done,
    Heartbeat,
    Hello,
    Kind,
    Message,
    Problem,
    Resume,
    Unknown,
    Welcome,
)
from terralive_stub.protocol.payloads import pack_invocation, pack_outcome, unpack_outcome
from terralive_stub.protocol.token import HEADER, Api, function_key
from terralive_stub.protocol.wire import decode, encode
from terralive_stub.shared.sigv4 import Credentials
from terralive_terraform.artifacts import STUB_HANDLER, StubCoordinates, build_stub_zip
from terralive_testing.deployers.sandbox import Aws, unique
from terralive_testing.deployers.stage import Stage, deploy
from terralive_testing.drivers.signed_requests import relay_headers, signature, stub_headers, token
from terralive_testing.drivers.websocket_clients import PATIENCE, client, upgrade_status
from terralive_testing.machine.waiting import eventually

ANSWER = Outcome(b'"the handler\'s own answer"')
FORGED = Outcome(b'"forged"')


@dataclass
class Attacker:
    """A role that may call every API of the account, and do nothing else."""

    aws: Aws
    region: str
    credentials: Credentials
    arn: str

    def signed(self, url: str) -> dict[str, str]:
        return signature(url, self.region, self.credentials)

    def status(self, stage: Stage, api: Api, headers: dict[str, str]) -> int:
        """Return the status for an attempt with a right signature and these headers."""
        url = stage.url if api is Api.RELAY else stage.stub_url
        return upgrade_status(url, {**self.signed(url), **headers})


@dataclass
class Victim:
    """Ana's stage with her relay, which has the lease."""

    stage: Stage
    other: Stage
    aws: Aws
    ana: Credentials
    relay: ClientConnection
    heard: list[Message] = field(default_factory=list)

    @property
    def function(self) -> str:
        return self.stage.arns["orders"]

    def token(self, api: Api, *, secret: bytes | None = None, late_s: float = 0) -> dict[str, str]:
        """Return the token's header of ana, or of her function's stub."""
        subject = self.aws.caller_arn if api is Api.RELAY else self.function
        return {HEADER: token(api, subject, secret or self.stage.secret, late_s=late_s)}

    def is_unharmed(self) -> None:
        """The lease is ana's, an invocation by Lambda gets her answer, and hers alone."""
        say(self.relay, Heartbeat("ana"))
        assert isinstance(receive(self.relay), Welcome), "she got nothing that she did not ask for"
        lease = DynamoDBTable(self.aws.dynamodb, self.stage.name).get_lease()
        assert lease is not None
        assert (lease.relay, lease.owner) == ("ana", "ana")
        name = self.stage.functions["orders"]
        with ThreadPoolExecutor(1) as caller:
            call = caller.submit(self.aws.lambda_.invoke, FunctionName=name, Payload=b"{}")
            # On a slow machine the stub may ask more than once.
            while isinstance(asked := receive(self.relay), Chunk | Resume):
                assert asked.function == self.function
                self.answer(asked)
            assert isinstance(asked, Done)
            answer = call.result(PATIENCE)
        assert not answer.get("FunctionError")
        assert answer["Payload"].read() == ANSWER.body

    @contextmanager
    def asked(self) -> Iterator[Chunk]:
        """Give an invocation of the live function that the relay gets; it must answer it.

        Its stub is written here, too: it waits, however long the attack takes.
        """
        with client(self.stage.stub_url, stub_headers(self.function, self.stage.secret)) as stub:
            request_id = unique("request")
            say(stub, invocation(request_id, self.function))
            chunk = receive(self.relay)
            assert isinstance(chunk, Chunk)
            assert (chunk.request_id, chunk.function) == (request_id, self.function)
            yield chunk
            # Each message is a run of the broker, so the second one may come first.
            heard = [receive(stub), receive(stub)]
            (answer,) = [message for message in heard if isinstance(message, Chunk)]
            assert unpack_outcome(Assembler().add(answer, 0.0) or b"") == ANSWER
            assert Ack(request_id, self.function, chunk.peer) in heard
            say(stub, Done(request_id, self.function))
            assert receive(self.relay) == Done(request_id, self.function, chunk.peer)

    def answer(self, asked: Chunk | Resume) -> None:
        say(self.relay, Ack(asked.request_id, asked.function, asked.peer))
        say(self.relay, result(asked.request_id, asked.function, asked.peer, ANSWER))


def say(connection: ClientConnection, message: Message) -> None:
    connection.send(encode(message))


def receive(connection: ClientConnection) -> Message:
    return decode(str(connection.recv(timeout=PATIENCE)))


def refusal(connection: ClientConnection, message: Message) -> str:
    """Say something that is refused. Return why."""
    say(connection, message)
    problem = receive(connection)
    assert isinstance(problem, Problem), problem
    return problem.reference


def result(request_id: str, function: str, peer: str, outcome: Outcome = FORGED) -> Chunk:
    (chunk,) = split(Kind.RESULT, request_id, function, pack_outcome(outcome), peer=peer)
    return chunk


def invocation(request_id: str, function: str) -> Chunk:
    made = Invocation(request_id, name_of(function), function, Deadline(30.0), b'"by hand"')
    (chunk,) = split(Kind.INVOKE, request_id, function, pack_invocation(made, now=0.0))
    return chunk


@pytest.fixture(scope="module")
def stages(sandbox: SandboxInfo, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, Stage]:
    aws = Aws(sandbox)
    mine = deploy(aws, tmp_path_factory.mktemp("ana"), {"orders": 30, "payments": 30})
    return mine, deploy(aws, tmp_path_factory.mktemp("eve"), {"orders": 5})


@pytest.fixture(scope="module")
def victim(sandbox: SandboxInfo, stages: tuple[Stage, Stage]) -> Iterator[Victim]:
    stage, other = stages
    aws = Aws(sandbox)
    ana = Credentials(sandbox.access_key_id, sandbox.secret_access_key)
    headers = relay_headers(stage.url, sandbox.region, ana, aws.caller_arn, stage.secret)
    with client(stage.url, headers) as relay:
        say(relay, Hello("ana", tuple(stage.arns.values()), "ana", "laptop"))
        assert isinstance(receive(relay), Welcome)
        yield Victim(stage, other, aws, ana, relay)


@pytest.fixture(scope="module")
def attacker(sandbox: SandboxInfo) -> Attacker:
    aws = Aws(sandbox)
    role = aws.role({"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"})
    keys = aws.role_keys(role, "orders")
    credentials = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    own = Aws(sandbox, keys)
    return Attacker(own, sandbox.region, credentials, own.caller_arn)


def test_the_right_to_call_every_api_opens_neither(victim: Victim, attacker: Attacker) -> None:
    for api, wrong in ((Api.RELAY, 401), (Api.STUB, 403)):
        assert attacker.status(victim.stage, api, {}) == 401
        for guessed in ("", "x", "1." * 6):
            assert attacker.status(victim.stage, api, {HEADER: guessed}) in {401, wrong}
        for subject in (attacker.arn, victim.function, victim.aws.caller_arn):
            forged = {HEADER: token(api, subject, bytes(32))}
            assert attacker.status(victim.stage, api, forged) == wrong
    victim.is_unharmed()


def test_a_connection_without_a_token_costs_no_run_of_the_broker(
    sandbox: SandboxInfo, attacker: Attacker, tmp_path: Path
) -> None:
    """A stage of its own: the end of any earlier connection costs a run, which may come late."""
    aws = Aws(sandbox)
    stage = deploy(aws, tmp_path, {"orders": 5})

    def runs() -> int:
        pages = aws.logs.get_paginator("filter_log_events").paginate(
            logGroupName=f"/aws/lambda/{stage.name}-broker"
        )
        try:
            events = [event for page in pages for event in page["events"]]
        except aws.logs.exceptions.ResourceNotFoundException:
            return 0  # the first run makes the log group a moment later
        return sum(event["message"].startswith("REPORT ") for event in events)

    # A token that is not accepted opens no connection, so there is one run.
    assert attacker.status(stage, Api.STUB, {HEADER: "x"}) == 403
    eventually(lambda: runs() >= 1)
    for _ in range(5):
        assert attacker.status(stage, Api.STUB, {}) == 401
        assert upgrade_status(stage.url, {}) == 403
    assert attacker.status(stage, Api.STUB, {HEADER: "x"}) == 403
    eventually(lambda: runs() >= 2)
    assert runs() == 2


def test_the_secret_is_out_of_reach_of_who_may_call_every_api(
    victim: Victim, attacker: Attacker
) -> None:
    for forbidden in (
        lambda: DynamoDBTable(attacker.aws.dynamodb, victim.stage.name).get_secret(),
        lambda: attacker.aws.lambda_.get_function(FunctionName=victim.function),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
            forbidden()


def test_another_stages_secret_opens_nothing(victim: Victim, attacker: Attacker) -> None:
    secret = victim.other.secret
    headers = {HEADER: token(Api.RELAY, attacker.arn, secret)}
    assert attacker.status(victim.other, Api.RELAY, headers) == 101, "their own stage"
    headers = {HEADER: token(Api.RELAY, attacker.arn, secret)}
    assert attacker.status(victim.stage, Api.RELAY, headers) == 401
    assert attacker.status(victim.stage, Api.STUB, stub_headers(victim.function, secret)) == 403
    victim.is_unharmed()


def test_another_stages_stub_connects_to_nothing_of_this_one(
    victim: Victim, tmp_path: Path
) -> None:
    """A live function of the attacker's stage, whose settings name the victim's address."""
    settings = StubCoordinates(victim.stage.stub_url, "test", "eve", victim.other.secret)
    archive = build_stub_zip(settings, tmp_path).path.read_bytes()
    function = victim.aws.function(archive, handler=STUB_HANDLER, timeout=4)
    answer = victim.aws.lambda_.invoke(FunctionName=function, Payload=b"{}")
    assert json.loads(answer["Payload"].read())["errorType"] == "Terralive.CannotConnect"
    victim.is_unharmed()


@pytest.mark.parametrize("late_s", [360, -360])
def test_a_token_of_another_time_opens_nothing(
    victim: Victim, attacker: Attacker, late_s: float
) -> None:
    late = victim.token(Api.STUB, late_s=late_s)
    assert attacker.status(victim.stage, Api.STUB, late) == 403
    late = {HEADER: token(Api.RELAY, attacker.arn, victim.stage.secret, late_s=late_s)}
    assert attacker.status(victim.stage, Api.RELAY, late) == 401
    victim.is_unharmed()


def test_a_token_that_was_used_opens_nothing(victim: Victim, attacker: Attacker) -> None:
    seen = victim.token(Api.STUB)
    assert upgrade_status(victim.stage.stub_url, seen) == 101
    assert attacker.status(victim.stage, Api.STUB, seen) == 401
    assert upgrade_status(victim.stage.stub_url, seen) == 401
    seen = victim.token(Api.RELAY)
    mine = signature(victim.stage.url, attacker.region, victim.ana)
    assert upgrade_status(victim.stage.url, {**mine, **seen}) == 101
    assert upgrade_status(victim.stage.url, {**mine, **seen}) == 401
    victim.is_unharmed()


def test_a_token_that_was_not_used_yet_is_no_use_to_another_caller(
    victim: Victim, attacker: Attacker
) -> None:
    assert attacker.status(victim.stage, Api.RELAY, victim.token(Api.RELAY)) == 401
    victim.is_unharmed()


def test_a_token_for_one_api_does_not_open_the_other(victim: Victim, attacker: Attacker) -> None:
    assert attacker.status(victim.stage, Api.RELAY, victim.token(Api.STUB)) == 401
    assert attacker.status(victim.stage, Api.STUB, victim.token(Api.RELAY)) == 403
    victim.is_unharmed()


def test_the_key_of_one_functions_stub_image_opens_nothing_for_another(
    victim: Victim, attacker: Attacker
) -> None:
    own = victim.stage.arns["payments"]
    key = function_key(victim.stage.secret, own)
    forged = {HEADER: token(Api.STUB, victim.function, b"", key=key)}
    assert attacker.status(victim.stage, Api.STUB, forged) == 403
    forged = {HEADER: token(Api.RELAY, attacker.arn, b"", key=key)}
    assert attacker.status(victim.stage, Api.RELAY, forged) == 401
    right = {HEADER: token(Api.STUB, own, b"", key=key)}
    with client(victim.stage.stub_url, right) as stub, victim.asked() as asked:
        assert refusal(stub, invocation("forged", victim.function)) == "not-your-function"
        assert refusal(stub, Resume(asked.request_id, victim.function)) == "not-your-function"
        assert refusal(stub, Done(asked.request_id, victim.function)) == "not-your-function"
        for message in (
            Hello("eve", (victim.function,), "eve", "pc", takeover=True),
            result(asked.request_id, victim.function, asked.peer),
            result(asked.request_id, own, asked.peer),
        ):
            assert refusal(stub, message) == "not-a-stub-message"
        victim.answer(asked)
    victim.is_unharmed()


def test_a_stolen_connection_id_is_of_no_use(victim: Victim, attacker: Attacker) -> None:
    """Nobody can write to it, and a stub that names it as its own gets no answer of another's."""
    own = victim.stage.arns["payments"]
    headers = stub_headers(own, victim.stage.secret)
    stub_api = victim.stage.stub_url.split("/")[-2]
    with client(victim.stage.stub_url, headers) as stub, victim.asked() as asked:
        with pytest.raises(ClientError, match=r"Forbidden|AccessDenied|not authorized"):
            attacker.aws.connections(stub_api, Api.STUB).post_to_connection(
                ConnectionId=asked.peer, Data=b"forged"
            )
        say(stub, Resume(asked.request_id, own, asked.peer))
        question = receive(victim.relay)
        assert isinstance(question, Resume)
        assert question.peer != asked.peer, "the broker names the true sender"
        say(victim.relay, Unknown(question.request_id, own, question.peer))
        assert receive(stub) == Unknown(question.request_id, own, question.peer)
        victim.answer(asked)
    victim.is_unharmed()


def test_an_event_that_api_gateway_did_not_send_opens_no_connection(
    victim: Victim, sandbox: SandboxInfo
) -> None:
    """A role that may invoke every function sends the broker the events of an accepted stub."""
    role = victim.aws.role({"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"})
    eve = Aws(sandbox, victim.aws.role_keys(role, "eve"))

    def send(event: object) -> object:
        answer = eve.lambda_.invoke(
            FunctionName=f"{victim.stage.name}-broker", Payload=json.dumps(event).encode()
        )
        assert not answer.get("FunctionError")
        return json.loads(answer["Payload"].read())

    for headers in ({}, {HEADER: token(Api.STUB, victim.function, bytes(32))}):
        context = {
            "connectionId": "eve",
            "stage": "stub",
            "authorizer": {"subject": victim.function, "nonce": "0" * 32},
        }
        connect = {"requestContext": {**context, "eventType": "CONNECT"}, "headers": headers}
        assert send(connect) == {"statusCode": 401}
        said = encode(invocation("forged", victim.function))
        send({"requestContext": {**context, "eventType": "MESSAGE"}, "body": said})
    victim.is_unharmed()


def test_a_colleague_without_the_lease_cannot_answer_for_its_holder(
    victim: Victim, sandbox: SandboxInfo
) -> None:
    """A colleague who may read the secret may connect as a relay, and still needs the lease."""
    stage, aws = victim.stage, victim.aws
    headers = relay_headers(stage.url, sandbox.region, victim.ana, aws.caller_arn, stage.secret)
    with client(stage.url, headers) as second, victim.asked() as asked:
        for message in (
            Ack(asked.request_id, asked.function, asked.peer),
            result(asked.request_id, asked.function, asked.peer),
        ):
            assert refusal(second, message) == "no-lease"
        victim.answer(asked)
    victim.is_unharmed()
