"""An issuer of JSON web tokens on loopback, as OpenID Connect Discovery describes it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from joserfc import jwt
from joserfc.jwk import RSAKey

_KEY_BITS = 2048


class Issuer:
    """Signs tokens with a key that its server publishes.

    Attributes:
        url: the issuer's address, which tokens have in `iss`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._key = RSAKey.generate_key(_KEY_BITS, {"kid": "first"})

    def token(self, *, kid: str = "first", **claims: object) -> str:
        """Return a token that is valid for the audience `pets`, with other or more claims.

        A claim that is None is left out.
        """
        given = {"iss": self.url, "aud": "pets", "exp": int(time.time()) + 3600, **claims}
        kept = {name: value for name, value in given.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": kid}, kept, self._key)

    def answers(self) -> dict[str, object]:
        """Return the documents of the server by their paths."""
        return {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
            },
            "/keys": {"keys": [self._key.as_dict(private=False)]},
        }


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """Run an issuer on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(issuer.answers().get(self.path, {})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
