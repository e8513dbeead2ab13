"""A client of Lambda's Runtime API, in the standard library. Event and response are never parsed.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from typing import Final

from terralive_stub.protocol.deadline import Deadline
from terralive_stub.protocol.invocation import Invocation, Outcome
from terralive_stub.stub.streaming.response import (
    ACCEPTED,
    ERROR_TYPE,
    StreamedResponse,
    header_value,
)

_PATH: Final = "/2018-06-01/runtime/"


class RuntimeClient:
    """One connection to the Runtime API, kept across invocations.

    Args:
        address: the value of `AWS_LAMBDA_RUNTIME_API`: host and port. terralive's own servers add
            a path.
        function_name: the function's name.
        environment: the function's environment variables, which every invocation carries.
    """

    def __init__(self, address: str, function_name: str, environment: Mapping[str, str]) -> None:
        host, _, prefix = address.partition("/")
        # The beginning of all requests' paths.
        self._path = _PATH
        if prefix:
            self._path = f"/{prefix.rstrip('/')}{_PATH}"
        # Without a timeout: `next` waits until there is an invocation.
        self._http = http.client.HTTPConnection(host)
        self._function_name = function_name
        self._environment = dict(environment)

    def next(self) -> Invocation:
        """Wait for the next invocation. Lambda may freeze this process meanwhile, for hours."""
        headers = {"User-Agent": "terralive-stub"}
        self._http.request("GET", f"{self._path}invocation/next", headers=headers)
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
            streams=True,
            tenant_id=_utf8(header.get("Lambda-Runtime-Aws-Tenant-Id", "")),
        )

    def streamed_response(self, request_id: str) -> StreamedResponse:
        """Return the response to an invocation, for the case that it is streamed."""
        path = f"{self._path}invocation/{request_id}/response"
        return StreamedResponse(self._http, path)

    def post(self, request_id: str, outcome: Outcome) -> bool:
        """Give an invocation's outcome to Lambda.

        Returns:
            False if Lambda does not accept it, because it is too large or too late.
        """
        path = f"invocation/{request_id}/error"
        if outcome.ok:
            path = f"invocation/{request_id}/response"
        return self._post(path, outcome)

    def fail_init(self, outcome: Outcome) -> None:
        """Report an error of the init phase. Lambda gives it to the caller, and ends the process.

        https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-initerror
        """
        self._post("init/error", outcome)

    def _post(self, path: str, outcome: Outcome) -> bool:
        headers = {"Content-Type": "application/json"}
        if not outcome.ok:
            headers = {
                "Content-Type": "application/vnd.aws.lambda.error+json",
                ERROR_TYPE: header_value(outcome.error_type, "Unhandled"),
            }
        self._http.request("POST", f"{self._path}{path}", body=outcome.body, headers=headers)
        answer = self._http.getresponse()
        answer.read()
        return answer.status == ACCEPTED


def _utf8(value: str) -> str:
    """Decode a header as UTF-8, which Lambda sends; `http.client` reads headers as Latin-1."""
    return value.encode("latin-1").decode("utf-8", errors="replace")
