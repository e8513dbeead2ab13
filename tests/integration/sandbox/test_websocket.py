"""WebSocket APIs and `@connections`, as clients see them that no one here wrote.

`websockets`, Node's own, boto3.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Opcode
from websockets.sync.client import ClientConnection

from terralive_sandbox.info import SandboxInfo
from terralive_stub.protocol.limits import FRAME_BYTES, MESSAGE_BYTES
from terralive_stub.protocol.sigv4 import Credentials, sign_upgrade
from terralive_testing.deployers.faults import Faults
from terralive_testing.deployers.sandbox import Aws, running_sandbox, unique
from terralive_testing.drivers.websocket_clients import (
    PATIENCE,
    ask,
    client,
    head_of,
    raw,
    run_node,
    send_frames,
    signed,
    two_way,
    upgrade_request,
)
from terralive_testing.machine.waiting import eventually
from terralive_testing.oracles.samples import assert_same_shape, sample

# `$connect` does as the query says. A message is answered by its event, or by as many bytes as it
# asks for.
DESK = """
import boto3, json, os, time
table = boto3.client("dynamodb")
def handler(event, context):
    about = event["requestContext"]
    query = event.get("queryStringParameters") or {}
    if about["eventType"] == "CONNECT":
        if "post" in query:
            url = os.environ["AWS_ENDPOINT_URL"] + f"/_sandbox/management/{about['apiId']}/{about['stage']}"
            client = boto3.client("apigatewaymanagementapi", endpoint_url=url)
            try:
                client.post_to_connection(ConnectionId=about["connectionId"], Data=b"early")
            except client.exceptions.GoneException:
                return {"statusCode": 410}
        if "sleep" in query:
            time.sleep(float(query["sleep"]))
        if "raise" in query:
            raise ValueError("no")
        if "answer" in query:
            return json.loads(query["answer"])
    if about["eventType"] != "MESSAGE":
        table.put_item(TableName=os.environ["TABLE"], Item={
            "pk": {"S": about["connectionId"] + about["eventType"]}, "event": {"S": json.dumps(event)}})
        return {"statusCode": 200}
    if event["body"] == "malformed":
        return None
    if event["body"] == "fail":
        raise ValueError("failed")
    try:
        return {"statusCode": 200, "body": "x" * json.loads(event["body"])["size"]}
    except (ValueError, KeyError, TypeError):
        return {"statusCode": 200, "body": json.dumps(event)}
