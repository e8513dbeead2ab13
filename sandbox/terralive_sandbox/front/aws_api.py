"""The AWS endpoint: it checks signatures and permissions; then moto answers, or a function runs."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from terralive_sandbox.access import actions, denials, identity, protocols, sigv4
from terralive_sandbox.access.policy import AccessRequest
from terralive_sandbox.access.resource_policies import find_policy
from terralive_sandbox.control.moto_thread import ControlPlane
from terralive_sandbox.control.unsupported import is_made_up
from terralive_sandbox.front import event_stream
from terralive_sandbox.function_names import FunctionName
from terralive_sandbox.functions.asynchronous import AsynchronousInvocations
from terralive_sandbox.functions.invoke_api import (
    InvokeError,
    invoke_complete,
    invoke_headers,
    unqualified_arn,
)
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.functions.streams import StreamedInvocation
from terralive_sandbox.places import Place
from terralive_sandbox.refusals import Refusals
from terralive_sandbox.responses import (
    Answer,
    Headers,
    Response,
    StreamedResponse,
    error_response,
)

_log: Final = logging.getLogger("terralive.sandbox")

_INVOKE_PATH: Final = re.compile(
    r"/(2015-03-31/functions/(?P<name>[^/]+)/invocations"
    r"|2021-11-15/functions/(?P<streamed>[^/]+)/response-streaming-invocations)/?"
)
_MOTO_API: Final = "/moto-api"
# Services whose resources may be used from other accounts, as their own policies allow.
_SHARED_SERVICES: Final = frozenset({"lambda", "sns", "sqs"})
_INVOCATION_TYPES: Final = ("Event", "RequestResponse", "DryRun")
_STREAMED_INVOCATION_TYPES: Final = ("RequestResponse", "DryRun")


class AwsApi:
    """Answers every request that is signed for an AWS service. Use it on the event loop."""

    def __init__(
        self,
        control: ControlPlane,
        functions: Functions,
        asynchronous: AsynchronousInvocations,
        refusals: Refusals,
    ) -> None:
        # Answers everything but invocations of functions.
        self._control = control
        # Run synchronous invocations.
        self._functions = functions
        # Takes asynchronous invocations.
        self._asynchronous = asynchronous
        # Gets what is refused.
        self._refusals = refusals

    async def answer(self, request: sigv4.Request) -> Answer:
        """Check a request's signature and permissions, then answer it."""
        service = sigv4.service_of(request)
        operation: str | None = None
        try:
            # Who calls. Keys and policies are moto's, so its thread looks them up.
            caller, signed = await self._control.call_async(identity.authenticate, request)
            operation = self._control.operation(request, service)
            if operation is None:
                operation = protocols.operation_of(request)
            if operation == "AssumeRole":
                role_arn = protocols.form_fields(request).get("RoleArn", "")
                await self._control.call_async(identity.open_account, str(role_arn))
            # What the call needs, and whether policies allow it.
            account = self._authorize(request, signed, caller, operation)
            return await self._answer(request, service, Place(account, signed.region))
        except InvokeError as error:
            return _invoke_error(error)
        except sigv4.SignatureError as error:
            call = operation or f"{request.method} {request.path}"
            self._refusals.add(f"{service} {call}: {error.code}: {error.message}")
            return denials.signature_denied(request, service, error)
        except identity.AccessDeniedError as error:
            call = operation or f"{request.method} {request.path}"
            self._refusals.add(f"{service} {call}: {error}")
            return denials.access_denied(request, service, str(error))
        except NotImplementedError as error:
            call = operation or f"{request.method} {request.path}"
            message = f"terralive's sandbox does not emulate {service} {call}: {error}"
            return denials.service_error(
                request, service, "NotEmulatedBySandbox", message, HTTPStatus.NOT_IMPLEMENTED
            )

    async def answer_whole(self, request: sigv4.Request) -> Response:
        """Answer a request to an operation whose response is not streamed."""
        answer = await self.answer(request)
        if isinstance(answer, StreamedResponse):
            raise TypeError("this operation streams its response")
        return answer

    def _authorize(
        self,
        request: sigv4.Request,
        signed: sigv4.Signed,
        caller: identity.Caller,
        operation: str | None,
    ) -> str:
        """Check that a request is emulated and allowed. Return the account whose state it is about.

        Raises:
            NotImplementedError: moto would make its answer up.
            identity.AccessDeniedError: the policies do not allow it.
        """
        if is_made_up(signed.service, operation or request.path):
            raise NotImplementedError("moto would make its answer up.")
        context = _global_context(caller, signed)
        needed = actions.required_access(
            request, signed, caller.account, operation, partial(identity.role_named, caller.account)
        )
        for access in needed:
            _require(caller, replace(access, context={**context, **access.context}))
        if signed.service == "s3":
            _require_owner(request, needed)
        if needed and needed[0].resources and signed.service in _SHARED_SERVICES:
            return Place.of(needed[0].resources[0]).account or caller.account
        return caller.account

    async def _answer(self, request: sigv4.Request, service: str, place: Place) -> Answer:
        """Let a function or moto answer a request that is allowed.

        Args:
            request: the request.
            service: the service that it is signed for.
            place: the account whose state it is about, and its region.

        Raises:
            InvokeError: Lambda does not run the invocation.
            NotImplementedError: moto lacks the operation.
        """
        if request.path.startswith(_MOTO_API):
            message = "moto's own API is closed in the sandbox."
            return error_response(HTTPStatus.FORBIDDEN, "AccessDenied", message)
        invoked = _INVOKE_PATH.fullmatch(request.path)
        if invoked and service == "lambda" and request.method == "POST":
            name = unquote(invoked["name"] or invoked["streamed"])
            is_streamed = invoked["streamed"] is not None
            return await self._invoke(name, place, request, is_streamed=is_streamed)
        return await asyncio.wrap_future(self._control.answer(request, service, place.account))

    async def _invoke(
        self, name: str, place: Place, request: sigv4.Request, *, is_streamed: bool
    ) -> Answer:
        """Answer Invoke or InvokeWithResponseStream in a place. Raises InvokeError.

        https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
        https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html
        """
        qualifier = _qualifier(name, request)
        client_context = _client_context(request.header("x-amz-client-context"))
        tenant_id = request.header("x-amz-tenant-id") or ""
        function = self._functions.find(name, qualifier, place=place)
        arn = function.function_arn
        if qualifier is not None:
            arn = f"{unqualified_arn(arn)}:{qualifier}"
        invocation_type = request.header("x-amz-invocation-type") or "RequestResponse"
        problem = _type_problem(invocation_type, is_streamed=is_streamed)
        if problem:
            return error_response(HTTPStatus.BAD_REQUEST, "ValidationException", problem)
        request_id = str(uuid.uuid4())
        headers = [("x-amzn-requestid", request_id)]
        if invocation_type == "DryRun":
            return HTTPStatus.NO_CONTENT, headers, b""
        try:
            json.loads(request.body or b"{}")
        except ValueError:
            message = "Could not parse request body into json."
            return error_response(HTTPStatus.BAD_REQUEST, "InvalidRequestContentException", message)
        if invocation_type == "Event":
            self._asynchronous.accept(
                arn,
                request.body,
                request_id=request_id,
                client_context=client_context,
                tenant_id=tenant_id,
            )
            return HTTPStatus.ACCEPTED, headers, b""
        invoke = partial(
            self._functions.invoke,
            function,
            request.body,
            arn=arn,
            request_id=request_id,
            client_context=client_context,
            trace_id=request.header("x-amzn-trace-id") or "",
            tenant_id=tenant_id,
        )
        wants_log = request.header("x-amz-log-type") == "Tail"
        if is_streamed:
            invocation = StreamedInvocation(lambda stream: invoke(stream=stream))
            version = str(function.version)
            return await _streamed(invocation, headers, version, tail=wants_log)
        result = await invoke()
        headers += invoke_headers(result, tail=wants_log).items()
        return HTTPStatus.OK, headers, result.body


