"""A client of Lambda's Invoke API, in the standard library: it asks the deployed code.

It signs with the role's own credentials, which the resource policy of the version allows.
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import http.client
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlsplit

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.protocol.named_errors import is_http
from terralive_stub.shared.endpoints import reachable
from terralive_stub.shared.json_documents import parse_object, text
from terralive_stub.shared.sigv4 import Credentials, Request, sign
from terralive_stub.stub.fallback.answers import Answer, Answered, NotRun, Refused, Unclear
from terralive_stub.stub.fallback.passing import PassedOn
from terralive_stub.stub.streaming.event_stream import EventStreamError
from terralive_stub.stub.streaming.response import TakesStream

_SERVICE: Final = "lambda"
_CONNECT_SECONDS: Final = 5.0
# A connection that was idle for longer may be closed at the other end just now.
_IDLE_SECONDS: Final = 10.0
# A NAT gateway drops a connection that is silent for 350 s:
# https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html
_KEEPALIVE_SECONDS: Final = 60
_READ_BYTES: Final = 256 * 1024
_REASON_CHARACTERS: Final = 300
# https://docs.aws.amazon.com/general/latest/gr/rande.html
_DNS_SUFFIXES: Final = {"aws-cn": "amazonaws.com.cn"}
_DNS_SUFFIX: Final = "amazonaws.com"
# This error does not tell whether the function ran; the others of status 5xx come before it runs.
_SERVICE_ERROR: Final = "ServiceException"


def endpoint_for(function_arn: str, environ: Mapping[str, str]) -> str:
    """Return the address of the Lambda API of a function's region.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html

    Args:
        function_arn: the function's ARN.
        environ: the environment variables.
    """
    _, partition, _, region, *_ = function_arn.split(":")
    suffix = _DNS_SUFFIXES.get(partition, _DNS_SUFFIX)
    on_aws = f"https://lambda.{region}.{suffix}"
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return on_aws
    named = environ.get("AWS_ENDPOINT_URL_LAMBDA") or environ.get("AWS_ENDPOINT_URL")
    return (named or on_aws).rstrip("/")


@dataclass(slots=True)
class LambdaApi:
    """One connection to the Lambda API, kept across invocations.

    Attributes:
        tls: the certificate authorities that it trusts; None for the system's.
        clock: the monotonic clock, in seconds.
        _http: the connection; None while there is none.
        _base: the address to which it is open.
        _used: when it was used last, on the monotonic clock.
        _wall_used: the same moment on the wall clock, which does not stand still.
    """

    tls: ssl.SSLContext | None = None
    clock: Callable[[], float] = time.monotonic
    _http: http.client.HTTPConnection | None = field(default=None, repr=False)
    _base: str = ""
    _used: float = 0.0
    _wall_used: float = 0.0

    def invoke(self, invocation: Invocation, version: str, until: Deadline) -> Answer:
        """Have a version of the function run with the invocation's payload.

        Args:
            invocation: the invocation.
            version: the version's number.
            until: when an answer has to be there.
        """
        path = f"/2015-03-31/functions/{quote(invocation.function, safe='')}/invocations"
        return self._ask(path, invocation, version, until, None)

    def stream(
        self, invocation: Invocation, version: str, until: Deadline, response: TakesStream
    ) -> Answer:
        """Have a version run, and pass its response on in pieces, also if it is not streamed.

        https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html

        Args:
            invocation: the invocation.
            version: the version's number.
            until: when the response has to be complete.
            response: takes the pieces. Once it has some, the answer is the end of a stream.
        """
        name = quote(invocation.function, safe="")
        path = f"/2021-11-15/functions/{name}/response-streaming-invocations"
        passing = PassedOn(response, is_http(invocation.event))
        return passing.end(self._ask(path, invocation, version, until, passing))

    def _ask(
        self,
        path: str,
        invocation: Invocation,
        version: str,
        until: Deadline,
        passing: PassedOn | None,
    ) -> Answer:
        base = endpoint_for(invocation.function_arn, invocation.environment)
        target = f"{path}?Qualifier={quote(version, safe='')}"
        try:
            headers = _headers(base + target, invocation)
        except KeyError as error:
            return Refused(f"the environment variable {error} is missing")
        try:
            connection = self._connect(base, until)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return NotRun(f"Lambda's API cannot be reached ({_describe(error)})", throttled=False)
        try:
            connection.request("POST", urlsplit(base).path + target, invocation.event, headers)
            response = connection.getresponse()
            parts = self._read(response, connection, until)
            if passing is not None and response.status == HTTPStatus.OK:
                complete = passing.take(response.headers.get("Content-Type", ""), parts)
            else:
                body = b"".join(parts)
        except (OSError, http.client.HTTPException, EventStreamError) as error:
            self.close()
            if isinstance(error, TimeoutError):
                return Unclear("it had not answered shortly before this function's timeout")
            return Unclear(f"the connection to Lambda's API was lost ({_describe(error)})")
        self._used, self._wall_used = self.clock(), time.time()
        if response.will_close:
            self.close()
        if passing is not None and response.status == HTTPStatus.OK:
            outcome, log = complete
            return Answered(outcome, _log(log, version))
        return _answer(response, body, version)

    def close(self) -> None:
        """Close the connection."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _connect(self, base: str, until: Deadline) -> http.client.HTTPConnection:
        """Return an open connection to an address, with the time that is left as its timeout."""
        left_s = self._left(until)
        if self._http is None or base != self._base or self._is_stale(self._http):
            self.close()
            self._http = self._open(base, min(_CONNECT_SECONDS, left_s))
            self._base = base
        self._http.sock.settimeout(self._left(until))
        return self._http

    def _left(self, until: Deadline) -> float:
        """Return the seconds until a deadline; raise TimeoutError if none are left."""
        left_s = until.remaining(self.clock())
        if left_s <= 0:
            raise TimeoutError("no time is left")
        return left_s

    def _open(self, base: str, timeout_s: float) -> http.client.HTTPConnection:
        address = urlsplit(reachable(base).url)
        host = address.hostname or ""
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            context = self.tls or ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                host, address.port, timeout=timeout_s, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, address.port, timeout=timeout_s)
        connection.connect()
        _keep_alive(connection.sock)
        return connection

    def _is_stale(self, connection: http.client.HTTPConnection) -> bool:
        """Tell whether the other end may have closed the connection while it was idle."""
        idle_s = max(self.clock() - self._used, time.time() - self._wall_used)
        if connection.sock is None or idle_s > _IDLE_SECONDS:
            return True
        readable, _, _ = select.select([connection.sock], [], [], 0)
        return bool(readable)  # its end, because there is nothing to be answered

    def _read(
        self,
        response: http.client.HTTPResponse,
        connection: http.client.HTTPConnection,
        until: Deadline,
    ) -> Iterator[bytes]:
        """Yield a body as it arrives, all of it before a deadline."""
        while True:
            left_s = self._left(until)
            if connection.sock is not None:
                connection.sock.settimeout(left_s)
            if response.chunked:
                part = response.read1(_READ_BYTES)  # what is there, without a wait for more
            else:
                part = response.read(_READ_BYTES)
            if not part:
                break
            yield part
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)


