"""Owners of a stage, their rights, and the messages on it: a deployed debug stack with real roles.

The tests run in order: live for ana, taken over by ben, then held by a relay that is written here.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection

from terralive_sandbox.info import SandboxInfo
from terralive_stub.broker.aws import DynamoDBTable
from terralive_stub.broker.leases import Lease, LeaseState
from terralive_stub.protocol.chunks import Assembler, split
from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome, name_of
from terralive_stub.protocol.limits import SYNCHRONOUS_PAYLOAD_BYTES
from terralive_stub.protocol.messages import (
    Ack,
    Chunk,
    Done,
    Goodbye,
    Heartbeat,
    Hello,
    Kind,
    Message,
    Missing,
    Problem,
    Resume,
    Unknown,
    Welcome,
)
from terralive_stub.protocol.payloads import pack_invocation, pack_outcome, unpack_outcome
from terralive_stub.protocol.token import HEADER, Api
from terralive_stub.protocol.wire import decode, encode
from terralive_stub.shared.sigv4 import Credentials
from terralive_terraform.artifacts import STUB_HANDLER
from terralive_testing.deployers.faults import Faults
from terralive_testing.deployers.sandbox import Aws, running_sandbox
from terralive_testing.drivers.command import Command
from terralive_testing.drivers.plain_app import add, plain_project, start
from terralive_testing.drivers.project import Live, Project
from terralive_testing.drivers.signed_requests import signature, token
from terralive_testing.drivers.websocket_clients import PATIENCE, client, upgrade_status
from terralive_testing.machine.processes import descendants, running
from terralive_testing.machine.waiting import eventually

pytestmark = pytest.mark.timeout(300)

OTHER = """
resource "aws_iam_role" "other" {
  name               = "plain-other"
  assume_role_policy = aws_iam_role.greet.assume_role_policy
}

resource "aws_lambda_function" "other" {
  function_name = "plain-other"
  role          = aws_iam_role.other.arn
  runtime       = "python3.12"
  handler       = "app.handler"
  timeout       = 60
  filename      = "${path.module}/greet.zip"
}
"""

CONFIGURATION = """
[functions."aws_lambda_function.other"]
path = "functions/other"
"""

# Function code that looks for its way out: it hands its role's credentials to whoever calls.
GREET = """
import os

def handler(event, context):
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return [os.environ[name] for name in names]
"""

OTHER_HANDLER = """
import os, time

def handler(event, context):
    if isinstance(event, dict) and "wait" in event:
        print("waits for", event["wait"])
        while not os.path.exists(event["wait"]):
            time.sleep(0.02)
        return "the handler's own answer"
    if isinstance(event, dict) and "size" in event:
        return "x" * event["size"]
    return event
"""


_ARN = "arn:aws:lambda:us-east-1:123456789012:function"
GREET_ARN = f"{_ARN}:plain-greet"
OTHER_ARN = f"{_ARN}:plain-other"


@dataclass
class Stage:
    """The live stage, its two APIs and its secret, and a function's credentials."""

    live: Live
    info: SandboxInfo
    apis: dict[str, str]
    table: str
    secret: bytes
    mine: Credentials
    mine_arn: str
    greet: Credentials

    def url(self, api: Api) -> str:
        return self.info.websocket_url.format(api=self.apis[api], stage=api)

    def signed(
        self, who: Credentials, *, api: Api = Api.RELAY, late_s: float = 0
    ) -> dict[str, str]:
        return signature(self.url(api), self.info.region, who, late_s=late_s)

    def token(self, api: Api, *, late_s: float = 0) -> dict[str, str]:
        subject = self.mine_arn if api is Api.RELAY else GREET_ARN
        return {HEADER: token(api, subject, self.secret, late_s=late_s)}

    def headers(self, api: Api) -> dict[str, str]:
        """The headers that open an API."""
        if api is Api.STUB:
            return self.token(api)
        return {**self.signed(self.mine), **self.token(api)}

    def status(self, api: Api, headers: dict[str, str]) -> int:
        return upgrade_status(self.url(api), headers)

    def open(self, api: Api) -> AbstractContextManager[ClientConnection]:
        return client(self.url(api), self.headers(api))

    def lease(self) -> Lease:
        lease = DynamoDBTable(self.live.project.client("dynamodb"), self.table).get_lease()
        assert lease is not None
        return lease

    def stub_connections(self, function: str) -> list[str]:
        """The connections of a function's stubs, as the developer can read them in the table."""
        items = self.live.project.client("dynamodb").scan(
            TableName=self.table, ConsistentRead=True
        )["Items"]
        mine = [item for item in items if item.get("arn", {}).get("S") == function]
        return [item["pk"]["S"].rpartition("#")[2] for item in mine]


