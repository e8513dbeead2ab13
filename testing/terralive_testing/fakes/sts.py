"""STS, as far as `GetCallerIdentity`: it accepts every caller, or refuses every one.

https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from wsgiref.handlers import format_date_time

ACCOUNT = "123456789012"
_NAMESPACE = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
_IDENTITY = (
    f"<GetCallerIdentityResponse {_NAMESPACE}><GetCallerIdentityResult>"
    f"<Arn>arn:aws:iam::{ACCOUNT}:user/ana</Arn><UserId>AIDA</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>"
    "</GetCallerIdentityResponse>"
)
_EXPIRED = (
    f"<ErrorResponse {_NAMESPACE}><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code>"
    "<Message>Signature expired</Message></Error><RequestId>1</RequestId></ErrorResponse>"
)


@contextmanager
def serving_sts(
    *, refuses: bool = False, ahead_s: float = 0.0, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Serve STS on loopback; its address.

    Args:
        refuses: it refuses every caller, as for a signature that is too old.
        ahead_s: the difference of its clock to this machine's, in seconds.
        tls: the server's certificate; None for plain HTTP.
    """
    status, body = 200, _IDENTITY
    if refuses:
        status, body = 403, _EXPIRED

    class Sts(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def date_time_string(self, timestamp: float | None = None) -> str:
            """Return the text of the `Date` header."""
            return format_date_time((timestamp or time.time()) + ahead_s)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Sts) as server:
        scheme = "http"
        if tls is not None:
            scheme = "https"
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{scheme}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
