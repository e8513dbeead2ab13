"""Cross-origin resource sharing as HTTP APIs configure it: pure.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Headers = list[tuple[str, str]]
_PREFIX = "access-control-"


@dataclass(frozen=True, slots=True)
class Cors:
    """An API's CORS configuration; empty parts are not sent. `max_age` is in seconds."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    allow_credentials: bool = False
    max_age: int | None = None

    @classmethod
    def of(cls, configuration: Mapping[str, object]) -> Cors:
        """Read it as the API has it: `allowOrigins`, `allowMethods` and so on."""

        def texts(name: str) -> tuple[str, ...]:
            value = configuration.get(name)
            return tuple(str(item) for item in value) if isinstance(value, list) else ()

        age = configuration.get("maxAge")
        return cls(
            texts("allowOrigins"), texts("allowMethods"), texts("allowHeaders"), texts("exposeHeaders"),
            bool(configuration.get("allowCredentials")), age if isinstance(age, int) else None,
        )  # fmt: skip

    def origin(self, origin: str) -> str | None:
        """The value of Access-Control-Allow-Origin for a request's Origin, None where it is not allowed."""
        if "*" in self.allow_origins:
            return "*"
        asked = origin.lower()
        for allowed in self.allow_origins:
            scheme, wildcard, _ = allowed.lower().partition("*")  # `https://*`
            if asked == allowed.lower() or (wildcard and asked.startswith(scheme)):
                return origin
        return None

    def preflight(self, origin: str, method: str) -> Headers:
        """The headers of the answer to a preflight.

        None unless it has an origin and the method that it asks for.
        """
        allowed = self.origin(origin) if origin and method else None
        if allowed is None:
            return []
        lists = (("allow-methods", self.allow_methods), ("allow-headers", self.allow_headers))
        headers = [(f"{_PREFIX}{name}", ",".join(values)) for name, values in lists if values]
        if self.max_age is not None:
            headers.append((f"{_PREFIX}max-age", str(self.max_age)))
        return [*self._every(allowed), *headers]

    def response(
        self, origin: str, headers: Iterable[tuple[str, str]], preflight_of: str = ""
    ) -> Headers:
        """An integration's headers with the configured ones in place of its own."""
        own = [(name, value) for name, value in headers if not name.lower().startswith(_PREFIX)]
        if preflight_of:
            return [*own, *self.preflight(origin, preflight_of)]
        allowed = self.origin(origin) if origin else None
        return own if allowed is None else [*own, *self._every(allowed)]

    def _every(self, allowed: str) -> Headers:
        headers = [(f"{_PREFIX}allow-origin", allowed)]
        if self.allow_credentials:
            headers.append((f"{_PREFIX}allow-credentials", "true"))
        if self.expose_headers:
            headers.append((f"{_PREFIX}expose-headers", ",".join(self.expose_headers)))
        return headers
