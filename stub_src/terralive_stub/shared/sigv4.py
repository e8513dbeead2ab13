"""Signature Version 4 in the standard library only.

Relay and stub need no more of botocore than this, and botocore takes long to import: a stub may
have 128 MB and so a fraction of a CPU. Rules:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html and, for
WebSocket APIs,
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

# The service of a WebSocket API's upgrade.
SERVICE: Final = "execute-api"
_DEFAULT_PORTS: Final = {"ws": 80, "wss": 443, "http": 80, "https": 443}
_UNRESERVED: Final = "-_.~"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key. Never log it: its repr names the key id only."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False, default="")

    @classmethod
    def of_function(cls, environ: Mapping[str, str]) -> Credentials:
        """Read the variables that Lambda sets for a function's role.

        Raises:
            KeyError: a variable is missing.
        """
        return cls(
            access_key_id=environ["AWS_ACCESS_KEY_ID"],
            secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
            session_token=environ.get("AWS_SESSION_TOKEN", ""),
        )


@dataclass(frozen=True, slots=True)
class Request:
    """A request to sign.

    Attributes:
        method: the HTTP method.
        url: the URL, as it is sent, with its query, if any.
        headers: further headers that are signed, by their names in lower case: all `x-amz-…`.
        body: the body.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(repr=False, default=b"")


def sign_upgrade(url: str, region: str, credentials: Credentials, now: float) -> dict[str, str]:
    """Return the headers that sign the GET request of a WebSocket upgrade.

    Args:
        url: the `wss://` (or, in the sandbox, `ws://`) URL, with its query, if any.
        region: the API's region.
        credentials: the caller's credentials.
        now: seconds since the Unix epoch; AWS accepts five minutes of difference.

    Returns:
        `Host`, `X-Amz-Date`, `Authorization` and, for temporary credentials,
        `X-Amz-Security-Token`.
    """
    return sign(Request("GET", url), SERVICE, region, credentials, now)


def sign(
    request: Request, service: str, region: str, credentials: Credentials, now: float
) -> dict[str, str]:
    """Return the headers that sign a request of any service but S3.

    Args:
        request: the request.
        service: the service's name in signatures (`lambda`).
        region: the service's region.
        credentials: the caller's credentials.
        now: seconds since the Unix epoch; AWS accepts five minutes of difference.

    Returns:
        `Host`, `X-Amz-Date`, `Authorization` and, for temporary credentials,
        `X-Amz-Security-Token`. The request's own headers are not among them.
    """
    parts = urlsplit(request.url)
    host = _host(parts)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    # Step 1: the canonical request.
    signed = {**request.headers, "host": host, "x-amz-date": stamp}
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(signed))
    headers = [f"{name}:{' '.join(signed[name].split())}" for name in sorted(signed)]
    path = quote(parts.path or "/", safe="/~")
    body = hashlib.sha256(request.body).hexdigest()
    canonical = "\n".join([request.method, path, _query(parts), *headers, "", names, body])
    # Step 2: the string to sign.
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    # Step 3: the signature.
    key = _signing_key(credentials, stamp[:8], region, service)
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    result = {
        "Host": host,
        "X-Amz-Date": stamp,
        "Authorization": (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        ),
    }
    if credentials.session_token:
        result["X-Amz-Security-Token"] = credentials.session_token
    return result


def _host(parts: SplitResult) -> str:
    """Return the `Host` header: the port only if it is not the scheme's default."""
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"  # IPv6
    if parts.port is not None and parts.port != _DEFAULT_PORTS.get(parts.scheme):
        host = f"{host}:{parts.port}"
    return host


def _query(parts: SplitResult) -> str:
    """Return the query parameters, encoded and then sorted."""
    pairs = [
        (quote(key, safe=_UNRESERVED), quote(value, safe=_UNRESERVED))
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    return "&".join(f"{key}={value}" for key, value in sorted(pairs))


def _signing_key(credentials: Credentials, day: str, region: str, service: str) -> bytes:
    """Derive the key for one day (`YYYYMMDD`), region and service."""
    key = f"AWS4{credentials.secret_access_key}".encode()
    for step in (day, region, service, "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    return key
