"""The broker's decision who may connect, and under which ARN. Table and clock are passed in.

| API | checked before the connection is accepted | ARN of the connection |
|---|---|---|
| `stub` | the token, by the API's Lambda authorizer: the broker | the token's subject, a function |
| `relay` | the caller, by IAM; then the token, by the broker | the caller that IAM has found |

At `$connect`, the broker checks the token of either API by itself: whoever may invoke the broker's
function can make up an event with any authorizer's answer in it, but no token. Then the token's
nonce is written to the table. So a token opens one connection. What IAM refuses is HTTP 403, and
what a token is missing or refused for is HTTP 401: a relay can tell its user which of the two it
was.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from terralive_stub.broker.identity_source import IdentitySource
from terralive_stub.broker.leases import principal_of
from terralive_stub.protocol.token import NONCE_SECONDS, Api, Token, TokenProblem, check_token

ACCEPTED: Final = 200
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403


class AdmissionTable(Protocol):
    """The stage's secret, and the nonces of tokens that have been used."""

    def get_secret(self) -> bytes | None:
        """Return the stage's secret; None before the command line has made it."""

    def put_nonce(self, nonce: str, expires_ms: int) -> bool:
        """Record a nonce; return False if it is recorded already."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request to open a connection, as API Gateway reports it at `$connect`.

    Attributes:
        stage: the name of the API's stage, which is also the name of the API (`Api`).
        token: the value of the token's header; "" without one.
        user_arn: the caller that IAM has found; "" without IAM.
        subject: the subject of the token that the authorizer has accepted; "" without one.
    """

    stage: str
    token: str = field(repr=False, default="")
    user_arn: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A connection that is accepted: to which API, and its ARN."""

    api: Api
    arn: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A connection that is not accepted: the HTTP status, and the reason for the broker's log."""

    status: int
    reason: str


@dataclass(slots=True)
class Admission:
    """Decides who may connect.

    Attributes:
        table: the table.
        identity_source: the source of a relay's identity.
        _secret: the stage's secret, once it was read. It never changes.
    """

    table: AdmissionTable
    identity_source: IdentitySource = IdentitySource.IAM
    _secret: bytes | None = field(repr=False, default=None)

    def authorize(self, method_arn: str, token: str, now_ms: int) -> Token | Refused:
        """Decide as the authorizer of the API `stub`.

        Args:
            method_arn: the ARN that the caller asks for.
            token: the value of the token's header.
            now_ms: milliseconds since the Unix epoch.
        """
        if method_arn.split("/")[1:] != [Api.STUB, "$connect"]:
            return Refused(FORBIDDEN, "not-the-stubs-connect")
        return self._check(token, Api.STUB, now_ms)

    def connect(self, upgrade: Upgrade, now_ms: int) -> Admitted | Refused:
        """Decide whether a connection is accepted, and use its token up."""
        match upgrade.stage:
            case Api.RELAY:
                checked = self._check_relay(upgrade, now_ms)
            case Api.STUB:
                checked = self._check_stub(upgrade, now_ms)
            case _:
                return Refused(FORBIDDEN, "not-an-api-of-the-debug-stack")
        if isinstance(checked, Refused):
            return checked
        if not self.table.put_nonce(checked.nonce, now_ms + NONCE_SECONDS * 1000):
            return Refused(UNAUTHORIZED, "token-used-before")
        return Admitted(checked.api, checked.subject)

    def _check_relay(self, upgrade: Upgrade, now_ms: int) -> Token | Refused:
        by_iam = self.identity_source is IdentitySource.IAM
        if by_iam and not upgrade.user_arn:
            return Refused(FORBIDDEN, "no-caller")
        token = self._check(upgrade.token, Api.RELAY, now_ms)
        if isinstance(token, Refused) or not by_iam:
            return token
        # SDKs choose a new session name whenever they renew credentials.
        if principal_of(token.subject) != principal_of(upgrade.user_arn):
            return Refused(UNAUTHORIZED, "token-of-another-caller")
        return replace(token, subject=upgrade.user_arn)

    def _check_stub(self, upgrade: Upgrade, now_ms: int) -> Token | Refused:
        by_authorizer = self.identity_source is IdentitySource.IAM
        if by_authorizer and not upgrade.subject:
            return Refused(FORBIDDEN, "no-authorizer")
        token = self._check(upgrade.token, Api.STUB, now_ms)
        if isinstance(token, Refused) or not by_authorizer:
            return token
        if token.subject != upgrade.subject:
            return Refused(UNAUTHORIZED, "token-of-another-function")
        return token

    def _check(self, token: str, api: Api, now_ms: int) -> Token | Refused:
        if self._secret is None:
            self._secret = self.table.get_secret()
        if self._secret is None:
            return Refused(UNAUTHORIZED, "the-stage-has-no-secret")
        checked = check_token(token, api, self._secret, now=now_ms / 1000)
        if isinstance(checked, TokenProblem):
            return Refused(UNAUTHORIZED, checked)
        return checked
