"""The shell of REST APIs: finds them in moto, checks callers and policies, runs integrations.

A stage serves the snapshot that its deployment took (moto_gaps), so that a change shows with the next deployment.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
import uuid
from base64 import b64encode
from dataclasses import dataclass

from moto.apigateway.models import APIGatewayBackend, Integration, Method, RestAPI, Stage, apigateway_backends

from . import httpapi, identity, restapi, sigv4
from .gateway import Gateway, IntegrationError, NotEmulatedError, authorizer, with_stage_variables
from .httpapi import HttpRequest, HttpResponse
from .identity import ACCOUNT, Caller
from .moto_gaps.apigateway import Snapshot, snapshot_of
from .policy import AccessRequest, Decision, decide
from .restapi import Found, GatewayResponse, LeftOutError, RefusedError
from .throttle import limit

_INTEGRATION_SECONDS = 29
_SIGNATURE_ERRORS = {
    "IncompleteSignature": ("DEFAULT_4XX", "IncompleteSignatureException"),
    "SignatureDoesNotMatch": ("INVALID_SIGNATURE", "InvalidSignatureException"),
    "InvalidClientTokenId": ("DEFAULT_4XX", "UnrecognizedClientException"),
    "ExpiredToken": ("EXPIRED_TOKEN", "ExpiredTokenException"),
}


@dataclass(frozen=True, slots=True)
class _Called:
    """A request that has found its method, with the ids that API Gateway gave it."""

    api: RestAPI
    stage: Stage
    deployed: Snapshot
    found: Found
    method: Method
    request: HttpRequest
    request_id: str
    extended_id: str


class RestGateway:
    """Answers requests to REST APIs."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def knows(self, api_id: str) -> bool:
        return api_id in self._backend().apis

    async def answer(self, api_id: str, stage_name: str, request: HttpRequest, wire: sigv4.Request) -> HttpResponse:
        """Answer a request below a stage. `wire` is the request as it came."""
        api: RestAPI = self._backend().apis[api_id]
        stage = api.stages.get(stage_name)
        deployment = api.deployments.get(stage.deployment_id or "") if stage is not None else None
        deployed = snapshot_of(deployment) if deployment is not None else None
        request_id, extended_id = str(uuid.uuid4()), b64encode(secrets.token_bytes(11)).decode()
        try:
            if stage is None or deployed is None:
                raise restapi.forbidden()
            called = self._find(api, stage, deployed, request, request_id, extended_id)
            response = await self._run(called, wire)
        except RefusedError as error:
            response = restapi.refusal(error, _configured(deployed) if deployed is not None else {})
            sys.stderr.write(f"{api_id} {request.method} {request.path}: {response.status} {error}\n")
        except LeftOutError as error:
            response = httpapi.error(501, f"NotEmulatedBySandbox: {error}")
        ids = (("x-amzn-requestid", request_id), ("x-amz-apigw-id", extended_id))
        return HttpResponse(response.status, (*response.headers, *ids), response.body)

    def _backend(self) -> APIGatewayBackend:
        backend: APIGatewayBackend = apigateway_backends[ACCOUNT][self._gateway.region]
        return backend

    def _find(  # noqa: PLR0917 - the parts of what it makes
        self, api: RestAPI, stage: Stage, deployed: Snapshot, request: HttpRequest, request_id: str, extended_id: str
    ) -> _Called:
        restapi.check_size(request)
        found = restapi.match(_resources(deployed), request.method, request.path)
        if found is None:
            raise restapi.missing_token()
        method = deployed.resources[found.resource.id].resource_methods[found.method]
        called = _Called(api, stage, deployed, found, method, request, request_id, extended_id)
        if not self._allows(called):
            raise restapi.throttled()
        return called

    def _allows(self, called: _Called) -> bool:
        """Take a token of a method's and the account's bucket.

        https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html
        """
        account = self._backend().account.throttle_settings
        whole = limit(account.get("rateLimit"), account.get("burstLimit"))
        path, method = called.found.resource.path.removeprefix("/").replace("/", "~1"), called.found.method
        narrowed = whole
        for key in ("*/*", f"{path}/{method}", f"~1{path}/{method}"):  # moto keeps the path as it was given
            settings = called.stage.method_settings.get(key, {})
            narrowed = limit(settings.get("throttlingRateLimit"), settings.get("throttlingBurstLimit"), narrowed)
        bucket = (called.api.id, called.stage.name, called.found.resource.path, method)
        return self._gateway.throttle.allows([(bucket, narrowed), ("account", whole)], time.monotonic())

    async def _run(self, called: _Called, wire: sigv4.Request) -> HttpResponse:
        method = called.method
        if method.api_key_required in {True, "true"}:
            raise LeftOutError("methods that require an API key")
        if method.authorization_type not in {None, "NONE", "AWS_IAM"}:
            raise LeftOutError(f"{method.authorization_type} authorizers")
        caller = await asyncio.to_thread(self._authorize, called, wire)
        validator = called.deployed.validators.get(method.request_validator_id or "")
        if validator is not None and validator.validate_request_parameters:
            required = [name for name, needed in (method.request_parameters or {}).items() if needed in {True, "true"}]
            restapi.validate(called.request, called.found, required)
        integration = method.method_integration
        if integration is None:
            raise restapi.failed(500)
        if integration.integration_type == "MOCK":
            return _mock(called, integration)
        if integration.integration_type != "AWS_PROXY":
            raise LeftOutError(f"{integration.integration_type} integrations of REST APIs")
        return await self._invoke(called, integration, caller)

    def _authorize(self, called: _Called, wire: sigv4.Request) -> Caller | None:
        """Who calls, with AWS_IAM authorization; in one account a permission of either policy is enough.

        Raises:
            RefusedError: the caller may not.
        """
        arn = self._arn(called.api, f"{called.stage.name}/{called.request.method}{called.request.path}")
        policy = called.deployed.policy
        documents = [restapi.expand_policy(policy, self._arn(called.api, "").removesuffix("/"))] if policy else []
        context = {"aws:SourceIp": called.request.source_ip}
        caller: Caller | None = None
        decisions = set()
        names: tuple[str, ...] = ("anonymous",)
        if called.method.authorization_type == "AWS_IAM":
            caller = _authenticate(wire)
            names = (caller.arn, f"arn:aws:iam::{caller.account}:root", caller.account)
            decisions.add(decide(caller.documents, AccessRequest("execute-api:Invoke", (arn,), context=context)))
        elif not documents:
            return None
        decisions.add(decide(documents, AccessRequest("execute-api:Invoke", (arn,), names, context)))
        if Decision.DENIED in decisions or Decision.ALLOWED not in decisions:
            who = caller.arn if caller is not None else "anonymous"
            raise restapi.denied(who, arn, explicitly=Decision.DENIED in decisions)
        return caller

    async def _invoke(self, called: _Called, integration: Integration, caller: Caller | None) -> HttpResponse:
        api, stage, request = called.api, called.stage, called.request
        about = httpapi.Api(
            api.id, str(stage.name), self._gateway.domain(api.id), ACCOUNT, stage.variables or {},
            authorizer(caller) if caller is not None else None,
        )  # fmt: skip
        event = restapi.event(
            request, called.found, about, called.deployed.binary_types,
            request_id=called.request_id, extended_id=called.extended_id, now=time.time(),
        )  # fmt: skip
        source = self._arn(api, f"{stage.name}/{called.found.method}{called.found.resource.path}")
        uri = with_stage_variables(integration.uri, about.variables)
        credentials = with_stage_variables(integration.credentials or "", about.variables)
        seconds = min(_INTEGRATION_SECONDS, int(integration.timeout_in_millis or 29_000) / 1000)
        try:
            result = await self._gateway.invoke(uri, credentials, source, event, seconds)
            response = restapi.response(result.body, request.header("accept"), called.deployed.binary_types)
        except httpapi.MalformedResponseError as error:
            sys.stderr.write(f"{api.id} {request.method} {request.path}: malformed Lambda proxy response: {error}\n")
            raise restapi.failed(502) from error
        except IntegrationError as error:
            sys.stderr.write(f"{api.id} {request.method} {request.path}: {error}\n")
            if isinstance(error, NotEmulatedError):
                raise LeftOutError(str(error).removeprefix("NotEmulatedBySandbox: ")) from error
            if error.too_large:
                raise RefusedError("REQUEST_TOO_LARGE", 413, "RequestTooLargeException", "Request Too Long") from error
            raise (restapi.timed_out() if error.timed_out else restapi.failed(502 if error.ran else 500)) from error
        trace = ("x-amzn-trace-id", httpapi.trace_id(called.request_id, time.time()))
        return HttpResponse(response.status, (*response.headers, trace), response.body)

    def _arn(self, api: RestAPI, resource: str) -> str:
        return f"arn:aws:execute-api:{self._gateway.region}:{ACCOUNT}:{api.id}/{resource}"


