"""The shell of Lambda authorizers: it invokes the function of an authorizer and keeps its answer.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from moto.apigatewayv2.models import Route

from terralive_sandbox.apigateway.authorizers import decisions, identity_sources
from terralive_sandbox.apigateway.authorizers.cache import AnswerCache, CacheKey
from terralive_sandbox.apigateway.authorizers.decisions import (
    Answer,
    AuthorizerError,
    AuthorizerFailure,
)
from terralive_sandbox.apigateway.authorizers.identity_sources import RequestParts
from terralive_sandbox.apigateway.failures import Failure, IntegrationError
from terralive_sandbox.apigateway.http_messages import not_emulated
from terralive_sandbox.apigateway.integration import (
    DeployedStage,
    Event,
    Gateway,
    with_stage_variables,
)
from terralive_stub.protocol.limits import INTEGRATION_SECONDS

# Returns the function's event for the values of the identity sources.
MakeEvent: TypeAlias = Callable[[tuple[str, ...]], Event]


@dataclass(frozen=True, slots=True)
class LambdaAuthorizer:
    """A Lambda authorizer of an API and its stage.

    Attributes:
        arn: the ARN of the authorizer, which the function's resource policy may name.
        stage: the stage's name.
        uri: the URI of its function, with stage variables filled in.
        credentials: the ARN of the role that API Gateway assumes to invoke the function. If it is
            empty, the function's resource policy has to allow the invocation.
        identity_sources: the parts of a request that it needs.
        ttl_seconds: the time for which an answer is kept; 0 if none is kept.
        is_token: whether its function gets the token alone; only REST APIs have such authorizers.
        token_pattern: the regular expression for a token; empty if it takes every token.
        limit: the longest time in seconds that this kind of API waits for an answer.
        payload_format: the version of the event's format; only HTTP APIs have 2.0.
        has_simple_responses: whether its function answers with a boolean instead of a policy.
    """

    arn: str
    stage: str
    uri: str
    credentials: str
    identity_sources: tuple[str, ...]
    ttl_seconds: int = 0
    is_token: bool = False
    token_pattern: str = ""
    limit: float = INTEGRATION_SECONDS
    payload_format: str = "1.0"
    has_simple_responses: bool = False


class LambdaAuthorizers:
    """The authorizers of one kind of API, with their kept answers. It lives on the event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._cache = AnswerCache()

    async def ask(
        self,
        authorizer: LambdaAuthorizer,
        parts: RequestParts,
        make_event: MakeEvent,
        read: Callable[[bytes], Answer],
    ) -> Answer:
        """Return the answer of an authorizer for a request: a kept one, or its function's.

        Args:
            authorizer: the authorizer.
            parts: the parts of the request that identity sources can name.
            make_event: returns the function's event.
            read: reads the function's answer; it may raise MalformedAnswerError.

        Raises:
            AuthorizerError: the request lacks an identity source, or the function says that it has
                no valid one (UNAUTHORIZED); or there is no answer, or a malformed one (BROKEN).
            GatewayResponseError: the sandbox does not emulate this authorizer.
        """
        identity = _identity_of(authorizer, parts)
        key = CacheKey(authorizer.arn, authorizer.stage, identity)
        kept = self._cache.find(key, time.monotonic())
        if kept is not None:
            return kept
        started = time.monotonic()
        answer = await self._invoke(authorizer, make_event(identity), read)
        now = time.monotonic()
        # Without identity sources all clients would share one answer.
        if identity and authorizer.ttl_seconds:
            expires = now + authorizer.ttl_seconds * self._gateway.time_scale
            self._cache.keep(key, answer, expires=expires, now=now)
        return dataclasses.replace(answer, latency=int((now - started) * 1000))

    async def _invoke(
        self, authorizer: LambdaAuthorizer, event: Event, read: Callable[[bytes], Answer]
    ) -> Answer:
        try:
            return await self._gateway.invoke(
                event,
                read,
                uri=authorizer.uri,
                credentials=authorizer.credentials,
                source_arn=authorizer.arn,
                milliseconds=None,
                limit=authorizer.limit,
            )
        except IntegrationError as error:
            if error.failure is Failure.NOT_EMULATED:
                raise not_emulated(f"an authorizer with {authorizer.uri}") from error
            failure = AuthorizerFailure.BROKEN
            if decisions.says_unauthorized(error.answer):
                failure = AuthorizerFailure.UNAUTHORIZED
            raise AuthorizerError(failure, f"the authorizer gave no answer: {error}") from error


def _identity_of(authorizer: LambdaAuthorizer, parts: RequestParts) -> tuple[str, ...]:
    """Return the values of an authorizer's identity sources.

    Raises:
        AuthorizerError: one is missing, or the token does not have its form (UNAUTHORIZED).
    """
    identity = identity_sources.values_of(authorizer.identity_sources, parts)
    if identity is None:
        missing = ", ".join(authorizer.identity_sources)
        why = f"the request lacks an identity source of the authorizer: {missing}"
        raise AuthorizerError(AuthorizerFailure.UNAUTHORIZED, why)
    pattern = authorizer.token_pattern
    if pattern and re.fullmatch(pattern, identity[0]) is None:
        why = f"the token does not match the authorizer's validation expression {pattern}"
        raise AuthorizerError(AuthorizerFailure.UNAUTHORIZED, why)
    return identity


def of_route(gateway: Gateway, deployed: DeployedStage, route: Route) -> LambdaAuthorizer:
    """Return the authorizer of a route of an HTTP or WebSocket API.

    Raises:
        AuthorizerError: the API has no such authorizer (BROKEN).
    """
    found = deployed.api.authorizers.get(route.authorizer_id or "")
    if found is None:
        raise AuthorizerError(
            AuthorizerFailure.BROKEN, f"there is no authorizer {route.authorizer_id}"
        )
    variables = deployed.variables
    return LambdaAuthorizer(
        arn=gateway.arn(deployed.api.api_id, f"authorizers/{found.id}"),
        stage=deployed.stage.name,
        uri=with_stage_variables(found.authorizer_uri or "", variables),
        credentials=with_stage_variables(found.auth_creds_arn or "", variables),
        identity_sources=tuple(found.identity_source or ()),
        ttl_seconds=int(found.auth_result_ttl or 0),
        payload_format=found.auth_payload_format_version or "1.0",
        has_simple_responses=bool(found.enable_simple_response),
    )
