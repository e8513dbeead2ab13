"""The shell that HTTP, REST and WebSocket APIs share.

It finds APIs in moto, checks the caller's signature and policies, and invokes functions. What a
function gets and what its answer means is decided beside it, in pure modules.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-control-access-iam.html
https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html#apigateway-permissions
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from moto.apigateway.models import APIGatewayBackend, Method, apigateway_backends
from moto.apigatewayv2.models import (
    Api,
    ApiGatewayV2Backend,
    Integration,
    Route,
    Stage,
    apigatewayv2_backends,
)
from moto.awslambda.models import LambdaFunction

from terralive_sandbox.access import identity, sigv4
from terralive_sandbox.access.identity import AccessDeniedError, Caller
from terralive_sandbox.access.policy import AccessRequest
from terralive_sandbox.apigateway.failures import (
    Failure,
    IntegrationError,
    function_failed,
    refused,
)
from terralive_sandbox.apigateway.http_messages import not_emulated
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_sandbox.functions.invoke_api import InvokeError
from terralive_sandbox.functions.registry import Functions
from terralive_sandbox.functions.streams import StreamedInvocation
from terralive_sandbox.places import Place
from terralive_sandbox.refusals import Refusals
from terralive_stub.protocol.limits import INTEGRATION_SECONDS

T = TypeVar("T")
Event: TypeAlias = Mapping[str, object]
_FUNCTION_ARN: Final = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d+:function:[^/]+")
_STAGE_VARIABLE: Final = re.compile(r"\$\{stageVariables\.([A-Za-z0-9_]+)\}")
_ID_BYTES: Final = 11
_log: Final = logging.getLogger("terralive.sandbox")


class ForbiddenError(Exception):
    """The caller has no permission. The text is API Gateway's `message`."""


@dataclass(frozen=True, slots=True)
class DeployedStage:
    """An HTTP or WebSocket API and one of its stages, as moto holds them."""

    api: Api
    stage: Stage

    @property
    def routes(self) -> dict[str, Route]:
        """The API's routes by their keys."""
        # A copy: the control plane's thread may add a route in the meantime.
        return {route.route_key: route for route in list(self.api.routes.values())}

    def integration_of(self, route: Route) -> Integration | None:
        """Return the integration that a route targets, or None."""
        return self.api.integrations.get((route.target or "").removeprefix("integrations/"))

    @property
    def variables(self) -> Mapping[str, str]:
        """The stage variables."""
        return self.stage.stage_variables or {}


