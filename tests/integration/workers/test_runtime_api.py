from __future__ import annotations

import base64
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation
from terralive_stub.protocol.limits import RESPONSE_BYTES
from terralive_testing.drivers.workers import ARN
from terralive_testing.machine.users import CAN_BE_NOBODY, fetch_as_nobody
from terralive_testing.machine.waiting import eventually
from terralive_workers.runtime_api.server import RuntimeApi
from terralive_workers.runtime_api.worker_client import PostResult, StreamedResponse, collected

SOON = Deadline.after(60, now=time.monotonic())
NEXT = "/2018-06-01/runtime/invocation/next"
RESPONSE = "/2018-06-01/runtime/invocation/r-1/response"
ERROR = "/2018-06-01/runtime/invocation/r-1/error"
INIT_ERROR = "/2018-06-01/runtime/init/error"


class Client:
    """The client of one worker: it hands out the test's invocations, and records the answers."""

    def __init__(self) -> None:
        self.invocations: SimpleQueue[Invocation | None] = SimpleQueue()
        self.calls: list[tuple[str, str, bytes]] = []
        self.result = PostResult.ACCEPTED

    def next_invocation(self) -> Invocation | None:
        return self.invocations.get()

    def respond(self, request_id: str, body: bytes) -> PostResult:
        return self.fail(request_id, "", body)

    def begin_stream(
        self,
        request_id: str,
        content_type: str,  # noqa: ARG002
    ) -> StreamedResponse | PostResult:
        return collected(self, request_id)

    def fail(self, request_id: str, error_type: str, body: bytes, causes: str = "") -> PostResult:
        del causes
        self.calls.append((request_id, error_type, body))
        return self.result

    def fail_init(self, error_type: str, body: bytes, cause: str = "") -> PostResult:  # noqa: ARG002
        return self.fail("init", error_type, body)


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    api = RuntimeApi()
    yield api
    api.close()


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture(params=["common port", "own port"])
def worker(api: RuntimeApi, client: Client, request: pytest.FixtureRequest) -> Iterator[Worker]:
    worker_id, address = api.register(client, own_port=request.param == "own port")
    worker = Worker(address)
    yield worker
    worker.close()
    api.unregister(worker_id)


class Worker:
    """A worker that uses the standard library's HTTP client."""

    def __init__(self, address: str) -> None:
        host, slash, prefix = address.partition("/")
        self._prefix = slash + prefix
        self.http = http.client.HTTPConnection(host, timeout=20)
        self.close = self.http.close

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        self.http.request(method, self._prefix + path, body, headers or {})
        answer = self.http.getresponse()
        return answer.status, answer.headers, answer.read()


def test_the_next_invocation_comes_with_its_headers_and_untouched_bytes(
    client: Client, worker: Worker
) -> None:
    event = b'{ "a":1,\xff}'
    deadline = Deadline.after(3600, now=time.monotonic())
    client.invocations.put(
        Invocation("r-1", "f", ARN, deadline, event, {}, "Root=1", '{"a": "ä"}', "{}")
    )
    monotonic, wall = time.monotonic(), time.time()
    status, headers, body = worker.call("GET", NEXT)
    monotonic_after, wall_after = time.monotonic(), time.time()
    assert (status, body) == (200, event)
    assert headers["Lambda-Runtime-Aws-Request-Id"] == "r-1"
    # Both clocks are read during the call, and the header is rounded to a millisecond.
    earliest = (wall + deadline.remaining(monotonic_after)) * 1000 - 1
    latest = (wall_after + deadline.remaining(monotonic)) * 1000 + 1
    assert earliest <= int(headers["Lambda-Runtime-Deadline-Ms"]) <= latest
    assert headers["Lambda-Runtime-Invoked-Function-Arn"] == ARN
    assert headers["Lambda-Runtime-Trace-Id"] == "Root=1"
    assert headers["Lambda-Runtime-Client-Context"].encode("latin-1").decode() == '{"a": "ä"}'
    assert headers["Lambda-Runtime-Cognito-Identity"] == "{}"
    assert headers["Content-Type"] == "application/json"


