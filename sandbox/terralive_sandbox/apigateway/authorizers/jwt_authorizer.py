"""The shell of JWT authorizers of HTTP APIs: it takes the keys of issuers and keeps them.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from moto.utilities.utils import load_resource

from terralive_sandbox.apigateway.authorizers import identity_sources, issuers, tokens
from terralive_sandbox.apigateway.authorizers.identity_sources import RequestParts
from terralive_sandbox.apigateway.authorizers.tokens import Rules, Token, TokenError
from terralive_sandbox.apigateway.http_messages import GatewayResponseError, not_emulated
from terralive_stub.shared.json_documents import as_object, text

# The page says how long API Gateway keeps a key.
_KEPT_SECONDS: Final = 2 * 60 * 60
_TIMEOUT_SECONDS: Final = 5
_LARGEST: Final = 1024 * 1024
# The key of all of moto's user pools.
_USER_POOL_KEYS: Final = "cognitoidp/resources/jwks-public.json"


@dataclass(frozen=True, slots=True)
class _KeptKeys:
    keys: Mapping[str, object]
    # The time from which on the keys are too old, on the monotonic clock.
    expires: float


class JwtAuthorizers:
    """Verifies tokens. It lives on the event loop."""

    def __init__(self) -> None:
        # The keys of each issuer.
        self._kept: dict[str, _KeptKeys] = {}

    async def verify(self, source: str, parts: RequestParts, rules: Rules) -> Token:
        """Return the valid token of a request.

        Args:
            source: the identity source.
            parts: the parts of the request that identity sources can name.
            rules: the rules of the authorizer and the route.

        Raises:
            GatewayResponseError: there is no token (401), it is not valid (401), it lacks the
                route's scopes (403), or its issuer is not on this machine (501).
        """
        if not issuers.is_emulated(rules.issuer):
            raise not_emulated(f"JWT authorizers with an issuer elsewhere ({rules.issuer})")
        values = identity_sources.values_of((source,), parts)
        if values is None:
            raise _unauthorized("Bearer", f"the request has no {source}")
        token = tokens.without_prefix(values[0])
        try:
            key = await self._key_of(rules.issuer, tokens.key_id(token))
            return tokens.verified(token, key, rules, time.time())
        except TokenError as error:
            raise _denied(error, rules.scopes) from error

    async def _key_of(self, issuer: str, key_id: str) -> Mapping[str, object]:
        """Return a key of an issuer. A key that is not known yet is asked for again.

        Raises:
            TokenError: the issuer does not answer, or has no such key.
        """
        kept = self._kept.get(issuer)
        if kept is not None and kept.expires > time.monotonic():
            found = tokens.find_key(kept.keys, key_id)
            if found is not None:
                return found
        # In a thread: the issuer may be slow.
        keys = await asyncio.to_thread(_keys_of, issuer)
        self._kept[issuer] = _KeptKeys(keys, time.monotonic() + _KEPT_SECONDS)
        found = tokens.find_key(keys, key_id)
        if found is None:
            raise TokenError("kid not found in the keys of the issuer")
        return found


def _keys_of(issuer: str) -> Mapping[str, object]:
    """Return the key set of an issuer, as its OpenID configuration names it.

    Raises:
        TokenError: the issuer does not answer as OpenID Connect Discovery says.
    """
    if issuers.is_user_pool(issuer):
        return as_object(load_resource(_USER_POOL_KEYS))
    configuration = _fetched(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    address = text(configuration, "jwks_uri")
    if not issuers.is_on_loopback(address):
        raise TokenError(f"OIDC discovery: the jwks_uri {address} is not on this machine")
    return _fetched(address)


def _fetched(url: str) -> Mapping[str, object]:
    """Return a JSON object from an address of this machine.

    Raises:
        TokenError: there is none.
    """
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    # No proxy and no redirect: both could lead away from this machine.
    connection = connect(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", urlunsplit(("", "", parts.path, parts.query, "")))
        found = json.loads(connection.getresponse().read(_LARGEST))
    except (OSError, HTTPException, ValueError) as error:
        raise TokenError(f"OIDC discovery endpoint communication error: {error}") from error
    finally:
        connection.close()
    if not isinstance(found, dict):
        raise TokenError(f"OIDC discovery: {url} answers with no JSON object")
    return found


def _denied(error: TokenError, scopes: tuple[str, ...]) -> GatewayResponseError:
    """Return the answer to a request whose token is not accepted.

    The page has the header's form and one description; the others are the sandbox's own.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-jwt.html
    """
    kind = "insufficient_scope" if error.is_scope else "invalid_token"
    description = str(error).replace('"', "'").encode("ascii", "replace").decode()
    description = " ".join(description.split())
    challenge = f'Bearer scope="{" ".join(scopes)}" error="{kind}" '
    challenge += f'error_description="{description}"'
    if error.is_scope:
        return _answer(403, "Forbidden", challenge, str(error))
    return _unauthorized(challenge, str(error))


def _unauthorized(challenge: str, why: str) -> GatewayResponseError:
    return _answer(401, "Unauthorized", challenge, why)


def _answer(status: int, message: str, challenge: str, why: str) -> GatewayResponseError:
    error = GatewayResponseError(status, message, why)
    error.response.headers.append(("www-authenticate", challenge))
    return error
