"""Lambda's Runtime API from inside a function, in the standard library, bytes in and bytes out.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. Event and response are never parsed.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from typing import Final

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome

_PATH: Final = "/2018-06-01/runtime/invocation/"
_ACCEPTED: Final = 202
_HEADER_CHARACTERS: Final = 256


class RuntimeClient:
    """One connection to the Runtime API, kept across invocations.

    Args:
        address: the value of `AWS_LAMBDA_RUNTIME_API`: host and port, and in terralive's own
            servers a path behind it.
        function_name: the function's name.
        environment: what every invocation carries as its environment.
    """

    def __init__(self, address: str, function_name: str, environment: Mapping[str, str]) -> None:
        host, _, prefix = address.partition("/")
        self._prefix = f"/{prefix.rstrip('/')}{_PATH}" if prefix else _PATH
        self._http = http.client.HTTPConnection(
            host
        )  # no timeout: `next` waits until Lambda has something
        self._function_name = function_name
        self._environment = dict(environment)

    def next(self) -> Invocation:
        """Wait for an invocation. Lambda may freeze this process meanwhile, for hours."""
        self._http.request("GET", f"{self._prefix}next", headers={"User-Agent": "terralive-stub"})
        answer = self._http.getresponse()
        event = answer.read()
        header = answer.headers
        deadline_ms = int(header.get("Lambda-Runtime-Deadline-Ms", "0"))
        deadline = Deadline.from_epoch_ms(deadline_ms, now=time.monotonic(), wall_now=time.time())
        return Invocation(
            request_id=header["Lambda-Runtime-Aws-Request-Id"],
            function_name=self._function_name,
            function_arn=header.get("Lambda-Runtime-Invoked-Function-Arn", ""),
            deadline=deadline,
            event=event,
            environment=self._environment,
            trace_id=header.get("Lambda-Runtime-Trace-Id", ""),
            client_context=_utf8(header.get("Lambda-Runtime-Client-Context", "")),
            cognito_identity=_utf8(header.get("Lambda-Runtime-Cognito-Identity", "")),
        )

    def post(self, request_id: str, outcome: Outcome) -> bool:
        """Answer an invocation.

        False if Lambda did not accept the answer (it is too large, or comes too late).
        """
        path = f"{self._prefix}{request_id}/{'response' if outcome.ok else 'error'}"
        headers = {"Content-Type": "application/json"}
        if not outcome.ok:
            headers["Content-Type"] = "application/vnd.aws.lambda.error+json"
            headers["Lambda-Runtime-Function-Error-Type"] = _header(outcome.error_type)
        self._http.request("POST", path, body=outcome.body, headers=headers)
        answer = self._http.getresponse()
        answer.read()
        return answer.status == _ACCEPTED


def _header(value: str) -> str:
    """What of an error's type a header can hold.

    It comes from the relay, and `http.client` raises for the rest.
    """
    shown = "".join(
        character for character in value if character.isascii() and character.isprintable()
    )
    return shown[:_HEADER_CHARACTERS].strip() or "Unhandled"


def _utf8(value: str) -> str:
    """`http.client` reads headers as Latin-1; Lambda sends UTF-8."""
    return value.encode("latin-1").decode("utf-8", errors="replace")