def _qualifier(name: str, request: sigv4.Request) -> str | None:
    """Return the version or alias that a request invokes; None for none.

    The one in the function's name comes first, as it does when permissions are checked.
    """
    named = FunctionName.parse(name)
    if named is not None and named.qualifier:
        return named.qualifier
    return dict(request.parameters()).get("Qualifier")


def _type_problem(invocation_type: str, *, is_streamed: bool) -> str:
    """Return why an operation does not take an invocation type; "" where it does."""
    types: tuple[str, ...] = _INVOCATION_TYPES
    if is_streamed:
        types = _STREAMED_INVOCATION_TYPES
    if invocation_type in types:
        return ""
    return (
        f"1 validation error detected: Value '{invocation_type}' at 'invocationType' failed to "
        f"satisfy constraint: Member must satisfy enum value set: [{', '.join(types)}]"
    )


async def _streamed(
    invocation: StreamedInvocation, headers: Headers, version: str, *, tail: bool
) -> StreamedResponse:
    """Return the response to InvokeWithResponseStream once it begins.

    Raises:
        InvokeError: Lambda does not run the invocation.
    """
    if not await invocation.begins():
        await invocation.result()

    async def pieces() -> AsyncGenerator[bytes, None]:
        async with aclosing(invocation.pieces()) as read:
            async for piece in read:
                yield event_stream.event("PayloadChunk", "application/octet-stream", piece)
        complete = invoke_complete(await invocation.result(), tail=tail)
        document = json.dumps(complete).encode()
        yield event_stream.event("InvokeComplete", "application/json", document)

    headers += [
        ("content-type", event_stream.CONTENT_TYPE),
        ("x-amz-executed-version", version),
    ]
    return StreamedResponse(HTTPStatus.OK, headers, pieces())