def test_headers_without_a_value_are_left_out(client: Client, worker: Worker) -> None:
    client.invocations.put(Invocation("r-1", "f", ARN, SOON, b"{}"))
    _, headers, _ = worker.call("GET", NEXT)
    assert "Lambda-Runtime-Trace-Id" not in headers
    assert "Lambda-Runtime-Client-Context" not in headers


def test_a_value_from_the_wire_cannot_become_a_header(client: Client, worker: Worker) -> None:
    client.invocations.put(
        Invocation("r-1", "f", ARN, SOON, b"{}", {}, "Root=1\r\nContent-Length: 0\r\nEvil: yes")
    )
    _, headers, body = worker.call("GET", NEXT)
    assert "Evil" not in headers
    assert body == b"{}"


def test_asking_for_the_next_invocation_blocks_until_there_is_one(
    client: Client, worker: Worker
) -> None:
    answers: SimpleQueue[int] = SimpleQueue()
    thread = threading.Thread(target=lambda: answers.put(worker.call("GET", NEXT)[0]))
    thread.start()
    assert answers.empty()
    client.invocations.put(Invocation("r-1", "f", ARN, SOON, b"{}"))
    assert answers.get(timeout=20) == 200
    thread.join()


def test_a_response_is_accepted_over_the_same_connection_many_times(
    client: Client, worker: Worker
) -> None:
    for number in range(50):
        body = b"x" * number * 1000
        assert worker.call("POST", RESPONSE, body)[0] == 202
    port = worker.http.sock.getsockname()
    assert worker.call("POST", RESPONSE, b"last")[0] == 202
    assert worker.http.sock.getsockname() == port
    assert client.calls[-1] == ("r-1", "", b"last")
    assert len(client.calls[49][2]) == 49_000


def test_a_chunked_response_arrives_whole(client: Client, worker: Worker) -> None:
    worker.http.request(
        "POST", worker._prefix + RESPONSE, iter([b"one ", b"", b"two"]), encode_chunked=True
    )
    answer = worker.http.getresponse()
    assert (answer.status, json.loads(answer.read())) == (202, {"status": "OK"})
    assert client.calls == [("r-1", "", b"one two")]


def test_a_streamed_response_that_breaks_off_is_an_error(client: Client, worker: Worker) -> None:
    document = b'{"errorType": "Oops", "errorMessage": "midway"}'
    encoded = base64.b64encode(document).decode()
    host = worker.http.host, worker.http.port
    with socket.create_connection(host) as raw:
        raw.sendall(
            f"POST {worker._prefix}{RESPONSE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            "Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n"
            "4\r\nhalf\r\n0\r\nLambda-Runtime-Function-Error-Type: Oops\r\n"
            f"Lambda-Runtime-Function-Error-Body: {encoded}\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 202 ")
    assert client.calls == [("r-1", "Oops", document)]


def test_a_collected_stream_has_the_limit_of_a_buffered_response(
    client: Client, worker: Worker
) -> None:
    mode = {"Lambda-Runtime-Function-Response-Mode": "streaming"}
    chunks = iter([b"x" * 1_000_000] * 7)
    worker.http.request(
        "POST", worker._prefix + RESPONSE, chunks, headers=mode, encode_chunked=True
    )
    answer = worker.http.getresponse()
    assert (answer.status, json.loads(answer.read())["errorType"]) == (
        413,
        "RequestEntityTooLarge",
    )
    assert [call[:2] for call in client.calls] == [("r-1", "Function.ResponseSizeTooLarge")]


def test_an_error_keeps_its_type_and_its_bytes(client: Client, worker: Worker) -> None:
    kind = {"Lambda-Runtime-Function-Error-Type": "Runtime.NoSuchThing"}
    assert worker.call("POST", ERROR, b'{"errorMessage": "a"}', kind)[0] == 202
    assert worker.call("POST", INIT_ERROR, b"{}", kind)[0] == 202
    assert client.calls == [
        ("r-1", "Runtime.NoSuchThing", b'{"errorMessage": "a"}'),
        ("init", "Runtime.NoSuchThing", b"{}"),
    ]


