"""The shell that decides who may call a method of a REST API.

Anyone, callers that IAM allows, or clients that a Lambda authorizer allows; and the API's resource
policy in each case.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html
"""

from __future__ import annotations

import asyncio
import dataclasses

from moto.apigateway.models import Method, RestAPI

from terralive_sandbox.access import identity, sigv4
from terralive_sandbox.access.denials import JSON_SIGNATURE_ERRORS
from terralive_sandbox.access.identity import Caller
from terralive_sandbox.access.policy import AccessRequest, Decision, decide, is_permitted
from terralive_sandbox.access.resource_policies import ResourcePolicy
from terralive_sandbox.apigateway import event_fields
from terralive_sandbox.apigateway.authorizers import decisions
from terralive_sandbox.apigateway.authorizers.decisions import (
    Answer,
    AuthorizerError,
    AuthorizerFailure,
)
from terralive_sandbox.apigateway.authorizers.identity_sources import RequestParts
from terralive_sandbox.apigateway.authorizers.lambda_authorizer import (
    LambdaAuthorizer,
    LambdaAuthorizers,
)
from terralive_sandbox.apigateway.event_fields import ApiContext
from terralive_sandbox.apigateway.http_messages import GatewayResponseError, HttpRequest
from terralive_sandbox.apigateway.integration import (
    Event,
    Gateway,
    authenticate,
    check_access_control,
    check_api_key,
    with_stage_variables,
)
from terralive_sandbox.apigateway.rest import events as rest_events
from terralive_sandbox.apigateway.rest.events import MethodMatch
from terralive_sandbox.places import Place
from terralive_stub.shared.json_documents import as_object