"""


class Desk:
    """An API of DESK: `$default` and `echo` answer, `quiet` does not."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.table = unique("events")
        aws.dynamodb.create_table(
            TableName=self.table,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        may = [
            {
                "Effect": "Allow",
                "Action": ["execute-api:ManageConnections", "dynamodb:PutItem"],
                "Resource": "*",
            }
        ]
        self.function = aws.function(DESK, statements=may, environment={"TABLE": self.table})
        self.api = self.another("$connect", "$disconnect", "$default", "echo", "quiet")

    def another(self, *routes: str, iam: bool = False) -> str:
        """Another API of the same function; its id."""
        api = self.aws.websocket_api(self.function, *routes, stages=["live", "other"], iam=iam)
        two_way(self.aws, api, "$default", "echo")
        return api

    def url(self, query: str = "", *, api: str = "", stage: str = "live") -> str:
        return self.aws.info.websocket_url.format(api=api or self.api, stage=stage) + (
            f"?{query}" if query else ""
        )

    def event(self, connection_id: str, kind: str) -> dict[str, object]:
        """What `$connect` or `$disconnect` got."""

        def look() -> object:
            key = {"pk": {"S": connection_id + kind}}
            item = self.aws.dynamodb.get_item(TableName=self.table, Key=key).get("Item")
            return item and json.loads(item["event"]["S"])

        event = eventually(look, f"{kind} event")
        assert isinstance(event, dict)
        return event


@pytest.fixture(scope="module")
def desk(sandbox: SandboxInfo) -> Desk:
    return Desk(Aws(sandbox))


def connection_id(connection: ClientConnection) -> str:
    about = ask(connection, "who am I?")["requestContext"]
    assert isinstance(about, dict)
    return str(about["connectionId"])


def refusal(url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """The status and message that refuse a connection."""
    with pytest.raises(InvalidStatus) as refused, client(url, headers):
        pass
    response = refused.value.response
    return response.status_code, str(json.loads(response.body or b"{}").get("message"))


@contextmanager
def closing(url: str) -> Iterator[tuple[ClientConnection, list[int]]]:
    """A connection that the other side closes in the block; the list gets its code."""
    codes: list[int] = []
    with client(url) as connection:
        yield connection, codes
        try:
            while True:
                connection.recv(timeout=PATIENCE)
        except ConnectionClosed as closed:
            codes.append(closed.rcvd.code if closed.rcvd is not None else 1006)


# routes and events


def test_an_answer_goes_back_only_where_the_route_has_a_response(desk: Desk) -> None:
    with client(desk.url()) as connection:
        connection.send('{"action": "quiet"}')
        echoed = ask(connection, '{"action": "echo"}')["requestContext"]
        default = ask(connection, '{"action": "nothing of that name"}')["requestContext"]
        assert isinstance(echoed, dict)
        assert isinstance(default, dict)
        assert (echoed["routeKey"], default["routeKey"]) == ("echo", "$default")
        for bad in ("malformed", "fail"):
            answer = ask(connection, bad)
            assert (answer["message"], answer["connectionId"]) == (
                "Internal server error",
                echoed["connectionId"],
            )
            assert set(answer) == {"message", "connectionId", "requestId"}


def test_events_are_those_that_aws_publishes(desk: Desk) -> None:
    with client(
        desk.url(), {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    ) as connection:
        message = ask(connection, '{"action": "echo"}')
        assert isinstance(message["requestContext"], dict)
        name = str(message["requestContext"]["connectionId"])
    agent = {"requestContext.identity.userAgent": "this client names itself, the sample's does not"}
    agents = {f"{kind}.User-Agent": "likewise" for kind in ("headers", "multiValueHeaders")}
    assert_same_shape(message, sample("websocket_message"), extra=agent)
    assert_same_shape(
        desk.event(name, "CONNECT"), sample("websocket_connect"), extra=agent | agents
    )
    assert_same_shape(desk.event(name, "DISCONNECT"), sample("websocket_disconnect"), extra=agent)


def test_stage_variables_are_in_every_event(desk: Desk) -> None:
    desk.aws.apis.update_stage(ApiId=desk.api, StageName="other", StageVariables={"colour": "blue"})
    with client(desk.url(stage="other")) as connection:
        message = ask(connection, '{"action": "echo"}')
    assert message["stageVariables"] == {"colour": "blue"}
    context = message["requestContext"]
    assert isinstance(context, dict)
    assert desk.event(str(context["connectionId"]), "DISCONNECT")["stageVariables"] == {
        "colour": "blue"
    }


def test_a_message_without_a_route_is_forbidden(desk: Desk) -> None:
    api = desk.another("echo")
    with client(desk.url(api=api)) as connection:
        for text in ('{"action": "$connect"}', "{", "", '{"action": "\\ud800"}', "[" * 30_000):
            answer = ask(connection, text)
            assert answer["message"] == "Forbidden"
            assert set(answer) == {"message", "connectionId", "requestId"}
        assert "body" in ask(connection, '{"action": "echo"}')


# $connect


def test_connect_passes_the_functions_refusal_on(desk: Desk) -> None:
    assert refusal(desk.url('answer={"statusCode":401}')) == (401, "Forbidden")
    assert refusal(desk.url('answer={"statusCode":499}'))[0] == 499
    assert refusal(desk.url('answer={"statusCode":302}'))[0] == 302
    for broken in (
        '{"statusCode":1e400}',
        '{"statusCode":101}',
        '{"statusCode":[]}',
        "null",
        '"x"',
    ):
        assert refusal(desk.url(f"answer={broken}")) == (502, "Internal server error")
    assert refusal(desk.url("raise=1")) == (502, "Internal server error")
    assert refusal(desk.url(stage="nowhere")) == (403, "Forbidden")
    unpermitted = desk.another("$connect")
    desk.aws.lambda_.remove_permission(
        FunctionName=desk.function,
        StatementId=json.loads(desk.aws.lambda_.get_policy(FunctionName=desk.function)["Policy"])[
            "Statement"
        ][-1]["Sid"],
    )
    assert refusal(desk.url(api=unpermitted)) == (500, "Internal server error")
    # nothing can be posted yet: the function saw 410 and passed it on
    assert refusal(desk.url("post=1"))[0] == 410


def test_connect_chooses_the_subprotocol(desk: Desk) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-connect-route-subprotocol.html."""
    chosen = 'answer={"statusCode":200,"headers":{"sec-websocket-protocol":"second"}}'
    with client(desk.url(chosen), subprotocols=["first", "second"]) as connection:
        assert connection.subprotocol == "second"
    with client(desk.url(), subprotocols=["first"]) as connection:
        assert connection.subprotocol is None
    split = (
        'answer={"statusCode":200,"headers":{"Sec-WebSocket-Protocol":"a\\r\\nX-Injected:%201"}}'
    )
    assert refusal(desk.url(split)) == (502, "Internal server error")


def test_connect_with_iam_needs_a_right_signature_and_permission(desk: Desk) -> None:
    aws, api = desk.aws, desk.another("$connect", "$default", iam=True)
    url = desk.url(api=api)
    with client(url, signed(url, aws)) as connection:
        assert ask(connection, "x")["body"] == "x"
    developer = Credentials(aws.info.access_key_id, aws.info.secret_access_key)
    expired = sign_upgrade(url, aws.info.region, developer, time.time() - 301)
    del expired["Host"]
    for headers, why in (
        (None, "Missing Authentication Token"),
        (signed(url, aws, secret="wrong"), "signature we calculated does not match"),
        (signed(url, aws, key="AKIAUNKNOWN"), "security token included in the request is invalid"),
        (signed(url, aws, service="lambda"), "scoped to correct service: 'execute-api'"),
        (expired, "Signature expired"),
    ):
        status, message = refusal(url, headers)
        assert (status, why in message) == (403, True), message
    granted = f"{aws.execution_arn(api)}/live/$connect"
    for resource in (granted, f"{aws.execution_arn(api)}/other/$connect"):
        role = aws.role({"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resource})
        keys = aws.sts.assume_role(RoleArn=role, RoleSessionName="stub")["Credentials"]
        headers = signed(
            url,
            aws,
            key=keys["AccessKeyId"],
            secret=keys["SecretAccessKey"],
            token=keys["SessionToken"],
        )
        if resource == granted:
            with client(url, headers):
                pass
        else:
            status, message = refusal(url, headers)
            assert (status, "is not authorized to perform: execute-api:Invoke" in message) == (
                403,
                True,
            )


def test_what_is_not_emulated_is_refused_by_name(desk: Desk) -> None:
    aws, api = desk.aws, desk.another("$connect", "echo")
    mock = aws.apis.create_integration(ApiId=api, IntegrationType="MOCK")["IntegrationId"]
    aws.apis.create_route(ApiId=api, RouteKey="mock", Target=f"integrations/{mock}")
    with client(desk.url(api=api)) as connection:
        assert "NotEmulatedBySandbox" in str(ask(connection, '{"action": "mock"}')["message"])
    route = next(r for r in aws.apis.get_routes(ApiId=api)["Items"] if r["RouteKey"] == "$connect")[
        "RouteId"
    ]
    aws.apis.update_route(ApiId=api, RouteId=route, Target=f"integrations/{mock}")
    assert refusal(desk.url(api=api))[0] == 501
    aws.apis.update_route(ApiId=api, RouteId=route, AuthorizationType="CUSTOM")
    assert refusal(desk.url(api=api)) == (501, "NotEmulatedBySandbox: CUSTOM authorizers")


def test_a_client_that_leaves_during_connect_is_disconnected(desk: Desk) -> None:
    with raw(desk.aws.info) as connection:
        connection.sendall(upgrade_request(desk.url("sleep=1")))
    scan = desk.aws.dynamodb.get_paginator("scan")

    def vanished() -> object:
        items = [item for page in scan.paginate(TableName=desk.table) for item in page["Items"]]
        events = [
            json.loads(item["event"]["S"])
            for item in items
            if item["pk"]["S"].endswith("DISCONNECT")
        ]
        return next(
            (e for e in events if e["requestContext"]["disconnectStatusCode"] == 1006), None
        )

    event = eventually(vanished, "$disconnect of the client that left")
    assert isinstance(event, dict)
    with pytest.raises(ClientError, match="GoneException"):
        desk.aws.connections(desk.api, "live").get_connection(
            ConnectionId=event["requestContext"]["connectionId"]
        )


def test_disconnect_tells_how_a_connection_ended(desk: Desk) -> None:
    ended = {}
    with client(desk.url(stage="other")) as connection:
        ended[connection_id(connection)] = (4001, "enough")
        connection.close(4001, "enough")
    with client(desk.url(stage="other")) as connection:
        name = connection_id(connection)
        ended[name] = (1006, "Connection closed abnormally")
        assert Faults(desk.aws.info).drop_connections(name) == 1
    with closing(desk.url(stage="other")) as (connection, _):
        name = connection_id(connection)
        ended[name] = (1001, "Going away")
        assert Faults(desk.aws.info).expire_connections(name) == 1
    with closing(desk.url(stage="other")) as (connection, _):
        ended[connection_id(connection)] = (1009, "Frame is too big")
        connection.send("x" * (FRAME_BYTES + 1))
    for name, (code, reason) in ended.items():
        about = desk.event(name, "DISCONNECT")["requestContext"]
        assert isinstance(about, dict)
        assert (about["disconnectStatusCode"], about["disconnectReason"]) == (code, reason)
        assert (about["stage"], "userArn" in about["identity"]) == ("other", False)


# @connections


def test_connections_are_answered_as_boto3_expects(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = desk.aws
    with closing(desk.url()) as (connection, codes):
        name = connection_id(connection)
        management = aws.connections(desk.api, "live")
        about = management.get_connection(ConnectionId=name)
        assert isinstance(about["ConnectedAt"], dt.datetime)
        assert about["ConnectedAt"] <= about["LastActiveAt"]
        assert set(about["Identity"]) == {"SourceIp", "UserAgent"}
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.info.endpoint)
        alone = boto3.Session(
            aws.info.access_key_id, aws.info.secret_access_key, region_name=aws.info.region
        )
        alone.client("apigatewaymanagementapi").post_to_connection(
            ConnectionId=name, Data="ä".encode()
        )
        assert connection.recv(timeout=PATIENCE) == "ä"
        management.post_to_connection(ConnectionId=name, Data=b"x" * MESSAGE_BYTES)
        assert len(connection.recv(timeout=PATIENCE)) == MESSAGE_BYTES
        with pytest.raises(ClientError) as large:
            management.post_to_connection(ConnectionId=name, Data=b"x" * (MESSAGE_BYTES + 1))
        answer = management.delete_connection(ConnectionId=name)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(ClientError) as gone:
        management.get_connection(ConnectionId=name)
    assert codes == [1000]
    errors = [error.value.response for error in (large, gone)]
    assert [(e["ResponseMetadata"]["HTTPStatusCode"], e["Error"]["Code"]) for e in errors] == [
        (413, "PayloadTooLargeException"),
        (410, "GoneException"),
    ]


def test_connections_need_permission_for_the_very_method(desk: Desk) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html."""
    aws = desk.aws
    with client(desk.url()) as connection:
        name = connection_id(connection)
        resource = f"{aws.execution_arn(desk.api)}/live/POST/@connections/*"
        role = aws.role(
            {"Effect": "Allow", "Action": "execute-api:ManageConnections", "Resource": resource}
        )
        allowed = aws.assume(role)
        allowed.connections(desk.api, "live").post_to_connection(ConnectionId=name, Data=b"may")
        assert connection.recv(timeout=PATIENCE) == "may"
        with pytest.raises(ClientError, match="ForbiddenException"):
            allowed.connections(desk.api, "live").delete_connection(ConnectionId=name)
        with pytest.raises(ClientError, match="GoneException"):
            aws.connections(desk.api, "other").post_to_connection(ConnectionId=name, Data=b"x")
        with pytest.raises(ClientError, match="ForbiddenException"):
            allowed.connections_at(aws.info.endpoint).get_connection(ConnectionId=name)
        assert connection_id(connection) == name


def test_posting_to_a_client_that_does_not_read_is_limited(desk: Desk) -> None:
    with raw(desk.aws.info) as deaf:
        deaf.sendall(upgrade_request(desk.url()))
        assert head_of(deaf).startswith(b"HTTP/1.1 101")
        scan = desk.aws.dynamodb.scan(TableName=desk.table)["Items"]
        connects = [
            json.loads(i["event"]["S"])["requestContext"]
            for i in scan
            if i["pk"]["S"].endswith("CONNECT")
        ]
        name = max(
            (c for c in connects if c["eventType"] == "CONNECT"), key=lambda c: c["connectedAt"]
        )["connectionId"]
        management = desk.aws.connections(desk.api, "live")

        def post(times: int) -> None:
            for _ in range(times):
                management.post_to_connection(ConnectionId=name, Data=b"x" * MESSAGE_BYTES)

        with pytest.raises(ClientError, match="LimitExceededException") as limited:
            post(1000)
        assert limited.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


# limits


def test_the_largest_frame_and_message_pass_and_larger_ones_close(desk: Desk) -> None:
    def closed_by(*frames: tuple[Opcode, bytes, bool]) -> int:
        with closing(desk.url()) as (connection, codes):
            send_frames(connection, *frames)
        return codes[0]

    with client(desk.url()) as connection:
        text = '{"action": "echo", "size": 131072, "pad": "'
        whole = (text + "x" * (MESSAGE_BYTES - len(text) - 2) + '"}').encode()
        pieces = [whole[at : at + FRAME_BYTES] for at in range(0, MESSAGE_BYTES, FRAME_BYTES)]
        first, *middle, last = pieces
        send_frames(
            connection,
            (Opcode.TEXT, first, False),
            *((Opcode.CONT, piece, False) for piece in middle),
        )
        send_frames(connection, (Opcode.CONT, last, True))
        back = list(connection.recv_streaming())
    assert (sum(map(len, back)), max(map(len, back))) == (MESSAGE_BYTES, FRAME_BYTES)
    assert closed_by((Opcode.TEXT, b"x" * (FRAME_BYTES + 1), True)) == 1009
    more = ((Opcode.CONT, b"x" * FRAME_BYTES, False),) * 3
    assert (
        closed_by((Opcode.TEXT, b"x" * FRAME_BYTES, False), *more, (Opcode.CONT, b"x", True))
        == 1009
    )
    assert closed_by((Opcode.TEXT, b"x" * (MESSAGE_BYTES + 1), True)) == 1009
    assert closed_by((Opcode.BINARY, b"x", True)) == 1003
    assert closed_by((Opcode.TEXT, b"\xff", True)) == 1007
    with raw(desk.aws.info) as bare:
        bare.sendall(upgrade_request(desk.url()))
        head_of(bare)
        bare.sendall(b"\x81\x01x")  # a client has to mask its frames
        assert bare.recv(4)[2:] == (1002).to_bytes(2, "big")


def test_times_end_connections_and_waits(tmp_path: Path) -> None:
    """One sandbox whose ten minutes are 0.3 s, two hours 3.6 s, and 29 s too short for any function."""
    with running_sandbox(tmp_path, time_scale=0.0005) as info:
        aws = Aws(info)
        slow = aws.function(
            "import time\ndef handler(event, context):\n    time.sleep(2)\n    return {}\n"
        )
        address = info.websocket_url.format(api=aws.websocket_api(slow, "slow"), stage="live")
        refusing = info.websocket_url.format(api=aws.websocket_api(slow, "$connect"), stage="live")
        with closing(address) as (busy, lived), closing(address) as (idle, idled):
            ends: list[str] = []

            def keep() -> None:
                """Never idle: each message is answered, and the slow one too late."""
                with contextlib.suppress(ConnectionClosed):
                    ends.append(str(ask(busy, '{"action": "slow"}')["message"]))
                    while True:
                        ask(busy, "no route")
                        time.sleep(0.02)
                ends.append("busy")

            thread = threading.Thread(target=keep)
            thread.start()
            with contextlib.suppress(ConnectionClosed):
                idle.recv(timeout=PATIENCE)
            ends.append("idle")
            thread.join()
        assert ends == ["Endpoint request timed out", "idle", "busy"]
        assert (lived, idled) == ([1001], [1001])
        assert refusal(refusing) == (504, "Gateway Timeout")


# bad input


def test_the_wrong_kind_of_request_is_refused(desk: Desk) -> None:
    plain = desk.url().replace("ws://", "http://", 1)
    assert (httpx.get(plain).status_code, httpx.get(plain).json()) == (
        403,
        {"message": "Forbidden"},
    )
    http_api = desk.aws.http_api(desk.function, "$default")
    address = desk.aws.info.http_url.format(api=http_api, stage="$default").replace(
        "http://", "ws://", 1
    )
    assert refusal(address) == (403, "Forbidden")
    for line, status in (
        ("Sec-WebSocket-Key: short", b"400"),
        ("Sec-WebSocket-Version: 12", b"400"),
        ("X-Large: " + "x" * 9000, b"431"),
        ("X-Odd: \u00ff", b"101"),
    ):
        with raw(desk.aws.info) as connection:
            request = (
                upgrade_request(desk.url()).replace(b"\r\n\r\n", b"\r\n").decode().split("\r\n")
            )
            kept = [
                old for old in request if old.partition(":")[0] != line.partition(":")[0] and old
            ]
            connection.sendall("\r\n".join([*kept, line, "", ""]).encode("latin-1"))
            assert head_of(connection).split(b" ")[1] == status


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /_sandbox/websocket/a/b HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /_sandbox/http/%ff/%00 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 x\r\nContent-Length: 0\r\n\r\n",
        b"POST /@connections/ HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        b"GET /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=x HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_bad_requests_get_an_answer_of_four_hundred(desk: Desk, sent: bytes) -> None:
    with raw(desk.aws.info) as connection:
        connection.sendall(sent)
        status = head_of(connection).split(b" ")[1]
    assert 400 <= int(status) < 500


def test_a_half_closed_connection_ends(desk: Desk) -> None:
    with raw(desk.aws.info) as connection:
        connection.sendall(upgrade_request(desk.url()))
        assert head_of(connection).startswith(b"HTTP/1.1 101")
        connection.shutdown(1)
        while connection.recv(4096):
            pass


# Node


NODE = """
const [url, refused] = process.argv.slice(1);
const say = value => console.log(JSON.stringify(value));
const open = (address, protocols) => new Promise(done => {
  const socket = new WebSocket(address, protocols);
  socket.onopen = () => done(socket);
  socket.onerror = () => done(null);
});
const next = socket => new Promise(done => { socket.onmessage = message => done(message.data); });
const end = socket => new Promise(done => { socket.onclose = event => done([event.code, event.reason]); });
const socket = await open(url);
socket.send('{"action": "echo", "text": "ä"}');
say(JSON.parse(JSON.parse(await next(socket)).body).text);
socket.send(JSON.stringify({action: "echo", size: 131072, pad: "x".repeat(30000)}));
say((await next(socket)).length);
socket.send("x".repeat(32769));
say((await end(socket))[0]);
const binary = await open(url);
binary.send(new Uint8Array([1]));
say((await end(binary))[0]);
const closes = await open(url + `?answer={"statusCode":200,"headers":{"Sec-WebSocket-Protocol":"second"}}`,
  ["first", "second"]);
say(closes.protocol);
const ended = end(closes);
closes.close(4001, "enough");
say(await ended);
say(await open(refused));
"""


def test_nodes_own_client_connects_talks_and_sees_close_codes(desk: Desk) -> None:
    said = run_node(NODE, desk.url(), desk.url('answer={"statusCode":403}'))
    # Node sends a message in one frame, so 32 KB are its limit, as on AWS; what it gets may be
    # larger
    assert said == ["ä", MESSAGE_BYTES, 1009, 1003, "second", [4001, "enough"], None]
