"""An invocation and its outcome, the values that every part of terralive passes on.

The fields are those of Lambda's Runtime API
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html); event and response are raw bytes,
never parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from terralive_stub.protocol.deadline import Deadline

# `arn:PARTITION:lambda:REGION:ACCOUNT:function:NAME`; a qualifier follows as another part.
_ARN_PARTS: Final = 7


def name_of(function: str) -> str:
    """Return the name in a function's ARN without a qualifier."""
    return function.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Invocation:
    """One request from Lambda.

    Attributes:
        request_id: the AWS request id.
        function_name: the function's name, without qualifier.
        function_arn: the ARN that was invoked, with its qualifier, if any.
        deadline: when Lambda ends the invocation, on this process's clock.
        event: the event's bytes, exactly as the Runtime API returned them.
        environment: all environment variables of the function in Lambda, including the role's
            credentials and Lambda's reserved variables (`AWS_LAMBDA_FUNCTION_VERSION`,
            `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, …). Never log it.
        environment_digest: the name of that environment in messages; "" for none. See
            `payloads.digest_environment`.
        attempt: the name of this attempt of the invocation; see `messages`.
        began_ms: when the stub received it, in milliseconds since the Unix epoch on the clock of
            Lambda; 0 if it is not known. Among attempts of one request id, a later one counts.
        streams: whether its stub takes a response in pieces.
        trace_id: the `Lambda-Runtime-Trace-Id` header, or "".
        client_context: the `Lambda-Runtime-Client-Context` header (JSON text), or "".
        cognito_identity: the `Lambda-Runtime-Cognito-Identity` header (JSON text), or "".
        tenant_id: the `Lambda-Runtime-Aws-Tenant-Id` header, or "" for a function that does not
            isolate its tenants: https://docs.aws.amazon.com/lambda/latest/dg/tenant-isolation.html.
    """

    request_id: str
    function_name: str
    function_arn: str
    deadline: Deadline
    event: bytes = field(repr=False)
    environment: Mapping[str, str] = field(repr=False, default_factory=dict)
    trace_id: str = ""
    client_context: str = ""
    cognito_identity: str = ""
    environment_digest: str = ""
    attempt: str = ""
    began_ms: int = 0
    streams: bool = False
    tenant_id: str = ""

    @property
    def function(self) -> str:
        """Return the function's ARN without a qualifier: its identity in messages.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html#versioning-versions-using
        """
        return ":".join(self.function_arn.split(":")[:_ARN_PARTS])

    @property
    def qualifier(self) -> str:
        """Return the version or alias that was invoked; "" for none."""
        return ":".join(self.function_arn.split(":")[_ARN_PARTS:])


@dataclass(frozen=True, slots=True)
class Printed:
    """A part of a handler's output.

    Attributes:
        start: the number of characters before this part.
        text: the part.
    """

    start: int = 0
    text: str = field(repr=False, default="")


NOTHING_PRINTED: Final = Printed()


@dataclass(frozen=True, slots=True)
class Streamed:
    """What is known of a response that was streamed, at its end.

    Attributes:
        content_type: its content type, as the handler's runtime has named it.
        size: the number of its bytes.
        relay: the id of the relay whose handler has written it; "" where no relay sent it.
    """

    content_type: str
    size: int
    relay: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an invocation: a response or an error.

    A streamed response ends in a success, or in an error in its middle.

    Attributes:
        body: the response's bytes. For an error, the JSON document that the Runtime API's
            `/invocation/{id}/error` takes (`errorMessage`, `errorType`, `stackTrace`), in the shape
            that the handler's own runtime gives it.
        error_type: the `Lambda-Runtime-Function-Error-Type` of an error (`Unhandled`,
            `Runtime.ImportModuleError`, …); "" for a success.
        logs: the handler's last output, for Lambda's log; nothing if logs are not forwarded.
        streamed: the end of a streamed response; None for another response. Its bytes came before
            this, or are all in `body`.
    """

    body: bytes = field(repr=False)
    error_type: str = ""
    logs: Printed = NOTHING_PRINTED
    streamed: Streamed | None = None

    @property
    def ok(self) -> bool:
        return not self.error_type
