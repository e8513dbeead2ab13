"""Function URLs: a request to `/_sandbox/url/{id}/…` invokes a function, with payload format 2.0.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import sys
import time
import uuid
from dataclasses import replace
from typing import Final

from moto.awslambda.models import LambdaFunction, lambda_backends

from terralive_sandbox.access import identity, sigv4
from terralive_sandbox.access.identity import Caller
from terralive_sandbox.access.policy import AccessRequest, decide, is_permitted
from terralive_sandbox.access.resource_policies import ResourcePolicy
from terralive_sandbox.apigateway import streamed_answers
from terralive_sandbox.apigateway.cors import Cors
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http import events as http_events
from terralive_sandbox.apigateway.http.events import RouteMatch
from terralive_sandbox.apigateway.http_messages import HttpRequest, HttpResponse
from terralive_sandbox.apigateway.integration import ForbiddenError, authenticate
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_sandbox.control.moto_gaps.lambda_.function_urls import FunctionUrl, urls_of
from terralive_sandbox.functions.invoke_api import InvokeError, InvokeResponse
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.functions.streams import StreamedInvocation
from terralive_sandbox.places import Place
from terralive_sandbox.refusals import Refusals
from terralive_sandbox.responses import Answer, Response, StreamedResponse

PATH: Final = re.compile(r"/_sandbox/url/(?P<id>[a-z0-9]+)(?P<path>/.*)?")
# Since October 2025 a caller needs both, unless the account had function URLs before (urls-auth).
_ACTIONS: Final = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")


class FunctionUrls:
    """Answers requests to function URLs."""

    def __init__(self, functions: Functions, refusals: Refusals) -> None:
        self._functions = functions
        self._refusals = refusals

    async def answer(self, found: re.Match[str], received: sigv4.Request, source_ip: str) -> Answer:
        """Answer a request.

        Args:
            found: a match of PATH with the request's path.
            received: the request as it came, for the check of its signature.
            source_ip: the client's address.
        """
        url = self._find(found["id"])
        if url is None:
            return _error_response(403, "Forbidden", "AccessDeniedException")
        request = HttpRequest.below(found["path"] or "/", received, source_ip)
        # Lambda's field names are those of APIs, capitalized.
        configuration = url.cors or {}
        cors = Cors({name[0].lower() + name[1:]: value for name, value in configuration.items()})
        origin = request.header("origin")
        # Lambda answers a preflight itself, without the function and for any caller.
        if configuration and request.method == "OPTIONS" and origin:
            preflight_method = request.header("access-control-request-method")
            return 200, cors.preflight(origin, preflight_method), b""
        # In a thread, so that evaluating policies does not hold up the event loop.
        try:
            function = self._functions.find(url.function_arn)
            caller = await asyncio.to_thread(self._authorize, url, function, request)
        except ForbiddenError as error:
            self._refusals.add(f"function URL of {url.function_arn}: 403 {error}")
            return _error_response(403, "Forbidden", "AccessDeniedException")
        except InvokeError as error:
            return _error_response(error.status, error.message, error.code)
        answer = await self._invoke(url, function, request, caller)
        if configuration:
            answer = _with_cors(cors, origin, answer)
        return answer

    def _find(self, url_id: str) -> FunctionUrl | None:
        for account in list(lambda_backends.values()):
            for backend in list(account.values()):
                for url in urls_of(backend):
                    if url.id == url_id:
                        return url
        return None

    async def _invoke(
        self,
        url: FunctionUrl,
        function: LambdaFunction,
        request: HttpRequest,
        caller: Caller | None,
    ) -> Answer:
        request_id = str(uuid.uuid4())
        # AWS names no account for a caller that it does not know.
        account = "anonymous" if caller is None else Place.of(url.function_arn).account
        context = ApiContext(
            id=url.id,
            stage="$default",
            domain=f"{url.id}.lambda-url.{url.region}.on.aws",
            request_id=request_id,
            extended_id=request_id,
            now=time.time(),
            account=account,
            caller=caller,
        )
        event = http_events.event_v2(request, RouteMatch("$default"), context)
        id_header = ("x-amzn-requestid", request_id)
        invoke = functools.partial(
            self._functions.invoke,
            function,
            json.dumps(event).encode(),
            arn=url.function_arn,
            request_id=request_id,
        )
        try:
            if url.invoke_mode == "RESPONSE_STREAM":
                invocation = StreamedInvocation(lambda stream: invoke(stream=stream))
                streamed = await _streamed(invocation)
                streamed.headers.append(id_header)
                return streamed
            response = _whole(await invoke())
        except InvokeError as error:
            return _error_response(error.status, error.message, error.code)
        except (MalformedAnswerError, _FunctionError) as error:
            if isinstance(error, MalformedAnswerError):
                text = f"function URL of {url.function_arn}: malformed response: {error}\n"
                sys.stderr.write(text)
            # Whatever goes wrong in the function, the client gets the same answer.
            json_header = ("content-type", "application/json")
            return 502, [id_header, json_header], b"Internal Server Error"
        response.headers.append(id_header)
        return response

    def _authorize(
        self, url: FunctionUrl, function: LambdaFunction, request: HttpRequest
    ) -> Caller | None:
        """Return the caller of a URL with AWS_IAM authorization, None for a public URL.

        Raises:
            ForbiddenError: the caller has no permission.
        """
        context = {
            "lambda:FunctionUrlAuthType": url.auth_type,
            "lambda:InvokedViaFunctionUrl": "true",
        }
        caller: Caller | None = None
        documents: tuple[str, ...] = ()
        name = "anonymous"
        owner = Place.of(url.function_arn).account
        same_account = True
        if url.auth_type != "NONE":
            try:
                caller = authenticate(request.received, "lambda")
            except sigv4.SignatureError as error:
                raise ForbiddenError(error.message) from error
            name = caller.arn
            documents = caller.documents
            same_account = caller.account == owner
        policy = ResourcePolicy(owner, self._functions.policy(function))
        # Both actions have to be allowed, each by the caller's policies or by the function's.
        for action in _ACTIONS:
            asked = AccessRequest(action, (url.function_arn,), context=context)
            by_identity = decide(documents, asked)
            by_resource = identity.decide_by_resource(policy, asked, caller)
            if not is_permitted(by_identity, by_resource, same_account=same_account):
                needed = " and ".join(_ACTIONS)
                raise ForbiddenError(
                    f"{name} may not {action} on {url.function_arn}. A function URL needs "
                    f"permissions for {needed} (aws_lambda_permission, one for each)."
                )
        return caller


def _with_cors(cors: Cors, origin: str, answer: Answer) -> Answer:
    if isinstance(answer, StreamedResponse):
        return replace(answer, headers=cors.response(origin, answer.headers))
    status, headers, body = answer
    return status, cors.response(origin, headers), body


def _whole(result: InvokeResponse) -> HttpResponse:
    """Return the response of a function that does not stream.

    Raises:
        MalformedAnswerError: its answer is not what payload format 2.0 is.
        _FunctionError: it has failed.
    """
    if result.function_error:
        raise _FunctionError
    return http_events.response_v2(result.body)


async def _streamed(invocation: StreamedInvocation) -> StreamedResponse:
    """Return the response of a function that streams it, once it begins.

    A function that does not stream has its answer sent as it is, like a stream without a prelude.

    Raises:
        InvokeError: Lambda does not run the function.
        MalformedAnswerError: the answer has no prelude although its type announces one.
        _FunctionError: the function has failed before the response begins.
    """
    has_body = await invocation.begins()
    if not has_body and (await invocation.result()).function_error:
        raise _FunctionError
    pieces = invocation.pieces()
    if not has_body or invocation.content_type != streamed_answers.PRELUDE_TYPE:
        headers = [("content-type", invocation.content_type or "application/octet-stream")]
        return StreamedResponse(200, headers, streamed_answers.unbroken(invocation, b"", pieces))
    try:
        prelude, body = await streamed_answers.read_prelude(pieces)
        status, headers = streamed_answers.status_and_headers(prelude, has_lists=False)
    except MalformedAnswerError:
        # The function may have failed within its prelude. It runs on in any case.
        await pieces.aclose()
        raise
    return StreamedResponse(status, headers, streamed_answers.unbroken(invocation, body, pieces))


class _FunctionError(Exception):
    """The function has failed before there is anything to send."""


def _error_response(status: int, message: str, code: str) -> Response:
    headers = [("content-type", "application/json"), ("x-amzn-errortype", code)]
    return status, headers, json.dumps({"Message": message}).encode()