def say(connection: ClientConnection, message: Message) -> None:
    connection.send(encode(message))


def receive(connection: ClientConnection) -> Message:
    return decode(str(connection.recv(timeout=PATIENCE)))


def refusal(connection: ClientConnection, message: Message) -> str:
    """Say something that is refused; why."""
    say(connection, message)
    problem = receive(connection)
    assert isinstance(problem, Problem), problem
    return problem.reference


def invoke(project: Project, function: str, payload: bytes) -> tuple[str | None, bytes]:
    """Return the error, if there is one, and the answer."""
    answer, _ = invoke_with_id(project, function, payload)
    return answer


def invoke_with_id(
    project: Project, function: str, payload: bytes
) -> tuple[tuple[str | None, bytes], str]:
    """Return what `invoke` returns, and the request id."""
    answer = project.client("lambda").invoke(FunctionName=function, Payload=payload)
    request_id = answer["ResponseMetadata"]["RequestId"]
    return (answer.get("FunctionError"), answer["Payload"].read()), request_id


@contextmanager
def under_way(live: Live, go: Path) -> Iterator[tuple[Future[tuple[str | None, bytes]], str]]:
    """An invocation of `plain-other` whose handler runs until `go` exists.

    Its answer, its request id.
    """
    payload = json.dumps({"wait": str(go)}).encode()
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(invoke, live.project, "plain-other", payload)
        try:
            said = live.command.wait_for(
                lambda event: event["type"] == "log" and event["line"] == f"waits for {go}",
                "the handler's line",
            )
            yield answer, said["request_id"]
        finally:
            go.touch()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = plain_project(tmp_path_factory.mktemp("stage"))
    add(project, OTHER)
    with (project.root / "terralive.toml").open("a", encoding="utf-8") as file:
        file.write(CONFIGURATION)
    shutil.copytree(project.root / "functions" / "greet", project.root / "functions" / "other")
    project.write_handler("greet", GREET)
    project.write_handler("other", OTHER_HANDLER)
    with running_sandbox(project.root / ".terralive") as info:
        project.sandbox = {
            "endpoint": info.endpoint,
            "region": info.region,
            "access_key_id": info.access_key_id,
            "secret_access_key": info.secret_access_key,
        }
        yield project


@pytest.fixture(scope="module")
def live(project: Project) -> Iterator[Live]:
    with start(project) as command:
        yield Live(project, command, command.wait_for_type("ready", timeout_s=240))


@pytest.fixture(scope="module")
def stage(live: Live) -> Stage:
    project = live.project
    info = SandboxInfo.from_json((project.root / ".terralive" / "sandbox.json").read_text("utf-8"))
    apis = {
        api["Name"].rpartition("-")[2]: api["ApiId"]
        for api in project.client("apigatewayv2").get_apis()["Items"]
    }
    (table,) = project.client("dynamodb").list_tables()["TableNames"]
    secret = DynamoDBTable(project.client("dynamodb"), table).get_secret()
    assert secret is not None
    error, stolen = invoke(project, "plain-greet", b"{}")
    assert error is None
    greet = Credentials(*json.loads(stolen))
    mine = Credentials(info.access_key_id, info.secret_access_key)
    return Stage(live, info, apis, table, secret, mine, Aws(info).caller_arn, greet)


# Who gets in


def test_a_stub_and_a_developer_get_in_each_by_the_api_that_is_theirs(stage: Stage) -> None:
    assert stage.status(Api.STUB, stage.headers(Api.STUB)) == 101
    assert stage.status(Api.RELAY, stage.headers(Api.RELAY)) == 101


def test_a_developer_gets_in_only_with_a_right_signature_which_is_403_and_a_token_which_is_401(
    stage: Stage,
) -> None:
    mine, good = stage.mine, stage.token(Api.RELAY)
    assert stage.status(Api.RELAY, good) == 403
    for wrong in (
        Credentials(mine.access_key_id, "wrong" * 8),
        Credentials("AKIA" + "X" * 16, mine.secret_access_key),
    ):
        assert stage.status(Api.RELAY, {**stage.signed(wrong), **good}) == 403
    assert stage.status(Api.RELAY, {**stage.signed(mine, api=Api.STUB), **good}) == 403
    assert stage.status(Api.RELAY, stage.signed(mine)) == 401
    other = {HEADER: token(Api.RELAY, stage.mine_arn, bytes(32))}
    assert stage.status(Api.RELAY, {**stage.signed(mine), **other}) == 401


