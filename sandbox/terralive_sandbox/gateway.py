"""API Gateway's shell around the pure parts: finds APIs in moto, checks callers, invokes functions.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-control-access-iam.html
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sys
import time
from base64 import b64encode
from dataclasses import dataclass

from moto.apigatewayv2.models import Api, ApiGatewayV2Backend, Route, Stage, apigatewayv2_backends

from terralive_stub.limits import INTEGRATION_SECONDS

from . import httpapi, identity, sigv4
from .identity import ACCOUNT, AccessDeniedError, Caller
from .lambdas import Functions, InvokeError, Result
from .policy import AccessRequest, Decision, decide

_HTTP_INTEGRATION_SECONDS = 30
_FUNCTION_ARN = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d+:function:[^/]+")


class IntegrationError(Exception):
    """An integration gave no usable answer; `timed_out` tells a 503 from a 500."""

    def __init__(self, why: str, *, timed_out: bool = False) -> None:
        super().__init__(why)
        self.timed_out = timed_out


class NotEmulatedError(IntegrationError):
    """The sandbox leaves this kind of integration out; the text names it."""


class ForbiddenError(Exception):
    """The caller may not; the text is API Gateway's `message`."""


@dataclass(frozen=True, slots=True)
class Target:
    """An API and its stage, as moto holds them."""

    api: Api
    stage: Stage

    @property
    def routes(self) -> dict[str, Route]:
        return {route.route_key: route for route in list(self.api.routes.values())}


