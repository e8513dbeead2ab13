from __future__ import annotations

import base64
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Opcode
from websockets.sync.client import ClientConnection, connect

from support.sandbox import Aws, running_sandbox, unique
from terralive_sandbox.info import SandboxInfo, local_url
from terralive_stub.limits import FRAME_BYTES, MESSAGE_BYTES
from terralive_stub.sigv4 import Credentials, sign_upgrade

ECHO = "def handler(event, context):\n    return {'statusCode': 200, 'body': __import__('json').dumps(event)}\n"

# Tells what it got to the client that asked, over @connections; refuses whoever says so.
TALK = """
import boto3, json, os
def handler(event, context):
    about = event["requestContext"]
    if about["eventType"] == "CONNECT" and (event.get("queryStringParameters") or {}).get("refuse"):
        return {"statusCode": int(event["queryStringParameters"]["refuse"])}
    if about["eventType"] == "CONNECT":
        print("connect", json.dumps(event))
    if about["eventType"] == "DISCONNECT":
        boto3.client("dynamodb").put_item(TableName=os.environ["TABLE"], Item={
            "pk": {"S": about["connectionId"]}, "event": {"S": json.dumps(about)}})
    if about["eventType"] == "MESSAGE":
        if event["body"] == "fail":
            raise ValueError("failed")
        size = json.loads(event["body"]).get("size") if event["body"].startswith("{") else None
        url = os.environ["AWS_ENDPOINT_URL"] + f"/_sandbox/management/{about['apiId']}/{about['stage']}"
        data = "x" * size if size else json.dumps(event)
        client = boto3.client("apigatewaymanagementapi", endpoint_url=url)
        client.post_to_connection(ConnectionId=about["connectionId"], Data=data.encode())
    return {"statusCode": 200}
"""


@pytest.fixture(scope="module")
def aws(sandbox: SandboxInfo) -> Aws:
    return Aws(sandbox)


@pytest.fixture(scope="module")
def table(aws: Aws) -> str:
    name = unique("ended")
    aws.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.fixture(scope="module")
def talk(aws: Aws, table: str) -> str:
    return talker(aws, table)


def talker(aws: Aws, table: str) -> str:
    may = [
        {"Effect": "Allow", "Action": "execute-api:ManageConnections", "Resource": "*"},
        {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "*"},
    ]
    return aws.function(TALK, statements=may, environment={"TABLE": table})


@pytest.fixture(scope="module")
def open_api(aws: Aws, talk: str) -> str:
    return aws.websocket_api(talk, "$connect", "$disconnect", "$default", "greet", stages=["stub", "relay"])


@pytest.fixture(scope="module")
def closed_api(aws: Aws, talk: str) -> str:
    return aws.websocket_api(talk, "$connect", "$disconnect", "$default", iam=True)


def address(aws: Aws, api: str, stage: str = "live") -> str:
    return aws.info.websocket_url.format(api=api, stage=stage)


def http(aws: Aws, api: str, stage: str = "$default") -> str:
    return aws.info.http_url.format(api=api, stage=stage)


def headers_for(url: str, key: str, secret: str, token: str = "", now: float | None = None) -> dict[str, str]:
    signed = sign_upgrade(url, "us-east-1", Credentials(key, secret, token), time.time() if now is None else now)
    return {name: value for name, value in signed.items() if name != "Host"}


@contextmanager
def client(url: str, headers: dict[str, str] | None = None, *, close_timeout: float = 10) -> Iterator[ClientConnection]:
    with connect(
        url, additional_headers=headers, compression=None, proxy=None, max_size=None, close_timeout=close_timeout
    ) as connection:
        yield connection


def ask(connection: ClientConnection, text: str) -> dict[str, object]:
    connection.send(text)
    answer = json.loads(connection.recv(timeout=20))
    assert isinstance(answer, dict)
    return answer


def disconnected(aws: Aws, table: str, connection_id: str) -> dict[str, object]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        item = aws.dynamodb.get_item(TableName=table, Key={"pk": {"S": connection_id}}).get("Item")
        if item:
            event = json.loads(item["event"]["S"])
            assert isinstance(event, dict)
            return event
        time.sleep(0.02)
    pytest.fail("there was no $disconnect")