def test_a_stub_gets_in_only_with_a_token(stage: Stage) -> None:
    assert stage.status(Api.STUB, {}) == 401
    assert stage.status(Api.STUB, stage.signed(stage.mine, api=Api.STUB)) == 401
    assert stage.status(Api.STUB, {HEADER: "nonsense"}) == 403
    assert stage.status(Api.STUB, stage.token(Api.RELAY)) == 403


@pytest.mark.parametrize("late_s", [360, -360])
def test_nobody_gets_in_when_the_clock_is_more_than_five_minutes_off(
    stage: Stage, late_s: float
) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html."""
    late = stage.token(Api.RELAY, late_s=late_s)
    assert stage.status(Api.STUB, stage.token(Api.STUB, late_s=late_s)) == 403
    assert stage.status(Api.RELAY, {**stage.signed(stage.mine), **late}) == 401
    late_signature = stage.signed(stage.mine, late_s=late_s)
    assert stage.status(Api.RELAY, {**late_signature, **stage.token(Api.RELAY)}) == 403


def test_a_functions_role_opens_neither_api(stage: Stage) -> None:
    good = stage.token(Api.RELAY)
    assert stage.status(Api.RELAY, {**stage.signed(stage.greet), **good}) == 403
    assert stage.status(Api.STUB, stage.signed(stage.greet, api=Api.STUB)) == 401


def test_the_secret_is_in_the_stubs_zip_and_in_no_state_plan_log_or_event(stage: Stage) -> None:
    forms = [
        stage.secret,
        stage.secret.hex().encode(),
        base64.b64encode(stage.secret).rstrip(b"="),
        base64.urlsafe_b64encode(stage.secret).rstrip(b"="),
        repr(stage.secret).encode(),
    ]
    root = stage.live.project.root
    found: dict[str, int] = {}
    for path in root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
            if path.is_file() and any(form in path.read_bytes() for form in forms):
                found[path.name] = path.stat().st_mode & 0o777
    assert found == {"stub.zip": 0o600}
    assert not any(form in stage.live.command.story().encode() for form in forms)
    groups = stage.live.project.client("logs").describe_log_groups()["logGroups"]
    logs = stage.live.project.client("logs")
    for group in groups:
        events = logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
        assert not any(form.decode("latin-1") in json.dumps(events) for form in forms)


def test_functions_get_the_stub_from_a_bucket_that_is_private(stage: Stage) -> None:
    s3 = stage.live.project.client("s3")
    (bucket,) = [item["Name"] for item in s3.list_buckets()["Buckets"]]
    (stub,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert set(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]) == {
        "BlockPublicAcls",
        "BlockPublicPolicy",
        "IgnorePublicAcls",
        "RestrictPublicBuckets",
    }
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    (rule,) = encryption["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (tls_only,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert (tls_only["Effect"], tls_only["Action"]) == ("Deny", "s3:*")
    assert tls_only["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    tags = {item["Key"]: item["Value"] for item in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]}
    assert tags["terralive:app"] == "plain"

    functions = [
        instance["attributes"]
        for state in stage.live.project.root.rglob("*.tfstate")
        for resource in json.loads(state.read_text("utf-8")).get("resources", [])
        for instance in resource["instances"]
        if resource["type"] == "aws_lambda_function"
    ]
    live = [item for item in functions if item["handler"] == STUB_HANDLER]
    assert live
    for function in live:
        assert (function["s3_bucket"], function["s3_key"]) == (bucket, stub["Key"])
        assert not function["filename"]


# Who may say what


def result(request_id: str, function: str, peer: str, body: bytes = b'"forged"') -> Chunk:
    (chunk,) = split(Kind.RESULT, request_id, function, pack_outcome(Outcome(body)), peer=peer)
    return chunk


def invocation(request_id: str, function: str) -> Chunk:
    made = Invocation(request_id, name_of(function), function, Deadline(30.0), b'"by hand"')
    (chunk,) = split(Kind.INVOKE, request_id, function, pack_invocation(made, now=0.0))
    return chunk


def test_a_stub_can_neither_register_as_a_relay_nor_answer(stage: Stage) -> None:
    lease = stage.lease()
    with stage.open(Api.STUB) as stub:
        for message in (
            Hello("evil", (GREET_ARN, OTHER_ARN), "ana", "laptop", takeover=True),
            Hello(lease.relay, (GREET_ARN,), lease.owner, lease.machine),
            Heartbeat(lease.relay),
            Goodbye(lease.relay),
            Ack("r", GREET_ARN, "c"),
            Unknown("r", GREET_ARN, "c"),
            Missing(Kind.INVOKE, "r", GREET_ARN, (0,), "c"),
            result("r", GREET_ARN, "c"),
        ):
            assert refusal(stub, message) == "not-a-stub-message", message
    after = stage.lease()
    assert (after.relay, after.connection, after.state) == (
        lease.relay,
        lease.connection,
        LeaseState.HELD,
    )


def test_a_relay_without_the_lease_can_neither_answer_nor_end_the_lease(
    stage: Stage, tmp_path: Path
) -> None:
    lease = stage.lease()
    with (
        under_way(stage.live, tmp_path / "go") as (answer, request_id),
        stage.open(Api.RELAY) as second,
    ):
        peers = stage.stub_connections(OTHER_ARN)
        assert peers
        for peer in peers:
            for message in (
                result(request_id, OTHER_ARN, peer),
                Unknown(request_id, OTHER_ARN, peer),
                Ack(request_id, OTHER_ARN, peer),
            ):
                assert refusal(second, message) == "no-lease"
        assert refusal(second, Heartbeat(lease.relay)) == "no-lease"
        say(second, Goodbye(lease.relay))
        receive(second)
        assert not answer.done()
        (tmp_path / "go").touch()
        assert answer.result(PATIENCE) == (None, b'"the handler\'s own answer"')
    after = stage.lease()
    assert (after.relay, after.connection, after.state) == (
        lease.relay,
        lease.connection,
        LeaseState.HELD,
    )


def test_one_function_can_neither_speak_for_another_nor_get_its_answer(
    stage: Stage, tmp_path: Path
) -> None:
    with (
        under_way(stage.live, tmp_path / "go") as (answer, request_id),
        stage.open(Api.STUB) as greet,
    ):
        for message in (
            invocation("by-hand", OTHER_ARN),
            Resume(request_id, OTHER_ARN),
            Done(request_id, OTHER_ARN),
            Missing(Kind.RESULT, request_id, OTHER_ARN, (0,)),
        ):
            assert refusal(greet, message) == "not-your-function", message
        say(greet, Resume(request_id, GREET_ARN))
        assert isinstance(receive(greet), Unknown), (
            "under its own name, it is nothing that the relay knows of"
        )
        say(greet, invocation(request_id, GREET_ARN))
        (tmp_path / "go").touch()
        assert answer.result(PATIENCE) == (None, b'"the handler\'s own answer"')
        say(greet, invocation("by-hand", GREET_ARN))
        # Each message is a run of the broker, so the second one may come first.
        heard = [receive(greet), receive(greet)]
        assert {type(message) for message in heard} == {Ack, Chunk}
        for said in heard:
            assert isinstance(said, Ack | Chunk)
            assert said.request_id == "by-hand", "nothing of the other's came before this"
    stage.live.eventually("invocation", request_id="by-hand")
    seen = stage.live.command.of_type("invocation")
    assert [event["function"] for event in seen if event["request_id"] == "by-hand"] == [
        "plain-greet"
    ]


# What goes through


def noise(size: int, seed: int) -> bytes:
    """A JSON text of so many bytes that no compression makes smaller by much."""
    made = random.Random(seed).randbytes(size)  # no secret
    return b'"' + base64.b64encode(made)[: size - 2] + b'"'


def test_six_megabytes_come_and_go_and_what_is_larger_is_lambdas_own_error(live: Live) -> None:
    largest = noise(SYNCHRONOUS_PAYLOAD_BYTES, 1)
    assert invoke(live.project, "plain-other", largest) == (None, largest)
    error, body = invoke(
        live.project, "plain-other", json.dumps({"size": SYNCHRONOUS_PAYLOAD_BYTES}).encode()
    )
    assert (error, json.loads(body)["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")


@pytest.mark.parametrize("api", Api)
@pytest.mark.parametrize("direction", ["in", "out"])
def test_chunks_that_are_lost_doubled_or_out_of_order_make_no_difference(
    stage: Stage, api: Api, direction: str
) -> None:
    faults = Faults(stage.info)
    payload = noise(2_000_000, 2)
    for kind, times in (("reorder", None), ("duplicate", None), ("drop", 2)):
        faults.set(
            kind, api=stage.apis[api], stage=api, direction=direction, times=times, seconds=0.2
        )
    try:
        answer, request_id = invoke_with_id(stage.live.project, "plain-other", payload)
        assert answer == (None, payload)
        assert all(rule["acts"] for rule in faults.listed()), faults.listed()
    finally:
        faults.clear()
    stage.live.eventually("result", request_id=request_id)
    ran = [
        event
        for event in stage.live.command.of_type("invocation")
        if event["request_id"] == request_id
    ]
    assert len(ran) == 1, "its handler ran once"


def test_a_lost_connection_is_told_once_and_so_is_that_it_is_back(stage: Stage) -> None:
    connections = stage.live.command.of_type
    eventually(lambda: connections("connection")[-1]["state"] == "connected")
    first, *others = connections("connection")
    assert (first["state"], first["reason"]) == ("connected", "")
    before = 1 + len(
        others
    )  # a machine that stood still for a while may have cost a connection already
    assert Faults(stage.info).drop_connections(api=stage.apis[Api.RELAY]) > 0
    eventually(lambda: len(stage.live.command.of_type("connection")) > before + 1)
    lost, *more = stage.live.command.of_type("connection")[before:]
    assert lost["state"] == "lost"
    assert lost["reason"]
    assert [(event["state"], event["reason"].partition(" after ")[0]) for event in more] == [
        ("connected", "back")
    ]
    assert invoke(stage.live.project, "plain-other", b"1") == (None, b"1")


# Whose it is


@dataclass
class Taken:
    """The stage after ben's `start --takeover`."""

    command: Command
    code: int
    left: list[int]
    answer: tuple[str | None, bytes]