def _global_context(caller: identity.Caller, signed: sigv4.Signed) -> dict[str, str]:
    """Return condition keys that every request has. The loopback port counts as TLS.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    return {
        "aws:PrincipalAccount": caller.account,
        "aws:PrincipalArn": identity.principals(caller)[-1],
        "aws:RequestedRegion": signed.region,
        "aws:SecureTransport": "true",
    }


def _require(caller: identity.Caller, access: AccessRequest) -> None:
    """Check one access that a request needs. Raises identity.AccessDeniedError."""
    if access.action == "sts:AssumeRole" and access.resources:
        identity.require_trust(caller, access)
        return
    if access.action == "iam:PassRole" and not identity.is_own(caller, access):
        raise identity.AccessDeniedError("Cross-account pass role is not allowed.")
    policy = None
    # A bucket's name may be taken by another account, which is no question of permission.
    if access.resources and access.action != "s3:CreateBucket":
        policy = find_policy(access.resources[0])
    if policy is not None and access.action.startswith("s3:") and policy.owner == caller.account:
        # Within one account moto evaluates the bucket's denials, for each key of a request.
        policy = None
    identity.require(caller, access, policy)


def _require_owner(request: sigv4.Request, needed: list[AccessRequest]) -> None:
    """Check that a bucket belongs to the account that a request expects, which moto ignores.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html

    Raises:
        identity.AccessDeniedError: it belongs to another one.
    """
    expected = request.header("x-amz-expected-bucket-owner")
    if expected is None or not needed or not needed[0].resources:
        return
    bucket = find_policy(needed[0].resources[0])
    if bucket is not None and bucket.owner != expected:
        raise identity.AccessDeniedError("Access Denied")


def _invoke_error(error: InvokeError) -> Response:
    kind = "Service" if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "User"
    document = {"Type": kind, "message": error.message}
    if error.reason:
        document["Reason"] = error.reason
    headers = [("content-type", "application/json"), ("x-amzn-errortype", error.code)]
    return error.status, headers, json.dumps(document).encode()


def _client_context(header: str | None) -> str:
    """Decode the client context, JSON text in base64, which the Runtime API passes on as text.

    Raises:
        InvokeError: it is something else.
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
