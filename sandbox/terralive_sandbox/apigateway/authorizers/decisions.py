"""Answers of authorizer functions, and the decision about a request. Everything here is pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from terralive_sandbox.access.policy import AccessRequest, Decision, decide
from terralive_sandbox.apigateway import proxy_responses
from terralive_sandbox.apigateway.proxy_responses import MalformedAnswerError
from terralive_stub.shared.json_documents import as_object, parse_object

# A function that fails with this message tells API Gateway that the client has no valid identity.
_UNAUTHORIZED: Final = "Unauthorized"


class AuthorizerFailure(Enum):
    """The reason why an authorizer does not let a request pass."""

    UNAUTHORIZED = auto()  # an identity source is missing, or the function says "Unauthorized"
    NOT_ALLOWED = auto()  # no statement of the policy allows the request
    DENIED = auto()  # a statement of the policy denies the request
    BROKEN = auto()  # the function has failed, or its answer is malformed


class AuthorizerError(Exception):
    """An authorizer does not let a request pass. The text is for the log."""

    def __init__(self, failure: AuthorizerFailure, why: str) -> None:
        super().__init__(why)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of an authorizer's function.

    Attributes:
        policy: the policy document, as JSON text.
        principal_id: the client's identity, as the function names it; empty in simple responses.
        context: the function's own fields, which the events of the request have, too.
        latency: the time that the function took, in milliseconds; 0 if the answer was kept.
    """

    policy: str
    principal_id: str
    context: Mapping[str, object]
    latency: int = 0

    def decision(self, arn: str, source_ip: str) -> Decision:
        """Return the policy's decision about a client that calls the method or route `arn`."""
        asked = AccessRequest("execute-api:Invoke", (arn,), context={"aws:SourceIp": source_ip})
        return decide([self.policy], asked)

    def check(self, arn: str, source_ip: str) -> None:
        """Check that the policy allows a client to call the method or route `arn`.

        Raises:
            AuthorizerError: it does not (NOT_ALLOWED, DENIED).
        """
        require_allowed(self.decision(arn, source_ip), arn)

    def fields(self) -> dict[str, object]:
        """Return `requestContext.authorizer` of payload format 1.0 and of WebSocket APIs.

        No page names `integrationLatency`, but events on AWS have it.
        """
        fields = {**self.context, "integrationLatency": self.latency}
        if self.principal_id:
            fields["principalId"] = self.principal_id
        return fields


def require_allowed(decision: Decision, arn: str) -> None:
    """Raise the error for a decision about the method or route `arn`, unless it is ALLOWED.

    Raises:
        AuthorizerError: the decision is DENIED, or NEUTRAL (NOT_ALLOWED).
    """
    if decision is Decision.DENIED:
        raise AuthorizerError(AuthorizerFailure.DENIED, f"the authorizer's policy denies {arn}")
    if decision is Decision.NEUTRAL:
        why = f"the authorizer's policy has no statement that allows {arn}"
        raise AuthorizerError(AuthorizerFailure.NOT_ALLOWED, why)


def policy_with_texts(body: bytes) -> Answer:
    """Read the answer of an authorizer of a REST or WebSocket API.

    Numbers and booleans of its context become text: 1 becomes "1", true becomes "true".

    Raises:
        MalformedAnswerError: there is no principal or no policy, or a part has the wrong type.
    """
    answer = policy(body)
    texts: dict[str, object] = {}
    for name, value in answer.context.items():
        if not isinstance(value, str | int | float):
            problem = f"the authorizer's context has {name}, which is no text, number or boolean"
            raise MalformedAnswerError(problem)
        texts[name] = value if isinstance(value, str) else json.dumps(value)
    return dataclasses.replace(answer, context=texts)


def policy(body: bytes) -> Answer:
    """Read the answer of a function that returns a policy.

    Raises:
        MalformedAnswerError: there is no principal or no policy, or a part has the wrong type.
    """
    value = _object(body)
    principal = value.get("principalId")
    if not isinstance(principal, str | int) or isinstance(principal, bool):
        raise MalformedAnswerError("the authorizer's answer has no principalId")
    document = value.get("policyDocument")
    _check_policy(document)
    return Answer(json.dumps(document), str(principal), _context(value))


def simple_response(body: bytes) -> Answer:
    """Read a simple response, which allows or denies all requests to the API.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html

    Raises:
        MalformedAnswerError: `isAuthorized` is no boolean, or the context no object.
    """
    value = _object(body)
    is_authorized = value.get("isAuthorized")
    if not isinstance(is_authorized, bool):
        raise MalformedAnswerError("the authorizer's answer has no isAuthorized")
    effect = "Allow" if is_authorized else "Deny"
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": "*"}
    return Answer(json.dumps({"Statement": [statement]}), "", _context(value))


def _object(body: bytes) -> dict[str, object]:
    value = proxy_responses.parsed(body)
    if not isinstance(value, dict):
        raise MalformedAnswerError("the authorizer's answer is not an object")
    return value


def _context(answer: Mapping[str, object]) -> dict[str, object]:
    context = answer.get("context")
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise MalformedAnswerError("the authorizer's context is not an object")
    return context


def _check_policy(document: object) -> None:
    statements = as_object(document).get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedAnswerError("the authorizer's answer has no policyDocument with a Statement")
    for statement in statements:
        if not isinstance(statement, dict) or statement.get("Effect") not in {"Allow", "Deny"}:
            raise MalformedAnswerError("a Statement of the authorizer's policy has no Effect")


def says_unauthorized(error: bytes) -> bool:
    """Return whether a function's error (JSON) tells API Gateway to answer 401."""
    return parse_object(error).get("errorMessage") == _UNAUTHORIZED