@pytest.fixture(scope="module")
def taken(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taken]:
    workers = descendants(live.command.process.pid)
    assert workers
    ben = ["--stage", live.ready["stage"], "start", "--sandbox", "--yes", "--takeover"]
    with (
        under_way(live, tmp_path_factory.mktemp("taken") / "go") as (answer, _),
        Command(ben, live.project.root, {"TERRALIVE_USER": "ben"}) as command,
    ):
        workers += descendants(live.command.process.pid)
        command.wait_for_type("ready")
        code = live.command.finish(30)
        eventually(lambda: not running(workers), "no worker is left")
        yield Taken(command, code, running(workers), answer.result(60))


def test_takeover_ends_the_first_relay_which_says_by_whom_and_leaves_no_worker(
    live: Live, taken: Taken
) -> None:
    assert (taken.code, taken.left) == (5, []), live.command.story()
    who = f"ben on {socket.gethostname()}"
    (error,) = live.command.of_type("error")
    assert error["reference"] == "stage-taken-over"
    assert who in error["message"]
    told = [event for event in live.command.of_type("connection") if event["state"] == "taken-over"]
    assert [event["reason"] for event in told] == [who]
    assert [event["message"] for event in live.command.of_type("stopped")] == [
        "Stage dev-ana is still live: another `terralive start` holds it."
    ]