# HTTP APIs


def test_a_request_reaches_the_function_of_its_most_specific_route(aws: Aws) -> None:
    api = aws.http_api(aws.function(ECHO), "GET /", "ANY /x/{id}", "GET /x/fixed", "GET /x/{rest+}", "$default")

    def route(method: str, path: str) -> object:
        return httpx.request(method, http(aws, api) + path).json()["routeKey"]

    assert route("GET", "/") == "GET /"
    assert route("GET", "/x/fixed") == "GET /x/fixed"
    assert route("POST", "/x/fixed") == "ANY /x/{id}"
    assert route("GET", "/x/a/b") == "GET /x/{rest+}"
    assert route("PUT", "/elsewhere") == "$default"


def test_the_event_is_payload_format_2(aws: Aws) -> None:
    api = aws.http_api(aws.function(ECHO), "POST /items/{id}", stage="dev")
    answer = httpx.post(
        http(aws, api, "dev") + "/items/a%20b?x=1&x=2&y=%26",
        headers=[("X-Multi", "1"), ("x-multi", "2"), ("cookie", "a=1; b=2"), ("content-type", "application/json")],
        content=b'{"k": 1}',
    )
    event = answer.json()
    assert event["version"] == "2.0"
    assert event["rawPath"] == "/dev/items/a b"
    assert event["rawQueryString"] == "x=1&x=2&y=%26"
    assert event["queryStringParameters"] == {"x": "1,2", "y": "&"}
    assert event["headers"]["x-multi"] == "1,2"
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["pathParameters"] == {"id": "a b"}
    assert (event["body"], event["isBase64Encoded"]) == ('{"k": 1}', False)
    assert event["requestContext"]["stage"] == "dev"
    assert event["requestContext"]["http"]["method"] == "POST"
    binary = httpx.post(http(aws, api, "dev") + "/items/1", content=b"\x00\xff").json()
    assert (binary["body"], binary["isBase64Encoded"]) == (base64.b64encode(b"\x00\xff").decode(), True)


def test_the_public_address_maps_to_one_that_answers(aws: Aws) -> None:
    function = aws.function(ECHO)
    plain, staged = aws.http_api(function, "$default"), aws.http_api(function, "$default", stage="dev")
    public = "https://{}.execute-api.us-east-1.amazonaws.com{}"
    assert httpx.get(local_url(aws.info, public.format(plain, "/a?b=c"))).json()["rawPath"] == "/a"
    assert httpx.get(local_url(aws.info, public.format(plain, ""))).json()["rawPath"] == "/"
    assert httpx.get(local_url(aws.info, public.format(staged, "/dev/a"))).json()["rawPath"] == "/dev/a"
    assert local_url(aws.info, "https://example.com/") == "https://example.com/"


def test_errors_are_api_gateways(aws: Aws) -> None:
    broken = aws.function(
        "def handler(event, context):\n"
        "    if event['rawPath'] == '/odd':\n        return {'statusCode': 'what'}\n    raise ValueError('no')\n"
    )
    api = aws.http_api(broken, "GET /fails", "GET /odd")
    for path, status, message in (
        ("/fails", 500, "Internal Server Error"),
        ("/odd", 500, "Internal Server Error"),
        ("/nowhere", 404, "Not Found"),
    ):
        answer = httpx.get(http(aws, api) + path)
        assert (answer.status_code, answer.json()) == (status, {"message": message})
    unpermitted = aws.http_api(aws.function(ECHO), "GET /", permit=False)
    assert httpx.get(http(aws, unpermitted) + "/").status_code == 500


def test_an_integration_that_takes_too_long_is_unavailable(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, time_scale=0.02) as info:
        aws = Aws(info)
        slow = aws.function("import time\ndef handler(event, context):\n    time.sleep(5)\n")
        answer = httpx.get(http(aws, aws.http_api(slow, "GET /")) + "/", timeout=30)
        assert (answer.status_code, answer.json()) == (503, {"message": "Service Unavailable"})


# WebSocket APIs


