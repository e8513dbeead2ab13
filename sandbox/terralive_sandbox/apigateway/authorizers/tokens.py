"""JSON web tokens: the signature, the claims, and their form in events. No I/O.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from terralive_stub.shared.json_documents import as_object, items, parse_object

# Only algorithms that use RSA are supported, says the page.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512")
_BEARER: Final = "bearer "


class TokenError(Exception):
    """A token that API Gateway does not accept.

    Args:
        description: the reason, which the client gets in the header `www-authenticate`.
        is_scope: whether the token is valid but lacks the scopes of the route.
    """

    def __init__(self, description: str, *, is_scope: bool = False) -> None:
        super().__init__(description)
        self.is_scope = is_scope


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose signature and claims are valid.

    Attributes:
        claims: the claims.
        scopes: the token's scopes; None if its route asks for none.
    """

    claims: Mapping[str, object]
    scopes: tuple[str, ...] | None = None

    def fields(self) -> dict[str, object]:
        """Return the claims and scopes as events have them.

        The claims are texts. The forms of numbers and lists, and that `scopes` is null where the
        route asks for none, were measured on AWS: https://github.com/floci-io/floci/pull/2011
        """
        given = {name: value for name, value in self.claims.items() if value is not None}
        scopes = None if self.scopes is None else list(self.scopes)
        return {"claims": {name: _text(value) for name, value in given.items()}, "scopes": scopes}


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a JWT authorizer and its route.

    Attributes:
        issuer: the issuer that the token names.
        audience: the token names one of these.
        scopes: the token has one of these; empty if the route asks for none.
    """

    issuer: str
    audience: tuple[str, ...]
    scopes: tuple[str, ...]


def without_prefix(value: str) -> str:
    """Return the token of an identity source, which may begin with `Bearer `."""
    if value.lower().startswith(_BEARER):
        return value[len(_BEARER) :].strip()
    return value.strip()


def key_id(token: str) -> str:
    """Return the `kid` of a token's header.

    Raises:
        TokenError: the token cannot be decoded, has no `kid`, or another kind of signature.
    """
    # Imported here: few APIs need it, and it takes memory.
    from joserfc import jws  # noqa: PLC0415
    from joserfc.errors import JoseError  # noqa: PLC0415

    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError) as error:
        raise TokenError("the token could not be decoded") from error
    if header.get("alg") not in _ALGORITHMS:
        raise TokenError("signing method is invalid")
    key = header.get("kid")
    if not isinstance(key, str) or not key:
        raise TokenError("the token has no kid")
    return key


def find_key(key_set: Mapping[str, object], key: str) -> Mapping[str, object] | None:
    """Return the key with this id from a JSON web key set (RFC 7517), or None."""
    for given in items(key_set, "keys"):
        found = as_object(given)
        if found.get("kid") == key and found.get("kty") == "RSA":
            return found
    return None


def verified(token: str, key: Mapping[str, object], rules: Rules, now: float) -> Token:
    """Return a token if it is valid.

    Args:
        token: the token, in compact form.
        key: the key of its issuer.
        rules: the rules of the authorizer and the route.
        now: the time, in seconds since the Unix epoch.

    Raises:
        TokenError: the signature, a claim or the scopes are not valid.
    """
    from joserfc import jws  # noqa: PLC0415
    from joserfc.errors import JoseError  # noqa: PLC0415
    from joserfc.jwk import RSAKey  # noqa: PLC0415

    public: Any = key
    try:
        signed = jws.deserialize_compact(
            token, RSAKey.import_key(public), algorithms=list(_ALGORITHMS)
        )
    except (JoseError, ValueError) as error:
        raise TokenError("the signature is invalid") from error
    claims = parse_object(signed.payload)
    _check_claims(claims, rules, now)
    scopes = _scopes(claims)
    if not rules.scopes:
        return Token(claims)
    if not set(scopes) & set(rules.scopes):
        raise TokenError("the token does not have a required scope", is_scope=True)
    return Token(claims, scopes)


def _check_claims(claims: Mapping[str, object], rules: Rules, now: float) -> None:
    if claims.get("iss") != rules.issuer:
        raise TokenError("the token does not have a valid issuer")
    # `client_id` counts only where there is no `aud`.
    audience = claims.get("aud", claims.get("client_id"))
    given = audience if isinstance(audience, list) else [audience]
    if not {str(name) for name in given} & set(rules.audience):
        raise TokenError("the token does not have a valid audience")
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or expires <= now:
        raise TokenError("the token has expired")
    for name in ("nbf", "iat"):
        begins = claims.get(name)
        if begins is not None and (not isinstance(begins, int | float) or begins > now):
            raise TokenError(f"the token is not valid yet ({name})")


def _scopes(claims: Mapping[str, object]) -> tuple[str, ...]:
    """Return the scopes of `scope` or `scp`: a text with spaces, or a list."""
    given = claims.get("scope", claims.get("scp"))
    if isinstance(given, str):
        return tuple(given.split())
    if isinstance(given, Sequence):
        return tuple(str(scope) for scope in given)
    return ()


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{' '.join(_text(item) for item in value)}]"
    return json.dumps(value)