def test_an_invocation_under_way_at_a_takeover_ends_by_name(taken: Taken) -> None:
    error, body = taken.answer
    assert (error, json.loads(body)["errorType"]) == ("Unhandled", "Terralive.RelayLost")


def test_invocations_run_with_the_second_after_a_takeover(live: Live, taken: Taken) -> None:
    assert invoke(live.project, "plain-other", b'"for ben"') == (None, b'"for ben"')
    assert taken.command.wait_for_type("invocation")["function"] == "plain-other"


def test_the_holder_of_the_lease_cannot_answer_one_function_in_anothers_name(
    stage: Stage, taken: Taken
) -> None:
    """A relay by hand, since terralive's own never would.

    The stub is by hand, too: terralive's own asks again when nobody answers for some seconds.
    """
    taken.command.interrupt()
    taken.command.finish()
    with stage.open(Api.RELAY) as relay, stage.open(Api.STUB) as greet:
        say(relay, Hello("by-hand", (GREET_ARN, OTHER_ARN), "eve", "laptop"))
        assert isinstance(receive(relay), Welcome)
        say(greet, invocation("asked-by-hand", GREET_ARN))
        asked = receive(relay)
        assert isinstance(asked, Chunk)
        assert asked.peer in stage.stub_connections(GREET_ARN)
        assert refusal(relay, Ack(asked.request_id, OTHER_ARN, asked.peer)) == "not-the-asker"
        assert refusal(relay, result(asked.request_id, OTHER_ARN, asked.peer)) == "not-the-asker"
        say(relay, result(asked.request_id, GREET_ARN, asked.peer, b'"right"'))
        answer = receive(greet)
        assert isinstance(answer, Chunk), "nothing forged came before this"
        assert unpack_outcome(Assembler().add(answer, 0.0) or b"") == Outcome(b'"right"')