def test_a_message_takes_the_route_that_its_body_selects(aws: Aws, open_api: str) -> None:
    with client(address(aws, open_api, "stub")) as connection:
        chosen = ask(connection, '{"action": "greet"}')["requestContext"]
        other = ask(connection, "not json")
    assert isinstance(chosen, dict)
    assert isinstance(other["requestContext"], dict)
    assert (chosen["routeKey"], chosen["eventType"], chosen["stage"]) == ("greet", "MESSAGE", "stub")
    assert other["requestContext"]["routeKey"] == "$default"
    assert other["body"] == "not json"
    assert other["requestContext"]["connectionId"] == chosen["connectionId"]


def test_a_connection_is_refused_when_its_integration_says_so(aws: Aws, open_api: str) -> None:
    with pytest.raises(InvalidStatus) as refused, client(address(aws, open_api, "stub") + "?refuse=401"):
        pass
    assert refused.value.response.status_code == 401
    with pytest.raises(InvalidStatus) as unknown, client(address(aws, open_api, "nowhere")):
        pass
    assert unknown.value.response.status_code == 403


def test_a_connection_needs_a_valid_signature_and_permission(aws: Aws, closed_api: str) -> None:
    url = address(aws, closed_api)
    key, secret = aws.info.access_key_id, aws.info.secret_access_key
    with client(url, headers_for(url, key, secret)) as connection:
        assert ask(connection, "x")["body"] == "x"

    def status(headers: dict[str, str] | None) -> int:
        with pytest.raises(InvalidStatus) as refused, client(url, headers):
            pass
        assert b"message" in (refused.value.response.body or b"")
        return refused.value.response.status_code

    assert status(None) == 403
    assert status(headers_for(url, key, "wrong")) == 403
    assert status(headers_for(url, key, secret, now=time.time() - 301)) == 403
    assert status(headers_for(url + "2", key, secret)) == 403
    stage = f"{aws.execution_arn(closed_api)}/live"
    for resource, connects in ((f"{stage}/$connect", True), (f"{stage}/other", False)):
        role = aws.role({"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resource})
        keys = aws.sts.assume_role(RoleArn=role, RoleSessionName="stub")["Credentials"]
        temporary = keys["AccessKeyId"], keys["SecretAccessKey"]
        if connects:
            with client(url, headers_for(url, *temporary, keys["SessionToken"])):
                pass
            assert status(headers_for(url, *temporary, "another token")) == 403
        else:
            assert status(headers_for(url, *temporary, keys["SessionToken"])) == 403


def test_limits_close_the_connection_with_api_gateways_codes(aws: Aws, open_api: str) -> None:
    def closed_by(*frames: tuple[Opcode, bytes, bool]) -> int:
        with client(address(aws, open_api, "stub")) as connection:
            for opcode, data, fin in frames:
                with connection.protocol_mutex:
                    if opcode is Opcode.TEXT:
                        connection.protocol.send_text(data, fin)
                    elif opcode is Opcode.BINARY:
                        connection.protocol.send_binary(data, fin)
                    else:
                        connection.protocol.send_continuation(data, fin)
                    connection.send_data()
            with pytest.raises(ConnectionClosed) as closed:
                connection.recv(timeout=20)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    assert closed_by((Opcode.TEXT, b"x" * (FRAME_BYTES + 1), True)) == 1009
    whole = MESSAGE_BYTES // FRAME_BYTES
    more = [(Opcode.CONT, b"x" * FRAME_BYTES, False)] * (whole - 1)
    assert closed_by((Opcode.TEXT, b"x" * FRAME_BYTES, False), *more, (Opcode.CONT, b"x", True)) == 1009
    assert closed_by((Opcode.BINARY, b"x", True)) == 1003


def test_the_largest_message_passes_both_ways_in_frames(aws: Aws, open_api: str) -> None:
    with client(address(aws, open_api, "stub")) as connection:
        head = json.dumps({"action": "greet", "size": MESSAGE_BYTES, "pad": ""})
        text = head[:-2] + "x" * (MESSAGE_BYTES - len(head)) + head[-2:]
        assert len(text) == MESSAGE_BYTES
        connection.send([text[at : at + FRAME_BYTES] for at in range(0, len(text), FRAME_BYTES)])
        pieces = list(connection.recv_streaming())
    assert sum(map(len, pieces)) == MESSAGE_BYTES
    assert max(map(len, pieces)) <= FRAME_BYTES


def test_connections_can_be_posted_to_described_and_deleted(aws: Aws, open_api: str, table: str) -> None:
    with client(address(aws, open_api, "stub")) as connection:
        about = ask(connection, "hi")["requestContext"]
        assert isinstance(about, dict)
        connection_id = about["connectionId"]
        management = aws.connections(open_api, "stub")
        management.post_to_connection(ConnectionId=connection_id, Data=b"posted")
        assert connection.recv(timeout=20) == "posted"
        assert "connectedAt" in str(management.get_connection(ConnectionId=connection_id).keys()).replace(
            "ConnectedAt", "connectedAt"
        )
        with pytest.raises(ClientError, match="PayloadTooLargeException"):
            management.post_to_connection(ConnectionId=connection_id, Data=b"x" * (MESSAGE_BYTES + 1))
        with pytest.raises(ClientError, match="GoneException"):
            aws.connections(open_api, "relay").post_to_connection(ConnectionId=connection_id, Data=b"x")
        with pytest.raises(ClientError, match="ForbiddenException"):
            aws.assume(aws.role()).connections(open_api, "stub").get_connection(ConnectionId=connection_id)
        management.delete_connection(ConnectionId=connection_id)
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=20)
    with pytest.raises(ClientError, match="GoneException"):
        management.post_to_connection(ConnectionId=connection_id, Data=b"x")
    assert disconnected(aws, table, connection_id)["disconnectStatusCode"] == 1000


def test_the_end_of_a_connection_is_told_with_its_code(aws: Aws, open_api: str, table: str) -> None:
    with client(address(aws, open_api, "relay")) as connection:
        about = ask(connection, "hi")["requestContext"]
        connection.close(4001, "enough")
    assert isinstance(about, dict)
    event = disconnected(aws, table, about["connectionId"])
    assert (event["disconnectStatusCode"], event["disconnectReason"]) == (4001, "enough")
    assert event["stage"] == "relay"


def test_connections_can_be_dropped_on_demand(aws: Aws, open_api: str, table: str) -> None:
    with client(address(aws, open_api, "stub")) as connection:
        about = ask(connection, "hi")["requestContext"]
        assert isinstance(about, dict)
        url = aws.info.endpoint + "/_sandbox/faults/drop-connections"
        body = {"connections": [about["connectionId"]]}
        assert httpx.post(url, json=body).status_code == 403
        assert httpx.post(url, json=body, headers={"x-terralive-sandbox": aws.info.id}).json() == {"dropped": 1}
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=20)
        assert closed.value.rcvd is None
    assert disconnected(aws, table, about["connectionId"])["disconnectStatusCode"] == 1006


