"""Function URLs: a request to `/_sandbox/url/{id}/…` runs a function, with payload format 2.0.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import uuid

from moto.awslambda.models import LambdaFunction, lambda_backends

from terralive_sandbox.access import identity, sigv4
from terralive_sandbox.access.identity import ACCOUNT, Caller
from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.answers import Answer
from terralive_sandbox.apigateway.cors import Cors
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http import events as http_events
from terralive_sandbox.apigateway.http.events import RouteMatch
from terralive_sandbox.apigateway.http_messages import HttpRequest
from terralive_sandbox.apigateway.integration import authenticate
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_sandbox.control.moto_gaps.lambda_.function_urls import FunctionUrl, urls_of
from terralive_sandbox.functions.invoke_api import InvokeError
from terralive_sandbox.functions.registry import Functions

PATH = re.compile(r"/_sandbox/url/(?P<id>[a-z0-9]+)(?P<path>/.*)?")
# Since October 2025 both, unless an account had function URLs before (AWS: urls-auth).
_ACTIONS = ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")


class _ForbiddenError(Exception):
    """The caller may not; the text is for the log."""


class FunctionUrls:
    """Answers requests to function URLs."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    async def answer(self, found: re.Match[str], wire: sigv4.Request, source_ip: str) -> Answer:
        """Answer a request. `found` is a match of PATH, `wire` the request as it came."""
        url = next(
            (
                u
                for u in urls_of(lambda_backends[ACCOUNT][self._functions.region])
                if u.id == found["id"]
            ),
            None,
        )
        if url is None:
            return _message(403, "Forbidden", "AccessDeniedException")
        request = HttpRequest(
            wire.method, found["path"] or "/", wire.query, wire.sent_headers(), wire.body, source_ip
        )
        cors = (
            Cors.of({name[0].lower() + name[1:]: value for name, value in url.cors.items()})
            if url.cors
            else None
        )
        origin = request.header("origin")
        if cors is not None and request.method == "OPTIONS" and origin:
            asked = request.header("access-control-request-method")
            return 200, cors.preflight(origin, asked), b""
        try:
            function = self._functions.find(url.function_arn)
            caller = await asyncio.to_thread(self._admit, url, function, wire)
        except _ForbiddenError as error:
            sys.stderr.write(f"function URL of {url.function_arn}: 403 {error}\n")
            return _message(403, "Forbidden", "AccessDeniedException")
        except InvokeError as error:
            return _message(error.status, error.message, error.code)
        status, headers, body = await self._run(url, function, request, caller)
        return status, headers if cors is None else cors.response(origin, headers), body

    async def _run(
        self,
        url: FunctionUrl,
        function: LambdaFunction,
        request: HttpRequest,
        caller: Caller | None,
    ) -> Answer:
        request_id = str(uuid.uuid4())
        domain = f"{url.id}.lambda-url.{url.region}.on.aws"
        api = ApiContext(
            url.id, "$default", domain, "anonymous" if caller is None else ACCOUNT, caller=caller
        )
        event = http_events.event_v2(request, RouteMatch("$default"), api, request_id, time.time())
        base = [("x-amzn-requestid", request_id)]
        try:
            result = await self._functions.invoke(
                function, json.dumps(event).encode(), arn=url.function_arn, request_id=request_id
            )
        except InvokeError as error:
            return _message(error.status, error.message, error.code)
        if not result.function_error:
            try:
                response = http_events.response_v2(result.body)
            except MalformedAnswerError as error:
                sys.stderr.write(
                    f"function URL of {url.function_arn}: malformed response: {error}\n"
                )
            else:
                return response.status, [*response.headers, *base], response.body
        return 502, [*base, ("content-type", "application/json")], b"Internal Server Error"

    def _admit(
        self, url: FunctionUrl, function: LambdaFunction, wire: sigv4.Request
    ) -> Caller | None:
        """The caller, None for anybody. Raises _ForbiddenError."""
        context = {
            "lambda:FunctionUrlAuthType": url.auth_type,
            "lambda:InvokedViaFunctionUrl": "true",
        }
        caller = None
        if url.auth_type != "NONE":
            try:
                caller = authenticate(wire, "lambda")
            except sigv4.SignatureError as error:
                raise _ForbiddenError(error.message) from error
        for action in _ACTIONS:
            by_identity = Decision.NEUTRAL
            if caller is not None:
                asked = AccessRequest(action, (url.function_arn,), context=context)
                by_identity = decide(caller.documents, asked)
            names = ("*",) if caller is None else identity.principals(caller)
            by_resource = self._functions.decides(
                function, action, names, url.function_arn, context
            )
            if Decision.DENIED in {by_identity, by_resource} or Decision.ALLOWED not in {
                by_identity,
                by_resource,
            }:
                raise _ForbiddenError(f"{names[0]} may not {action} on {url.function_arn}")
        return caller


def _message(status: int, text: str, code: str) -> Answer:
    headers = [("content-type", "application/json"), ("x-amzn-errortype", code)]
    return status, headers, json.dumps({"Message": text}).encode()