def test_an_error_without_a_type_is_unhandled(client: Client, worker: Worker) -> None:
    worker.call("POST", ERROR, b"{}")
    assert client.calls[0][1] == "Unhandled"


def test_an_xray_cause_of_a_megabyte_passes(client: Client, worker: Worker) -> None:
    cause = {"Lambda-Runtime-Function-XRay-Error-Cause": "x" * (1024 * 1024 - 1)}
    assert worker.call("POST", ERROR, b"{}", cause)[0] == 202
    assert len(client.calls) == 1


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (PostResult.UNKNOWN_REQUEST, "InvalidRequestID"),
        (PostResult.WRONG_STATE, "InvalidStateTransition"),
    ],
)
def test_an_outcome_that_is_not_accepted_gets_a_reason(
    client: Client, worker: Worker, result: PostResult, kind: str
) -> None:
    client.result = result
    status, _, body = worker.call("POST", RESPONSE, b"{}")
    assert (status, json.loads(body)["errorType"]) == (result.value, kind)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("size", "status"), [(RESPONSE_BYTES, 202), (RESPONSE_BYTES + 1, 413), (20_000_000, 413)]
)
def test_a_response_over_lambdas_limit_is_refused_and_the_connection_goes_on(
    client: Client, worker: Worker, size: int, status: int, *, chunked: bool
) -> None:
    if chunked:
        chunks = iter([b"x" * 1_000_000] * (size // 1_000_000) + [b"x" * (size % 1_000_000)])
        worker.http.request("POST", worker._prefix + RESPONSE, chunks, encode_chunked=True)
        answer = worker.http.getresponse()
        answer.read()
        assert answer.status == status
    else:
        assert worker.call("POST", RESPONSE, b"x" * size)[0] == status
    assert worker.call("POST", RESPONSE, b"next")[0] == 202
    error_type, body = client.calls[0][1:]
    assert error_type == ("" if status == 202 else "Function.ResponseSizeTooLarge")
    assert (len(body) == size) if status == 202 else json.loads(body)["errorType"] == error_type


def test_a_client_that_waits_for_continue_gets_it(client: Client, worker: Worker) -> None:
    with socket.create_connection((worker.http.host, worker.http.port)) as raw:
        raw.sendall(
            f"POST {worker._prefix}{RESPONSE} HTTP/1.1\r\n"
            "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 100 ")
        raw.sendall(b"ok")
        assert raw.recv(100).startswith(b"HTTP/1.1 202 ")
    assert client.calls == [("r-1", "", b"ok")]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", NEXT), ("GET", RESPONSE), ("GET", "/2018-06-01/runtime/nothing")],
)
def test_a_path_that_the_runtime_api_does_not_have_is_not_found(
    worker: Worker, method: str, path: str
) -> None:
    assert worker.call(method, path)[0] == 404


def test_a_request_without_a_workers_secret_is_not_found(api: RuntimeApi, client: Client) -> None:
    api.register(client)
    for address in (api.address, f"{api.address}/guess"):
        stranger = Worker(address)
        assert stranger.call("GET", NEXT)[0] == 404
        stranger.close()


@pytest.mark.skipif(not CAN_BE_NOBODY, reason="only root can be another user, and by curl")
def test_another_user_of_this_machine_gets_no_invocation_and_cannot_answer_one(
    api: RuntimeApi, client: Client
) -> None:
    _, address = api.register(client, own_port=True)
    client.invocations.put(Invocation("r-1", "f", ARN, SOON, b"the event"))
    for path, answer in ((NEXT, None), (RESPONSE, "forged"), (ERROR, "{}"), (INIT_ERROR, "{}")):
        status, body = fetch_as_nobody(f"http://{address}{path}", answer)
        assert status in {0, 403}  # the connection may be reset before the answer is read
        assert "the event" not in body
    assert client.calls == []
    worker = Worker(address)
    assert worker.call("GET", NEXT)[2] == b"the event"
    worker.close()


@pytest.mark.skipif(not CAN_BE_NOBODY, reason="only root can be another user, and by curl")
def test_another_user_of_this_machine_does_not_know_the_secret_of_the_common_port(
    api: RuntimeApi, client: Client
) -> None:
    api.register(client)
    assert fetch_as_nobody(f"http://{api.address}{NEXT}")[0] == 404
    assert client.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Referer": "http://127.0.0.1:8080/"},
        {"Host": "rebound.evil.example:8080"},
        {"Host": "127.0.0.1.evil.example"},
    ],
    ids=lambda headers: "-".join(*headers.items()),
)
def test_a_web_page_gets_no_invocation_and_cannot_answer_one(
    api: RuntimeApi, client: Client, headers: dict[str, str]
) -> None:
    """A page in the user's own browser may send requests to ports of the machine."""
    _, address = api.register(client, own_port=True)
    client.invocations.put(Invocation("r-1", "f", ARN, SOON, b"the event"))
    for method, path in (("GET", NEXT), ("POST", RESPONSE), ("POST", ERROR), ("POST", INIT_ERROR)):
        page = Worker(address)
        status, _, body = page.call(method, path, headers=headers)
        page.close()
        assert status == 403
        assert b"the event" not in body
    assert client.calls == []
    worker = Worker(address)
    assert worker.call("GET", NEXT)[2] == b"the event"
    worker.close()