def _authenticate(wire: sigv4.Request) -> Caller:
    try:
        caller, signed = identity.authenticate(wire)
    except sigv4.SignatureError as error:
        if error.code == "MissingAuthenticationToken":
            raise restapi.missing_token() from error
        kind, name = _SIGNATURE_ERRORS.get(error.code, ("DEFAULT_4XX", error.code))
        raise RefusedError(kind, 403, name, error.message) from error
    if signed.service != "execute-api":
        text = "Credential should be scoped to correct service: 'execute-api'. "
        raise RefusedError("INVALID_SIGNATURE", 403, "InvalidSignatureException", text)
    return caller


def _resources(deployed: Snapshot) -> list[restapi.Resource]:
    def path(resource_id: str | None) -> str:
        resource = deployed.resources.get(resource_id or "")
        if resource is None or not resource.parent_id:
            return ""
        return f"{path(resource.parent_id)}/{resource.path_part}"

    return [
        restapi.Resource(resource.id, path(resource.id) or "/", frozenset(resource.resource_methods))
        for resource in deployed.resources.values()
    ]


def _configured(deployed: Snapshot) -> dict[str, GatewayResponse]:
    return {
        kind: GatewayResponse(
            int(own.status_code) if own.status_code else None,
            own.response_parameters or {},
            (own.response_templates or {}).get("application/json"),
        )
        for kind, own in deployed.gateway_responses.items()
    }


def _mock(called: _Called, integration: Integration) -> HttpResponse:
    responses = [
        restapi.MockResponse(
            int(answer.status_code), answer.selection_pattern, answer.response_parameters or {},
            answer.response_templates or {},
        )
        for answer in (integration.integration_responses or {}).values()
    ]  # fmt: skip
    return restapi.mock(called.request, integration.request_templates or {}, responses, called.stage.variables or {})
