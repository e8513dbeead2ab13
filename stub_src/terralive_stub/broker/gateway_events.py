"""API Gateway's events: each is read here, decided elsewhere, and answered here. Pure.

An event of the Lambda authorizer has `type: REQUEST`. All others are events of routes:
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from terralive_stub.broker.admission import ACCEPTED, Admission, Refused, Upgrade
from terralive_stub.broker.exchange import Exchange
from terralive_stub.protocol.token import HEADER
from terralive_stub.shared.json_documents import Json, section, text

Event: TypeAlias = Mapping[str, object]
_BAD_REQUEST: Final = 400


@dataclass(frozen=True, slots=True)
class Broker:
    """The broker of one execution environment, kept while the environment is warm.

    Attributes:
        admission: decides who may connect.
        exchange: passes messages on.
        log: writes a line to Lambda's log.
    """

    admission: Admission
    exchange: Exchange
    log: Callable[[str], None]

    def handle(self, event: Event, now_ms: int) -> dict[str, Json]:
        """Process one event and return the answer to API Gateway."""
        if event.get("type") == "REQUEST":
            return self._authorize(event, now_ms)
        return {"statusCode": self._route(event, now_ms)}

    def _route(self, event: Event, now_ms: int) -> int:
        """Process an event of a route; return 400 for an event that API Gateway never sends."""
        context = section(event, "requestContext")
        connection = text(context, "connectionId")
        if not connection:
            return _BAD_REQUEST
        match text(context, "eventType"):
            case "CONNECT":
                return self._connect(connection, event, now_ms)
            case "DISCONNECT":
                self.exchange.disconnect(connection, now_ms)
            case "MESSAGE":
                self.exchange.message(connection, text(event, "body"), now_ms)
            case _:
                return _BAD_REQUEST
        return ACCEPTED

    def _connect(self, connection: str, event: Event, now_ms: int) -> int:
        context = section(event, "requestContext")
        authorized = section(context, "authorizer")
        upgrade = Upgrade(
            stage=text(context, "stage"),
            token=_token(event),
            user_arn=text(section(context, "identity"), "userArn"),
            subject=text(authorized, "subject"),
        )
        decision = self.admission.connect(upgrade, now_ms)
        if isinstance(decision, Refused):
            self.log(f"refused a connection: {decision.reason}")
            return decision.status
        self.exchange.connect(connection, decision.api, decision.arn, now_ms)
        return ACCEPTED

    def _authorize(self, event: Event, now_ms: int) -> dict[str, Json]:
        """Answer as the Lambda authorizer: a policy for the very ARN that was asked for.

        A failure denies, too. An exception would be HTTP 500 for the caller.
        https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
        """
        method_arn = text(event, "methodArn")
        try:
            decision = self.admission.authorize(method_arn, _token(event), now_ms)
        except Exception as error:  # noqa: BLE001  # whatever fails, nobody gets in
            self.log(f"the authorizer failed: {type(error).__name__}")
            return _policy("Deny", method_arn, "unknown")
        if isinstance(decision, Refused):
            self.log(f"denied a stub's connection: {decision.reason}")
            return _policy("Deny", method_arn, "unknown")
        allowed = _policy("Allow", method_arn, decision.subject)
        allowed["context"] = {"subject": decision.subject}
        return allowed


def _policy(effect: str, method_arn: str, principal: str) -> dict[str, Json]:
    statement: Json = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": method_arn}
    document: Json = {"Version": "2012-10-17", "Statement": [statement]}
    return {"principalId": principal, "policyDocument": document}


def _token(event: Event) -> str:
    """Return the value of the token's header; "" without one. A header's name has any case."""
    headers = section(event, "headers")
    for name in headers:
        if name.lower() == HEADER.lower():
            return text(headers, name)
    return ""