def test_the_endpoint_alone_finds_a_connections_stage(aws: Aws, open_api: str) -> None:
    with client(address(aws, open_api, "relay")) as connection:
        about = ask(connection, "hi")["requestContext"]
        assert isinstance(about, dict)
        aws.connections_at(aws.info.endpoint).post_to_connection(ConnectionId=about["connectionId"], Data=b"x")
        assert connection.recv(timeout=20) == "x"


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
def test_bad_requests_get_an_answer_of_four_hundred(aws: Aws, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(aws.info.endpoint).port or 0), timeout=20) as raw:
        raw.sendall(sent)
        status = raw.recv(100).split(b" ")[1]
    assert 400 <= int(status) < 500


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_after_the_upgrade_leave_the_gateway_well(aws: Aws, open_api: str, data: list[bytes]) -> None:
    with client(address(aws, open_api, "stub"), close_timeout=0.05) as connection:
        for part in data:
            with contextlib.suppress(OSError):  # the gateway has closed after an earlier part
                connection.socket.sendall(part)
    assert httpx.get(aws.info.endpoint + "/_sandbox/health").json()["id"] == aws.info.id


def test_a_failing_integration_answers_the_sender(aws: Aws, open_api: str) -> None:
    with client(address(aws, open_api, "stub")) as connection:
        answer = ask(connection, "fail")
    assert answer["message"] == "Internal server error"
    assert set(answer) == {"message", "connectionId", "requestId"}


def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, time_scale=0.001) as info:
        aws = Aws(info)
        api = aws.websocket_api(aws.function(ECHO), "$default")
        with client(address(aws, api)) as connection, pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
