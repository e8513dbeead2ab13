"""What every kind of API shares: finds APIs in moto, checks callers, invokes functions.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-control-access-iam.html
https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html#apigateway-permissions
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias, TypeVar

from moto.apigateway.models import Method
from moto.apigatewayv2.models import Api, ApiGatewayV2Backend, Route, Stage, apigatewayv2_backends

from terralive_sandbox.access import identity, sigv4
from terralive_sandbox.access.identity import ACCOUNT, AccessDeniedError, Caller
from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_sandbox.functions.invoke_api import InvokeError
from terralive_sandbox.functions.registry import Functions
from terralive_stub.protocol.limits import INTEGRATION_SECONDS

T = TypeVar("T")
Event: TypeAlias = Mapping[str, object]
_FUNCTION_ARN = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d+:function:[^/]+")
_STAGE_VARIABLE = re.compile(r"\$\{stageVariables\.([A-Za-z0-9_]+)\}")


class Failure(Enum):
    """Why an integration gave no answer."""

    NOT_EMULATED = auto()
    NOT_CONFIGURED = auto()
    NOT_PERMITTED = auto()  # the function's resource policy does not let API Gateway invoke it
    TOO_LARGE = auto()  # the event is larger than Lambda takes
    REFUSED = auto()  # by Lambda, for another reason
    TIMED_OUT = auto()
    FUNCTION_FAILED = auto()
    MALFORMED = auto()  # the function's answer is not what a proxy integration has to give


class IntegrationError(Exception):
    """An integration gave no answer; the text names what is not emulated, else it is for the log."""

    def __init__(self, failure: Failure, text: str) -> None:
        super().__init__(
            f"NotEmulatedBySandbox: {text}" if failure is Failure.NOT_EMULATED else text
        )
        self.failure = failure


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
    """All kinds of API. `time_scale` shortens timeouts for tests."""

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

    def domain(self, api_id: str) -> str:
        return f"{api_id}.execute-api.{self.region}.amazonaws.com"

    def arn(self, api_id: str, resource: str) -> str:
        """Of what a caller asks for; `resource` starts with the stage's name."""
        return f"arn:aws:execute-api:{self.region}:{ACCOUNT}:{api_id}/{resource}"

    def authorize(self, request: sigv4.Request, action: str, arn: str) -> Caller:
        """Verify a caller's signature and policy.

        Raises:
            ForbiddenError: API Gateway answers 403 with this text.
        """
        try:
            caller = authenticate(request, "execute-api")
            identity.require(caller, AccessRequest(f"execute-api:{action}", (arn,)))
        except sigv4.SignatureError as error:
            raise ForbiddenError(error.message) from error
        except AccessDeniedError as error:
            raise ForbiddenError(str(error)) from error
        return caller

    async def integrate(
        self,
        target: Target,
        route: Route,
        event: Event,
        read: Callable[[bytes], T],
        limit: float = INTEGRATION_SECONDS,
    ) -> T:
        """Invoke a route's function; its answer as `read` has it. Raises as `invoke` does."""
        integration = target.api.integrations.get(
            (route.target or "").removeprefix("integrations/")
        )
        if integration is None:
            raise IntegrationError(Failure.NOT_CONFIGURED, "the route has no integration")
        if integration.integration_type != "AWS_PROXY" or integration.integration_subtype:
            kind = integration.integration_subtype or integration.integration_type
            raise IntegrationError(Failure.NOT_EMULATED, f"{kind} integrations")
        if target.api.protocol_type == "HTTP" and (
            integration.request_parameters or integration.response_parameters
        ):
            raise IntegrationError(Failure.NOT_EMULATED, "parameter mappings of HTTP APIs")
        milliseconds = int(integration.timeout_in_millis or limit * 1000)
        uri = with_stage_variables(
            integration.integration_uri or "", target.stage.stage_variables or {}
        )
        source = self.arn(
            target.api.api_id, f"{target.stage.name}/{route.route_key.replace(' ', '')}"
        )
        return await self.invoke(
            uri, integration.credentials_arn, source, event, read, min(limit, milliseconds / 1000)
        )

    async def invoke(  # noqa: PLR0917 - the parts of an invocation
        self,
        uri: str,
        credentials: str | None,
        source_arn: str,
        event: Event,
        read: Callable[[bytes], T],
        seconds: float,
    ) -> T:
        """Invoke the function that an integration's URI names, on behalf of `source_arn` or with a role.

        Raises:
            IntegrationError: there is none, it may not be invoked, it failed, took longer than
                `seconds`, or `read` found its answer malformed.
        """
        match = _FUNCTION_ARN.search(uri)
        if match is None:
            raise IntegrationError(Failure.NOT_EMULATED, f"an integration with {uri}")
        arn = match[0]
        try:
            function = self._functions.find(arn)
            if credentials:
                asked = AccessRequest("lambda:InvokeFunction", (arn,))
                allowed = decide(identity.role_documents(credentials), asked) is Decision.ALLOWED
            else:
                allowed = self._functions.allows(
                    function, "apigateway.amazonaws.com", source_arn, arn
                )
            if not allowed:
                why = f"API Gateway may not invoke {arn}: aws_lambda_permission is missing"
                raise IntegrationError(Failure.NOT_PERMITTED, why)
            async with asyncio.timeout(seconds * self.time_scale):
                # shielded: what ran too long for the gateway runs on, as on AWS
                result = await asyncio.shield(
                    self._functions.invoke(function, json.dumps(event).encode(), arn=arn)
                )
        except InvokeError as error:
            failure = (
                Failure.TOO_LARGE if error.code == "RequestTooLargeException" else Failure.REFUSED
            )
            raise IntegrationError(failure, f"{error.code}: {error.message}") from error
        except TimeoutError as error:
            raise IntegrationError(
                Failure.TIMED_OUT, f"{arn} took longer than {seconds} s"
            ) from error
        if result.function_error:
            text = result.body.decode("utf-8", "replace")[:500]
            raise IntegrationError(Failure.FUNCTION_FAILED, f"{arn} failed: {text}")
        try:
            return read(result.body)
        except MalformedAnswerError as error:
            raise IntegrationError(
                Failure.MALFORMED, f"malformed Lambda proxy response: {error}"
            ) from error


def with_stage_variables(text: str, variables: Mapping[str, str]) -> str:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/aws-api-gateway-stage-variables-reference.html."""
    return _STAGE_VARIABLE.sub(lambda found: variables.get(found[1], ""), text)


def authenticate(request: sigv4.Request, service: str) -> Caller:
    """Who signed a request for this service. Raises sigv4.SignatureError."""
    caller, signed = identity.authenticate(request)
    if signed.service != service:
        text = f"Credential should be scoped to correct service: '{service}'."
        raise sigv4.SignatureError("SignatureDoesNotMatch", text)
    return caller


def left_out_of(access: Route | Method) -> str:
    """What of a route's or method's access control is not emulated."""
    if access.api_key_required in {True, "true"}:
        return "API keys"
    kind = access.authorization_type
    return "" if kind in {None, "NONE", "AWS_IAM"} else f"{kind} authorizers"


def new_id() -> str:
    """A request or message id in API Gateway's form."""
    return b64encode(secrets.token_bytes(11)).decode()


def new_connection_id() -> str:
    return b64encode(secrets.token_bytes(11), altchars=b"-_").decode()