class Gateway:
    """API Gateway in all accounts and regions. It lives on the event loop.

    Attributes:
        time_scale: the factor of all timeouts, below 1 in tests.
        refusals: gets the requests that are refused, with the reason.
    """

    def __init__(
        self, functions: Functions, refusals: Refusals, *, time_scale: float = 1.0
    ) -> None:
        self.time_scale = time_scale
        self.refusals = refusals
        self._functions = functions
        # The places of APIs that were found, by their ids. An id is never used again.
        self._places: dict[str, Place] = {}

    def place_of(self, api_id: str) -> Place | None:
        """Return the account and region of an API, or None if there is none with this id."""
        known = self._places.get(api_id)
        if known is not None:
            return known
        backends: list[ApiGatewayV2Backend | APIGatewayBackend] = []
        for newer in list(apigatewayv2_backends.values()):
            backends += newer.values()
        for older in list(apigateway_backends.values()):
            backends += older.values()
        for backend in backends:
            if api_id in backend.apis:
                place = Place(backend.account_id, backend.region_name)
                self._places[api_id] = place
                return place
        return None

    def find(self, api_id: str, stage_name: str, protocol: str) -> DeployedStage | None:
        """Return the stage of an API, or None. `protocol` is `HTTP` or `WEBSOCKET`."""
        place = self.place_of(api_id)
        if place is None:
            return None
        backend: ApiGatewayV2Backend = apigatewayv2_backends[place.account][place.region]
        api = backend.apis.get(api_id)
        if api is None or api.protocol_type != protocol:
            return None
        stage = api.stages.get(stage_name)
        if stage is None:
            return None
        return DeployedStage(api, stage)

    def region(self, api_id: str) -> str:
        """Return the region of an API that exists."""
        return self._place(api_id).region

    def domain(self, api_id: str) -> str:
        """Return the host name under which AWS would serve an API that exists."""
        return f"{api_id}.execute-api.{self.region(api_id)}.amazonaws.com"

    def arn(self, api_id: str, resource: str) -> str:
        """Return the ARN of a part of an API that exists; `resource` starts with the stage."""
        place = self._place(api_id)
        return f"arn:aws:execute-api:{place.region}:{place.account}:{api_id}/{resource}"

    def _place(self, api_id: str) -> Place:
        place = self.place_of(api_id)
        if place is None:
            raise LookupError(f"there is no API {api_id}")
        return place

    def authorize(self, request: sigv4.Request, action: str, arn: str) -> Caller:
        """Verify a caller's signature and policies.

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

    async def authorize_route(
        self, deployed: DeployedStage, route: Route, request: sigv4.Request, resource: str
    ) -> Caller | None:
        """Return the caller of a route with AWS_IAM authorization, None for a public route.

        `resource` is the end of the ARN that policies name, after the stage.

        Raises:
            ForbiddenError: the caller has no permission.
            GatewayResponseError: the sandbox does not emulate the access control of the route.
        """
        check_access_control(route)
        if route.authorization_type != "AWS_IAM":
            return None
        arn = self.arn(deployed.api.api_id, f"{deployed.stage.name}/{resource}")
        # In a thread, so that evaluating policies does not hold up the event loop.
        return await asyncio.to_thread(self.authorize, request, "Invoke", arn)

    async def integrate(
        self,
        deployed: DeployedStage,
        route: Route,
        event: Event,
        read: Callable[[bytes], T],
        limit: float = INTEGRATION_SECONDS,
    ) -> T:
        """Invoke the function of a route and return its answer as `read` returns it.

        Args:
            deployed: the API and stage.
            route: one of the API's routes.
            event: the function's event.
            read: reads the function's answer; it may raise MalformedAnswerError.
            limit: the longest time in seconds that this kind of API waits.

        Raises:
            IntegrationError: there is no answer, or `read` found it malformed.
        """
        # Only Lambda proxies are emulated.
        integration = deployed.integration_of(route)
        if integration is None:
            raise IntegrationError(Failure.NOT_CONFIGURED, "the route has no integration")
        if integration.integration_type != "AWS_PROXY" or integration.integration_subtype:
            kind = integration.integration_subtype or integration.integration_type
            raise IntegrationError(Failure.NOT_EMULATED, f"{kind} integrations")
        has_mappings = integration.request_parameters or integration.response_parameters
        if deployed.api.protocol_type == "HTTP" and has_mappings:
            raise IntegrationError(Failure.NOT_EMULATED, "parameter mappings of HTTP APIs")
        # Resource policies name a route without the space of its key: `…/GET/pets`.
        route_path = route.route_key.replace(" ", "")
        return await self.invoke(
            event,
            read,
            uri=with_stage_variables(integration.integration_uri or "", deployed.variables),
            credentials=integration.credentials_arn,
            source_arn=self.arn(deployed.api.api_id, f"{deployed.stage.name}/{route_path}"),
            milliseconds=integration.timeout_in_millis,
            limit=limit,
        )

    async def invoke(
        self,
        event: Event,
        read: Callable[[bytes], T],
        *,
        uri: str,
        credentials: str | None,
        source_arn: str,
        milliseconds: int | str | None,
        limit: float = INTEGRATION_SECONDS,
        tenant_id: str = "",
    ) -> T:
        """Invoke the function of a Lambda proxy integration, and return its answer.

        Args:
            event: the function's event.
            read: reads the function's answer; it may raise MalformedAnswerError.
            uri: the integration's URI, with stage variables filled in.
            credentials: the ARN of the role that API Gateway assumes. If there is none (None or
                empty), the function's resource policy has to allow the invocation.
            source_arn: the ARN of the route or method, which resource policies may name.
            milliseconds: the time after which the integration fails, if it is configured.
            limit: the longest time in seconds that this kind of API waits.
            tenant_id: the tenant's id; "" for none.

        Raises:
            IntegrationError: there is no such function, API Gateway may not invoke it, it failed,
                it took too long, or `read` found its answer malformed.
        """
        function, arn = self._find_function(uri, credentials, source_arn)
        # A configured timeout can shorten the wait, not lengthen it.
        seconds = min(limit, int(milliseconds or limit * 1000) / 1000)
        try:
            async with asyncio.timeout(seconds * self.time_scale):
                # Shielded: a function that takes longer than API Gateway waits goes on, as on AWS.
                payload = json.dumps(event).encode()
                result = await asyncio.shield(
                    self._functions.invoke(function, payload, arn=arn, tenant_id=tenant_id)
                )
        except InvokeError as error:
            raise refused(error) from error
        except TimeoutError as error:
            why = f"{arn} took longer than {seconds} s"
            raise IntegrationError(Failure.TIMED_OUT, why) from error
        if result.function_error:
            raise function_failed(arn, result.body)
        # The function has ended well; its answer may still be malformed.
        try:
            return read(result.body)
        except MalformedAnswerError as error:
            why = f"malformed answer of {arn}: {error}"
            raise IntegrationError(Failure.MALFORMED, why) from error

    def begin_stream(
        self,
        event: Event,
        *,
        uri: str,
        credentials: str | None,
        source_arn: str,
        tenant_id: str,
    ) -> StreamedInvocation:
        """Begin to invoke the function of a Lambda proxy integration that streams.

        Args:
            event: the function's event.
            uri: the integration's URI, with stage variables filled in.
            credentials: as in `invoke`.
            source_arn: as in `invoke`.
            tenant_id: the tenant's id; "" for none.

        Raises:
            IntegrationError: there is no such function, or API Gateway may not invoke it.
        """
        function, arn = self._find_function(uri, credentials, source_arn)
        payload = json.dumps(event).encode()
        return StreamedInvocation(
            lambda stream: self._functions.invoke(
                function, payload, arn=arn, tenant_id=tenant_id, stream=stream
            )
        )

    def function_arn(self, uri: str, credentials: str | None, source_arn: str) -> str:
        """Return the ARN of the function that an integration may invoke.

        Raises:
            IntegrationError: there is no such function, or API Gateway may not invoke it.
        """
        return self._find_function(uri, credentials, source_arn)[1]

    def _find_function(
        self, uri: str, credentials: str | None, source_arn: str
    ) -> tuple[LambdaFunction, str]:
        """Return the function that an integration may invoke, and its ARN as the URI has it.

        Raises:
            IntegrationError: there is no such function, or API Gateway may not invoke it.
        """
        match = _FUNCTION_ARN.search(uri)
        if match is None:
            raise IntegrationError(Failure.NOT_EMULATED, f"an integration with {uri}")
        arn = match[0]
        _log.debug("%s invokes %s", source_arn, arn)
        try:
            function = self._functions.find(arn)
        except InvokeError as error:
            raise refused(error) from error
        if not self._may_invoke(function, arn, credentials, source_arn):
            why = f"API Gateway may not invoke {arn}: aws_lambda_permission is missing"
            self.refusals.add(f"{source_arn}: {why}")
            raise IntegrationError(Failure.NOT_PERMITTED, why)
        return function, arn

    def _may_invoke(
        self, function: LambdaFunction, arn: str, credentials: str | None, source_arn: str
    ) -> bool:
        # With a role, API Gateway is a caller of Lambda like any other.
        if credentials:
            return identity.role_may(credentials, "lambda:InvokeFunction", arn)
        return self._functions.allows(function, "apigateway.amazonaws.com", source_arn, arn)


def with_stage_variables(text: str, variables: Mapping[str, str]) -> str:
    """Fill in stage variables; one that is not set is empty.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/aws-api-gateway-stage-variables-reference.html
    """
    return _STAGE_VARIABLE.sub(lambda found: variables.get(found[1], ""), text)


def authenticate(request: sigv4.Request, service: str) -> Caller:
    """Return the caller that signed a request for this service.

    Raises:
        sigv4.SignatureError: the signature is missing or wrong, or is for another service.
    """
    caller, signed = identity.authenticate(request)
    if signed.service != service:
        text = f"Credential should be scoped to correct service: '{service}'."
        raise sigv4.SignatureError("SignatureDoesNotMatch", text)
    return caller


def check_access_control(access: Route | Method) -> None:
    """Check that the sandbox emulates the access control of a route or method.

    Raises:
        GatewayResponseError: it needs an API key, or an authorizer other than IAM.
    """
    check_api_key(access)
    kind = access.authorization_type
    if kind not in {None, "NONE", "AWS_IAM"}:
        raise not_emulated(f"{kind} authorizers")


def check_api_key(access: Route | Method) -> None:
    """Check that a route or method needs no API key.

    Raises:
        GatewayResponseError: it needs one.
    """
    if access.api_key_required in {True, "true"}:
        raise not_emulated("API keys")


def new_id() -> str:
    """Return a request or message id in API Gateway's form."""
    return b64encode(secrets.token_bytes(_ID_BYTES)).decode()


def new_connection_id() -> str:
    """Return a connection id in API Gateway's form, which is safe in a URL."""
    return b64encode(secrets.token_bytes(_ID_BYTES), altchars=b"-_").decode()