@pytest.mark.parametrize("host", ["127.0.0.1:9001", "localhost", "host.docker.internal:9001"])
def test_a_worker_may_name_this_machine_as_its_container_does(
    api: RuntimeApi, client: Client, host: str
) -> None:
    _, address = api.register(client, own_port=True)
    client.invocations.put(Invocation("r-1", "f", ARN, SOON, b"the event"))
    worker = Worker(address)
    assert worker.call("GET", NEXT, headers={"Host": host})[2] == b"the event"
    worker.close()


def test_a_worker_may_use_a_socket_for_ipv6_as_javas_client_does(
    api: RuntimeApi, client: Client
) -> None:
    _, address = api.register(client, own_port=True)
    client.invocations.put(Invocation("r-1", "f", ARN, SOON, b"the event"))
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as java:
        java.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        java.settimeout(20)
        java.connect(("::ffff:127.0.0.1", int(address.rpartition(":")[2])))
        java.sendall(f"GET {NEXT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert java.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_connection_that_does_not_speak_http_is_closed(api: RuntimeApi) -> None:
    host, _, port = api.address.partition(":")
    for nonsense in (
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nbroken\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=20) as raw:
            raw.sendall(nonsense)
            assert raw.recv(100) == b""


def test_the_debug_log_contains_no_payload_and_no_secret(
    api: RuntimeApi, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "terralive.workers")
    worker_id, address = api.register(client)
    worker = Worker(address)
    client.invocations.put(Invocation("r-1", "f", ARN, SOON, b"the event"))
    worker.call("GET", NEXT)
    worker.call("POST", RESPONSE, b"the response")
    worker.call("POST", ERROR, b"the error")
    worker.call("POST", INIT_ERROR, b"the init error")
    worker.close()
    stranger = Worker(f"{api.address}/the-guess")
    stranger.call("GET", NEXT)
    stranger.close()
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "r-1" in logged
    for private in ("the event", "the response", "the error", "the init error", "the-guess"):
        assert private not in logged
    assert worker_id not in logged


def test_closing_ends_waiting_workers_and_every_thread() -> None:
    before = set(threading.enumerate())
    api = RuntimeApi()
    client = Client()
    _, address = api.register(client)
    idle, asking = Worker(address), Worker(address)
    assert idle.call("POST", RESPONSE, b"{}")[0] == 202
    thread = threading.Thread(target=asking.http.request, args=("GET", asking._prefix + NEXT))
    thread.start()
    thread.join()
    client.invocations.put(None)  # the pool that owns the worker ends it first
    with pytest.raises(http.client.RemoteDisconnected):
        asking.http.getresponse()
    api.close()
    api.close()
    # Threads of earlier tests may end meanwhile.
    eventually(lambda: set(threading.enumerate()) <= before, "all threads have ended")
    idle.close()
    asking.close()
