"""What a stub makes of the answers of Lambda's API, and of a connection to it that breaks."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.stub.fallback.answers import Answer, Answered, NotRun, Refused, Unclear
from terralive_stub.stub.fallback.lambda_api import LambdaApi, endpoint_for

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
HANGS_UP = b""
SILENT = b"silent"
BODY = b"{}"  # of every request


def response(status: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


OK = response("200 OK", b'"ok"')


@dataclass
class FakeApi:
    """Answers one request after the other, with bytes that a test gives.

    Attributes:
        answers: what it answers; `HANGS_UP` closes the connection, `SILENT` says nothing.
        requests: the requests that it has read.
        connections: the number of connections that it has accepted.
    """

    answers: list[bytes]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    idle: threading.Event = field(default_factory=threading.Event)
    _server: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            with connection, contextlib.suppress(OSError):
                self._serve(connection)
            self.idle.set()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        while self.answers:
            request = b""
            # A socket that is closed with unread bytes would reset the connection.
            while not request.endswith(b"\r\n\r\n" + BODY):
                part = connection.recv(65536)
                if not part:
                    return
                request += part
            self.requests.append(request)
            answer = self.answers.pop(0)
            if answer == HANGS_UP:
                return
            if answer == SILENT:
                while connection.recv(65536):
                    pass
                return
            connection.sendall(answer)

    def close(self) -> None:
        # `close` alone does not wake a thread in `accept`.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@contextlib.contextmanager
def lambda_answers(*answers: bytes) -> Iterator[FakeApi]:
    api = FakeApi(list(answers))
    thread = threading.Thread(target=api.run)
    thread.start()
    try:
        yield api
    finally:
        api.close()
        thread.join(10)


def invocation(
    endpoint: str, client_context: str = "", trace_id: str = "", tenant_id: str = ""
) -> Invocation:
    environment = {
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_ENDPOINT_URL": endpoint,
    }
    return Invocation(
        "r1",
        "orders",
        ARN,
        Deadline(0),
        BODY,
        environment,
        client_context=client_context,
        trace_id=trace_id,
        tenant_id=tenant_id,
    )


def ask(client: LambdaApi, api: FakeApi, seconds: float = 20.0) -> Answer:
    until = Deadline.after(seconds, now=time.monotonic())
    return client.invoke(invocation(api.url), "7", until)


def answer_to(*answers: bytes, seconds: float = 20.0) -> Answer:
    client = LambdaApi()
    try:
        with lambda_answers(*answers) as api:
            return ask(client, api, seconds)
    finally:
        client.close()


def test_a_request_names_the_version_and_has_client_context_tenant_and_trace() -> None:
    client = LambdaApi()
    with lambda_answers(OK) as api:
        call = invocation(api.url, '{"a":"ö"}', "Root=1-a;Sampled=0", tenant_id="blue")
        until = Deadline.after(20.0, now=time.monotonic())
        answer = client.invoke(call, "7", until)
        client.close()
    assert isinstance(answer, Answered)
    assert answer.outcome == Outcome(b'"ok"')
    (request,) = api.requests
    head = request.decode().split("\r\n")
    arn = ARN.replace(":", "%3A")
    assert head[0] == f"POST /2015-03-31/functions/{arn}/invocations?Qualifier=7 HTTP/1.1"
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
    context = base64.b64encode('{"a":"ö"}'.encode()).decode()
    assert headers["x-amz-client-context"] == context.lower()
    assert headers["x-amzn-trace-id"] == "root=1-a;sampled=0"
    assert headers["x-amz-tenant-id"] == "blue"
    assert "x-amz-tenant-id" in headers["authorization"]
    assert headers["x-amz-security-token"] == "token"
    assert headers["x-amz-invocation-type"] == "requestresponse"


@pytest.mark.parametrize("body", [b"", b"null", b'{"a": 1}', bytes(300_000)])
def test_a_response_is_passed_on_byte_for_byte_with_the_end_of_the_log(body: bytes) -> None:
    log = base64.b64encode(b"START\nhello\n").decode()
    answer = answer_to(response("200 OK", body, X_Amz_Log_Result=log))
    assert isinstance(answer, Answered)
    assert answer.outcome == Outcome(body)
    assert answer.log.endswith("START\nhello\n")


@pytest.mark.parametrize(
    ("body", "error_type"),
    [
        (b'{"errorMessage":"no","errorType":"OrderError"}', "OrderError"),
        (b'{"errorMessage":"2026-11-30 Task timed out after 3.00 seconds"}', "Unhandled"),
    ],
)
def test_an_error_of_the_function_is_passed_on_byte_for_byte(body: bytes, error_type: str) -> None:
    answer = answer_to(response("200 OK", body, X_Amz_Function_Error="Unhandled"))
    assert isinstance(answer, Answered)
    assert answer.outcome == Outcome(body, error_type)


REASON = b'{"Type":"User","message":"Rate Exceeded."}'


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        ("429 Too Many Requests", "TooManyRequestsException", NotRun),
        ("502 Bad Gateway", "EC2ThrottledException:http://x/", NotRun),
        ("500 Internal Server Error", "ServiceException", Unclear),
        ("503 Service Unavailable", "", Unclear),
        ("403 Forbidden", "AccessDeniedException", Refused),
        ("404 Not Found", "ResourceNotFoundException", Refused),
    ],
)
def test_lambdas_answers_tell_whether_the_function_may_have_run(
    status: str, error: str, expected: type[Answer]
) -> None:
    headers = {}
    if error:
        headers["X_Amzn_ErrorType"] = error
    answer = answer_to(response(status, REASON, **headers))
    assert isinstance(answer, expected)
    assert not isinstance(answer, Answered)
    assert error.partition(":")[0] in answer.reason
    if isinstance(answer, NotRun):
        assert answer.throttled is status.startswith("429")


def test_a_connection_that_breaks_after_the_request_leaves_it_open_whether_the_function_ran() -> (
    None
):
    assert isinstance(answer_to(HANGS_UP), Unclear)
    cut = response("200 OK", b'"ok"').replace(b"Content-Length: 4", b"Content-Length: 40")
    assert isinstance(answer_to(cut), Unclear)
    assert isinstance(answer_to(b"not HTTP\r\n\r\n"), Unclear)


def test_an_answer_that_does_not_come_in_time_is_not_waited_for() -> None:
    answer = answer_to(SILENT, seconds=2.0)
    assert isinstance(answer, Unclear)
    assert "timeout" in answer.reason


def test_where_nothing_listens_nothing_has_run() -> None:
    client = LambdaApi()
    with lambda_answers() as api:
        url = api.url
    until = Deadline.after(20.0, now=time.monotonic())
    assert isinstance(client.invoke(invocation(url), "7", until), NotRun)


def test_the_connection_is_kept_and_replaced_once_the_other_end_has_closed_it() -> None:
    client = LambdaApi()
    with lambda_answers(OK, OK) as api:
        for _ in range(2):
            assert isinstance(ask(client, api), Answered)
        assert api.connections == 1
        # The server has nothing to answer any more, and closes the connection.
        assert api.idle.wait(30)
        api.answers.append(OK)
        assert isinstance(ask(client, api), Answered)
        assert api.connections == 2
        client.close()


@pytest.mark.parametrize(
    ("arn", "environ", "expected"),
    [
        (ARN, {}, "https://lambda.eu-west-1.amazonaws.com"),
        (
            "arn:aws-cn:lambda:cn-north-1:1:function:f",
            {},
            "https://lambda.cn-north-1.amazonaws.com.cn",
        ),
        (ARN, {"AWS_ENDPOINT_URL": "http://localhost:1/"}, "http://localhost:1"),
        (
            ARN,
            {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_LAMBDA": "https://vpce"},
            "https://vpce",
        ),
        (
            ARN,
            {"AWS_ENDPOINT_URL": "http://a", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            "https://lambda.eu-west-1.amazonaws.com",
        ),
    ],
)
def test_the_address_is_that_of_the_functions_region_or_the_configured_one(
    arn: str, environ: Mapping[str, str], expected: str
) -> None:
    assert endpoint_for(arn, environ) == expected


def test_without_credentials_nothing_is_asked() -> None:
    until = Deadline.after(1.0, now=time.monotonic())
    call = Invocation("r1", "orders", ARN, Deadline(0), b"{}", {})
    assert isinstance(LambdaApi().invoke(call, "7", until), Refused)
