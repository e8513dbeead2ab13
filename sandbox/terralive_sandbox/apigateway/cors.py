"""Cross-origin resource sharing as HTTP APIs and function URLs configure it. Everything is pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from terralive_sandbox.responses import Headers

_PREFIX: Final = "access-control-"


class Cors:
    """The CORS configuration of an API. Empty parts are not sent.

    Args:
        configuration: the API's `allowOrigins`, `allowMethods` and so on.
    """

    def __init__(self, configuration: Mapping[str, object]) -> None:
        # Allowed origins; `*` allows all, `https://*` all of a scheme.
        self._allow_origins = _texts(configuration.get("allowOrigins"))
        self._allow_methods = _texts(configuration.get("allowMethods"))
        # Request headers that scripts may set, and response headers that they may read.
        self._allow_headers = _texts(configuration.get("allowHeaders"))
        self._expose_headers = _texts(configuration.get("exposeHeaders"))
        # Whether browsers may send cookies.
        self._allow_credentials = bool(configuration.get("allowCredentials"))
        # How long browsers may keep the answer to a preflight, in seconds.
        self._max_age = configuration.get("maxAge")

    def origin(self, origin: str) -> str | None:
        """Return the value of Access-Control-Allow-Origin for a request's Origin.

        It is None if the origin is not allowed.
        """
        if "*" in self._allow_origins:
            return "*"
        asked = origin.lower()
        for allowed in self._allow_origins:
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
        allowed = self.origin(origin)
        if not origin or not method or allowed is None:
            return []
        headers = self._common_headers(allowed)
        if self._allow_methods:
            headers.append((f"{_PREFIX}allow-methods", ",".join(self._allow_methods)))
        if self._allow_headers:
            headers.append((f"{_PREFIX}allow-headers", ",".join(self._allow_headers)))
        if isinstance(self._max_age, int):
            headers.append((f"{_PREFIX}max-age", str(self._max_age)))
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
        allowed = self.origin(origin)
        if not origin or allowed is None:
            return own
        return [*own, *self._common_headers(allowed)]

    def _common_headers(self, allowed: str) -> Headers:
        """Return the headers that both preflights and other requests get."""
        headers = [(f"{_PREFIX}allow-origin", allowed)]
        if self._allow_credentials:
            headers.append((f"{_PREFIX}allow-credentials", "true"))
        if self._expose_headers:
            headers.append((f"{_PREFIX}expose-headers", ",".join(self._expose_headers)))
        return headers


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        return []
    return [str(item) for item in value]
