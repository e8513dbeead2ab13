"""The AWS endpoint: who asks for what, whether they may, then moto's answer or a function's run."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import uuid
from urllib.parse import parse_qsl, unquote

from terralive_sandbox.access import actions as gate
from terralive_sandbox.access import identity, sigv4
from terralive_sandbox.access.policy import AccessRequest, Decision
from terralive_sandbox.answers import Answer, error_answer
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.control.unsupported import is_made_up
from terralive_sandbox.functions.asynchronous import AsynchronousInvocations
from terralive_sandbox.functions.invoke_api import InvokeError, invoke_headers
from terralive_sandbox.functions.registry import Functions

_INVOKE = re.compile(r"/2015-03-31/functions/(?P<name>[^/]+)/invocations/?")
_KINDS = ("Event", "RequestResponse", "DryRun")

_DENIED = {
    "sns": "AuthorizationError", "sqs": "AccessDenied", "s3": "AccessDenied", "iam": "AccessDenied",
    "sts": "AccessDenied",
}  # fmt: skip


class AwsApi:
    """Every request that is signed for an AWS service and is not the gateway's."""

    def __init__(
        self, control: ControlPlane, functions: Functions, asynchronous: AsynchronousInvocations
    ) -> None:
        self._control = control
        self._functions = functions
        self._asynchronous = asynchronous

    async def answer(self, request: sigv4.Request) -> Answer:
        """Verify who asks for what, then let moto answer, or run a function."""
        service = sigv4.service_of(request)
        operation = None
        try:
            caller, signed = await asyncio.wrap_future(
                self._control.call(identity.authenticate, request)
            )
            operation = self._control.operation(request, service) or gate.operation_of(request)
            if is_made_up(service, operation or request.path):
                raise NotImplementedError("moto would make its answer up.")  # noqa: TRY301 - as moto says it
            for asked in gate.asks_for(request, signed, caller.account, operation):
                identity.require(caller, asked, self._by_resource(caller, asked))
                if asked.action == "sts:AssumeRole" and asked.resources:
                    identity.require_trust(caller, asked.resources[0])
            if request.path.startswith("/moto-api"):
                return error_answer(403, "AccessDenied", "moto's own API is closed in the sandbox.")
            if (
                service == "lambda"
                and request.method == "POST"
                and (found := _INVOKE.fullmatch(request.path))
            ):
                return await self._invoke(unquote(found["name"]), request)
            return await asyncio.wrap_future(self._control.answer(request, service))
        except sigv4.SignatureError as error:
            return gate.signature_refusal(request, service, error)
        except identity.AccessDeniedError as error:
            status = 400 if request.header("x-amz-target") else 403
            name = _DENIED.get(service, "AccessDeniedException")
            return gate.refusal(request, service, name, str(error), status)
        except NotImplementedError as error:
            asked_for = operation or f"{request.method} {request.path}"
            message = f"terralive's sandbox does not emulate {service} {asked_for}: {error}"
            return gate.refusal(request, service, "NotEmulatedBySandbox", message, 501)

    def _by_resource(self, caller: identity.Caller, asked: AccessRequest) -> Decision:
        """What the policy of the function that is asked for says of the caller."""
        if asked.action != "lambda:InvokeFunction" or not asked.resources:
            return Decision.NEUTRAL
        try:
            function = self._functions.find(asked.resources[0])
        except InvokeError:
            return Decision.NEUTRAL
        return self._functions.decides(
            function, asked.action, identity.principals(caller), asked.resources[0], {}
        )

    async def _invoke(self, name: str, request: sigv4.Request) -> Answer:
        """https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html."""
        qualifier = dict(parse_qsl(request.query)).get("Qualifier")
        kind = request.header("x-amz-invocation-type") or "RequestResponse"
        request_id = str(uuid.uuid4())
        base = [("x-amzn-requestid", request_id)]
        try:
            context = _client_context(request.header("x-amz-client-context"))
            function = self._functions.find(name, qualifier)
            arn = (
                function.function_arn
                if qualifier is None
                else f"{_unqualified(function.function_arn)}:{qualifier}"
            )
            if kind not in _KINDS:
                message = (
                    f"1 validation error detected: Value '{kind}' at 'invocationType' failed to satisfy constraint: "
                    f"Member must satisfy enum value set: [{', '.join(_KINDS)}]"
                )
                return error_answer(400, "ValidationException", message)
            if kind == "DryRun":
                return 204, base, b""
            if not _is_json(request.body):
                return error_answer(
                    400, "InvalidRequestContentException", "Could not parse request body into json."
                )
            if kind == "Event":
                self._asynchronous.accept(
                    arn, request.body, request_id=request_id, client_context=context
                )
                return 202, base, b""
            result = await self._functions.invoke(
                function, request.body, arn=arn, request_id=request_id, client_context=context
            )
        except InvokeError as error:
            return _refusal(error)
        tail = request.header("x-amz-log-type") == "Tail"
        return 200, [*base, *invoke_headers(result, tail=tail).items()], result.body


def _refusal(error: InvokeError) -> Answer:
    document = {"Type": "User" if error.status < 500 else "Service", "message": error.message}  # noqa: PLR2004
    if error.reason:
        document["Reason"] = error.reason
    headers = [("content-type", "application/json"), ("x-amzn-errortype", error.code)]
    return error.status, headers, json.dumps(document).encode()


def _client_context(header: str | None) -> str:
    """The JSON text that the header carries as base64, as the Runtime API passes it on.

    Raises:
        InvokeError: it is not that.
    """
    if not header:
        return ""
    try:
        text = base64.b64decode(header, validate=True).decode()
        json.loads(text)
    except ValueError as error:
        message = "Client context must be a valid Base64-encoded JSON object."
        raise InvokeError("InvalidRequestContentException", message, 400) from error
    return text


def _unqualified(arn: str) -> str:
    return ":".join(arn.split(":")[:7])


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body or b"{}")
    except ValueError:
        return False
    return True