class MethodAuthorization:
    """Checks the access control of methods. It lives on the event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._authorizers = LambdaAuthorizers(gateway)

    async def authorize(
        self, api: RestAPI, match: MethodMatch, request: HttpRequest, context: ApiContext
    ) -> ApiContext:
        """Check the access control of the method that a request calls.

        Args:
            api: the API as its stage serves it.
            match: the method that the request calls.
            request: the request.
            context: the stage that the request came to.

        Returns:
            The context with the caller, or with the answer of the method's authorizer.

        Raises:
            GatewayResponseError: the client may not call the method, or the sandbox does not
                emulate the method's access control.
        """
        method = api.resources[match.resource.id].resource_methods[match.method]
        if method.authorization_type == "CUSTOM":
            check_api_key(method)
            try:
                answer = await self._ask_authorizer(api, method, match, request, context)
            except AuthorizerError as error:
                raise rest_events.authorizer_failed(error.failure, str(error)) from error
            return dataclasses.replace(context, authorizer=answer)
        check_access_control(method)
        # In a thread, so that evaluating policies does not hold up the event loop.
        caller = await asyncio.to_thread(self._check_policies, api, method, request, context)
        return dataclasses.replace(context, caller=caller)

    def _check_policies(
        self, api: RestAPI, method: Method, request: HttpRequest, context: ApiContext
    ) -> Caller | None:
        """Return the caller of a method with AWS_IAM authorization, None for a public method.

        Within the account of the API, a permission of either policy is enough; a caller of another
        account needs both.

        Raises:
            GatewayResponseError: the caller has no permission.
        """
        arn = self._method_arn(request, context)
        conditions = {"aws:SourceIp": request.source_ip}
        caller: Caller | None = None
        name = "anonymous"
        by_identity = Decision.NEUTRAL
        if method.authorization_type == "AWS_IAM":
            try:
                caller = authenticate(request.received, "execute-api")
            except sigv4.SignatureError as error:
                error_type = JSON_SIGNATURE_ERRORS.get(error.code, error.code)
                raise GatewayResponseError(403, error.message, error_type=error_type) from error
            name = caller.arn
            asked = AccessRequest("execute-api:Invoke", (arn,), context=conditions)
            by_identity = decide(caller.documents, asked)
        # A public method of an API without a policy has nothing to decide.
        elif not api.policy:
            return None
        by_resource = self._resource_decision(api, caller, request, context)
        same_account = caller is None or caller.account == Place.of(arn).account
        if not is_permitted(by_identity, by_resource, same_account=same_account):
            explicitly = Decision.DENIED in {by_identity, by_resource}
            raise rest_events.access_denied(name, arn, explicitly=explicitly)
        return caller

    async def _ask_authorizer(
        self,
        api: RestAPI,
        method: Method,
        match: MethodMatch,
        request: HttpRequest,
        context: ApiContext,
    ) -> Answer:
        """Return the answer of a method's authorizer that lets the client call the method.

        The resource policy may deny before the function runs. After that, a permission of either
        policy is enough.

        Raises:
            AuthorizerError: the client may not call the method.
            GatewayResponseError: the resource policy denies the request.
        """
        arn = self._method_arn(request, context)
        by_resource = self._resource_decision(api, None, request, context)
        if by_resource is Decision.DENIED:
            raise rest_events.access_denied("anonymous", arn, explicitly=True)
        authorizer = self._authorizer_of(api, method, context)
        integration_event = rest_events.event(request, match, context, api.binaryMediaTypes)

        def make_event(values: tuple[str, ...]) -> Event:
            if authorizer.is_token:
                return rest_events.token_authorizer_event(values[0], arn)
            return event_fields.authorizer_event(integration_event, arn)

        parts = RequestParts(
            headers=request.headers,
            query=request.query,
            stage_variables=context.variables,
            context=as_object(integration_event["requestContext"]),
        )
        read = decisions.policy_with_texts
        answer = await self._authorizers.ask(authorizer, parts, make_event, read)
        by_authorizer = answer.decision(arn, request.source_ip)
        if not is_permitted(by_authorizer, by_resource, same_account=True):
            decisions.require_allowed(by_authorizer, arn)
        return answer

    def _authorizer_of(self, api: RestAPI, method: Method, context: ApiContext) -> LambdaAuthorizer:
        """Return the authorizer of a method.

        Raises:
            AuthorizerError: the API has no such authorizer (BROKEN).
        """
        found = api.authorizers.get(method.authorizer_id or "")
        if found is None:
            why = f"there is no authorizer {method.authorizer_id}"
            raise AuthorizerError(AuthorizerFailure.BROKEN, why)
        sources = (found.identity_source or "").split(",")
        return LambdaAuthorizer(
            arn=self._gateway.arn(api.id, f"authorizers/{found.id}"),
            stage=context.stage,
            uri=with_stage_variables(found.authorizer_uri or "", context.variables),
            credentials=with_stage_variables(found.authorizer_credentials or "", context.variables),
            identity_sources=tuple(source.strip() for source in sources if source.strip()),
            ttl_seconds=int(found.authorizer_result_ttl or 0),
            is_token=found.type == "TOKEN",
            token_pattern=found.identity_validation_expression or "",
        )

    def _method_arn(self, request: HttpRequest, context: ApiContext) -> str:
        resource = f"{context.stage}/{request.method}{request.path}"
        return self._gateway.arn(context.id, resource)

    def _resource_decision(
        self,
        api: RestAPI,
        caller: Caller | None,
        request: HttpRequest,
        context: ApiContext,
    ) -> Decision:
        """Return the decision of the API's resource policy; NEUTRAL without one."""
        if not api.policy:
            return Decision.NEUTRAL
        whole_api = self._gateway.arn(api.id, "").removesuffix("/")
        document = rest_events.expand_policy(api.policy, whole_api)
        arn = self._method_arn(request, context)
        conditions = {"aws:SourceIp": request.source_ip}
        asked = AccessRequest("execute-api:Invoke", (arn,), context=conditions)
        policy = ResourcePolicy(Place.of(arn).account, document)
        return identity.decide_by_resource(policy, asked, caller)