def _headers(url: str, invocation: Invocation) -> dict[str, str]:
    """Return the headers of a request. Raises KeyError without credentials."""
    signed = {
        "content-type": "application/json",
        "x-amz-invocation-type": "RequestResponse",
        "x-amz-log-type": "Tail",
    }
    if invocation.client_context:
        context = invocation.client_context.encode()
        signed["x-amz-client-context"] = base64.b64encode(context).decode()
    if invocation.tenant_id:
        signed["x-amz-tenant-id"] = invocation.tenant_id
    region = invocation.function_arn.split(":")[3]
    credentials = Credentials.of_function(invocation.environment)
    request = Request("POST", url, signed, invocation.event)
    headers = signed | sign(request, _SERVICE, region, credentials, time.time())
    headers["User-Agent"] = "terralive-stub"
    if invocation.trace_id:
        headers["X-Amzn-Trace-Id"] = invocation.trace_id
    return headers


def _answer(response: http.client.HTTPResponse, body: bytes, version: str) -> Answer:
    """Return the meaning of Lambda's response."""
    if response.status == HTTPStatus.OK:
        log = _log(response.headers.get("X-Amz-Log-Result", ""), version)
        if response.headers.get("X-Amz-Function-Error") is None:
            return Answered(Outcome(body), log)
        error_type = text(parse_object(body), "errorType") or "Unhandled"
        return Answered(Outcome(body, error_type), log)
    name = response.headers.get("X-Amzn-ErrorType", "").partition(":")[0]
    reason = f"Lambda answered {response.status}"
    if name:
        reason = f"{name}: {_message(body)}"
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return NotRun(f"Lambda throttles the function ({reason})", throttled=True)
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        if name and name != _SERVICE_ERROR:
            return NotRun(reason, throttled=False)
        return Unclear(reason)
    return Refused(reason)


def _message(body: bytes) -> str:
    document = parse_object(body)
    message = text(document, "message") or text(document, "Message")
    return message.rstrip(".")[:_REASON_CHARACTERS]


def _log(encoded: str, version: str) -> str:
    """Return the end of the version's log, for the stub's own."""
    lines = ""
    with contextlib.suppress(binascii.Error, ValueError):
        lines = base64.b64decode(encoded).decode(errors="replace")
    head = f"terralive: no relay is connected, so version {version} of this function has answered\n"
    if lines and not lines.endswith("\n"):
        lines += "\n"
    return head + lines


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_REASON_CHARACTERS]


def _keep_alive(sock: socket.socket) -> None:
    """Have the kernel send keep-alive packets during a long answer."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        number = getattr(socket, option, None)  # macOS has no TCP_KEEPIDLE
        if number is not None:
            sock.setsockopt(socket.IPPROTO_TCP, number, _KEEPALIVE_SECONDS)
