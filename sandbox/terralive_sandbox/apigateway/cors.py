"""Cross-origin resource sharing as HTTP APIs and function URLs configure it. Everything is pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

Headers: TypeAlias = list[tuple[str, str]]
_PREFIX: Final = "access-control-"


@dataclass(frozen=True, slots=True)
class Cors:
    """The CORS configuration of an API. Empty parts are not sent.

    Attributes:
        allow_origins: allowed origins; `*` allows all, `https://*` all of a scheme.
        allow_methods: allowed methods.
        allow_headers: request headers that scripts may set.
        expose_headers: response headers that scripts may read.
        allow_credentials: whether browsers may send cookies.
        max_age: how long browsers may keep the answer to a preflight, in seconds.
    """

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    allow_credentials: bool = False
    max_age: int | None = None

    @classmethod
    def of(cls, configuration: Mapping[str, object]) -> Cors:
        """Read an API's configuration: `allowOrigins`, `allowMethods` and so on."""
        max_age = configuration.get("maxAge")
        if not isinstance(max_age, int):
            max_age = None
        return cls(
            allow_origins=_texts(configuration.get("allowOrigins")),
            allow_methods=_texts(configuration.get("allowMethods")),
            allow_headers=_texts(configuration.get("allowHeaders")),
            expose_headers=_texts(configuration.get("exposeHeaders")),
            allow_credentials=bool(configuration.get("allowCredentials")),
            max_age=max_age,
        )

    def origin(self, origin: str) -> str | None:
        """Return the value of Access-Control-Allow-Origin for a request's Origin.

        It is None if the origin is not allowed.
        """
        if "*" in self.allow_origins:
            return "*"
        asked = origin.lower()
        for allowed in self.allow_origins:
            scheme, wildcard, _ = allowed.lower().partition("*")  # `https://*`
            if asked == allowed.lower() or (wildcard and asked.startswith(scheme)):
                # The browser compares the answer with its own spelling of the origin.
                return origin
        return None

    def preflight(self, origin: str, method: str) -> Headers:
        """Return the headers of the answer to a preflight.

        There are none unless the preflight names an allowed origin and a method.

        Args:
            origin: the request's Origin, or an empty string.
            method: its Access-Control-Request-Method, or an empty string.
        """
        if not origin or not method:
            return []
        allowed = self.origin(origin)
        if allowed is None:
            return []
        headers = self._common_headers(allowed)
        if self.allow_methods:
            headers.append((f"{_PREFIX}allow-methods", ",".join(self.allow_methods)))
        if self.allow_headers:
            headers.append((f"{_PREFIX}allow-headers", ",".join(self.allow_headers)))
        if self.max_age is not None:
            headers.append((f"{_PREFIX}max-age", str(self.max_age)))
        return headers

    def response(
        self, origin: str, headers: Iterable[tuple[str, str]], preflight_method: str = ""
    ) -> Headers:
        """Return a response's headers with the configured CORS headers in place of its own.

        Args:
            origin: the request's Origin, or an empty string.
            headers: the headers of the function's response.
            preflight_method: the method that a preflight asks for, if the request is one.
        """
        # Once an API has a CORS configuration, API Gateway ignores the function's CORS headers.
        own = [(name, value) for name, value in headers if not name.lower().startswith(_PREFIX)]
        if preflight_method:
            return [*own, *self.preflight(origin, preflight_method)]
        if not origin:
            return own
        allowed = self.origin(origin)
        if allowed is None:
            return own
        return [*own, *self._common_headers(allowed)]

    def _common_headers(self, allowed: str) -> Headers:
        """Return the headers that both preflights and other requests get."""
        headers = [(f"{_PREFIX}allow-origin", allowed)]
        if self.allow_credentials:
            headers.append((f"{_PREFIX}allow-credentials", "true"))
        if self.expose_headers:
            headers.append((f"{_PREFIX}expose-headers", ",".join(self.expose_headers)))
        return headers


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(str(item) for item in value)
