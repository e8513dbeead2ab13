"""AWS's host names in front of a sandbox: for clients, the sandbox is AWS itself.

terralive treats an endpoint that is not AWS's more freely. Tests of what it does with AWS's own
names use this proxy: no DNS is involved, because clients leave the names to their proxy.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

from terralive_sandbox.info import SandboxInfo

_HOP_BY_HOP = {"connection", "proxy-connection", "keep-alive", "transfer-encoding"}


@contextmanager
def aws_environment(info: SandboxInfo) -> Iterator[dict[str, str]]:
    """Yield the environment in which the sandbox answers as `aws.amazonaws.com`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _forwarding_to(info.endpoint))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield {
            **sandbox_environment(info),
            "AWS_ENDPOINT_URL": "http://aws.amazonaws.com",
            # The name of a bucket is a part of the host: only S3's own host name is understood.
            "AWS_ENDPOINT_URL_S3": f"http://s3.{info.region}.amazonaws.com",
            "HTTP_PROXY": f"http://127.0.0.1:{server.server_address[1]}",
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def sandbox_environment(info: SandboxInfo) -> dict[str, str]:
    """Return the environment of a user who works with the sandbox as with any AWS endpoint."""
    return {
        "AWS_ENDPOINT_URL": info.endpoint,
        "AWS_REGION": info.region,
        "AWS_ACCESS_KEY_ID": info.access_key_id,
        "AWS_SECRET_ACCESS_KEY": info.secret_access_key,
    }


def _forwarding_to(endpoint: str) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(endpoint).netloc

    class Forward(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            parts = urlsplit(self.path)
            target = parts.path or "/"
            if parts.query:
                target += f"?{parts.query}"
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upstream = http.client.HTTPConnection(address, timeout=60)
            # The host is signed, so it stays the one that the client has named.
            upstream.putrequest(self.command, target, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {*_HOP_BY_HOP, "content-length", "date", "server"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _forward  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Forward
