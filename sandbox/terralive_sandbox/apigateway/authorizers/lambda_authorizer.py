"""The shell of Lambda authorizers: it invokes the function of an authorizer.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from terralive_sandbox.apigateway.authorizers import decisions
from terralive_sandbox.apigateway.authorizers.decisions import Refusal, RefusedError
from terralive_sandbox.apigateway.http_messages import not_emulated
from terralive_sandbox.apigateway.integration import (
    DeployedStage,
    Event,
    Failure,
    Gateway,
    IntegrationError,
    with_stage_variables,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LambdaAuthorizer:
    """A Lambda authorizer of an API and its stage.

    Attributes:
        arn: the ARN of the authorizer, which the function's resource policy may name.
        uri: the URI of its function, with stage variables filled in.
        credentials: the ARN of the role that API Gateway assumes to invoke the function. If it is
            empty, the function's resource policy has to allow the invocation.
        identity_sources: the parts of a request that it needs.
    """

    arn: str
    uri: str
    credentials: str
    identity_sources: tuple[str, ...]

    async def ask(self, gateway: Gateway, event: Event, read: Callable[[bytes], T]) -> T:
        """Invoke the function with this event, and return its answer as `read` returns it.

        Raises:
            RefusedError: there is no answer, or `read` found it malformed (FAILED); or the function
                says that the client has no valid identity (UNAUTHORIZED).
            GatewayResponseError: the sandbox does not emulate this authorizer.
        """
        try:
            return await gateway.invoke(
                event,
                read,
                uri=self.uri,
                credentials=self.credentials,
                source_arn=self.arn,
                milliseconds=None,
            )
        except IntegrationError as error:
            if error.failure is Failure.NOT_EMULATED:
                raise not_emulated(f"an authorizer with {self.uri}") from error
            refusal = Refusal.FAILED
            if decisions.says_unauthorized(error.answer):
                refusal = Refusal.UNAUTHORIZED
            raise RefusedError(refusal, f"the authorizer gave no answer: {error}") from error


def of_route(
    gateway: Gateway, deployed: DeployedStage, authorizer_id: str | None
) -> LambdaAuthorizer:
    """Return an authorizer of an HTTP or WebSocket API.

    Raises:
        RefusedError: the API has no such authorizer (FAILED).
    """
    found = deployed.api.authorizers.get(authorizer_id or "")
    if found is None:
        raise RefusedError(Refusal.FAILED, f"there is no authorizer {authorizer_id}")
    variables: Mapping[str, str] = deployed.variables
    return LambdaAuthorizer(
        arn=gateway.arn(deployed.api.api_id, f"authorizers/{found.id}"),
        uri=with_stage_variables(found.authorizer_uri or "", variables),
        credentials=with_stage_variables(found.auth_creds_arn or "", variables),
        identity_sources=tuple(found.identity_source or ()),
    )