class Gateway:
    """Both kinds of API. `time_scale` shortens timeouts for tests."""

    def __init__(self, region: str, functions: Functions, *, time_scale: float = 1.0) -> None:
        self.region = region
        self.time_scale = time_scale
        self._functions = functions

    def find(self, api_id: str, stage_name: str, protocol: str) -> Target | None:
        backend: ApiGatewayV2Backend = apigatewayv2_backends[ACCOUNT][self.region]
        api = backend.apis.get(api_id)
        if api is None or api.protocol_type != protocol:
            return None
        stage = api.stages.get(stage_name)
        return None if stage is None else Target(api, stage)

    def split_stage(self, api_id: str, path: str) -> tuple[str, str]:
        """Stage and the path below it, of a path whose first segment may name a stage."""
        first, _, rest = path.lstrip("/").partition("/")
        if self.find(api_id, first, "HTTP") is not None:
            return first, "/" + rest
        return "$default", path or "/"

    def domain(self, api_id: str) -> str:
        return f"{api_id}.execute-api.{self.region}.amazonaws.com"

    def arn(self, target: Target, resource: str) -> str:
        return f"arn:aws:execute-api:{self.region}:{ACCOUNT}:{target.api.api_id}/{target.stage.name}/{resource}"

    def authorize(self, request: sigv4.Request, action: str, arn: str) -> Caller:
        """Verify a caller's signature and policy.

        Raises:
            ForbiddenError: API Gateway answers 403 with this text.
        """
        try:
            caller, signed = identity.authenticate(request)
            if signed.service != "execute-api":
                raise ForbiddenError("Credential should be scoped to correct service: 'execute-api'.")
            identity.require(caller, AccessRequest(f"execute-api:{action}", (arn,)))
        except sigv4.SignatureError as error:
            raise ForbiddenError(error.message) from error
        except AccessDeniedError as error:
            raise ForbiddenError(str(error)) from error
        return caller

    async def http(self, target: Target, request: httpapi.HttpRequest, wire: sigv4.Request) -> httpapi.HttpResponse:
        """Answer a request to an HTTP API. `wire` is the request as it came."""
        found = httpapi.match(target.routes, request.method, request.path)
        if found is None:
            return httpapi.error(404, "Not Found")
        route = target.routes[found.route_key]
        authorizer: dict[str, object] | None = None
        if route.authorization_type == "AWS_IAM":
            arn = self.arn(target, f"{request.method}{request.path}")
            try:
                caller = await asyncio.to_thread(self.authorize, wire, "Invoke", arn)
            except ForbiddenError as error:
                sys.stderr.write(f"{found.route_key}: 403 {error}\n")
                return httpapi.error(403, "Forbidden")
            authorizer = {"iam": _authorizer(caller)}
        elif route.authorization_type not in {None, "NONE"}:
            return httpapi.error(501, f"NotEmulatedBySandbox: {route.authorization_type} authorizers")
        api = httpapi.Api(
            target.api.api_id, target.stage.name, self.domain(target.api.api_id), ACCOUNT,
            target.stage.stage_variables or {}, authorizer,
        )  # fmt: skip
        event = httpapi.event(request, found, api, new_id(), time.time())
        source = found.route_key if found.route_key == "$default" else found.route_key.replace(" ", "")
        try:
            result = await self.integrate(target, route, source, event, _HTTP_INTEGRATION_SECONDS)
            return httpapi.response(result.body)
        except (IntegrationError, httpapi.MalformedResponseError) as error:
            sys.stderr.write(f"{target.api.api_id} {found.route_key}: {error}\n")
            if isinstance(error, IntegrationError) and error.timed_out:
                return httpapi.error(503, "Service Unavailable")
            return httpapi.error(500, "Internal Server Error")

    async def integrate(
        self, target: Target, route: Route, source: str, event: dict[str, object], limit: float = INTEGRATION_SECONDS
    ) -> Result:
        """Invoke a route's function.

        Raises:
            IntegrationError: there is none, it may not be invoked, it failed or took too long.
        """
        integration = target.api.integrations.get((route.target or "").removeprefix("integrations/"))
        match = _FUNCTION_ARN.search(integration.integration_uri or "") if integration is not None else None
        if integration is None or match is None or integration.integration_type != "AWS_PROXY":
            raise NotEmulatedError("NotEmulatedBySandbox: only AWS_PROXY integrations with a Lambda function are")
        if target.api.protocol_type == "HTTP" and integration.payload_format_version != "2.0":
            raise NotEmulatedError("NotEmulatedBySandbox: only payload format 2.0 is")
        arn = match[0]
        try:
            function = self._functions.find(arn)
            if integration.credentials_arn:
                asked = AccessRequest("lambda:InvokeFunction", (arn,))
                allowed = decide(identity.role_documents(integration.credentials_arn), asked) is Decision.ALLOWED
            else:
                allowed = self._functions.allows(function, "apigateway.amazonaws.com", self.arn(target, source))
            if not allowed:
                raise IntegrationError(f"API Gateway may not invoke {arn}: aws_lambda_permission is missing")
            milliseconds = int(integration.timeout_in_millis or limit * 1000)
            seconds = min(limit, milliseconds / 1000) * self.time_scale
            async with asyncio.timeout(seconds):
                # shielded: what ran too long for the gateway runs on, as on AWS
                result = await asyncio.shield(self._functions.invoke(function, json.dumps(event).encode(), arn=arn))
        except InvokeError as error:
            raise IntegrationError(f"{error.code}: {error.message}") from error
        except TimeoutError as error:
            raise IntegrationError(f"{arn} took longer than {limit} s", timed_out=True) from error
        if result.function_error:
            raise IntegrationError(f"{arn} failed: {result.body.decode('utf-8', 'replace')[:500]}")
        return result


def _authorizer(caller: Caller) -> dict[str, object]:
    return {
        "accessKey": caller.access_key_id,
        "accountId": caller.account,
        "callerId": caller.user_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": caller.arn,
        "userId": caller.user_id,
    }


def new_id() -> str:
    """A request or message id in API Gateway's form."""
    return b64encode(secrets.token_bytes(11)).decode()


def new_connection_id() -> str:
    return b64encode(secrets.token_bytes(11), altchars=b"-_").decode()
