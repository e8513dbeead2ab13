"""Answers of authorizer functions, and the decision about a request. Everything here is pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.apigateway import proxy_responses
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_stub.shared.json_documents import parse_object

# A function that fails with this message tells API Gateway that the client has no valid identity.
_UNAUTHORIZED: Final = "Unauthorized"


class Refusal(Enum):
    """The reason why an authorizer does not let a request pass."""

    UNAUTHORIZED = auto()  # an identity source is missing, or the function says "Unauthorized"
    NOT_ALLOWED = auto()  # no statement of the policy allows the request
    DENIED = auto()  # a statement of the policy denies the request
    FAILED = auto()  # the function has failed, or its answer is malformed


class RefusedError(Exception):
    """An authorizer does not let a request pass. The text is for the log."""

    def __init__(self, refusal: Refusal, why: str) -> None:
        super().__init__(why)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Authorization:
    """The fields that an authorizer adds to the events of a request.

    Attributes:
        principal_id: the client's identity, as the function names it.
        context: the function's own fields.
        latency: the time that the function took, in milliseconds.
    """

    principal_id: str
    context: Mapping[str, str]
    latency: int

    def fields(self) -> dict[str, object]:
        """Return `requestContext.authorizer` of REST and WebSocket APIs.

        No page names `integrationLatency`, but events on AWS have it.
        """
        own = {"principalId": self.principal_id, "integrationLatency": self.latency}
        return {**self.context, **own}


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """A function's answer that is a policy.

    Attributes:
        principal_id: the client's identity, as the function names it.
        policy: the policy document, as JSON text.
        context: the function's own fields. Numbers and booleans have become text.
    """

    principal_id: str
    policy: str
    context: Mapping[str, str]

    def check(self, arn: str, source_ip: str) -> None:
        """Check that the policy allows a client to call the method or route with this ARN.

        Raises:
            RefusedError: it does not (NOT_ALLOWED, DENIED).
        """
        context = {"aws:SourceIp": source_ip}
        asked = AccessRequest("execute-api:Invoke", (arn,), context=context)
        match decide([self.policy], asked):
            case Decision.DENIED:
                raise RefusedError(Refusal.DENIED, f"the authorizer's policy denies {arn}")
            case Decision.NEUTRAL:
                why = f"the authorizer's policy has no statement that allows {arn}"
                raise RefusedError(Refusal.NOT_ALLOWED, why)
            case Decision.ALLOWED:
                return


def policy_answer(body: bytes) -> PolicyAnswer:
    """Read the answer of a function that returns a policy.

    Raises:
        MalformedAnswerError: there is no principal or no policy, or a part has the wrong type.
    """
    value = proxy_responses.parsed(body)
    if not isinstance(value, dict):
        raise MalformedAnswerError("the authorizer's answer is not an object")
    principal = value.get("principalId")
    if not isinstance(principal, str | int) or isinstance(principal, bool):
        raise MalformedAnswerError("the authorizer's answer has no principalId")
    policy = value.get("policyDocument")
    _check_policy(policy)
    return PolicyAnswer(str(principal), json.dumps(policy), _texts(value.get("context")))


def _check_policy(policy: object) -> None:
    statements = policy.get("Statement") if isinstance(policy, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedAnswerError("the authorizer's answer has no policyDocument with a Statement")
    for statement in statements:
        if not isinstance(statement, dict) or statement.get("Effect") not in {"Allow", "Deny"}:
            raise MalformedAnswerError("a Statement of the authorizer's policy has no Effect")


def _texts(context: object) -> dict[str, str]:
    """Return an answer's context with all values as text: 1 becomes "1", true becomes "true"."""
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise MalformedAnswerError("the authorizer's context is not an object")
    texts: dict[str, str] = {}
    for name, value in context.items():
        if not isinstance(value, str | int | float):
            problem = f"the authorizer's context has {name}, which is no text, number or boolean"
            raise MalformedAnswerError(problem)
        texts[name] = value if isinstance(value, str) else json.dumps(value)
    return texts


def says_unauthorized(error: bytes) -> bool:
    """Return whether a function's error (JSON) tells API Gateway to answer 401."""
    return parse_object(error).get("errorMessage") == _UNAUTHORIZED
